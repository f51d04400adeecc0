"""Accounts are added, changed, disabled and removed while the gateway serves; no answer ever shows
a cookie.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import pytest

from gbproxy.accounts.failure_policy import next_midnight
from gbproxy.errors import CredentialRefused, QuotaExhausted, RequestRefused, UpstreamUnreachable
from gbproxy.upstream_words import UpstreamWords
from gbproxy.upstreams.widget.credential import credential_of
from tests.admin.conftest import (
    ADMIN_KEY,
    ANNA,
    BEN,
    COOKIE,
    ENVIRONMENT,
    OTHER_COOKIE,
    AdminHarness,
    Opened,
)
from tests.support.polling import until
from tests.support.pools import in_flight

FIELDS = {
    "id", "name", "csesidx", "config_id", "is_active", "source", "created_at", "state", "cooling_until", "in_flight",
    "models_cooling_until", "checked_at", "cookies_at", "cookie_age_h", "last_used_at", "last_error", "last_error_said", "edition", "location", "user_agent",
}  # fmt: skip
OTHER_ID = "c0000000-0000-4000-8000-000000000009"


def test_a_gateway_without_an_account_answers_once_one_is_added(admin_api: AdminHarness) -> None:
    before = admin_api.app.ask("Hi")
    admin_api.add()
    after = admin_api.app.ask("Hi")

    assert (before.status, before.error["code"]) == (503, "no_account_available")
    assert (after.status, after.text) == (200, "Hello")


def test_an_added_account_is_shown_without_its_secrets(admin_api: AdminHarness) -> None:
    began = int(time.time())

    reply = admin_api.call("POST", "/api/admin/accounts", ANNA)

    added = reply.json()
    assert reply.status == 201
    assert added.keys() == FIELDS
    told = {
        name: added[name]
        for name in ("name", "csesidx", "config_id", "is_active", "source", "state")
    }
    assert told == {
        **{n: ANNA[n] for n in ("name", "csesidx", "config_id")},
        "is_active": True,
        "source": "db",
        "state": "ready",
    }
    assert (added["edition"], added["location"], added["user_agent"]) == (
        "business",
        "global",
        None,
    )
    assert (
        added["cooling_until"],
        added["in_flight"],
        added["last_used_at"],
        added["last_error"],
    ) == (
        {},
        0,
        None,
        None,
    )
    assert began <= added["created_at"] <= time.time()
    assert admin_api.accounts() == [added]
    assert admin_api.call("GET", f"/api/admin/accounts/{added['id']}").json() == added


def test_an_account_may_be_added_disabled(admin_api: AdminHarness) -> None:
    added = admin_api.add({**ANNA, "is_active": False})

    assert (added["is_active"], added["state"], admin_api.available()) == (False, "disabled", [])


@pytest.mark.parametrize(
    ("wrong", "param", "told"),
    [
        ({"csesidx": "abc"}, "csesidx", ["csesidx: must be decimal digits"]),
        ({"name": ""}, "name", ["name: is missing"]),
        ({"name": 5}, "name", ["name: "]),
        ({"name": "a\nb"}, "name", ["name: must be at most 128 printable characters"]),
        ({"secure_c_ses": None}, "secure_c_ses", ["secure_c_ses: is missing"]),
        ({"secure_c_ses": "a;b"}, "secure_c_ses", ["secure_c_ses: contains `;`"]),
        ({"secure_c_ses": ["a"]}, "secure_c_ses", ["secure_c_ses: "]),
        ({"config_id": "a b"}, "config_id", ["config_id: must be the UUID after /cid/"]),
        ({"team_id": "other"}, "team_id", ["team_id: differs from config_id"]),
        ({"edition": "starter"}, "edition", ["edition: must be 'business' or 'enterprise'"]),
        ({"location": "mars"}, "location", ["location: must be 'global', 'us' or 'eu'"]),
        ({"cookies": "hunter2"}, "cookies", ["cookies: must look like a Cookie header"]),
        ({"cookies": "__Secure-C_SES=x"}, "cookies", ["cookies: has no cookie beside"]),
        (
            {"server_token": "a b"},
            "server_token",
            ["server_token: must be the value of the header x-server-token"],
        ),
        (
            {"user_agent": "é"},
            "user_agent",
            ["user_agent: must be the value of the header user-agent"],
        ),
        ({"is_active": 1}, "is_active", ["is_active: must be true or false"]),
        (
            dict.fromkeys(ANNA),
            "name",
            ["name: is", "secure_c_ses: is", "csesidx: is", "config_id: is missing"],
        ),
    ],
)
def test_what_is_wrong_is_told_by_field(
    admin_api: AdminHarness, wrong: dict[str, object], param: str, told: list[str]
) -> None:
    reply = admin_api.call("POST", "/api/admin/accounts", {**ANNA, **wrong})

    assert (reply.status, reply.error["code"], reply.error["param"]) == (
        400,
        "invalid_request_error",
        param,
    )
    assert [part for part in told if part not in reply.error["message"]] == []
    assert COOKIE not in reply.body.decode()
    assert admin_api.accounts() == []


def test_both_spellings_and_pasted_values_are_taken(admin_api: AdminHarness) -> None:
    given = {
        "name": " anna ",
        "secure_c_ses": f'__Secure-C_SES="{COOKIE}";',
        "csesidx": 123,
        "team_id": ANNA["config_id"],
        "more": 1,
    }

    added = admin_api.add(given)

    assert (added["name"], added["csesidx"], added["config_id"]) == (
        "anna",
        "123",
        ANNA["config_id"],
    )
    assert credential_of(admin_api.services.pool.accounts()[0]).secure_c_ses == COOKIE


FURTHER = {
    "edition": "Enterprise",
    "location": "EU",
    "cookies": f"Cookie: __Secure-C_SES={COOKIE}; __Secure-C_AUX=aux-secret; NID=5=a",
    "server_token": "x-server-token: CAMSsecret==",
    "user_agent": "User-Agent: Mozilla/5.0 (X)",
}


def test_what_an_account_s_browser_sends_is_kept_and_the_secret_part_never_shown(
    admin_api: AdminHarness,
) -> None:
    added = admin_api.call("POST", "/api/admin/accounts", {**ANNA, **FURTHER})

    shown = added.json()
    [account] = admin_api.services.pool.accounts()
    assert [shown[name] for name in ("edition", "location", "user_agent")] == [
        "enterprise",
        "eu",
        "Mozilla/5.0 (X)",
    ]
    known = credential_of(account)
    assert (known.edition, known.location, known.user_agent) == (
        "enterprise",
        "eu",
        "Mozilla/5.0 (X)",
    )
    assert (known.cookies, known.server_token) == (
        "__Secure-C_AUX=aux-secret; NID=5=a",
        "CAMSsecret==",
    )
    assert [
        secret for secret in (b"aux-secret", b"CAMSsecret", COOKIE.encode()) if secret in added.body
    ] == []


def test_a_change_keeps_what_it_does_not_name_and_takes_away_what_is_empty(
    admin_api: AdminHarness,
) -> None:
    added = admin_api.add({**ANNA, **FURTHER})
    path = f"/api/admin/accounts/{added['id']}"

    admin_api.call("PUT", path, {"name": "anna 2", "server_token": ""})
    admin_api.call("PUT", path, {**admin_api.call("GET", path).json(), "cookies": None})

    [account] = admin_api.services.pool.accounts()
    known = credential_of(account)
    assert (account.name, known.edition, known.location) == ("anna 2", "enterprise", "eu")
    assert (known.cookies, known.server_token, known.user_agent) == (
        None,
        None,
        "Mozilla/5.0 (X)",
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("enterprise", "us", "77")),
        ({"csesidx": "78", "location": "eu"}, ("enterprise", "eu", "78")),
        ({"edition": "business"}, ("business", "us", "77")),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_page_s_address_tells_what_is_not_given_beside_it(
    admin_api: AdminHarness, given: dict[str, str], expected: tuple[str, str, str], method: str
) -> None:
    page = f"https://vertexaisearch.cloud.google/us/home/cid/{OTHER_ID}?csesidx=77"
    path = (
        f"/api/admin/accounts/{admin_api.add()['id']}" if method == "PUT" else "/api/admin/accounts"
    )
    body = {"config_id": page, **given}
    if method == "POST":
        body |= {"name": "anna", "secure_c_ses": COOKIE}

    changed = admin_api.call(method, path, body).json()

    assert (changed["edition"], changed["location"], changed["csesidx"]) == expected
    assert changed["config_id"] == OTHER_ID


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"text"', b"\xff"])
def test_what_is_no_object_is_refused(admin_api: AdminHarness, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"}

    assert (
        admin_api.app.request("POST", "/api/admin/accounts", body, headers).error["code"]
        == "invalid_request_error"
    )


def test_a_name_and_an_account_are_there_once(at_home: AdminHarness) -> None:
    ben = at_home.add(BEN)
    refused = [
        at_home.call("POST", "/api/admin/accounts", {**ANNA, "name": "ben"}),
        at_home.call("POST", "/api/admin/accounts", {**ANNA, "name": "home"}),
        at_home.call("POST", "/api/admin/accounts", {**BEN, "name": "ben again"}),
        at_home.call("POST", "/api/admin/accounts", {**ENVIRONMENT, "name": "home again"}),
        at_home.change(ben["id"], name="home"),
    ]

    assert [(reply.status, reply.error["code"]) for reply in refused] == [(409, "conflict")] * 5
    assert at_home.names() == ["home", "ben"]


def test_what_is_not_sent_is_kept(admin_api: AdminHarness) -> None:
    id_ = admin_api.add()["id"]

    reply = admin_api.change(id_, name="anna 2", csesidx="124")
    then = admin_api.change(id_, is_active=False)

    account = admin_api.services.pool.account(id_)
    assert (reply.status, reply.json()["name"], reply.json()["is_active"]) == (200, "anna 2", True)
    assert (then.json()["name"], then.json()["state"]) == ("anna 2", "disabled")
    assert account is not None
    known = credential_of(account)
    assert (known.csesidx, known.config_id) == ("124", ANNA["config_id"])
    assert (known.secure_c_ses, known.host_c_oses) == (COOKIE, OTHER_COOKIE)


def test_what_was_read_may_be_sent_back(at_home: AdminHarness) -> None:
    at_home.add()

    for account in at_home.accounts():
        assert at_home.change(account["id"], **account).json() == account


def test_cookies_are_replaced_and_an_empty_other_cookie_is_taken_away(
    admin_api: AdminHarness,
) -> None:
    id_ = admin_api.add()["id"]

    assert (
        admin_api.change(id_, secure_c_ses="CSE.new", host_c_oses="", team_id=OTHER_ID).status
        == 200
    )

    account = admin_api.services.pool.account(id_)
    assert account is not None
    known = credential_of(account)
    assert (known.secure_c_ses, known.host_c_oses, known.config_id) == (
        "CSE.new",
        None,
        OTHER_ID,
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("config_id", "your_config_id"),
        ("config_id", "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"),
        ("team_id", "<config-id>"),
        ("csesidx", "your_csesidx"),
        ("secure_c_ses", "CSE.new # from Monday"),
        ("secure_c_ses", "CSE new"),
        ("secure_c_ses", "__Host-C_OSES=COS.x"),
        ("host_c_oses", "REDACTED"),
    ],
)
def test_what_cannot_be_is_refused_when_added_and_when_changed(
    admin_api: AdminHarness, field: str, value: str
) -> None:
    id_ = admin_api.add()["id"]
    name = "config_id" if field == "team_id" else field
    before = admin_api.accounts()

    added = admin_api.call(
        "POST", "/api/admin/accounts", {**{n: v for n, v in BEN.items() if n != name}, field: value}
    )
    changed = admin_api.change(id_, **{field: value})

    assert [(reply.status, reply.error["param"]) for reply in (added, changed)] == [(400, name)] * 2
    assert value not in added.error["message"]
    assert admin_api.accounts() == before


def test_the_page_s_address_is_taken_for_its_ids(admin_api: AdminHarness) -> None:
    page = f"https://business.gemini.google/home/cid/{OTHER_ID}?csesidx=77&mods"
    id_ = admin_api.add()["id"]

    changed = admin_api.change(
        id_, config_id=page, csesidx=page, secure_c_ses="__Secure-C_SES: CSE.new"
    )

    assert (changed.json()["config_id"], changed.json()["csesidx"]) == (OTHER_ID, "77")
    account = admin_api.services.pool.account(id_)
    assert account is not None
    known = credential_of(account)
    assert known.secure_c_ses == "CSE.new"


def test_a_change_that_is_wrong_changes_nothing(admin_api: AdminHarness) -> None:
    id_ = admin_api.add()["id"]

    reply = admin_api.change(id_, name="other", csesidx="x", config_id=" ")

    assert (reply.status, reply.error["param"]) == (400, "csesidx")
    assert admin_api.names() == ["anna"]


def test_new_cookies_forget_that_the_old_ones_were_refused(admin_api: AdminHarness) -> None:
    id_ = admin_api.add()["id"]
    admin_api.upstream.trouble = CredentialRefused("Renew it.")
    admin_api.call("POST", f"/api/admin/accounts/{id_}/check")
    before = admin_api.accounts()[0]

    after = admin_api.change(id_, secure_c_ses="CSE.new").json()

    assert (before["state"], before["last_error"], after["state"]) == (
        "refused",
        "Renew it.",
        "ready",
    )
    assert admin_api.available() == ["anna"]


def test_an_account_is_removed(admin_api: AdminHarness) -> None:
    id_ = admin_api.add()["id"]

    reply = admin_api.call("DELETE", f"/api/admin/accounts/{id_}")

    assert (reply.status, reply.body, admin_api.accounts(), admin_api.available()) == (
        204,
        b"",
        [],
        [],
    )
    assert admin_api.call("GET", f"/api/admin/accounts/{id_}").error["code"] == "not_found"


def test_the_sessions_of_a_removed_account_are_deleted_upstream(opened: Opened) -> None:
    admin_api = opened(prewarmed=0)  # else one may be made, or deleted, at any time
    id_ = admin_api.add()["id"]
    assert admin_api.app.ask("Hi").status == 200

    admin_api.call("DELETE", f"/api/admin/accounts/{id_}")

    until(lambda: len(admin_api.upstream.deleted) == 1)
    assert [cookie for cookie, _ in admin_api.upstream.deleted] == [COOKIE]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/check"), ("POST", "/clear-cooldown")],
)
def test_what_is_not_there_is_not_found(admin_api: AdminHarness, method: str, path: str) -> None:
    reply = admin_api.call(
        method, f"/api/admin/accounts/nobody{path}", {} if method == "PUT" else None
    )

    assert (reply.status, reply.error["code"]) == (404, "not_found")


def test_an_account_of_the_environment_is_disabled_and_enabled_but_not_changed(
    at_home: AdminHarness,
) -> None:
    home = at_home.accounts()[0]
    off = at_home.change("home", is_active=False)
    available = at_home.available()
    on = at_home.change("home", is_active=True)
    refused = [
        at_home.change("home", name="other"),
        at_home.change("home", secure_c_ses="CSE.other", is_active=False),
        at_home.call("DELETE", "/api/admin/accounts/home"),
    ]

    assert (home["id"], home["source"], home["created_at"]) == ("home", "env", None)
    assert (off.json()["state"], available, on.json()["state"], at_home.available()) == (
        "disabled",
        [],
        "ready",
        ["home"],
    )
    assert [(reply.status, reply.error["code"]) for reply in refused] == [(409, "conflict")] * 3
    assert at_home.accounts() == [home]


def test_an_account_whose_name_has_a_slash_is_reached(opened: Opened) -> None:
    admin_api = opened(ACCOUNTS=json.dumps([{**ENVIRONMENT, "name": "home/of anna"}]))

    replies = [
        admin_api.change(path, is_active=False) for path in ("home/of%20anna", "home%2Fof%20anna")
    ]

    assert [reply.json()["name"] for reply in replies] == ["home/of anna"] * 2


def test_a_cooldown_is_shown_and_forgotten(admin_api: AdminHarness) -> None:
    id_ = admin_api.add()["id"]
    account = admin_api.services.pool.accounts()[0]
    admin_api.services.pool.failed(
        account, "images", QuotaExhausted("No quota is left.", retry_after=600)
    )

    cooling = admin_api.accounts()[0]
    cleared = admin_api.call("POST", f"/api/admin/accounts/{id_}/clear-cooldown").json()

    assert (cooling["state"], cooling["last_error"]) == ("cooling", "No quota is left.")
    assert cooling["cooling_until"].keys() == {"images"}
    now = time.time()
    ends = min(now + 600, next_midnight(now))
    assert ends - 10 <= cooling["cooling_until"]["images"] <= ends + 1
    assert (cleared["state"], cleared["cooling_until"]) == ("ready", {})


def test_a_models_used_up_quota_is_shown_and_forgotten(admin_api: AdminHarness) -> None:
    id_ = admin_api.add()["id"]
    account = admin_api.services.pool.accounts()[0]
    admin_api.services.pool.failed(account, "text:best", QuotaExhausted("empty", retry_after=600))

    cooling = admin_api.accounts()[0]
    cleared = admin_api.call("POST", f"/api/admin/accounts/{id_}/clear-cooldown").json()

    assert (cooling["state"], cooling["cooling_until"]) == ("ready", {})
    now = time.time()
    ends = min(now + 600, next_midnight(now))
    assert cooling["models_cooling_until"].keys() == {"best"}
    assert ends - 10 <= cooling["models_cooling_until"]["best"] <= ends + 1
    assert cleared["models_cooling_until"] == {}


def test_answers_in_flight_and_the_last_use_are_told(admin_api: AdminHarness) -> None:
    admin_api.add()

    with admin_api.services.pool.lease():
        during = admin_api.accounts()[0]
    after = admin_api.accounts()[0]

    assert (during["in_flight"], after["in_flight"]) == (1, 0)
    assert isinstance(during["last_used_at"], int)


def test_what_the_upstream_said_stands_beside_the_last_error(admin_api: AdminHarness) -> None:
    admin_api.add()
    account = admin_api.services.pool.accounts()[0]
    refusal = CredentialRefused("Renew it.")
    refusal.said = UpstreamWords(
        "getoxsrf", 403, status="PERMISSION_DENIED", message="MARK", body=b"MARK"
    )
    admin_api.services.pool.failed(account, "text", refusal)

    told = admin_api.accounts()[0]
    checks = admin_api.call("GET", "/api/cookies/status")

    words = {"verb": "getoxsrf", "http_status": 403, "status": "PERMISSION_DENIED"}
    assert (told["last_error"], told["last_error_said"]) == ("Renew it.", words)
    assert checks.json()["accounts"][0]["said"] == words
    assert b"MARK" not in checks.body


# Checks


def test_a_check_asks_the_upstream_and_is_remembered(admin_api: AdminHarness) -> None:
    id_ = admin_api.add()["id"]
    before = admin_api.call("GET", "/api/cookies/status").json()["accounts"]

    checked = admin_api.call("POST", f"/api/admin/accounts/{id_}/check").json()

    assert before == [
        {
            "id": id_,
            "name": "anna",
            "status": "unknown",
            "checked_at": None,
            "detail": "",
            "said": None,
        }
    ]
    assert checked | {"checked_at": None} == before[0] | {"status": "valid"}
    assert 0 <= time.time() - checked["checked_at"] < 60
    assert admin_api.call("GET", "/api/cookies/status").json() == {"accounts": [checked]}
    assert admin_api.upstream.probed == ["anna"]


def test_a_refused_credential_is_set_aside_until_a_check_finds_it_good(
    admin_api: AdminHarness,
) -> None:
    id_ = admin_api.add()["id"]
    admin_api.upstream.trouble = CredentialRefused("Renew it.")

    refused = admin_api.call("POST", f"/api/admin/accounts/{id_}/check").json()
    available = admin_api.available()
    admin_api.upstream.trouble = None
    valid = admin_api.call("POST", f"/api/admin/accounts/{id_}/check").json()

    assert (refused["status"], refused["detail"], available) == ("refused", "Renew it.", [])
    assert (valid["status"], valid["detail"], admin_api.available()) == ("valid", "", ["anna"])


def test_an_account_that_is_removed_while_it_is_checked_is_not_found(
    admin_api: AdminHarness,
) -> None:
    id_ = admin_api.add()["id"]
    admin_api.upstream.meanwhile = lambda: admin_api.call("DELETE", f"/api/admin/accounts/{id_}")

    reply = admin_api.call("POST", f"/api/admin/accounts/{id_}/check")

    assert (reply.status, reply.error["code"]) == (404, "not_found")
    assert admin_api.call("GET", "/api/cookies/status").json() == {"accounts": []}


def test_a_check_that_is_refused_as_malformed_does_not_show_the_upstreams_sentence(
    admin_api: AdminHarness,
) -> None:
    id_ = admin_api.add()["id"]
    admin_api.upstream.trouble = RequestRefused("MARK you wrote")
    admin_api.upstream.trouble.said = UpstreamWords("listSessions", 400, status="INVALID_ARGUMENT")

    checked = admin_api.call("POST", f"/api/admin/accounts/{id_}/check").json()

    assert checked["detail"] == "the upstream refused the request as malformed"
    assert checked["said"] == {
        "verb": "listSessions",
        "http_status": 400,
        "status": "INVALID_ARGUMENT",
    }
    assert admin_api.call("GET", "/api/cookies/status").json() == {"accounts": [checked]}


def test_an_upstream_that_cannot_be_asked_says_nothing_of_the_credential(
    admin_api: AdminHarness,
) -> None:
    id_ = admin_api.add()["id"]
    admin_api.upstream.trouble = UpstreamUnreachable("no connection in time")

    checked = admin_api.call("POST", f"/api/admin/accounts/{id_}/check")

    assert (checked.status, checked.json()["status"], checked.json()["detail"]) == (
        200,
        "unknown",
        "no connection in time",
    )
    assert admin_api.available() == ["anna"]


def test_a_look_at_old_cookies_says_nothing_of_new_ones(admin_api: AdminHarness) -> None:
    id_ = admin_api.add()["id"]
    admin_api.call("POST", f"/api/admin/accounts/{id_}/check")

    admin_api.change(id_, secure_c_ses="CSE.new")

    assert admin_api.call("GET", "/api/cookies/status").json()["accounts"][0]["status"] == "unknown"


def test_a_request_that_meets_a_refusal_tells_it(admin_api: AdminHarness) -> None:
    admin_api.add()
    admin_api.services.pool.failed(
        admin_api.services.pool.accounts()[0], "text", CredentialRefused("Renew it.")
    )

    told = admin_api.call("GET", "/api/cookies/status").json()["accounts"][0]

    assert (told["status"], told["detail"]) == ("refused", "Renew it.")


# Several workers, and the end


def test_what_one_worker_is_told_all_do(opened: Opened, stored: dict[str, str]) -> None:
    one, two = opened(**stored), opened(**stored)
    anna = one.add()
    two.services.background.run_once()
    available = [two.available()]
    one.change(anna["id"], is_active=False)
    two.services.background.run_once()
    available.append(two.available())
    one.change(anna["id"], is_active=True)
    one.add(BEN)
    one.call("DELETE", f"/api/admin/accounts/{anna['id']}")
    two.services.background.run_once()
    available.append(two.available())

    assert available == [["anna"], [], ["ben"]]


def test_what_all_workers_know_of_an_account_is_told_as_one(
    opened: Opened, stored: dict[str, str]
) -> None:
    one, two = opened(**stored), opened(**stored)
    one.add()
    two.services.background.run_once()
    pool = two.services.pool
    pool.failed(pool.accounts()[0], "text", QuotaExhausted("No quota is left."))
    with pool.lease("images"), one.services.pool.lease("images"):
        two.services.background.run_once()
        told = one.accounts()[0]

    assert (told["in_flight"], told["last_error"], told["state"]) == (
        2,
        "No quota is left.",
        "cooling",
    )


def test_stored_accounts_and_switches_outlive_a_restart(
    opened: Opened, stored: dict[str, str]
) -> None:
    environment = {"ACCOUNTS": json.dumps([ENVIRONMENT])}
    before = opened(**stored, **environment)
    before.add()
    before.change("home", is_active=False)

    after = opened(**stored, **environment)
    after.services.background.start()

    assert (after.available(), after.accounts()) == (["anna"], before.accounts())


def test_a_running_answer_on_an_account_that_is_removed_ends_normally(
    admin_api: AdminHarness,
) -> None:
    id_ = admin_api.add()["id"]
    with admin_api.services.pool.lease() as account:
        admin_api.call("DELETE", f"/api/admin/accounts/{id_}")
        still = credential_of(account).secure_c_ses

    assert (still, admin_api.accounts(), in_flight(admin_api.services.pool)) == (COOKIE, [], 0)


def test_no_secret_is_answered_logged_counted_or_written(
    opened: Opened, stored: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        admin_api = opened(**stored)
        id_ = admin_api.add()["id"]
        key = admin_api.call("POST", "/api/admin/keys", {"name": "laptop"}).json()["key"]
        question = {"messages": [{"role": "user", "content": "Hi"}]}
        asked = admin_api.call("POST", "/v1/chat/completions", question, key)
        admin_api.upstream.trouble = CredentialRefused("Renew it.")
        replies = [
            asked,
            admin_api.call("GET", "/api/admin/keys"),
            admin_api.call("GET", "/api/admin/accounts"),
            admin_api.change(id_, **ANNA),
            admin_api.change(id_, secure_c_ses=f"{COOKIE};x", host_c_oses=f"{OTHER_COOKIE}\n1"),
            admin_api.call("POST", "/api/admin/accounts", ANNA),
            admin_api.call("POST", "/api/admin/accounts", {**ANNA, "name": None}),
            admin_api.call("POST", f"/api/admin/accounts/{id_}/check"),
            admin_api.call("GET", "/api/cookies/status"),
            admin_api.call("GET", "/metrics"),
        ]
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    shown = (
        b"".join(reply.body for reply in replies)
        + "".join(str(vars(r)) for r in caplog.records).encode()
    )

    assert b"anna" in written
    assert b"account.changed" in shown
    assert asked.succeeded
    assert f'gbproxy_account_in_flight{{account="{id_}"}}'.encode() in shown
    for secret in (COOKIE, OTHER_COOKIE, ADMIN_KEY, key):
        assert secret.encode() not in written + shown


def test_while_the_database_is_away_nothing_is_lost(
    opened: Opened, stored: dict[str, str], tmp_path: Path
) -> None:
    admin_api = opened(**stored)
    admin_api.add()
    for path in tmp_path.glob("gbproxy.db*"):
        path.rename(path.with_name(f"away-{path.name}"))
    (tmp_path / "gbproxy.db").mkdir()
    admin_api.services.storage.database.close()

    reply = admin_api.call("POST", "/api/admin/accounts", BEN)

    assert (reply.status, reply.error["code"]) == (503, "storage_unavailable")
    assert reply.headers["Retry-After"]
    assert admin_api.available() == ["anna"]
