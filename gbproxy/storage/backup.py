"""All that a backup keeps, row by row: read in one transaction, and written in one.

A row is a dictionary of JSON values by column: secrets are decrypted, digests stand in hex, times
are Unix seconds. It names every column, so that one which is added later is in backups by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from sqlalchemy import Connection, LargeBinary, Table, bindparam, delete, insert, select

from gbproxy.storage.database import Database
from gbproxy.storage.encryption import Cipher, Unreadable
from gbproxy.storage.tables import (
    account_checks,
    account_states,
    accounts,
    api_keys,
    cookies,
    credential_times,
)
from gbproxy.storage.upserts import at, not_older, upsert
from gbproxy.storage.workers import ChangeCounter, Topic

log = logging.getLogger(__name__)

BackupRow = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BackupRows:
    """Rows of each table. `accounts` has None as the credential that no SECRET_KEY can decrypt;
    `cookies` are those that the upstream has renewed; `times` say when credentials were given.
    """

    accounts: tuple[BackupRow, ...] = field(default=(), repr=False)
    cookies: tuple[BackupRow, ...] = field(default=(), repr=False)
    states: tuple[BackupRow, ...] = ()
    checks: tuple[BackupRow, ...] = ()
    keys: tuple[BackupRow, ...] = ()
    times: tuple[BackupRow, ...] = ()


_TABLES: Mapping[str, Table] = {
    "accounts": accounts,
    "cookies": cookies,
    "states": account_states,
    "checks": account_checks,
    "keys": api_keys,
    "times": credential_times,
}
_ENCRYPTED = (accounts.c.credential, cookies.c.cookies)
_READ = {
    "accounts": select(accounts).order_by(accounts.c.created_at, accounts.c.name),
    "keys": select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id),
}
# What a table's changes are counted by, so that running workers take them over.
_TOPICS: Mapping[str, Topic] = {
    "accounts": "accounts",
    "cookies": "credentials",
    "states": "health",
    "keys": "keys",
}
COLUMNS: Mapping[str, tuple[str, ...]] = {
    name: tuple(table.columns.keys()) for name, table in _TABLES.items()
}
REQUIRED: Mapping[str, frozenset[str]] = {
    name: frozenset(column.name for column in table.columns if not column.nullable)
    for name, table in _TABLES.items()
}


class BackupStore:
    """Calls raise StorageUnavailable."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._cipher = cipher
        self._changes = ChangeCounter(database)
        # Running workers may have noted something newer than the backup: that stays.
        self._put = {
            "cookies": upsert(
                database,
                cookies,
                "replaces",
                "cookies",
                "renewed_at",
                when=lambda new: not_older(new, cookies.c.renewed_at),
            ),
            "states": upsert(
                database,
                account_states,
                *(column.name for column in account_states.columns if not column.primary_key),
                when=lambda new: not_older(new, account_states.c.changed_at),
            ),
            "checks": upsert(
                database,
                account_checks,
                *(column.name for column in account_checks.columns if not column.primary_key),
                when=lambda new: not_older(new, account_checks.c.checked_at),
            ),
            "times": upsert(
                database,
                credential_times,
                *(column.name for column in credential_times.columns if not column.primary_key),
                when=lambda new: new.credential != credential_times.c.credential,
            ),
        }

    def read(self) -> BackupRows:
        """All rows, as they are at one moment."""
        with self._database.long_timeout():
            return self._database.transact(self._read)

    def write(self, choose: Callable[[BackupRows], BackupRows]) -> None:
        """Store the rows that `choose` makes of those that are there, all or none: accounts and
        keys in place of those with their ids. Raises UniqueViolation, and what `choose` raises.
        """

        def write(connection: Connection) -> None:
            chosen = choose(self._read(connection))
            for name in _TABLES:
                rows = [self._values(name, row) for row in getattr(chosen, name)]
                if rows:
                    self._write(connection, name, rows)

        with self._database.long_timeout():
            self._database.transact(write)

    def _read(self, connection: Connection) -> BackupRows:
        found = {}
        for each in fields(BackupRows):
            statement = _READ.get(each.name, select(_TABLES[each.name]))
            rows = connection.execute(statement).mappings()
            found[each.name] = tuple(self._row(_TABLES[each.name], row) for row in rows)
        return BackupRows(**found)

    def _write(self, connection: Connection, name: str, rows: list[dict[str, Any]]) -> None:
        if name in self._put:
            connection.execute(self._put[name], rows)
        else:
            table = _TABLES[name]
            # First all that are replaced: their names may have been exchanged.
            gone = [{"gone": row["id"]} for row in rows]
            connection.execute(delete(table).where(table.c.id == bindparam("gone")), gone)
            connection.execute(insert(table), rows)
        if name in _TOPICS:
            self._changes.increment(connection, _TOPICS[name])

    def _row(self, table: Table, row: Mapping[Any, Any]) -> BackupRow:
        values: dict[str, Any] = {}
        for column in table.columns:
            value = row[column.name]
            if column in _encrypted(table):
                value = self._decrypted(table, row, value)
            elif isinstance(column.type, LargeBinary) and value is not None:
                value = bytes(value).hex()
            values[column.name] = value
        return values

    def _decrypted(self, table: Table, row: Mapping[Any, Any], encrypted: bytes) -> Any:
        try:
            return self._cipher.decrypt(encrypted)
        except Unreadable:
            (key,) = table.primary_key.columns
            log.error("secret.unreadable", extra={"table": table.name, "account": row[key.name]})
            return None

    def _values(self, name: str, row: BackupRow) -> dict[str, Any]:
        table = _TABLES[name]
        values: dict[str, Any] = {}
        for column in table.columns:
            value = row.get(column.name)
            if column in _encrypted(table):
                value = self._cipher.encrypt(value)
            elif isinstance(column.type, LargeBinary) and value is not None:
                value = bytes.fromhex(value)
            values[column.name] = value
        if name == "cookies":
            values |= at(cookies.c.renewed_at, values["renewed_at"])
        elif name == "states":
            values |= at(account_states.c.changed_at, values["changed_at"])
        elif name == "checks":
            values |= at(account_checks.c.checked_at, values["checked_at"])
        return values


def _encrypted(table: Table) -> Iterable[Any]:
    return [column for column in _ENCRYPTED if column.table is table]
