"""Client keys that administrators create: of each, its digest and what it allows."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, insert, or_, select

from gbproxy.domain.principal import ApiKey, KeyPolicy
from gbproxy.settings.types import parse_rate
from gbproxy.storage.database import AnyRow, Database
from gbproxy.storage.tables import api_keys as keys
from gbproxy.storage.workers import ChangeCounter

_ALL = select(keys).order_by(keys.c.created_at, keys.c.id)
_ADD = insert(keys)
_REMOVE = delete(keys).where(keys.c.id == bindparam("wanted"))
_LIMITED = (
    select(keys.c.name)
    .where(or_(keys.c.rate_limit.is_not(None), keys.c.tokens_per_day.is_not(None), keys.c.concurrent_streams.is_not(None)))
    .order_by(keys.c.name)
)  # fmt: skip


class ApiKeyRows:
    """Calls raise StorageUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changes = ChangeCounter(database)

    def version(self) -> int:
        """Another number than before, once a key was added or removed."""
        return self._changes.version("keys")

    def all(self) -> Sequence[ApiKey]:
        """The oldest first."""
        return [_key(row) for row in self._database.fetch(_ALL)]

    def add(self, key: ApiKey) -> None:
        values = _values(key)

        def insert_and_tell(connection: Connection) -> None:
            connection.execute(_ADD, values)
            self._changes.increment(connection, "keys")

        self._database.transact(insert_and_tell)

    def remove(self, key_id: str) -> bool:
        """Whether it was there."""
        if not key_id.isalnum():  # no id is like that, and PostgreSQL takes no NUL
            return False

        def delete_and_tell(connection: Connection) -> bool:
            removed = connection.execute(_REMOVE, {"wanted": key_id}).rowcount == 1
            if removed:
                self._changes.increment(connection, "keys")
            return removed

        return self._database.transact(delete_and_tell)

    def limited(self) -> Sequence[str]:
        """The names of those with a limit that is counted."""
        return [row.name for row in self._database.fetch(_LIMITED)]


def _values(key: ApiKey) -> dict[str, object]:
    allowed = key.allowance
    return {
        "id": key.id,
        "name": key.name,
        "digest": key.digest,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "models": None if allowed.models is None else json.dumps(sorted(allowed.models)),
        "rate_limit": None if allowed.rate_limit is None else str(allowed.rate_limit),
        "tokens_per_day": allowed.tokens_per_day,
        "concurrent_streams": allowed.concurrent_streams,
    }


def _key(row: AnyRow) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        digest=bytes(row.digest),
        created_at=row.created_at,
        expires_at=row.expires_at,
        allowance=KeyPolicy(
            models=None if row.models is None else frozenset(json.loads(row.models)),
            rate_limit=None if row.rate_limit is None else parse_rate(row.rate_limit),
            tokens_per_day=row.tokens_per_day,
            concurrent_streams=row.concurrent_streams,
        ),
    )
