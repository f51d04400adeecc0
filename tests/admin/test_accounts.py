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
from gbproxy.errors import (
    CredentialRefused,
    QuotaExhausted,
    RequestRefused,
    UpstreamUnreachable,
    UpstreamWords,
)
from gbproxy.upstreams.widget.credential import credential_of
from tests.admin.conftest import (
    ADMIN_KEY,
    ANNA,
    BEN,
    COOKIE,
    ENVIRONMENT,
    OTHER_COOKIE,
    Office,
    Opened,
)
from tests.support.pools import in_flight, until

FIELDS = {
    "id", "name", "csesidx", "config_id", "is_active", "source", "created_at", "state", "cooling_until", "in_flight",
    "last_used_at", "last_error", "last_error_said", "edition", "location", "user_agent",
}  # fmt: skip
OTHER_ID = "c0000000-0000-4000-8000-000000000009"


def test_a_gateway_without_an_account_answers_once_one_is_added(office: Office) -> None:
    before = office.app.ask("Hi")
    office.add()
    after = office.app.ask("Hi")

    assert (before.status, before.error["code"]) == (503, "no_account_available")
    assert (after.status, after.text) == (200, "Hello")


def test_an_added_account_is_shown_without_its_secrets(office: Office) -> None:
    began = int(time.time())

    reply = office.call("POST", "/api/admin/accounts", ANNA)

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
    assert office.accounts() == [added]
    assert office.call("GET", f"/api/admin/accounts/{added['id']}").json() == added


def test_an_account_may_be_added_disabled(office: Office) -> None:
    added = office.add({**ANNA, "is_active": False})

    assert (added["is_active"], added["state"], office.lent()) == (False, "disabled", [])


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
    office: Office, wrong: dict[str, object], param: str, told: list[str]
) -> None:
    reply = office.call("POST", "/api/admin/accounts", {**ANNA, **wrong})

    assert (reply.status, reply.error["code"], reply.error["param"]) == (
        400,
        "invalid_request_error",
        param,
    )
    assert [part for part in told if part not in reply.error["message"]] == []
    assert COOKIE not in reply.body.decode()
    assert office.accounts() == []


def test_both_spellings_and_pasted_values_are_taken(office: Office) -> None:
    given = {
        "name": " anna ",
        "secure_c_ses": f'__Secure-C_SES="{COOKIE}";',
        "csesidx": 123,
        "team_id": ANNA["config_id"],
        "more": 1,
    }

    added = office.add(given)

    assert (added["name"], added["csesidx"], added["config_id"]) == (
        "anna",
        "123",
        ANNA["config_id"],
    )
    assert credential_of(office.services.pool.accounts()[0]).secure_c_ses == COOKIE


FURTHER = {
    "edition": "Enterprise",
    "location": "EU",
    "cookies": f"Cookie: __Secure-C_SES={COOKIE}; __Secure-C_AUX=aux-secret; NID=5=a",
    "server_token": "x-server-token: CAMSsecret==",
    "user_agent": "User-Agent: Mozilla/5.0 (X)",
}


def test_what_an_account_s_browser_sends_is_kept_and_the_secret_part_never_shown(
    office: Office,
) -> None:
    added = office.call("POST", "/api/admin/accounts", {**ANNA, **FURTHER})

    shown = added.json()
    [account] = office.services.pool.accounts()
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


def test_a_change_keeps_what_it_does_not_name_and_takes_away_what_is_empty(office: Office) -> None:
    added = office.add({**ANNA, **FURTHER})
    path = f"/api/admin/accounts/{added['id']}"

    office.call("PUT", path, {"name": "anna 2", "server_token": ""})
    office.call("PUT", path, {**office.call("GET", path).json(), "cookies": None})

    [account] = office.services.pool.accounts()
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
    office: Office, given: dict[str, str], expected: tuple[str, str, str], method: str
) -> None:
    page = f"https://vertexaisearch.cloud.google/us/home/cid/{OTHER_ID}?csesidx=77"
    path = f"/api/admin/accounts/{office.add()['id']}" if method == "PUT" else "/api/admin/accounts"
    body = {"config_id": page, **given}
    if method == "POST":
        body |= {"name": "anna", "secure_c_ses": COOKIE}

    changed = office.call(method, path, body).json()

    assert (changed["edition"], changed["location"], changed["csesidx"]) == expected
    assert changed["config_id"] == OTHER_ID


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"text"', b"\xff"])
def test_what_is_no_object_is_refused(office: Office, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"}

    assert (
        office.app.request("POST", "/api/admin/accounts", body, headers).error["code"]
        == "invalid_request_error"
    )


def test_a_name_and_an_account_are_there_once(at_home: Office) -> None:
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


def test_what_is_not_sent_is_kept(office: Office) -> None:
    id_ = office.add()["id"]

    reply = office.change(id_, name="anna 2", csesidx="124")
    then = office.change(id_, is_active=False)

    account = office.services.pool.account(id_)
    assert (reply.status, reply.json()["name"], reply.json()["is_active"]) == (200, "anna 2", True)
    assert (then.json()["name"], then.json()["state"]) == ("anna 2", "disabled")
    assert account is not None
    known = credential_of(account)
    assert (known.csesidx, known.config_id) == ("124", ANNA["config_id"])
    assert (known.secure_c_ses, known.host_c_oses) == (COOKIE, OTHER_COOKIE)


def test_what_was_read_may_be_sent_back(at_home: Office) -> None:
    at_home.add()

    for account in at_home.accounts():
        assert at_home.change(account["id"], **account).json() == account


def test_cookies_are_replaced_and_an_empty_other_cookie_is_taken_away(office: Office) -> None:
    id_ = office.add()["id"]

    assert (
        office.change(id_, secure_c_ses="CSE.new", host_c_oses="", team_id=OTHER_ID).status == 200
    )

    account = office.services.pool.account(id_)
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
    office: Office, field: str, value: str
) -> None:
    id_ = office.add()["id"]
    name = "config_id" if field == "team_id" else field
    before = office.accounts()

    added = office.call(
        "POST", "/api/admin/accounts", {**{n: v for n, v in BEN.items() if n != name}, field: value}
    )
    changed = office.change(id_, **{field: value})

    assert [(reply.status, reply.error["param"]) for reply in (added, changed)] == [(400, name)] * 2
    assert value not in added.error["message"]
    assert office.accounts() == before


def test_the_page_s_address_is_taken_for_its_ids(office: Office) -> None:
    page = f"https://business.gemini.google/home/cid/{OTHER_ID}?csesidx=77&mods"
    id_ = office.add()["id"]

    changed = office.change(
        id_, config_id=page, csesidx=page, secure_c_ses="__Secure-C_SES: CSE.new"
    )

    assert (changed.json()["config_id"], changed.json()["csesidx"]) == (OTHER_ID, "77")
    account = office.services.pool.account(id_)
    assert account is not None
    known = credential_of(account)
    assert known.secure_c_ses == "CSE.new"


def test_a_change_that_is_wrong_changes_nothing(office: Office) -> None:
    id_ = office.add()["id"]

    reply = office.change(id_, name="other", csesidx="x", config_id=" ")

    assert (reply.status, reply.error["param"]) == (400, "csesidx")
    assert office.names() == ["anna"]


def test_new_cookies_forget_that_the_old_ones_were_refused(office: Office) -> None:
    id_ = office.add()["id"]
    office.upstream.trouble = CredentialRefused("Renew it.")
    office.call("POST", f"/api/admin/accounts/{id_}/check")
    before = office.accounts()[0]

    after = office.change(id_, secure_c_ses="CSE.new").json()

    assert (before["state"], before["last_error"], after["state"]) == (
        "refused",
        "Renew it.",
        "ready",
    )
    assert office.lent() == ["anna"]


def test_an_account_is_removed(office: Office) -> None:
    id_ = office.add()["id"]

    reply = office.call("DELETE", f"/api/admin/accounts/{id_}")

    assert (reply.status, reply.body, office.accounts(), office.lent()) == (204, b"", [], [])
    assert office.call("GET", f"/api/admin/accounts/{id_}").error["code"] == "not_found"


def test_the_sessions_of_a_removed_account_are_deleted_upstream(office: Office) -> None:
    id_ = office.add()["id"]
    assert office.app.ask("Hi").status == 200

    office.call("DELETE", f"/api/admin/accounts/{id_}")

    until(lambda: len(office.upstream.deleted) == 1)
    assert [cookie for cookie, _ in office.upstream.deleted] == [COOKIE]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/check"), ("POST", "/clear-cooldown")],
)
def test_what_is_not_there_is_not_found(office: Office, method: str, path: str) -> None:
    reply = office.call(
        method, f"/api/admin/accounts/nobody{path}", {} if method == "PUT" else None
    )

    assert (reply.status, reply.error["code"]) == (404, "not_found")


def test_an_account_of_the_environment_is_disabled_and_enabled_but_not_changed(
    at_home: Office,
) -> None:
    home = at_home.accounts()[0]
    off = at_home.change("home", is_active=False)
    lent = at_home.lent()
    on = at_home.change("home", is_active=True)
    refused = [
        at_home.change("home", name="other"),
        at_home.change("home", secure_c_ses="CSE.other", is_active=False),
        at_home.call("DELETE", "/api/admin/accounts/home"),
    ]

    assert (home["id"], home["source"], home["created_at"]) == ("home", "env", None)
    assert (off.json()["state"], lent, on.json()["state"], at_home.lent()) == (
        "disabled",
        [],
        "ready",
        ["home"],
    )
    assert [(reply.status, reply.error["code"]) for reply in refused] == [(409, "conflict")] * 3
    assert at_home.accounts() == [home]


def test_an_account_whose_name_has_a_slash_is_reached(opened: Opened) -> None:
    office = opened(ACCOUNTS=json.dumps([{**ENVIRONMENT, "name": "home/of anna"}]))

    replies = [
        office.change(path, is_active=False) for path in ("home/of%20anna", "home%2Fof%20anna")
    ]

    assert [reply.json()["name"] for reply in replies] == ["home/of anna"] * 2


def test_a_cooldown_is_shown_and_forgotten(office: Office) -> None:
    id_ = office.add()["id"]
    account = office.services.pool.accounts()[0]
    office.services.pool.failed(
        account, "images", QuotaExhausted("No quota is left.", retry_after=600)
    )

    cooling = office.accounts()[0]
    cleared = office.call("POST", f"/api/admin/accounts/{id_}/clear-cooldown").json()

    assert (cooling["state"], cooling["last_error"]) == ("cooling", "No quota is left.")
    assert cooling["cooling_until"].keys() == {"images"}
    now = time.time()
    ends = min(now + 600, next_midnight(now))
    assert ends - 10 <= cooling["cooling_until"]["images"] <= ends + 1
    assert (cleared["state"], cleared["cooling_until"]) == ("ready", {})


def test_answers_in_flight_and_the_last_use_are_told(office: Office) -> None:
    office.add()

    with office.services.pool.lease():
        during = office.accounts()[0]
    after = office.accounts()[0]

    assert (during["in_flight"], after["in_flight"]) == (1, 0)
    assert isinstance(during["last_used_at"], int)


def test_what_the_upstream_said_stands_beside_the_last_error(office: Office) -> None:
    office.add()
    account = office.services.pool.accounts()[0]
    refusal = CredentialRefused("Renew it.")
    refusal.said = UpstreamWords(
        "getoxsrf", 403, status="PERMISSION_DENIED", message="MARK", body=b"MARK"
    )
    office.services.pool.failed(account, "text", refusal)

    told = office.accounts()[0]
    checks = office.call("GET", "/api/cookies/status")

    words = {"verb": "getoxsrf", "http_status": 403, "status": "PERMISSION_DENIED"}
    assert (told["last_error"], told["last_error_said"]) == ("Renew it.", words)
    assert checks.json()["accounts"][0]["said"] == words
    assert b"MARK" not in checks.body


# Checks


def test_a_check_asks_the_upstream_and_is_remembered(office: Office) -> None:
    id_ = office.add()["id"]
    before = office.call("GET", "/api/cookies/status").json()["accounts"]

    checked = office.call("POST", f"/api/admin/accounts/{id_}/check").json()

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
    assert office.call("GET", "/api/cookies/status").json() == {"accounts": [checked]}
    assert office.upstream.probed == ["anna"]


def test_a_refused_credential_is_set_aside_until_a_check_finds_it_good(office: Office) -> None:
    id_ = office.add()["id"]
    office.upstream.trouble = CredentialRefused("Renew it.")

    refused = office.call("POST", f"/api/admin/accounts/{id_}/check").json()
    lent = office.lent()
    office.upstream.trouble = None
    valid = office.call("POST", f"/api/admin/accounts/{id_}/check").json()

    assert (refused["status"], refused["detail"], lent) == ("refused", "Renew it.", [])
    assert (valid["status"], valid["detail"], office.lent()) == ("valid", "", ["anna"])


def test_an_account_that_is_removed_while_it_is_checked_is_not_found(office: Office) -> None:
    id_ = office.add()["id"]
    office.upstream.meanwhile = lambda: office.call("DELETE", f"/api/admin/accounts/{id_}")

    reply = office.call("POST", f"/api/admin/accounts/{id_}/check")

    assert (reply.status, reply.error["code"]) == (404, "not_found")
    assert office.call("GET", "/api/cookies/status").json() == {"accounts": []}


def test_a_check_that_is_refused_as_malformed_does_not_show_the_upstreams_sentence(
    office: Office,
) -> None:
    id_ = office.add()["id"]
    office.upstream.trouble = RequestRefused("MARK you wrote")
    office.upstream.trouble.said = UpstreamWords("listSessions", 400, status="INVALID_ARGUMENT")

    checked = office.call("POST", f"/api/admin/accounts/{id_}/check").json()

    assert checked["detail"] == "the upstream refused the request as malformed"
    assert checked["said"] == {
        "verb": "listSessions",
        "http_status": 400,
        "status": "INVALID_ARGUMENT",
    }
    assert office.call("GET", "/api/cookies/status").json() == {"accounts": [checked]}


def test_an_upstream_that_cannot_be_asked_says_nothing_of_the_credential(office: Office) -> None:
    id_ = office.add()["id"]
    office.upstream.trouble = UpstreamUnreachable("no connection in time")

    checked = office.call("POST", f"/api/admin/accounts/{id_}/check")

    assert (checked.status, checked.json()["status"], checked.json()["detail"]) == (
        200,
        "unknown",
        "no connection in time",
    )
    assert office.lent() == ["anna"]


def test_a_look_at_old_cookies_says_nothing_of_new_ones(office: Office) -> None:
    id_ = office.add()["id"]
    office.call("POST", f"/api/admin/accounts/{id_}/check")

    office.change(id_, secure_c_ses="CSE.new")

    assert office.call("GET", "/api/cookies/status").json()["accounts"][0]["status"] == "unknown"


def test_a_request_that_meets_a_refusal_tells_it(office: Office) -> None:
    office.add()
    office.services.pool.failed(
        office.services.pool.accounts()[0], "text", CredentialRefused("Renew it.")
    )

    told = office.call("GET", "/api/cookies/status").json()["accounts"][0]

    assert (told["status"], told["detail"]) == ("refused", "Renew it.")


# Several workers, and the end


def test_what_one_worker_is_told_all_do(opened: Opened, stored: dict[str, str]) -> None:
    one, two = opened(**stored), opened(**stored)
    anna = one.add()
    two.services.background.run_once()
    lent = [two.lent()]
    one.change(anna["id"], is_active=False)
    two.services.background.run_once()
    lent.append(two.lent())
    one.change(anna["id"], is_active=True)
    one.add(BEN)
    one.call("DELETE", f"/api/admin/accounts/{anna['id']}")
    two.services.background.run_once()
    lent.append(two.lent())

    assert lent == [["anna"], [], ["ben"]]


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

    assert (after.lent(), after.accounts()) == (["anna"], before.accounts())


def test_a_running_answer_on_an_account_that_is_removed_ends_normally(office: Office) -> None:
    id_ = office.add()["id"]
    with office.services.pool.lease() as account:
        office.call("DELETE", f"/api/admin/accounts/{id_}")
        still = credential_of(account).secure_c_ses

    assert (still, office.accounts(), in_flight(office.services.pool)) == (COOKIE, [], 0)


def test_no_secret_is_answered_logged_counted_or_written(
    opened: Opened, stored: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        office = opened(**stored)
        id_ = office.add()["id"]
        key = office.call("POST", "/api/admin/keys", {"name": "laptop"}).json()["key"]
        question = {"messages": [{"role": "user", "content": "Hi"}]}
        asked = office.call("POST", "/v1/chat/completions", question, key)
        office.upstream.trouble = CredentialRefused("Renew it.")
        replies = [
            asked,
            office.call("GET", "/api/admin/keys"),
            office.call("GET", "/api/admin/accounts"),
            office.change(id_, **ANNA),
            office.change(id_, secure_c_ses=f"{COOKIE};x", host_c_oses=f"{OTHER_COOKIE}\n1"),
            office.call("POST", "/api/admin/accounts", ANNA),
            office.call("POST", "/api/admin/accounts", {**ANNA, "name": None}),
            office.call("POST", f"/api/admin/accounts/{id_}/check"),
            office.call("GET", "/api/cookies/status"),
            office.call("GET", "/metrics"),
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
    office = opened(**stored)
    office.add()
    for path in tmp_path.glob("gbproxy.db*"):
        path.rename(path.with_name(f"away-{path.name}"))
    (tmp_path / "gbproxy.db").mkdir()
    office.services.storage.database.close()

    reply = office.call("POST", "/api/admin/accounts", BEN)

    assert (reply.status, reply.error["code"]) == (503, "storage_unavailable")
    assert reply.headers["Retry-After"]
    assert office.lent() == ["anna"]
