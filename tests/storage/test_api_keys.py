"""Client keys in either database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gbproxy.domain.networks import parse_network
from gbproxy.domain.principal import ApiKey, KeyPolicy, Rate, key_digest
from gbproxy.errors import BadRequest
from gbproxy.storage.api_keys import ApiKeyStore
from gbproxy.storage.database import Database, UniqueViolation
from tests.support.clock import Clock

NOW = Clock().now
FULL = ApiKey(
    "2",
    "full",
    key_digest("full"),
    NOW + 0.25,
    NOW + 5,
    KeyPolicy(
        frozenset({"b", "a"}),
        Rate(100, 900),
        10**12,
        3,
        (parse_network("192.0.2.0/24"), parse_network("2001:db8::/32")),
    ),
)
PLAIN = ApiKey("1", "plain", key_digest("plain"), NOW)
LIMITED = [
    ApiKey("3", "rate", key_digest("3"), NOW, None, KeyPolicy(rate_limit=Rate(1, 1))),
    ApiKey("4", "tokens", key_digest("4"), NOW, None, KeyPolicy(tokens_per_day=1)),
    ApiKey("5", "streams", key_digest("5"), NOW, None, KeyPolicy(concurrent_streams=1)),
    ApiKey("6", "models", key_digest("6"), NOW, NOW + 1, KeyPolicy(models=frozenset({"a"}))),
]


def test_a_key_comes_back_as_it_was_stored(database: Database) -> None:
    rows = ApiKeyStore(database)
    for key in (FULL, PLAIN):
        rows.add(key)

    assert rows.all() == [PLAIN, FULL]


def test_every_change_is_told(database: Database) -> None:
    rows, other = ApiKeyStore(database), ApiKeyStore(database)
    versions = [other.version()]
    rows.add(PLAIN)
    versions.append(other.version())
    assert rows.change(PLAIN.id, lambda key: key) == PLAIN
    versions.append(other.version())
    assert rows.remove(PLAIN.id)
    versions.append(other.version())

    assert len(set(versions)) == 4
    assert not rows.remove(PLAIN.id)
    assert rows.change(PLAIN.id, lambda key: key) is None
    assert other.version() == versions[-1]


def test_a_key_is_changed_in_every_field(database: Database) -> None:
    rows = ApiKeyStore(database)
    for key in (PLAIN, FULL):
        rows.add(key)

    full = replace(PLAIN, name="new", expires_at=NOW + 1, policy=FULL.policy)
    plain = replace(FULL, expires_at=None, policy=KeyPolicy())

    changed = [rows.change(key.id, lambda _, key=key: key) for key in (full, plain)]

    assert rows.all() == changed == [full, plain]


def test_a_change_that_fails_changes_nothing(database: Database) -> None:
    rows = ApiKeyStore(database)
    rows.add(PLAIN)
    version = rows.version()

    def fail(key: ApiKey) -> ApiKey:
        raise BadRequest(key.name)

    with pytest.raises(BadRequest):
        rows.change(PLAIN.id, fail)

    assert (rows.all(), rows.version()) == ([PLAIN], version)


@pytest.mark.parametrize("key_id", ["nobody", "", "a\0b", "' OR 1=1 --", "%"])
def test_what_is_no_id_removes_nothing(database: Database, key_id: str) -> None:
    rows = ApiKeyStore(database)
    rows.add(PLAIN)

    assert not rows.remove(key_id)
    assert rows.change(key_id, lambda key: key) is None
    assert rows.all() == [PLAIN]


def test_two_keys_cannot_have_the_same_digest(database: Database) -> None:
    rows = ApiKeyStore(database)
    rows.add(PLAIN)
    version = rows.version()

    with pytest.raises(UniqueViolation):
        rows.add(ApiKey("9", "again", PLAIN.digest, NOW))

    assert rows.version() == version


def test_the_limited_ones_are_those_with_something_to_count(database: Database) -> None:
    rows = ApiKeyStore(database)
    for key in (PLAIN, *LIMITED):
        rows.add(key)

    assert rows.limited() == ["rate", "streams", "tokens"]
