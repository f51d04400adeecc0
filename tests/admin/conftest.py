"""An app that is administered, in front of an upstream without a network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gbproxy.app import EXTENSION
from gbproxy.domain.account import Account
from gbproxy.errors import GatewayError
from gbproxy.services import Services
from gbproxy.sessions.prewarmed import PREWARMED_PER_ACCOUNT
from gbproxy.storage.prepare import prepare
from gbproxy.upstreams.widget.credential import credential_of
from tests.support.fake_upstream import FakeUpstream
from tests.support.serving import InProcess, Reply, in_process

ADMIN_KEY = "ak-test-5b3c9e71d2f84a60"
SECRET_KEY = "a-secret-key-for-tests-1"
COOKIE, OTHER_COOKIE = "CSE.the-secret-cookie", "COS.the-other-cookie"
ANNA = {
    "name": "anna",
    "secure_c_ses": COOKIE,
    "host_c_oses": OTHER_COOKIE,
    "csesidx": "123",
    "config_id": "c0000000-0000-4000-8000-000000000001",
}
BEN = {
    "name": "ben",
    "secure_c_ses": "CSE.of-ben",
    "csesidx": "456",
    "config_id": "c0000000-0000-4000-8000-000000000002",
}
ENVIRONMENT = {
    "name": "home",
    "secure_c_ses": "CSE.of-home",
    "csesidx": "789",
    "config_id": "c0000000-0000-4000-8000-000000000003",
}


class Probed(FakeUpstream):
    """Answers `Hello`, and probes as it is told: with an error, or as if all were well."""

    def __init__(self) -> None:
        super().__init__()
        self.probed: list[str] = []
        self.deleted: list[tuple[str | None, str]] = []  # cookie and session
        self.trouble: GatewayError | None = None
        self.meanwhile: Callable[[], object] = lambda: None

    def delete_session(self, account: Account, session: str) -> None:
        self.deleted.append((credential_of(account).secure_c_ses, session))

    def probe(self, account: Account) -> None:
        self.probed.append(account.name)
        self.meanwhile()
        if self.trouble is not None:
            raise self.trouble


@dataclass
class AdminHarness:
    """An administrator at one worker."""

    app: InProcess
    upstream: Probed

    @property
    def services(self) -> Services:
        services: Services = self.app.app.extensions[EXTENSION].services
        return services

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        key: str | None = ADMIN_KEY,
        **headers: str,
    ) -> Reply:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            given["Authorization"] = f"Bearer {key}"
        if body is not None:
            given["Content-Type"] = "application/json"
        return self.app.request(method, path, None if body is None else json.dumps(body), given)

    def accounts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", "/api/admin/accounts").json()["accounts"]
        return found

    def add(self, account: Mapping[str, object] = ANNA) -> dict[str, Any]:
        reply = self.call("POST", "/api/admin/accounts", account)
        assert reply.status == 201, reply.body
        added: dict[str, Any] = reply.json()
        return added

    def change(self, id_: str, **fields: object) -> Reply:
        return self.call("PUT", f"/api/admin/accounts/{id_}", fields)

    def names(self) -> list[str]:
        return [account["name"] for account in self.accounts()]

    def available(self) -> list[str]:
        """The names of the accounts that requests may lease now, as far as this worker knows."""
        pool = self.services.pool
        return [account.name for account in pool.accounts() if pool.is_ready(account.id)]


Opened = Callable[..., AdminHarness]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Makes apps with these settings; they end with the test."""
    with ExitStack() as stack:

        def open_(*, prewarmed: int = PREWARMED_PER_ACCOUNT, **settings: str) -> AdminHarness:
            upstream = Probed()
            app = stack.enter_context(
                in_process(
                    {"ADMIN_KEY": ADMIN_KEY}, upstream=upstream, prewarmed=prewarmed, **settings
                )
            )
            return AdminHarness(app, upstream)

        yield open_


@pytest.fixture
def admin_api(opened: Opened) -> AdminHarness:
    """A gateway without any account."""
    return opened()


@pytest.fixture
def at_home(opened: Opened) -> AdminHarness:
    """A gateway with one account, `home`, of the environment."""
    return opened(ACCOUNTS=json.dumps([ENVIRONMENT]))


@pytest.fixture
def stored(tmp_path: Path) -> dict[str, str]:
    """The settings of gateways that share one database."""
    url = f"sqlite:///{tmp_path}/gbproxy.db"
    prepare(url, [SECRET_KEY])
    return {"DATABASE_URL": url, "SECRET_KEY": SECRET_KEY}
