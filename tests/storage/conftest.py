"""Every test that asks for `database` runs on SQLite and on a real PostgreSQL server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from gbproxy.storage.database import Database
from gbproxy.storage.encryption import Cipher
from gbproxy.storage.migrate import migrate
from tests.support.clock import Clock
from tests.support.databases import CIPHER, PATIENT_S, Open, PostgreSQL

KINDS = ("sqlite", "postgresql")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def new_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes the URL of one more empty database of this kind."""
    made = 0

    def new() -> str:
        nonlocal made
        made += 1
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/{made}.db"
        server: PostgreSQL = request.getfixturevalue("server")
        return server.new_database()

    return new


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    return new_url()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    made = Database(url, request_timeout_s=PATIENT_S)
    migrate(made, CIPHER)
    yield made
    made.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cipher() -> Cipher:
    return Cipher(["first-secret-key-of-the-tests"])


@pytest.fixture
def opened() -> Iterator[Open]:
    """Makes databases that are closed at the end. A server on a busy machine is waited for, unless
    a test names another time limit.
    """
    with ExitStack() as stack:

        def make(url: str, **options: Any) -> Database:
            patience = {"request_timeout_s": PATIENT_S} if url.startswith("postgresql") else {}
            return stack.enter_context(closing(Database(url, **{**patience, **options})))

        yield make
