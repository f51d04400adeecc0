"""Audit lines: one for each change by the admin API and the console, whatever the route."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from gbproxy.app import EXTENSION
from gbproxy.domain.principal import fingerprint
from tests.admin.conftest import (
    ADMIN_KEY,
    ANNA,
    BEN,
    COOKIE,
    OTHER_COOKIE,
    AdminHarness,
    Opened,
    Probed,
)
from tests.console.conftest import Browser
from tests.support.fake_upstream import ACCOUNT
from tests.support.serving import in_process

MUTATING = {"POST", "PUT", "PATCH", "DELETE"}
SECRETS = (COOKIE, OTHER_COOKIE, ADMIN_KEY, str(BEN["secure_c_ses"]))
PASTE = json.dumps([ANNA])
# Beside these no endpoint below /api/admin and /admin may change anything without a line.
API_CHANGES: dict[str, tuple[str, str, object, list[str]]] = {
    "admin_accounts.add": ("POST", "/accounts", BEN, ["account.added"]),
    "admin_accounts.change": (
        "PUT", "/accounts/{ben}", {"is_active": False}, ["account.changed"]
    ),
    "admin_accounts.check": ("POST", "/accounts/{ben}/check", None, ["account.checked"]),
    "admin_accounts.clear_cooldown": (
        "POST", "/accounts/{ben}/clear-cooldown", None, ["account.cooldown_cleared"]
    ),
    "admin_imports.import_": (
        "POST", "/accounts/import", {"text": PASTE}, ["account.added"]
    ),
    "admin_accounts.remove": ("DELETE", "/accounts/{ben}", None, ["account.removed"]),
    "admin_keys.create": ("POST", "/keys", {"name": "laptop"}, ["key.created"]),
    "admin_keys.change": ("PATCH", "/keys/{key}", {"tokens_per_day": 5}, ["key.changed"]),
    "admin_keys.revoke": ("DELETE", "/keys/{key}", None, ["key.revoked"]),
    "admin_alerts.test": ("POST", "/alerts/test", None, ["alerts.tested"]),
}  # fmt: skip
CONSOLE_CHANGES: dict[str, tuple[str, dict[str, str], list[str]]] = {
    "console.store_accounts": (
        "/accounts/import", {"draft": "{draft}"}, ["account.added", "account.checked"]
    ),
    "console.change_account": (
        "/accounts/{anna}/do", {"action": "disable"}, ["account.changed"]
    ),
    "console.store_account": ("/accounts/{anna}/edit", {"name": "new"}, ["account.changed"]),
    "console.delete_account": ("/accounts/{anna}/delete", {}, ["account.removed"]),
    "console.create_key": ("/keys", {"name": "laptop"}, ["key.created"]),
    "console.store_key": (
        "/keys/{key}/edit", {"name": "laptop", "tokens_per_day": "5"}, ["key.changed"]
    ),
    "console.revoke_key": ("/keys/{key}/revoke", {}, ["key.revoked"]),
    "console.test_alerts": ("/alerts/test", {}, ["alerts.tested"]),
    "console.sign_out": ("/sign-out", {}, ["console.sign_out"]),
}  # fmt: skip
CONSOLE_CHANGES_NOTHING = {
    "console.try_sign_in",  # has a line of its own
    "console.preferences",
    "console.preview_accounts",
    "console.nothing",
}

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """The audit lines since the last call."""
    caplog.set_level(logging.INFO, "gbproxy")

    def read() -> list[dict[str, Any]]:
        found = [vars(record) for record in caplog.records if record.getMessage() == "admin.did"]
        assert not any(secret in str(found) for secret in SECRETS)
        caplog.clear()
        return found

    return read


def changing(app: Flask, prefix: str) -> set[str]:
    """The endpoints below a path that take a method that may change something."""
    return {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if f"{rule.rule}/".startswith(f"{prefix}/") and (rule.methods or set()) & MUTATING
    }


def test_every_change_by_the_admin_api_is_told(admin_api: AdminHarness, lines: Lines) -> None:
    ids: dict[str, str] = {}
    told: dict[str, list[dict[str, Any]]] = {}
    for endpoint, (method, path, body, _) in API_CHANGES.items():
        reply = admin_api.call(method, f"/api/admin{path}".format(**ids), body)
        assert reply.status < 300, reply.body
        told[endpoint] = lines()
        if endpoint == "admin_accounts.add":
            ids["ben"] = reply.json()["id"]
        if endpoint == "admin_keys.create":
            ids["key"] = reply.json()["id"]
            assert reply.json()["key"] not in str(told)

    assert changing(admin_api.app.app, "/api") == set(API_CHANGES)
    assert {name: [line["did"] for line in each] for name, each in told.items()} == {
        name: change[-1] for name, change in API_CHANGES.items()
    }
    assert {(line["by"], line["who"]) for each in told.values() for line in each} == {
        ("api", f"key {fingerprint(ADMIN_KEY)}")
    }
    (switched,) = told["admin_accounts.change"]
    assert (switched["object"], switched["details"]) == (
        ids["ben"],
        {"fields": ["is_active"], "is_active": False},
    )
    (changed,) = told["admin_keys.change"]
    assert (changed["object"], changed["details"]["fields"]) == (ids["key"], ["tokens_per_day"])
    (revoked,) = told["admin_keys.revoke"]
    assert (revoked["object"], revoked["details"]["name"]) == (ids["key"], "laptop")


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Signed in at the console."""
    upstream = Probed()
    with in_process({"ADMIN_KEY": ADMIN_KEY}, upstream=upstream) as app:
        browser = Browser(app, upstream, app.app.test_client())
        assert browser.sign_in().status_code == 303
        yield browser


def test_every_change_by_the_console_is_told(browser: Browser, lines: Lines) -> None:
    page = browser.post("/admin/accounts/new", {"text": PASTE, "draft": ""}).text
    drafted = re.search(r'name="draft" value="([^"]*)"', page)
    assert drafted is not None
    ids = {"draft": drafted[1]}
    assert browser.post("/admin/preferences", {"theme": "dark"}).status_code == 303
    assert [line["did"] for line in lines()] == []
    told: dict[str, list[dict[str, Any]]] = {}
    for endpoint, (path, fields, _) in CONSOLE_CHANGES.items():
        form = {name: value.format(**ids) for name, value in fields.items()}
        reply = browser.post(f"/admin{path}".format(**ids), form)
        assert reply.status_code == 303, reply.text
        told[endpoint] = lines()
        services = browser.app.app.extensions[EXTENSION].services
        ids |= dict(zip(["anna"], (each.id for each in services.registry.list()), strict=False))
        ids |= dict(zip(["key"], (each.id for each in services.api_keys.list()), strict=False))

    assert changing(browser.app.app, "/admin") == set(CONSOLE_CHANGES) | CONSOLE_CHANGES_NOTHING
    assert {name: [line["did"] for line in each] for name, each in told.items()} == {
        name: change[-1] for name, change in CONSOLE_CHANGES.items()
    }
    assert {(line["by"], line["address"]) for each in told.values() for line in each} == {
        ("console", "127.0.0.1")
    }
    assert len({line["who"] for each in told.values() for line in each}) == 1


def test_the_address_is_the_clients_behind_a_trusted_proxy(opened: Opened, lines: Lines) -> None:
    admin_api = opened(**ACCOUNT, TRUSTED_PROXIES="1")

    admin_api.call("POST", "/api/admin/keys", {"name": "n"}, X_Forwarded_For="192.0.2.9")

    assert [line["address"] for line in lines()] == ["192.0.2.9"]


def test_what_changes_nothing_is_not_told(admin_api: AdminHarness, lines: Lines) -> None:
    paste = {"text": PASTE, "dry_run": True}
    replies = [
        admin_api.call("POST", "/api/admin/accounts/import", paste),
        admin_api.call("POST", "/api/admin/keys", {"name": ""}),
        admin_api.call("DELETE", "/api/admin/keys/nobody"),
        admin_api.call("POST", "/api/admin/keys", {"name": "n"}, key="wrong"),
        admin_api.call("GET", "/api/admin/keys"),
    ]

    assert [reply.status for reply in replies] == [200, 400, 404, 401, 200]
    assert lines() == []


def test_a_command_says_whose_it_is(admin_api: AdminHarness, lines: Lines) -> None:
    for user in ("anna%40desk", "%0Aforged", ""):
        admin_api.call("POST", "/api/admin/keys", {"name": "n"}, X_Gbproxy_User=user)

    key = f"key {fingerprint(ADMIN_KEY)}"
    assert [(line["by"], line["who"]) for line in lines()] == [
        ("cli", f"anna@desk, {key}"),
        ("api", key),
        ("api", key),
    ]
