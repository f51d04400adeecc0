"""Keys of clients in the console: created, shown once, used, revoked."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from gbproxy.domain.networks import parse_network
from gbproxy.domain.principal import CONSOLE
from tests.admin.conftest import ANNA
from tests.console.conftest import Browser, inputs, words


def shown_key(page: str) -> str | None:
    found = re.search(r'id="new-key">([^<]+)<', page)
    return found[1] if found else None


def test_a_key_is_shown_once_and_opens_the_gateway(browser: Browser) -> None:
    browser.services.registry.add(ANNA)
    form = {
        "name": "laptop",
        "models": "gemini-auto",
        "rate_limit": "60/hour",
        "expires_on": "2099-12-31",
        "allowed_addresses": "10.1.0.0/16, 2001:db8::/32",
    }

    made = browser.client.post("/admin/keys", data={**form, "csrf_token": browser.token()})
    first, second = browser.get("/admin/keys"), browser.get("/admin/keys")

    assert (made.status_code, made.headers["Location"]) == (303, "/admin/keys")
    key = shown_key(first.text)
    assert key is not None
    assert key not in made.headers["Set-Cookie"]
    assert shown_key(second.text) is None
    assert "laptop" in words(second)
    assert "Requests: 60/hour" in words(second)
    assert "Only from: 10.1.0.0/16, 2001:db8::/32" in words(second)
    assert "2099-12-31 23:59 UTC" in words(second)
    assert browser.get("/v1/models", Authorization=f"Bearer {key}").status_code == 200


def test_a_new_key_is_shown_by_whichever_page_comes_first(browser: Browser) -> None:
    browser.post("/admin/keys", {"name": "laptop"})

    other, keys = browser.get("/admin/connect"), browser.get("/admin/keys")

    assert "laptop is created. Copy the key now" in words(other)
    assert (shown_key(other.text) or "").startswith("sk-gbproxy-")
    assert shown_key(keys.text) is None


def test_a_new_key_is_not_shown_to_who_is_signed_out(browser: Browser) -> None:
    browser.post("/admin/keys", {"name": "laptop"})
    session = browser.client.get_cookie("gbproxy_console")
    assert session is not None
    browser.client.delete_cookie("gbproxy_console")

    sign_in = browser.get("/admin/sign-in")
    browser.client.set_cookie("gbproxy_console", session.value)

    assert shown_key(sign_in.text) is None
    assert shown_key(browser.get("/admin/keys").text) is not None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", " "),
        ("models", "no-such-model"),
        ("rate_limit", "often"),
        ("tokens_per_day", "many"),
        ("expires_on", "2001-01-01"),
        ("allowed_addresses", "home"),
    ],
)
def test_a_wrong_field_is_told_and_what_was_filled_in_stays(
    browser: Browser, field: str, value: str
) -> None:
    answer = browser.post("/admin/keys", {"name": "laptop", "rate_limit": "9/hour", field: value})

    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert f'value="{value}"' in answer.text
    assert browser.services.api_keys.list() == []


def test_a_key_is_changed_where_its_form_was(browser: Browser) -> None:
    browser.services.registry.add(ANNA)
    given = {"name": "laptop", "models": ["gemini-auto"], "tokens_per_day": 9}
    ends = {"expires_at": "2099-12-31T10:00:00Z", "allowed_addresses": ["10.1.0.0/16", "::1"]}
    _, key = browser.services.api_keys.create({**given, **ends})
    (made,) = browser.services.api_keys.list()
    path = f"/admin/keys/{made.id}/edit"
    page = browser.get(path).text
    shown = dict(re.findall(r'<input id="(\w+)".*? value="([^"]*)"', page))
    assert shown == {
        "name": "laptop",
        "models": "gemini-auto",
        "rate_limit": "",
        "tokens_per_day": "9",
        "concurrent_streams": "",
        "allowed_addresses": "10.1.0.0/16, ::1/128",
        "expires_on": "2099-12-31",
    }

    changed = browser.post(path, {**shown, "allowed_addresses": "127.0.0.0/8", "models": ""})

    (now,) = browser.services.api_keys.list()
    assert (changed.status_code, changed.headers["Location"]) == (303, "/admin/keys")
    assert now == replace(
        made,
        policy=replace(made.policy, models=None, allowed_addresses=(parse_network("127.0.0.0/8"),)),
    )
    assert "laptop is stored." in words(browser.get("/admin/keys"))
    assert (
        browser.client.get(
            "/v1/models",
            headers={"Authorization": f"Bearer {key}"},
            environ_overrides={"REMOTE_ADDR": "127.0.0.1"},
        ).status_code
        == 200
    )


def test_what_another_administrator_has_changed_since_the_form_was_shown_stays(
    browser: Browser,
) -> None:
    made, _ = browser.services.api_keys.create({"name": "laptop", "tokens_per_day": 9})
    path = f"/admin/keys/{made.id}/edit"
    form = inputs(browser.get(path).text)
    narrowed = {"rate_limit": "60/hour", "allowed_addresses": ["127.0.0.1"], "tokens_per_day": 5}
    browser.services.api_keys.change(made.id, narrowed)

    refused = browser.post(path, {**form, "name": ""})
    stored = browser.post(path, {**inputs(refused.text), "name": "phone"})

    (now,) = browser.services.api_keys.list()
    assert (refused.status_code, stored.status_code, now.name) == (400, 303, "phone")
    assert browser.services.api_keys.change(made.id, narrowed).policy == now.policy


def test_a_wrong_change_is_told_and_what_was_filled_in_stays(browser: Browser) -> None:
    browser.services.api_keys.create({"name": "laptop", "tokens_per_day": 9})
    (made,) = browser.services.api_keys.list()
    path = f"/admin/keys/{made.id}/edit"

    answer = browser.post(path, {"name": "", "tokens_per_day": "9", "allowed_addresses": "home"})

    assert answer.status_code == 400
    assert 'value="home"' in answer.text
    assert "Edit laptop" in words(answer)
    assert browser.services.api_keys.list() == [made]
    assert browser.get("/admin/keys/nobody/edit").status_code == 404
    assert browser.post("/admin/keys/nobody/edit", {"name": "x"}).status_code == 404


def test_a_key_is_revoked_only_after_a_question(browser: Browser) -> None:
    made, key = browser.services.api_keys.create({"name": "laptop"})
    assert "Revoke laptop?" in words(browser.get(f"/admin/keys/{made.id}/revoke"))

    browser.post(f"/admin/keys/{made.id}/revoke")

    assert "laptop is revoked." in words(browser.get("/admin/keys"))
    assert browser.get("/v1/models", Authorization=f"Bearer {key}").status_code == 401


def test_todays_use_of_each_key_is_shown(browser: Browser) -> None:
    browser.services.registry.add(ANNA)
    made, key = browser.services.api_keys.create({"name": "laptop", "models": ["gemini-auto"]})
    question = {"model": "gemini-auto", "messages": [{"role": "user", "content": "Hi"}]}
    assert "laptop " + made.fingerprint + " gemini-auto – 0 answers" in words(
        browser.get("/admin/keys")
    )

    for _ in range(2):
        browser.client.post(
            "/v1/chat/completions", json=question, headers={"Authorization": f"Bearer {key}"}
        )

    assert re.search(r"gemini-auto – 2 answers, \d+ tokens", words(browser.get("/admin/keys")))
    browser.services.api_keys.revoke(made.id)
    after = words(browser.get("/admin/keys"))
    assert re.search(f"Others that were used today.*{made.fingerprint} 2 answers", after)


def test_the_consoles_own_use_has_a_name(browser: Browser) -> None:
    browser.services.registry.add(ANNA)
    question = {"model": "gemini-auto", "messages": [{"role": "user", "content": "Hi"}]}

    browser.client.post(
        "/v1/chat/completions", json=question, headers={"X-CSRF-Token": browser.token()}
    )

    page = browser.get("/admin/keys")
    assert re.search(r"Others that were used today.* console \d+ answers?", words(page))
    assert CONSOLE.fingerprint not in page.text
