"""The API keys that administrators create: the digest and the policy of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update

from gbproxy.domain.networks import parse_network
from gbproxy.domain.principal import ApiKey, KeyPolicy, parse_rate
from gbproxy.storage.database import AnyRow, Database
from gbproxy.storage.tables import api_keys as keys
from gbproxy.storage.workers import ChangeCounter

_ALL = select(keys).order_by(keys.c.created_at, keys.c.id)
_ADD = insert(keys)
_ONE = select(keys).where(keys.c.id == bindparam("wanted")).with_for_update()
_REMOVE = delete(keys).where(keys.c.id == bindparam("wanted"))
_COUNTED = (keys.c.rate_limit, keys.c.tokens_per_day, keys.c.concurrent_streams)
_LIMITED = select(keys.c.name).where(or_(*(c.is_not(None) for c in _COUNTED))).order_by(keys.c.name)


class ApiKeyStore:
    """Calls raise StorageUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changes = ChangeCounter(database)

    def version(self) -> int:
        """A number that changes with every key that is added, changed or removed."""
        return self._changes.version("keys")

    def all(self) -> Sequence[ApiKey]:
        """The oldest first."""
        return [_key(row) for row in self._database.fetch(_ALL)]

    def add(self, key: ApiKey) -> None:
        values = _values(key)

        def insert_and_count(connection: Connection) -> None:
            connection.execute(_ADD, values)
            self._changes.increment(connection, "keys")

        self._database.transact(insert_and_count)

    def change(self, key_id: str, edit: Callable[[ApiKey], ApiKey]) -> ApiKey | None:
        """Replace a key by what `edit` returns for it, in one transaction. None if there is no such
        key. Raises what `edit` raises; then nothing has changed.
        """
        if not key_id.isalnum():  # no id is like that, and PostgreSQL takes no NUL
            return None

        def edit_and_count(connection: Connection) -> ApiKey | None:
            row = connection.execute(_ONE, {"wanted": key_id}).one_or_none()
            if row is None:
                return None
            edited = edit(_key(row))
            connection.execute(update(keys).where(keys.c.id == key_id).values(_values(edited)))
            self._changes.increment(connection, "keys")
            return edited

        return self._database.transact(edit_and_count)

    def remove(self, key_id: str) -> bool:
        """False when there is no such key."""
        if not key_id.isalnum():  # no id is like that, and PostgreSQL takes no NUL
            return False

        def delete_and_count(connection: Connection) -> bool:
            removed = connection.execute(_REMOVE, {"wanted": key_id}).rowcount == 1
            if removed:
                self._changes.increment(connection, "keys")
            return removed

        return self._database.transact(delete_and_count)

    def limited(self) -> Sequence[str]:
        """The names of the keys with a limit that needs counting."""
        return [row.name for row in self._database.fetch(_LIMITED)]


def _values(key: ApiKey) -> dict[str, object]:
    policy, addresses = key.policy, key.policy.allowed_addresses
    return {
        "id": key.id,
        "name": key.name,
        "digest": key.digest,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "models": None if policy.models is None else json.dumps(sorted(policy.models)),
        "rate_limit": None if policy.rate_limit is None else str(policy.rate_limit),
        "tokens_per_day": policy.tokens_per_day,
        "concurrent_streams": policy.concurrent_streams,
        "allowed_addresses": None if addresses is None else json.dumps([*map(str, addresses)]),
    }


def key_of(row: Mapping[str, Any]) -> ApiKey:
    """The key of a row of the table. Raises ValueError or TypeError for one that cannot be read."""
    models, rate_limit, addresses = row["models"], row["rate_limit"], row["allowed_addresses"]
    return ApiKey(
        id=row["id"],
        name=row["name"],
        digest=bytes(row["digest"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        policy=KeyPolicy(
            models=None if models is None else frozenset(json.loads(models)),
            rate_limit=None if rate_limit is None else parse_rate(rate_limit),
            tokens_per_day=row["tokens_per_day"],
            concurrent_streams=row["concurrent_streams"],
            allowed_addresses=(
                None if addresses is None else tuple(map(parse_network, json.loads(addresses)))
            ),
        ),
    )


def _key(row: AnyRow) -> ApiKey:
    return key_of(row._asdict())
