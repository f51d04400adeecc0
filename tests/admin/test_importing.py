"""What people paste becomes accounts; what is missing is told, and no answer or log line holds a
secret.
"""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from gbproxy.account_admin.importing import MAX_ACCOUNTS, MAX_CHARS
from gbproxy.account_admin.importing.partial_account import FURTHER_FIELDS
from gbproxy.upstreams.widget.credential import credential_of
from tests.admin.conftest import ANNA, BEN, COOKIE, ENVIRONMENT, OTHER_COOKIE, AdminHarness
from tests.support.importing import browsers, captures
from tests.support.importing.forms import ANNA as PERSON
from tests.support.importing.forms import BEN as OTHER_EDITIONS
from tests.support.importing.forms import CALLS, FORMS, Person
from tests.support.serving import KEY, Reply

PATH = "/api/admin/accounts/import"
OXSRF = "https://business.gemini.google/auth/getoxsrf?csesidx="


def sent(admin_api: AdminHarness, text: object, **more: object) -> Reply:
    return admin_api.call("POST", PATH, {"text": text, **more})


def imported(admin_api: AdminHarness, text: str, **more: object) -> dict[str, Any]:
    reply = sent(admin_api, text, **more)
    assert reply.status == 200, reply.body
    answer: dict[str, Any] = reply.json()
    return answer


def renewal(csesidx: object, cookie: str) -> str:
    """A copied request with cookies, but without a config id."""
    return browsers.curl(
        browsers.windows,
        f"{OXSRF}{csesidx}",
        {"cookie": f"__Secure-C_SES={cookie}"},
        joint=" ^\r\n  ",
    )


def held(admin_api: AdminHarness, name: str) -> dict[str, str | None]:
    """What requests would go upstream with."""
    (account,) = (account for account in admin_api.services.pool.accounts() if account.name == name)
    values = account.credential.to_json()
    return {name: values[name] for name in ("secure_c_ses", "host_c_oses", "config_id")}


@pytest.mark.parametrize(
    "name",
    ["chrome-bash-all.txt", "chrome-cmd-all.txt", "chrome-powershell-all.txt", "firefox.har"],
)
def test_a_paste_that_has_all_becomes_an_account(admin_api: AdminHarness, name: str) -> None:
    answer = imported(admin_api, captures.text(name))

    (account,) = admin_api.accounts()
    assert answer == {
        "dry_run": False,
        "found": [
            {
                "result": "created",
                "id": account["id"],
                "name": "account-548217093",
                **captures.IDS,
                "found": [*captures.WHOLE, "edition", "location", "cookies", "user_agent"],
                "missing": [],
                "wrong": [],
                "reason": None,
            }
        ],
        "created": ["account-548217093"],
        "changed": [],
        "missing": [],
        "warnings": [],
    }
    assert held(admin_api, "account-548217093") == {
        **captures.COOKIES,
        "config_id": captures.IDS["config_id"],
    }


def test_what_is_missing_is_named_with_its_place_and_nothing_is_stored(
    admin_api: AdminHarness,
) -> None:
    answer = imported(admin_api, captures.text("chrome-bash-widget.txt"))

    assert [each["result"] for each in answer["found"]] == ["incomplete"]
    assert [(place["field"], place["required"]) for place in answer["missing"]] == [
        ("secure_c_ses", True),
        ("host_c_oses", False),
    ]
    assert "Application" in answer["missing"][0]["where"]
    assert admin_api.accounts() == []


def test_the_address_may_come_apart(admin_api: AdminHarness) -> None:
    assert imported(admin_api, captures.text("cookies.txt"), url=captures.PAGE)["created"] == [
        "account-548217093"
    ]


def test_a_dry_run_says_the_same_and_stores_nothing(admin_api: AdminHarness) -> None:
    admin_api.add(ANNA)
    text = f"{captures.text('account.json')}\n{renewal(ANNA['csesidx'], 'CSE.new')}"

    tried = imported(admin_api, text, dry_run=True)
    before = (admin_api.names(), held(admin_api, "anna"))
    done = imported(admin_api, text)

    assert before == (
        ["anna"],
        {
            "secure_c_ses": COOKIE,
            "host_c_oses": ANNA["host_c_oses"],
            "config_id": "c0000000-0000-4000-8000-000000000001",
        },
    )
    assert (tried["created"], tried["changed"]) == (["team@example.com"], ["anna"])
    assert [{**each, "id": None} for each in done["found"]] == [
        {**each, "id": None} for each in tried["found"]
    ]
    assert admin_api.names() == ["anna", "team@example.com"]


def pair(admin_api: AdminHarness, name: str) -> tuple[str | None, str | None]:
    account = held(admin_api, name)
    return account["secure_c_ses"], account["host_c_oses"]


def test_new_cookies_renew_the_account_of_their_sign_in_and_keep_the_rest(
    admin_api: AdminHarness,
) -> None:
    admin_api.add(ANNA)
    admin_api.add(BEN)

    answer = imported(admin_api, renewal(ANNA["csesidx"], "CSE.new; __Host-C_OSES=COS.new"))

    assert (answer["changed"], answer["missing"], answer["warnings"]) == (["anna"], [], [])
    assert held(admin_api, "anna") == {
        "secure_c_ses": "CSE.new",
        "host_c_oses": "COS.new",
        "config_id": "c0000000-0000-4000-8000-000000000001",
    }


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_new_first_cookie_is_never_kept_with_the_old_second(
    admin_api: AdminHarness, dry_run: bool
) -> None:
    admin_api.add(ANNA)

    answer = imported(admin_api, renewal(ANNA["csesidx"], "CSE.new"), dry_run=dry_run)

    assert answer["changed"] == ["anna"]
    assert [
        "anna has the new __Secure-C_SES without a __Host-C_OSES" in each
        for each in answer["warnings"]
    ] == [True]
    assert pair(admin_api, "anna") == (
        (COOKIE, ANNA["host_c_oses"]) if dry_run else ("CSE.new", None)
    )


def test_the_same_first_cookie_keeps_its_second(admin_api: AdminHarness) -> None:
    admin_api.add(ANNA)

    answer = imported(admin_api, renewal(ANNA["csesidx"], COOKIE))

    assert [each["result"] for each in answer["found"]] == ["unchanged"]
    assert (answer["warnings"], pair(admin_api, "anna")) == ([], (COOKIE, ANNA["host_c_oses"]))


def test_an_account_without_a_second_cookie_is_renewed_without_a_warning(
    admin_api: AdminHarness,
) -> None:
    admin_api.add(BEN)

    answer = imported(admin_api, renewal(BEN["csesidx"], "CSE.new"))

    assert (answer["changed"], answer["warnings"], pair(admin_api, "ben")) == (
        ["ben"],
        [],
        ("CSE.new", None),
    )


def test_a_second_cookie_alone_renews_nothing_and_is_told(admin_api: AdminHarness) -> None:
    admin_api.add(ANNA)
    text = json.dumps({"csesidx": ANNA["csesidx"], "host_c_oses": "COS.new"})

    answer = imported(admin_api, text)

    assert [each["result"] for each in answer["found"]] == ["unchanged"]
    assert ["anna keeps its cookies" in each for each in answer["warnings"]] == [True]
    assert pair(admin_api, "anna") == (COOKIE, ANNA["host_c_oses"])


def test_cookies_of_two_requests_are_never_put_together(admin_api: AdminHarness) -> None:
    older = renewal(77, "CSE.old; __Host-C_OSES=COS.old")

    answer = imported(
        admin_api,
        f"{older}\n{renewal(77, 'CSE.new')}\n{json.dumps({'csesidx': 77, 'config_id': 'c0000000-0000-4000-8000-000000000007'})}",
    )

    assert answer["created"] == ["account-77"]
    assert pair(admin_api, "account-77") == ("CSE.new", None)
    assert ["a __Host-C_OSES was left out" in each for each in answer["warnings"]] == [True]


def carried(admin_api: AdminHarness, name: str) -> dict[str, object]:
    """What requests would go upstream with beside ids and the two cookies."""
    (account,) = (account for account in admin_api.services.pool.accounts() if account.name == name)
    return {field: getattr(credential_of(account), field) for field in FURTHER_FIELDS}


@pytest.mark.parametrize("person", [PERSON, OTHER_EDITIONS], ids=["business", "enterprise"])
@pytest.mark.parametrize("call", CALLS)
def test_a_request_and_a_call_give_an_account_with_what_its_gates_want(
    admin_api: AdminHarness, person: Person, call: str
) -> None:
    answer = imported(admin_api, f"{FORMS['curl'](person)}\n{CALLS[call](person)}")

    assert (answer["created"], answer["warnings"]) == ([f"account-{person.csesidx}"], [])
    assert carried(admin_api, f"account-{person.csesidx}") == person.carried
    shown = json.dumps([answer, admin_api.accounts()])
    assert not any(secret in shown for secret in (person.others, person.server_token, person.first))


def test_a_call_adds_to_a_known_account_and_leaves_the_rest(admin_api: AdminHarness) -> None:
    admin_api.add({"name": "anna", **PERSON.whole, "cookies": PERSON.others})

    answer = imported(admin_api, CALLS["call as curl"](PERSON))

    assert answer["changed"] == ["anna"]
    assert carried(admin_api, "anna") == PERSON.carried
    assert pair(admin_api, "anna") == (PERSON.first, PERSON.second)


def test_a_server_token_is_not_kept_for_another_app(admin_api: AdminHarness) -> None:
    admin_api.add({"name": "anna", **PERSON.whole, "server_token": PERSON.server_token})

    answer = imported(admin_api, PERSON.page.replace(PERSON.config_id, OTHER_EDITIONS.config_id))

    assert answer["changed"] == ["anna"]
    assert carried(admin_api, "anna")["server_token"] is None


@pytest.mark.parametrize("dry_run", [True, False])
def test_further_cookies_of_a_former_sign_in_are_not_kept_with_the_new(
    admin_api: AdminHarness, dry_run: bool
) -> None:
    admin_api.add({**ANNA, "cookies": "a=old", "user_agent": PERSON.user_agent})

    answer = imported(
        admin_api, renewal(ANNA["csesidx"], "CSE.new; __Host-C_OSES=COS.new"), dry_run=dry_run
    )

    assert (answer["changed"], len(answer["warnings"])) == (["anna"], 1)
    assert "without the further cookies" in answer["warnings"][0]
    assert carried(admin_api, "anna")["cookies"] == ("a=old" if dry_run else None)
    assert carried(admin_api, "anna")["user_agent"] == PERSON.user_agent


def test_further_cookies_are_kept_with_the_same_sign_in_and_replaced_with_those_of_a_new_one(
    admin_api: AdminHarness,
) -> None:
    admin_api.add({**ANNA, "cookies": "a=old"})

    same = imported(admin_api, renewal(ANNA["csesidx"], f"{COOKIE}; __Host-C_OSES={OTHER_COOKIE}"))
    kept = carried(admin_api, "anna")["cookies"]
    new = imported(
        admin_api, renewal(ANNA["csesidx"], "CSE.new; __Host-C_OSES=COS.new; a=new; NID=1")
    )

    assert (same["warnings"], kept) == ([], "a=old")
    assert (new["warnings"], carried(admin_api, "anna")["cookies"]) == ([], "a=new")


def test_a_page_and_a_host_that_disagree_are_told(admin_api: AdminHarness) -> None:
    answer = imported(
        admin_api,
        f"{CALLS['call as har'](OTHER_EDITIONS)}\n{PERSON.page.replace(PERSON.csesidx, OTHER_EDITIONS.csesidx)}",
    )

    assert [
        "more than one edition" in each or "more than one location" in each
        for each in answer["warnings"]
    ] == [True] * 2


def test_cookies_of_the_consumer_app_are_an_error_alone_and_a_warning_beside_an_account(
    admin_api: AdminHarness,
) -> None:
    psid = (
        "__Secure-1PSID=g.a000-secret; __Secure-1PSIDTS=sidts-secret; SID=g.a000-secret;"
        " SAPISID=secret"
    )

    alone, beside = (
        sent(admin_api, f"Cookie: {psid}"),
        sent(admin_api, f"Cookie: {psid}\n\n{json.dumps(ANNA)}"),
    )

    assert (alone.status, alone.error["code"], alone.error["param"]) == (
        400,
        "invalid_request_error",
        "text",
    )
    assert (
        "consumer Gemini app (gemini.google.com), which is another service"
        in alone.error["message"]
    )
    assert beside.json()["created"] == ["anna"]
    assert ["consumer Gemini app" in each for each in beside.json()["warnings"]] == [True]
    assert b"secret" not in alone.body + beside.body.replace(b"CSE.the-secret-cookie", b"")


WITHOUT_COOKIES = {
    "copy as fetch": (
        'fetch("https://business.gemini.google/auth/getoxsrf?csesidx=123", {\n  "credentials": "include"\n});',
        "line 1: no __Secure-C_SES stands there",
    ),
    "sanitized har": (captures.text("chrome-sanitized.har").replace("548217093", "123"), "line 1: no __Secure-C_SES stands there"),
    "no cookie of the page": (renewal(123, "x").replace("__Secure-C_SES", "NID"), "line 1: no __Secure-C_SES stands there"),
    "blacked out": (renewal(123, "[redacted]"), "line 1: a value there is none"),
    "cut off": ("https://business.gemini.google/home/cid/c0000000-0000-4000-8000-000000000001?csesidx=123\n\nCookie: __Secure-C_SES=", "line 3: a value"),
    "other cookies": (
        '{"csesidx": 123, "cookies": [{"name": "NID", "value": "1", "domain": ".google.com"}]}',
        "line 1: no __Secure-C_SES stands there",
    ),
    "a form that nobody knows": (
        "__Secure-C_SES is CSE_new\nhttps://business.gemini.google/home/cid/c0000000-0000-4000-8000-000000000001?csesidx=123", "line 1: the name of",
    ),
    "a name in words": (
        "https://business.gemini.google/home/cid/c0000000-0000-4000-8000-000000000001?csesidx=123\nmy __Secure-C_SES -> CSE.x", "line 2: the name of a cookie",
    ),
    "broken json": (
        '{"csesidx": 123}\n[\n {"secure_c_ses": "CSE.new",\n  "csesidx": 123\n  "config_id": "c0000000-0000-4000-8000-000000000001"}\n]',
        "the JSON that begins in line 2 is broken in line 5",
    ),
    "an object of javascript": (
        "{ secure_c_ses: 'CSE.new' }\nhttps://business.gemini.google/home/cid/c0000000-0000-4000-8000-000000000001?csesidx=123",
        "the JSON that begins in line 1 is broken in line 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WITHOUT_COOKIES)
def test_a_paste_whose_cookies_could_not_be_read_says_so(
    admin_api: AdminHarness, kind: str
) -> None:
    admin_api.add(
        {
            **ANNA,
            "config_id": (
                captures.IDS["config_id"]
                if kind == "sanitized har"
                else "c0000000-0000-4000-8000-000000000001"
            ),
        }
    )
    text, said = WITHOUT_COOKIES[kind]

    for line_end in ("\n", "\r\n"):
        answer = imported(admin_api, text.replace("\r\n", "\n").replace("\n", line_end))

        # its browser's name
        news = ["changed"] if kind == "sanitized har" and line_end == "\n" else ["unchanged"]
        assert [each["result"] for each in answer["found"]] == news
        assert said in "\n".join(answer["warnings"])
        assert "CSE" not in "".join(answer["warnings"]).replace("C_SES", "")


def test_a_warning_about_one_account_stands_beside_what_was_found_of_another(
    admin_api: AdminHarness,
) -> None:
    bare = (
        'fetch("https://business.gemini.google/home/cid/c0000000-0000-4000-8000-000000000005?csesidx=5",'
        ' {"credentials": "include"});'
    )

    answer = imported(admin_api, f"{json.dumps(ANNA)}\n{bare}")

    assert answer["created"] == ["anna"]
    assert [(each["csesidx"], each["result"]) for each in answer["found"]] == [
        ("123", "created"),
        ("5", "incomplete"),
    ]
    assert [each.partition(":")[0] for each in answer["warnings"]] == ["line 2"]


def test_a_request_without_cookies_is_not_told_of_where_they_stand_elsewhere(
    admin_api: AdminHarness,
) -> None:
    bare = (
        'fetch("https://business.gemini.google/home/cid/c0000000-0000-4000-8000-000000000001?csesidx=123",'
        ' {"credentials": "include"});'
    )

    assert imported(admin_api, f"{bare}\n{json.dumps(ANNA)}")["warnings"] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            (
                '[{"secure_c_ses": "CSE.a", "csesidx": "1", "config_id":'
                ' "c0000000-0000-4000-8000-000000000001"},\n]'
            ),
            "begins in line 1 is broken in line 2",
        ),
        ('x\n{"secure_c_ses": "CSE.a" "csesidx": "1"}', "begins in line 2 is broken in line 2"),
        ('{"cookies": [\n{"name": "NID",', "begins in line 1 is broken in line 2"),
        ("Cookie: NID=1", "line 1: no __Secure-C_SES stands there"),
    ],
)
def test_json_that_is_broken_is_called_broken_with_its_line(
    admin_api: AdminHarness, text: str, said: str
) -> None:
    reply = sent(admin_api, text)

    told = "".join(reply.json()["warnings"]) if reply.status == 200 else reply.error["message"]
    assert said in told
    assert "CSE.a" not in told
    assert (reply.status == 400) == ("[{" not in text)


@pytest.mark.parametrize("field", [{"disabled": True}, {"is_active": False}, {"enabled": False}])
def test_an_account_that_was_written_down_as_disabled_stays_so(
    admin_api: AdminHarness, field: dict[str, bool]
) -> None:
    admin_api.add(ANNA)

    imported(admin_api, json.dumps([{**ANNA, **field}, {**BEN, **field}]))
    again = imported(admin_api, json.dumps([{**ANNA, **field}, {**BEN, "disabled": False}]))

    assert [(each["name"], each["is_active"]) for each in admin_api.accounts()] == [
        ("anna", False),
        ("ben", False),
    ]
    assert [each["result"] for each in again["found"]] == ["unchanged", "unchanged"]


def test_each_form_becomes_an_account(admin_api: AdminHarness) -> None:
    for form, written in FORMS.items():
        answer = imported(admin_api, written(PERSON), url=PERSON.page, dry_run=True)

        missing = ["secure_c_ses", "host_c_oses"] if form == "address" else []
        assert [place["field"] for place in answer["missing"]] == missing, form
        assert [each["result"] for each in answer["found"]] == [
            "incomplete" if missing else "created"
        ], form
        assert answer["warnings"] == [], form


def test_an_account_is_known_by_its_name_when_its_sign_in_is_new(admin_api: AdminHarness) -> None:
    id_ = admin_api.add(ANNA)["id"]

    answer = imported(admin_api, json.dumps({**ANNA, "csesidx": "124", "secure_c_ses": "CSE.new"}))

    assert answer["changed"] == ["anna"]
    assert [(account["id"], account["csesidx"]) for account in admin_api.accounts()] == [
        (id_, "124")
    ]


def test_what_is_there_already_is_left_alone(admin_api: AdminHarness) -> None:
    admin_api.add(ANNA)

    answer = imported(admin_api, json.dumps([ANNA]))

    assert [each["result"] for each in answer["found"]] == ["unchanged"]
    assert (answer["created"], answer["changed"]) == ([], [])


def test_an_account_of_the_environment_is_not_changed(at_home: AdminHarness) -> None:
    answer = imported(at_home, json.dumps([{**ENVIRONMENT, "secure_c_ses": "CSE.new"}, BEN]))

    refused, created = answer["found"]
    assert (refused["result"], created["result"]) == ("refused", "created")
    assert "stands in the environment" in refused["reason"]
    assert held(at_home, "home")["secure_c_ses"] == ENVIRONMENT["secure_c_ses"]


def test_what_is_wrong_is_told_by_field_and_the_others_are_taken(admin_api: AdminHarness) -> None:
    reply = sent(admin_api, json.dumps([{**ANNA, "csesidx": "secret-value"}, BEN]))

    wrong, created = reply.json()["found"]
    assert (wrong["result"], wrong["wrong"]) == (
        "refused",
        [{"field": "csesidx", "reason": "must be decimal digits"}],
    )
    assert created["name"] == "ben"
    assert b"secret-value" not in reply.body


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_name_that_is_taken_gets_a_number_and_an_account_comes_once(
    admin_api: AdminHarness, dry_run: bool
) -> None:
    admin_api.add({**BEN, "name": "account-123"})
    duplicate = {**ANNA, "config_id": "c0000000-0000-4000-8000-000000000009", "name": "anna again"}

    answer = imported(admin_api, json.dumps([{**ANNA, "name": ""}, duplicate]), dry_run=dry_run)

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
def test_a_paste_that_is_none_is_refused_by_field(
    admin_api: AdminHarness, body: dict[str, object], param: str
) -> None:
    reply = admin_api.call("POST", PATH, body)

    assert (reply.status, reply.error["code"], reply.error["param"]) == (
        400,
        "invalid_request_error",
        param,
    )
    assert "hello" not in reply.error["message"]


def test_a_paste_beyond_its_cap_is_too_large(admin_api: AdminHarness) -> None:
    reply = sent(admin_api, " " * (MAX_CHARS + 1))

    assert (reply.status, reply.error["code"], reply.error["param"]) == (
        413,
        "request_too_large",
        "text",
    )


def test_a_paste_of_more_accounts_than_its_cap_is_refused_as_a_whole(
    admin_api: AdminHarness,
) -> None:
    each = [
        {"csesidx": str(number), "config_id": ANNA["config_id"], "secure_c_ses": "CSE.x"}
        for number in range(MAX_ACCOUNTS + 1)
    ]

    reply = sent(admin_api, json.dumps(each))

    assert (reply.status, reply.error["code"], reply.error["param"]) == (
        400,
        "invalid_request_error",
        "text",
    )
    assert str(MAX_ACCOUNTS) in reply.error["message"]
    assert admin_api.accounts() == []


@pytest.mark.parametrize("key", [None, "ak-wrong-0123456789abcd", KEY])
def test_only_administrators_import(admin_api: AdminHarness, key: str | None) -> None:
    reply = admin_api.call("POST", PATH, {"text": captures.text("account.json")}, key=key)

    assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")
    assert admin_api.accounts() == []


@pytest.mark.parametrize("dry_run", [True, False])
def test_no_secret_is_in_any_answer_or_log_line(
    admin_api: AdminHarness, dry_run: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    replies = [sent(admin_api, captures.text(name), dry_run=dry_run) for name in captures.NAMES]

    shown = b"".join(reply.body for reply in replies).decode() + repr(
        [vars(line) for line in caplog.records]
    )
    assert [
        secret
        for secret in (*captures.COOKIES.values(), captures.FOREIGN, "eyJ")
        if secret in shown
    ] == []


def test_the_simulators_own_address_counts_where_the_gateway_asks_it(opened: Any) -> None:
    admin_api = opened(
        GEMINI_BUSINESS_URL="http://127.0.0.1:9100", API_BASE_URL="http://127.0.0.1:9100/v1alpha"
    )

    text = "__Secure-C_SES=CSE.simulated\nhttp://127.0.0.1:9100/home/cid/c0000000-0000-4000-8000-000000000001?csesidx=77"

    assert imported(admin_api, text)["created"] == ["account-77"]
