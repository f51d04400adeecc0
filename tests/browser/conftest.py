"""The console of a gateway under gunicorn, in front of a simulator, in headless Chromium."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.chromium import Visitor, chromium
from tests.support.serving import Served, SharedUpstream, serving

ADMIN_KEY = "ak-test-5b3c9e71d2f84a60"
ACCOUNT_NAME = "anna"
PRO = {"id": "gemini-3.1-pro-preview", "fallback": "gemini-3.8-flash"}

Visit = Callable[..., Visitor]


# Not for the session: while Playwright runs, its event loop is that of the thread, and other tests'
# clients cannot run theirs.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def _site() -> Iterator[tuple[SharedUpstream, Served, str]]:
    """With the id of the account."""
    with SharedUpstream() as upstream, gateway_without_accounts(upstream) as gateway:
        anna = pasted(upstream) | {"name": ACCOUNT_NAME}
        made = call(gateway, "POST", "/api/admin/accounts", anna)
        yield upstream, gateway, made["id"]


@pytest.fixture
def upstream(_site: tuple[SharedUpstream, Served, str]) -> SharedUpstream:
    _site[0].reset()
    return _site[0]


@pytest.fixture
def gateway(_site: tuple[SharedUpstream, Served, str], upstream: SharedUpstream) -> Served:
    """A gateway with one account, `anna`, which other tests use too, and which does not cool."""
    _, shared, anna = _site
    call(shared, "POST", f"/api/admin/accounts/{anna}/clear-cooldown")
    return shared


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Makes people at a gateway; after the test none of their pages may have reported an error, or
    asked another host.
    """
    with ExitStack() as stack:
        visitors: list[Visitor] = []

        def visit_(gateway: Served, **options: Any) -> Visitor:
            visitors.append(Visitor(browser, gateway.url, **options))
            stack.callback(visitors[-1].close)
            return visitors[-1]

        yield visit_
        for each in visitors:
            each.check()


@pytest.fixture
def operator(visit: Visit, gateway: Served) -> Visitor:
    """Signed in at that gateway."""
    visitor = visit(gateway)
    visitor.sign_in(ADMIN_KEY)
    return visitor


def gateway_without_accounts(upstream: SharedUpstream) -> Any:
    addresses = {n: v for n, v in upstream.environment().items() if n.endswith("_URL")}
    return serving(addresses, ADMIN_KEY=ADMIN_KEY, MODELS=json.dumps([PRO]))


def pasted(upstream: SharedUpstream) -> dict[str, str]:
    """The account of the simulator, as a person finds it in a browser."""
    known = upstream.account
    return {
        "secure_c_ses": known.secure_c_ses,
        "host_c_oses": known.host_c_oses,
        "csesidx": known.csesidx,
        "config_id": known.config_id,
    }


def call(gateway: Served, method: str, path: str, body: object = None) -> Any:
    """The JSON of an answer of the admin API."""
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"}
    reply = gateway.request(method, path, None if body is None else json.dumps(body), headers)
    assert reply.status < 300, reply.body
    return reply.json() if reply.body else None
