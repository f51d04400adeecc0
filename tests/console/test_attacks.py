"""What an attacker tries at the console: cookies that are not ours or not any more, forms of other
pages, foreign hosts, and script in what is stored. On every route that there is.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from gbproxy.console.seal import Seal
from gbproxy.console.sessions import IDLE_S, ConsoleSessions
from gbproxy.errors import CredentialRefused, QuotaExhausted, UpstreamBroken
from gbproxy.storage.alerts import AlertKey
from tests.admin.conftest import ADMIN_KEY, ANNA, SECRET_KEY
from tests.console.conftest import Browser, Opened, words

COOKIE, NOTICE = "gbproxy_console", "gbproxy_notice"
OPEN = {"console.sign_in", "console.try_sign_in", "console.asset", "console.preferences"}
SCRIPT = "<script>alert(1)</script>"
ATTRIBUTE = "\"' onmouseover=alert(1) x='"


def paths(browser: Browser, method: str) -> Iterator[str]:
    """Of every route of the console that wants a session, with something in the place of ids."""
    for rule in browser.app.app.url_map.iter_rules():
        is_guarded = rule.endpoint.startswith("console.") and rule.endpoint not in OPEN
        if is_guarded and method in (rule.methods or ()):
            yield re.sub(r"<[^>]+>", "1", rule.rule)


def signed_in_with(browser: Browser, cookie: str) -> bool:
    other = browser.other()
    other.client.set_cookie(COOKIE, cookie)
    return other.get("/admin/keys").status_code == 200


@pytest.fixture
def sessions(opened: Opened, stored: dict[str, str]) -> tuple[Browser, ConsoleSessions]:
    """A gateway, and its sessions as they were more than twelve hours ago."""
    browser = opened(**stored)
    long_ago = time.time() - IDLE_S - 1
    changes = browser.services.storage.accounts.changes
    return browser, ConsoleSessions(Seal([SECRET_KEY], ADMIN_KEY), changes, lambda: long_ago)


# Cookies


def test_every_page_and_every_form_wants_a_session(visitor: Browser) -> None:
    for path in paths(visitor, "GET"):
        assert visitor.get(path).headers["Location"].startswith("/admin/sign-in"), path
    for path in paths(visitor, "POST"):
        answer = visitor.client.post(path, data={"csrf_token": ""})
        assert answer.headers["Location"].startswith("/admin/sign-in"), path


def test_a_cookie_that_was_idle_for_too_long_opens_nothing(
    sessions: tuple[Browser, ConsoleSessions],
) -> None:
    browser, long_ago = sessions
    session = long_ago.start()

    assert not signed_in_with(browser, long_ago.cookie(session))
    fresh = long_ago.cookie(type(session)(session.csrf_token, session.version, time.time()))
    assert signed_in_with(browser, fresh)  # it was the age alone


def test_a_cookie_of_another_secret_key_opens_nothing(
    sessions: tuple[Browser, ConsoleSessions],
) -> None:
    browser, _ = sessions
    changes = browser.services.storage.accounts.changes
    forged = ConsoleSessions(Seal(["a-key-that-was-guessed"], ADMIN_KEY), changes)

    assert not signed_in_with(browser, forged.cookie(forged.start()))


def test_no_byte_of_a_cookie_can_be_changed(browser: Browser) -> None:
    cookie = browser.client.get_cookie(COOKIE)
    assert cookie is not None
    value = cookie.value

    for at in range(0, len(value) - 2, 7):  # the last characters are padding
        changed = value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]
        assert not signed_in_with(browser, changed), at


def test_what_was_sealed_for_another_use_is_no_session(browser: Browser) -> None:
    browser.services.registry.add(ANNA)
    browser.client.post("/admin/keys", data={"name": "a", "csrf_token": browser.token()})
    notice = browser.client.get_cookie(NOTICE)
    page = browser.post("/admin/accounts/new", {"text": "__Secure-C_SES=CSE.x", "draft": ""})
    draft = re.search(r'name="draft" value="([^"]+)"', page.text)

    assert notice is not None
    assert draft is not None
    assert not signed_in_with(browser, notice.value)
    assert not signed_in_with(browser, draft[1])


def test_an_altered_notice_is_not_shown(browser: Browser) -> None:
    browser.client.set_cookie(NOTICE, SCRIPT)

    assert "alert(1)" not in browser.get("/admin/keys").text


# Framing, and code from elsewhere


def test_no_page_can_be_framed_or_runs_code_that_is_not_a_file_of_ours(browser: Browser) -> None:
    for path in ["/admin/sign-in", *paths(browser, "GET")]:
        page = browser.get(path)
        policy = page.headers["Content-Security-Policy"]
        assert page.headers["X-Frame-Options"] == "DENY", path
        assert page.headers["X-Content-Type-Options"] == "nosniff", path
        assert "frame-ancestors 'none'" in policy, path
        assert "unsafe" not in policy, path
        assert not re.search(r"<script(?! src=\"/admin/static/)|<style|\s(style|on\w+)=", page.text)


# Forms


def test_every_form_wants_the_sessions_own_token(browser: Browser) -> None:
    stranger = browser.other()
    stranger.sign_in()
    others = stranger.token()

    for path in paths(browser, "POST"):
        for token in ({"other": "x"}, {"csrf_token": "wrong"}, {"csrf_token": others}):
            assert browser.client.post(path, data=token).status_code == 400, (path, token)
        sent = browser.client.post(
            path, data={"csrf_token": browser.token()}, headers={"Sec-Fetch-Site": "cross-site"}
        )
        assert sent.status_code == 400, path
    assert browser.get("/admin/keys").status_code == 200


def test_a_token_in_the_address_does_not_count(browser: Browser) -> None:
    answer = browser.client.post(f"/admin/sign-out?csrf_token={browser.token()}", data={"a": "b"})

    assert answer.status_code == 400


def test_a_form_as_json_or_plain_text_does_nothing(browser: Browser) -> None:
    token = browser.token()

    for kind in ("application/json", "text/plain", "multipart/form-data"):
        answer = browser.client.post(
            "/admin/sign-out", data=f"csrf_token={token}", content_type=kind
        )
        assert answer.status_code == 415


def test_nothing_is_changed_by_get(browser: Browser) -> None:
    for path in ("/admin/sign-out", "/admin/preferences", "/admin/accounts/import"):
        assert browser.get(path).status_code in (404, 405)
    assert browser.get("/admin/keys").status_code == 200


# Hosts and goals


@pytest.mark.parametrize(
    "goal",
    [
        "javascript:alert(1)",
        "/admin/../v1/models",
        "/admin/%2e%2e/v1/models",
        "/admin/..//evil.example",
        "/admin\t/x",
        "/admin/\r\nSet-Cookie: a=b",
        " //evil.example",
        "//evil.example/admin/",
        "/admin.evil.example",
        "http:/admin",
    ],
)
def test_sign_in_leads_to_the_console_alone(visitor: Browser, goal: str) -> None:
    answer = visitor.sign_in(next=goal)

    assert answer.headers["Location"] == "/admin"
    assert visitor.other().get("/admin/sign-in").status_code == 200
    page = visitor.other().client.get("/admin/sign-in", query_string={"next": goal}).text
    assert 'name="next" value="/admin"' in page


@pytest.mark.parametrize("header", ["Host", "X_Forwarded_Host", "Forwarded"])
def test_a_foreign_host_leads_nobody_away(visitor: Browser, header: str) -> None:
    value = "host=evil.example" if header == "Forwarded" else "evil.example"

    led = visitor.get("/admin/keys", **{header: value})
    signed_in = visitor.client.post(
        "/admin/sign-in",
        data={"admin_key": ADMIN_KEY},
        headers={header.replace("_", "-"): value},
    )

    assert led.headers["Location"] == "/admin/sign-in?next=/admin/keys"
    assert signed_in.headers["Location"] == "/admin"
    assert "Domain" not in signed_in.headers["Set-Cookie"]
    assert "evil" not in str(signed_in.headers)


def test_a_host_with_markup_stays_text(browser: Browser) -> None:
    page = browser.client.get("/admin/accounts/added", headers={"Host": f"x{SCRIPT}"})

    assert SCRIPT not in page.text


# Script in what is stored


@pytest.mark.parametrize("hostile", [SCRIPT, ATTRIBUTE])
def test_markup_in_anything_stored_stays_text(browser: Browser, hostile: str) -> None:
    registry, keys = browser.services.registry, browser.services.api_keys
    account = registry.add({**ANNA, "name": hostile, "user_agent": hostile})
    key, _ = keys.create({"name": hostile, "models": ["gemini-auto"]})
    pooled = browser.services.pool.account(account.id)
    assert pooled is not None
    for scope in ("text", f"text:{hostile}"):
        browser.services.pool.failed(pooled, scope, QuotaExhausted(hostile, retry_after=600.0))
    used_up = AlertKey("quota_used_up", pooled.account_key, f"text:{hostile}")
    assert browser.services.storage.alerts.open(used_up, 0.0)
    pages = [path for path in paths(browser, "GET") if "/1" not in path]
    pages += [
        f"/admin/accounts/added?id={account.id}",
        f"/admin/accounts/{account.id}/edit",
        f"/admin/accounts/{account.id}/delete",
        f"/admin/keys/{key.id}/edit",
        f"/admin/keys/{key.id}/revoke",
        f"/admin/{hostile}",
    ]

    for trouble in (CredentialRefused(hostile), UpstreamBroken(hostile)):
        browser.upstream.trouble = trouble
        browser.post(f"/admin/accounts/{account.id}/do", {"action": "check"})
        for path in pages:
            text = browser.get(path).text
            assert SCRIPT not in text, path
            assert "' onmouseover" not in text, path
    shown = browser.get("/admin/keys").text + browser.get("/admin/accounts").text
    assert shown.count("alert(1)") >= 3
    edited = browser.get(f"/admin/accounts/{account.id}/edit").text
    assert edited.count("alert(1)") >= 6  # title, heading, and two values, each twice
    assert browser.get(f"/admin/keys/{key.id}/edit").text.count("alert(1)") >= 4
    assert browser.get("/admin/alerts").text.count("alert(1)") >= 2


@pytest.mark.parametrize("hostile", [SCRIPT, ATTRIBUTE])
def test_markup_in_what_is_sent_comes_back_as_text(browser: Browser, hostile: str) -> None:
    wrong = browser.post("/admin/keys", {"name": hostile, "models": hostile, "rate_limit": hostile})
    pasted = browser.post(
        "/admin/accounts/new",
        {"text": f'[{{"name": "{SCRIPT}", "csesidx": "{SCRIPT}"}}]', "draft": ""},
    )
    sign_in = browser.other().client.get(
        "/admin/sign-in", query_string={"next": f"/admin/{hostile}"}
    )

    assert "alert(1)" in wrong.text
    for page in (wrong, pasted, sign_in):
        assert SCRIPT not in page.text
        assert "' onmouseover" not in page.text
    assert words(pasted)
