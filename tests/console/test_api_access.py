"""The console's session in place of a key, at the APIs that its pages use."""

from __future__ import annotations

import json
import logging

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from gbproxy.console.api_access import ApiAccess
from gbproxy.console.seal import Seal
from gbproxy.console.sessions import IDLE_S, ConsoleSessions
from gbproxy.errors import Unauthenticated
from gbproxy.storage.prepare import private_database
from gbproxy.storage.workers import ChangeCounter
from tests.admin.conftest import ANNA
from tests.console.conftest import Browser, Opened
from tests.support.clock import Clock
from tests.support.serving import KEY

COOKIE = "gbproxy_console"
CHAT = "/v1/chat/completions"
QUESTION = json.dumps({"messages": [{"role": "user", "content": "Hello"}]})


@pytest.fixture
def asker(browser: Browser) -> Browser:
    """Signed in, at a gateway with an account."""
    browser.services.registry.add(ANNA)
    return browser


def ask(browser: Browser, token: str | None, **headers: str) -> TestResponse:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        given["X-CSRF-Token"] = token
    return browser.client.post(CHAT, data=QUESTION, content_type="application/json", headers=given)


def test_a_page_of_the_console_asks_and_lists_models_without_a_key(asker: Browser) -> None:
    token = asker.token()

    answer = ask(asker, token)
    models = asker.get("/v1/models", X_CSRF_Token=token)

    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    assert answer.json["choices"][0]["message"]["content"] == "Hello"
    assert models.status_code == 200
    assert models.json is not None
    assert "gemini-auto" in {model["id"] for model in models.json["data"]}


def test_the_log_names_the_console(asker: Browser, caplog: pytest.LogCaptureFixture) -> None:
    token = asker.token()

    with caplog.at_level(logging.INFO, "gbproxy"):
        ask(asker, token).close()
        asker.get("/api/admin/accounts", X_CSRF_Token=token).close()

    done = [vars(line) for line in caplog.records if line.message == "request.done"]
    assert [(line["route"], line["key"]) for line in done] == [
        (CHAT, "console"),
        ("/api/admin/accounts", "console"),
    ]


def test_limits_count_the_console_as_a_client_of_its_own(opened: Opened) -> None:
    browser = opened(RATE_LIMIT="2/hour")
    browser.services.registry.add(ANNA)
    browser.sign_in()
    token, other = browser.token(), browser.other()
    other.sign_in()

    statuses = [ask(browser, token).status_code, ask(other, other.token()).status_code]
    limited = ask(browser, token)

    assert statuses == [200, 200]
    assert limited.status_code == 429
    assert limited.headers["x-ratelimit-remaining-requests"] == "0"
    assert ask(browser, None, Authorization=f"Bearer {KEY}").status_code == 200


def test_the_cookie_alone_opens_nothing(asker: Browser) -> None:
    assert ask(asker, None).status_code == 401
    assert asker.get("/v1/models").status_code == 401
    assert asker.get("/api/admin/accounts").status_code == 401


def test_a_token_that_is_wrong_or_another_sessions_opens_nothing(asker: Browser) -> None:
    stranger = asker.other()
    token_alone = ask(stranger, asker.token())
    stranger.sign_in()

    assert token_alone.status_code == 401
    for token in ("x", "ä", stranger.token()):
        assert ask(asker, token).status_code == 401
        assert asker.get("/api/admin/accounts", X_CSRF_Token=token).status_code == 401


def test_another_origins_page_opens_nothing(asker: Browser) -> None:
    token = asker.token()

    for header in (
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:8081"},
        {"Origin": "null"},
        {"Origin": "http://["},
    ):
        assert ask(asker, token, **header).status_code == 401, header
        listed = asker.get("/api/admin/accounts", X_CSRF_Token=token, **header)
        assert listed.status_code == 401, header


def test_its_own_origins_page_asks(asker: Browser) -> None:
    for header in (
        {"Sec_Fetch_Site": "same-origin", "Origin": "https://console.example"},
        {"Origin": "http://localhost"},
        {"Origin": "https://localhost"},
    ):
        assert ask(asker, asker.token(), **header).status_code == 200, header


def test_other_paths_of_clients_want_a_key(asker: Browser) -> None:
    headers = {"X-CSRF-Token": asker.token()}

    for method, path in (
        ("GET", "/v1/models/gemini-auto"),
        ("GET", "/v1/files"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/messages"),
        ("POST", "/v1/images/generations"),
        ("POST", "/v1beta/models/gemini-auto:generateContent"),
        ("POST", "/gemini/chat"),
    ):
        answer = asker.client.open(
            path, method=method, data=b"{}", content_type="application/json", headers=headers
        )
        assert answer.status_code == 401, path


def test_a_key_counts_before_the_cookie(asker: Browser) -> None:
    assert ask(asker, asker.token(), Authorization="Bearer sk-wrong").status_code == 401
    assert ask(asker, "wrong", Authorization=f"Bearer {KEY}").status_code == 200


def test_the_admin_api_is_open_to_the_consoles_pages(asker: Browser) -> None:
    token = asker.token()

    listed = asker.get("/api/admin/accounts", X_CSRF_Token=token)
    made = asker.client.post("/api/admin/keys", json={"name": "a"}, headers={"X-CSRF-Token": token})

    assert listed.json is not None
    assert [account["name"] for account in listed.json["accounts"]] == ["anna"]
    assert made.status_code == 201
    assert asker.get("/metrics", X_CSRF_Token=token).status_code in (401, 404)


def test_sign_out_ends_it_at_once_in_all_workers(opened: Opened, stored: dict[str, str]) -> None:
    one, two = opened(**stored), opened(**stored)
    one.services.registry.add(ANNA)
    one.sign_in()
    token, cookie = one.token(), one.client.get_cookie(COOKIE)
    assert cookie is not None
    two.client.set_cookie(COOKIE, cookie.value)
    assert two.get("/v1/models", X_CSRF_Token=token).status_code == 200

    one.post("/admin/sign-out")
    one.client.set_cookie(COOKIE, cookie.value)

    for browser in (one, two):
        assert browser.get("/v1/models", X_CSRF_Token=token).status_code == 401
        assert browser.get("/api/admin/accounts", X_CSRF_Token=token).status_code == 401


def test_a_question_is_a_deed_of_the_sessions_user(clock: Clock) -> None:
    database = private_database()
    sessions = ConsoleSessions(Seal(["secret"], "admin"), ChangeCounter(database), clock)
    access, app, session = ApiAccess(sessions), Flask(__name__), sessions.start()
    app.add_url_rule(CHAT, view_func=lambda: str(access.admits()))
    browser, headers = app.test_client(), {"X-CSRF-Token": session.csrf_token}
    browser.set_cookie(COOKIE, sessions.cookie(session))

    for _ in range(3):
        clock.now += IDLE_S - 1
        assert browser.get(CHAT, headers=headers).text == "True"
    kept = browser.get_cookie(COOKIE)
    clock.now += IDLE_S

    assert kept is not None
    assert (kept.http_only, kept.same_site) == (True, "Strict")
    with (
        app.test_request_context(CHAT, headers={**headers, "Cookie": f"{COOKIE}={kept.value}"}),
        pytest.raises(Unauthenticated),
    ):
        access.admits()
    database.close()
