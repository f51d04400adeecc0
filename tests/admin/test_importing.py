"""What people paste becomes accounts; what is missing is told, and no answer or log line holds a secret."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from gbproxy.domain.pasted import MAX_ACCOUNTS, MAX_CHARS
from tests.admin.conftest import ANNA, BEN, COOKIE, ENVIRONMENT, Office
from tests.serving import KEY, Reply
from tests.unit.pasted import browsers, captures

PATH = "/api/admin/accounts/import"
OXSRF = "https://business.gemini.google/auth/getoxsrf?csesidx="


def sent(office: Office, text: object, **more: object) -> Reply:
    return office.call("POST", PATH, {"text": text, **more})


def imported(office: Office, text: str, **more: object) -> dict[str, Any]:
    reply = sent(office, text, **more)
    assert reply.status == 200, reply.body
    answer: dict[str, Any] = reply.json()
    return answer


def renewal(csesidx: object, cookie: str) -> str:
    """A copied request with cookies, but without a config id."""
    return browsers.curl(
        browsers.windows, f"{OXSRF}{csesidx}", {"cookie": f"__Secure-C_SES={cookie}"}, joint=" ^\r\n  "
    )


def held(office: Office, name: str) -> dict[str, str | None]:
    """What requests would go upstream with."""
    (account,) = (account for account in office.parts.pool.accounts() if account.name == name)
    return {"secure_c_ses": account.secure_c_ses, "host_c_oses": account.host_c_oses, "config_id": account.config_id}


@pytest.mark.parametrize(
    "name", ["chrome-bash-all.txt", "chrome-cmd-all.txt", "chrome-powershell-all.txt", "firefox.har"]
)
def test_a_paste_that_has_all_becomes_an_account(office: Office, name: str) -> None:
    answer = imported(office, captures.text(name))

    (account,) = office.accounts()
    assert answer == {
        "dry_run": False,
        "found": [
            {
                "result": "created",
                "id": account["id"],
                "name": "account-548217093",
                **captures.IDS,
                "found": ["secure_c_ses", "host_c_oses", "csesidx", "config_id"],
                "missing": [],
                "wrong": [],
                "reason": None,
            }
        ],
        "created": ["account-548217093"],
        "changed": [],
        "missing": [],
    }
    assert held(office, "account-548217093") == {**captures.COOKIES, "config_id": captures.IDS["config_id"]}


def test_what_is_missing_is_named_with_its_place_and_nothing_is_stored(office: Office) -> None:
    answer = imported(office, captures.text("chrome-bash-widget.txt"))

    assert [each["result"] for each in answer["found"]] == ["incomplete"]
    assert [(place["field"], place["required"]) for place in answer["missing"]] == [
        ("secure_c_ses", True),
        ("host_c_oses", False),
    ]
    assert "Application" in answer["missing"][0]["where"]
    assert office.accounts() == []


def test_the_address_may_come_apart(office: Office) -> None:
    assert imported(office, captures.text("cookies.txt"), url=captures.PAGE)["created"] == ["account-548217093"]


def test_a_dry_run_says_the_same_and_stores_nothing(office: Office) -> None:
    office.add(ANNA)
    text = f"{captures.text('account.json')}\n{renewal(ANNA['csesidx'], 'CSE.new')}"

    tried = imported(office, text, dry_run=True)
    before = (office.names(), held(office, "anna"))
    done = imported(office, text)

    assert before == (["anna"], {"secure_c_ses": COOKIE, "host_c_oses": ANNA["host_c_oses"], "config_id": "c-1"})
    assert (tried["created"], tried["changed"]) == (["team@example.com"], ["anna"])
    assert [{**each, "id": None} for each in done["found"]] == [{**each, "id": None} for each in tried["found"]]
    assert office.names() == ["anna", "team@example.com"]


def test_new_cookies_renew_the_account_of_their_sign_in_and_keep_the_rest(office: Office) -> None:
    office.add(ANNA)
    office.add(BEN)

    answer = imported(office, renewal(ANNA["csesidx"], "CSE.new"))

    assert (answer["changed"], answer["missing"]) == (["anna"], [])
    assert held(office, "anna") == {"secure_c_ses": "CSE.new", "host_c_oses": ANNA["host_c_oses"], "config_id": "c-1"}


def test_an_account_is_known_by_its_name_when_its_sign_in_is_new(office: Office) -> None:
    id_ = office.add(ANNA)["id"]

    answer = imported(office, json.dumps({**ANNA, "csesidx": "124", "secure_c_ses": "CSE.new"}))

    assert answer["changed"] == ["anna"]
    assert [(account["id"], account["csesidx"]) for account in office.accounts()] == [(id_, "124")]


def test_what_is_there_already_is_left_alone(office: Office) -> None:
    office.add(ANNA)

    answer = imported(office, json.dumps([ANNA]))

    assert [each["result"] for each in answer["found"]] == ["unchanged"]
    assert (answer["created"], answer["changed"]) == ([], [])


def test_an_account_of_the_environment_is_not_changed(at_home: Office) -> None:
    answer = imported(at_home, json.dumps([{**ENVIRONMENT, "secure_c_ses": "CSE.new"}, BEN]))

    refused, created = answer["found"]
    assert (refused["result"], created["result"]) == ("refused", "created")
    assert "stands in the environment" in refused["reason"]
    assert held(at_home, "home")["secure_c_ses"] == ENVIRONMENT["secure_c_ses"]


def test_what_is_wrong_is_told_by_field_and_the_others_are_taken(office: Office) -> None:
    reply = sent(office, json.dumps([{**ANNA, "csesidx": "secret-value"}, BEN]))

    wrong, created = reply.json()["found"]
    assert (wrong["result"], wrong["wrong"]) == (
        "refused",
        [{"field": "csesidx", "reason": "must be decimal digits"}],
    )
    assert created["name"] == "ben"
    assert b"secret-value" not in reply.body


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_name_that_is_taken_gets_a_number_and_an_account_comes_once(office: Office, dry_run: bool) -> None:
    office.add({**BEN, "name": "account-123"})
    twin = {**ANNA, "config_id": "c-9", "name": "anna again"}

    answer = imported(office, json.dumps([{**ANNA, "name": ""}, twin]), dry_run=dry_run)

    assert answer["created"] == ["account-123-2"]
    assert (answer["found"][1]["result"], answer["found"][1]["reason"]) == (
        "refused",
        "this account is in the text twice",
    )


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"text": 5}, "text"),
        ({"text": ["a"]}, "text"),
        ({}, "text"),
        ({"text": "hello"}, "text"),
        ({"text": "hello", "url": 5}, "url"),
        ({"text": "hello", "url": "https://example.com"}, "url"),
        ({"text": "hello", "dry_run": "yes"}, "dry_run"),
    ],
)
def test_a_paste_that_is_none_is_refused_by_field(office: Office, body: dict[str, object], param: str) -> None:
    reply = office.call("POST", PATH, body)

    assert (reply.status, reply.error["code"], reply.error["param"]) == (400, "invalid_request_error", param)
    assert "hello" not in reply.error["message"]


def test_a_paste_beyond_its_cap_is_too_large(office: Office) -> None:
    reply = sent(office, " " * (MAX_CHARS + 1))

    assert (reply.status, reply.error["code"], reply.error["param"]) == (413, "request_too_large", "text")


def test_a_paste_of_more_accounts_than_its_cap_is_refused_as_a_whole(office: Office) -> None:
    each = [{"csesidx": str(number), "config_id": "c", "secure_c_ses": "CSE.x"} for number in range(MAX_ACCOUNTS + 1)]

    reply = sent(office, json.dumps(each))

    assert (reply.status, reply.error["code"], reply.error["param"]) == (400, "invalid_request_error", "text")
    assert str(MAX_ACCOUNTS) in reply.error["message"]
    assert office.accounts() == []


@pytest.mark.parametrize("key", [None, "ak-wrong-0123456789abcd", KEY])
def test_only_administrators_import(office: Office, key: str | None) -> None:
    reply = office.call("POST", PATH, {"text": captures.text("account.json")}, key=key)

    assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")
    assert office.accounts() == []


@pytest.mark.parametrize("dry_run", [True, False])
def test_no_secret_is_in_any_answer_or_log_line(
    office: Office, dry_run: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    replies = [sent(office, captures.text(name), dry_run=dry_run) for name in captures.NAMES]

    shown = b"".join(reply.body for reply in replies).decode() + repr([vars(line) for line in caplog.records])
    assert [secret for secret in (*captures.COOKIES.values(), captures.FOREIGN, "eyJ") if secret in shown] == []


def test_the_simulators_own_address_counts_where_the_gateway_asks_it(opened: Any) -> None:
    office = opened(GEMINI_BUSINESS_URL="http://127.0.0.1:9100", API_BASE_URL="http://127.0.0.1:9100/v1alpha")

    text = "__Secure-C_SES=CSE.simulated\nhttp://127.0.0.1:9100/home/cid/c-1?csesidx=77"

    assert imported(office, text)["created"] == ["account-77"]
