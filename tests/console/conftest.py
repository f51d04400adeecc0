"""A browser at the console: keeps cookies, follows redirects only when it is told to, posts the
forms that it finds.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gbproxy.app import EXTENSION
from gbproxy.services import Services
from gbproxy.storage.prepare import prepare
from tests.admin.conftest import ADMIN_KEY, SECRET_KEY, Probed
from tests.support.serving import InProcess, in_process

_ADDRESSES = (f"10.1.{n // 250}.{n % 250 + 1}" for n in itertools.count())
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


@dataclass
class Browser:
    """One browser at one worker."""

    app: InProcess
    upstream: Probed
    client: FlaskClient

    @property
    def services(self) -> Services:
        services: Services = self.app.app.extensions[EXTENSION].services
        return services

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.client.get(path, headers=_headers(headers))

    def post(
        self, path: str, fields: Mapping[str, str] | None = None, **headers: str
    ) -> TestResponse:
        """A form as the page has it: with the token."""
        given = {"csrf_token": self.token(), **(fields or {})}
        return self.client.post(path, data=given, headers=_headers(headers))

    def sign_in(self, key: str = ADMIN_KEY, **fields: str) -> TestResponse:
        return self.client.post("/admin/sign-in", data={"admin_key": key, **fields})

    def token(self) -> str:
        found = _TOKEN.search(self.get("/admin/keys").text)
        return found[1] if found else ""

    def other(self) -> Browser:
        """Another browser, without cookies, at an address of its own."""
        return at(self.app, self.upstream)

    def clean_up(self) -> None:
        """Take all accounts and keys away, and what the upstream was told to do."""
        for account in self.services.registry.list():
            self.services.registry.remove(account.id)
        for key in self.services.api_keys.list():
            self.services.api_keys.revoke(key.id)
        self.upstream.trouble = None
        self.upstream.probed.clear()


def at(app: InProcess, upstream: Probed) -> Browser:
    """A browser whose guesses at the password count apart from those of any other."""
    client = app.app.test_client()
    client.environ_base["REMOTE_ADDR"] = next(_ADDRESSES)
    return Browser(app, upstream, client)


Opened = Callable[..., Browser]


def inputs(page: str) -> dict[str, str]:
    """What a browser would send of the form that is not touched: boxes are not ticked."""
    return dict(
        re.findall(r'<input (?!type="checkbox")[^>]*name="(\w+)"[^>]* value="([^"]*)"', page)
    )


def words(answer: TestResponse) -> str:
    """What a page says, without its markup."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", answer.text)))


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Makes gateways with these settings, each with a browser; they end with the test."""
    with ExitStack() as stack:

        def open_(**settings: str) -> Browser:
            upstream = Probed()
            app = stack.enter_context(
                in_process({"ADMIN_KEY": ADMIN_KEY}, upstream=upstream, **settings)
            )
            return at(app, upstream)

        yield open_


@pytest.fixture(scope="session")
def gateway() -> Iterator[Browser]:
    """One gateway for all tests that need no settings of their own: to start one takes as long as
    ten of them.
    """
    upstream = Probed()
    with in_process({"ADMIN_KEY": ADMIN_KEY}, upstream=upstream) as app:
        yield at(app, upstream)


@pytest.fixture
def visitor(gateway: Browser) -> Browser:
    """Not signed in, at that gateway, which has no accounts and no keys."""
    gateway.clean_up()
    return gateway.other()


@pytest.fixture
def browser(visitor: Browser) -> Browser:
    """Signed in, at that gateway."""
    assert visitor.sign_in().status_code == 303
    return visitor


@pytest.fixture
def stored(tmp_path: Path) -> dict[str, str]:
    """The settings of gateways that share one database."""
    url = f"sqlite:///{tmp_path}/gbproxy.db"
    prepare(url, [SECRET_KEY])
    return {"DATABASE_URL": url, "SECRET_KEY": SECRET_KEY}


def _headers(given: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in given.items()}
