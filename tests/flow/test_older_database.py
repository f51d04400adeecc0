"""A database that an older version has left is taken over: its accounts, its client keys, and the
conversations that were going on in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gbproxy.storage.tables import REVISION
from tests.support import older_database as older
from tests.support.databases import PostgreSQL
from tests.support.polling import until
from tests.support.serving import PATIENT, Reply, Served, SharedUpstream, serving

pytestmark = pytest.mark.slow

ADMIN_KEY = "ak-test-5b3c9e71d2f84a60"
WHOLE_ANNA = {
    "name": "anna",
    "csesidx": "1234567891",
    "config_id": "11111111-2222-4333-8444-555555555556",
    "edition": "business",
    "location": "global",
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
    "is_active": True,
    "source": "db",
    "state": "ready",
    "last_error": None,
}


@pytest.fixture
def upstream() -> Iterator[SharedUpstream]:
    with SharedUpstream() as made:
        older.known_to(made)
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The older version's database."""
    made = f"sqlite:///{tmp_path}/older.db"
    if request.param == "postgresql":
        server: PostgreSQL = request.getfixturevalue("server")
        made = server.new_database()
    older.restore(made)
    return made


def listed(gateway: Served, what: str) -> dict[str, dict[str, Any]]:
    """The entries of /api/admin/<what>, by name."""
    replies: list[Reply] = []

    def is_listed() -> bool:
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        replies.append(gateway.request("GET", f"/api/admin/{what}", headers=headers))
        return replies[-1].status == 200

    # a server on a busy machine answers later than the gateway waits for it
    until(is_listed, message=lambda: replies[-1].body)
    return {entry["name"]: entry for entry in json.loads(replies[-1].body)[what]}


@pytest.mark.slow
def test_it_is_migrated_and_its_conversation_goes_on_in_the_same_upstream_session(
    upstream: SharedUpstream, url: str
) -> None:
    history = [
        {"role": "user", "content": older.QUESTION},
        {"role": "assistant", "content": older.ANSWER},
        {"role": "user", "content": "Name another one."},
    ]

    own = {"DATABASE_URL": url, "SECRET_KEY": older.SECRET_KEY, "ADMIN_KEY": ADMIN_KEY}

    with serving(upstream.environment() | own, command=PATIENT) as gateway:
        migrated = gateway.wait_for_event("database.migrated")
        accounts, keys = listed(gateway, "accounts"), listed(gateway, "keys")
        gateway.key = older.CLIENT_KEY
        reply = gateway.ask(history)
        assert upstream.wait_for(lambda: all(s.deleted for s in older.to_be_deleted(upstream)), 60)
        assert gateway.stop() == 0
        assert gateway.events("database.migrated") == [migrated]

    assert (migrated["before"], migrated["after"]) == ("0005", REVISION)
    assert list(accounts) == ["default", "anna", "ben", "carla"]
    assert {name: accounts["anna"][name] for name in WHOLE_ANNA} == WHOLE_ANNA
    assert accounts["ben"]["last_error"] == "the account's quota is used up"
    assert {name: entry["is_active"] for name, entry in accounts.items()} == {
        "default": False,
        "anna": True,
        "ben": True,
        "carla": False,
    }
    assert keys["laptop"]["rate_limit"] == "600/hour"
    assert reply.succeeded
    assert upstream.sessions[older.CONVERSATION].queries == ["Name another one."]
    assert not upstream.sessions[older.CONVERSATION].deleted
