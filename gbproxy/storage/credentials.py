"""Accounts that are stored here, their secrets encrypted; and which of the environment's are disabled by hand."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Executable, bindparam, delete, insert, select, update

from gbproxy.domain.account import Account
from gbproxy.storage.database import AnyRow, Conflict, Database
from gbproxy.storage.renewals import decrypted
from gbproxy.storage.secrets import Cipher
from gbproxy.storage.tables import account_switches as switches
from gbproxy.storage.tables import accounts, cookies, has_id, tokens
from gbproxy.storage.upsert import upsert


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """Times are Unix seconds."""

    account: Account
    is_active: bool
    created_at: float
    updated_at: float


class NameTaken(Exception):
    """Another stored account has this name."""


_LIST = select(accounts).order_by(accounts.c.created_at, accounts.c.name)
_ADD = insert(accounts)
_CHANGE = (
    update(accounts)
    .where(accounts.c.id == bindparam("account_id"))
    .values(
        name=bindparam("new_name"),
        csesidx=bindparam("new_csesidx"),
        config_id=bindparam("new_config_id"),
        credentials=bindparam("new_credentials"),
        updated_at=bindparam("now"),
    )
)
_ENABLE = (
    update(accounts)
    .where(accounts.c.id == bindparam("account_id"))
    .values(is_active=bindparam("active"), updated_at=bindparam("now"))
)
_OF_ACCOUNT = [
    *(delete(table).where(has_id(table.c.account_id, bindparam("wanted"))) for table in (cookies, tokens)),
    delete(switches).where(switches.c.account_id == bindparam("wanted")),
]
_REMOVE = delete(accounts).where(accounts.c.id == bindparam("wanted"))
_DISABLED = select(switches.c.account_id).where(switches.c.is_active.is_(False))


class StoredAccounts:
    """Accounts that administrators add. `clock`: Unix seconds."""

    def __init__(self, database: Database, cipher: Cipher, clock: Callable[[], float]) -> None:
        self._database = database
        self._cipher = cipher
        self._clock = clock

    def list(self) -> list[StoredAccount]:
        """All that can be read, the oldest first."""
        return [found for row in self._database.fetch(_LIST) if (found := self._read(row)) is not None]

    def add(
        self, *, name: str, csesidx: str, config_id: str, secure_c_ses: str, host_c_oses: str | None = None
    ) -> StoredAccount:
        """A new account, enabled. Raises NameTaken."""
        account = Account(uuid.uuid4().hex, name, csesidx, config_id, secure_c_ses, host_c_oses)
        now = self._clock()
        values = {
            "id": account.id,
            "name": name,
            "csesidx": csesidx,
            "config_id": config_id,
            "credentials": self._encrypted(account),
            "is_active": True,
            "created_at": now,
            "updated_at": now,
        }
        self._change(_ADD, values)
        return StoredAccount(account, True, now, now)

    def change(self, account: Account) -> bool:
        """Replace all values of the account with this id; False when there is none. Raises NameTaken."""
        values = {
            "account_id": account.id,
            "new_name": account.name,
            "new_csesidx": account.csesidx,
            "new_config_id": account.config_id,
            "new_credentials": self._encrypted(account),
            "now": self._clock(),
        }
        return self._change(_CHANGE, values) == 1

    def enable(self, account_id: str, is_active: bool) -> bool:
        """False when there is no such account."""
        values = {"account_id": account_id, "active": is_active, "now": self._clock()}
        return self._database.change(_ENABLE, values) == 1

    def remove(self, account_id: str) -> bool:
        """With its cookies and tokens; False when there is no such account."""

        def remove(connection: Connection) -> bool:
            removed = connection.execute(_REMOVE, {"wanted": account_id}).rowcount == 1
            if removed:
                for statement in _OF_ACCOUNT:
                    connection.execute(statement, {"wanted": account_id})
            return removed

        return self._database.transact(remove)

    def _change(self, statement: Executable, values: dict[str, Any]) -> int:
        try:
            return self._database.change(statement, values)
        except Conflict:
            raise NameTaken from None

    def _encrypted(self, account: Account) -> bytes:
        return self._cipher.encrypt({"secure_c_ses": account.secure_c_ses, "host_c_oses": account.host_c_oses})

    def _read(self, row: AnyRow) -> StoredAccount | None:
        secrets = decrypted(self._cipher, row.credentials, "accounts", row.id)
        if secrets is None:
            return None
        account = Account(row.id, row.name, row.csesidx, row.config_id, **secrets)
        return StoredAccount(account, row.is_active, row.created_at, row.updated_at)


class Switches:
    """Accounts from the environment that were disabled by hand: they cannot be changed, but left aside."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._put = upsert(database, switches, "is_active")

    def enable(self, account_id: str, is_active: bool) -> None:
        self._database.change(self._put, {"account_id": account_id, "is_active": is_active})

    def disabled(self) -> frozenset[str]:
        return frozenset(row.account_id for row in self._database.fetch(_DISABLED))
