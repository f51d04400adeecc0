"""Where a gateway that tests share keeps its rows."""

from __future__ import annotations

import pytest

from tests.support.databases import PostgreSQL

MEMORY = "memory"  # of its one worker
DATABASES = ("sqlite", "postgresql")  # of two workers

on_databases_too = pytest.mark.parametrize(
    "storage",
    [MEMORY, *(pytest.param(each, marks=pytest.mark.slow) for each in DATABASES)],
    scope="module",
)


def two_workers(
    storage: str, request: pytest.FixtureRequest, folders: pytest.TempPathFactory
) -> dict[str, str]:
    """The settings of a gateway of two workers on a new database of this kind."""
    if storage == "sqlite":
        url = f"sqlite:///{folders.mktemp('storage')}/gbproxy.db"
    else:
        server: PostgreSQL = request.getfixturevalue("server")
        url = server.new_database()
    return {
        "DATABASE_URL": url,
        "SECRET_KEY": "a-secret-key-of-the-tests",
        "WEB_CONCURRENCY": "2",
    }
