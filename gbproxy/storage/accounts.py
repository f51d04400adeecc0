"""Accounts that are stored here, each with its credential as one encrypted JSON; and which of the
environment's are disabled by hand.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from gbproxy.domain.account import Account, CredentialReader
from gbproxy.storage.columns import has_id
from gbproxy.storage.database import AnyRow, Database, UniqueViolation
from gbproxy.storage.encryption import Cipher
from gbproxy.storage.session_statements import IDLE, TO_DELETE
from gbproxy.storage.tables import (
    account_checks,
    account_states,
    account_support,
    account_uses,
    accounts,
    alerts,
    cookies,
    credential_times,
    enabled_overrides,
    sessions,
    tokens,
)
from gbproxy.storage.tokens_cookies import decrypted
from gbproxy.storage.upserts import upsert
from gbproxy.storage.workers import ChangeCounter

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """Times are Unix seconds."""

    account: Account
    is_active: bool
    created_at: float
    updated_at: float


class NameTaken(Exception):
    """Another stored account has this name."""


T = TypeVar("T")

_LIST = select(accounts).order_by(accounts.c.created_at, accounts.c.name)
_ONE = select(accounts).where(accounts.c.id == bindparam("account_id")).with_for_update()
_ADD = insert(accounts)
_CHANGE = (
    update(accounts)
    .where(accounts.c.id == bindparam("account_id"))
    .values(
        name=bindparam("new_name"),
        upstream=bindparam("new_upstream"),
        credential=bindparam("new_credential"),
        is_active=bindparam("active"),
        updated_at=bindparam("now"),
    )
)
_OF_ACCOUNT = [
    *(
        delete(table).where(table.c.account_id == bindparam("wanted"))
        for table in (enabled_overrides, account_uses, account_checks)
    ),
    *(
        delete(table).where(has_id(table.c.account_key, bindparam("wanted")))
        for table in (
            cookies,
            tokens,
            account_states,
            account_support,
            credential_times,
            alerts,
        )
    ),
    # Kept until they are deleted upstream: by another account of the identity, or when this one
    # comes back.
    update(sessions)
    .where(has_id(sessions.c.account_key, bindparam("wanted")), sessions.c.state == IDLE)
    .values({**TO_DELETE, "not_before": bindparam("from_when")}),  # links end with the account
]
_REMOVE = delete(accounts).where(accounts.c.id == bindparam("wanted"))
_DISABLED = select(enabled_overrides.c.account_id).where(enabled_overrides.c.is_active.is_(False))


class StoredAccounts:
    """Accounts that administrators add. All workers learn of each change."""

    def __init__(
        self,
        database: Database,
        cipher: Cipher,
        clock: Callable[[], float],
        read_credential: Mapping[str, CredentialReader],
    ) -> None:
        """`clock`: Unix seconds; `read_credential`: by the upstream's name."""
        self._database = database
        self._cipher = cipher
        self._clock = clock
        self._read_credential = read_credential
        self._changes = ChangeCounter(database)

    def list(self) -> list[StoredAccount]:
        """All that can be opened, the oldest first."""
        return [
            found for row in self._database.fetch(_LIST) if (found := self._read(row)) is not None
        ]

    def add(self, given: Account, *, is_active: bool = True) -> StoredAccount:
        """Store an account under a new id. Raises NameTaken."""
        account = replace(given, id=uuid.uuid4().hex)
        now = self._clock()
        values = {
            "id": account.id,
            "name": account.name,
            "upstream": account.upstream,
            "credential": self._encrypted(account),
            "is_active": is_active,
            "created_at": now,
            "updated_at": now,
        }

        def add(connection: Connection) -> None:
            connection.execute(_ADD, values)
            self._changes.increment(connection, "accounts")

        self._transact(add)
        return StoredAccount(account, is_active, now, now)

    def change(
        self, account_id: str, edit: Callable[[StoredAccount], StoredAccount]
    ) -> StoredAccount | None:
        """Replace an account by what `edit` returns for it, in one transaction. None if there is no
        such account.

        Raises NameTaken, and what `edit` raises; then nothing has changed.
        """

        def change(connection: Connection) -> StoredAccount | None:
            row = connection.execute(_ONE, {"account_id": account_id}).one_or_none()
            known = self._read(row) if row is not None else None
            if known is None:
                return None
            edited = replace(edit(known), updated_at=self._clock())
            values = {
                "account_id": account_id,
                "new_name": edited.account.name,
                "new_upstream": edited.account.upstream,
                "new_credential": self._encrypted(edited.account),
                "active": edited.is_active,
                "now": edited.updated_at,
            }
            connection.execute(_CHANGE, values)
            self._changes.increment(connection, "accounts")
            return edited

        return self._transact(change)

    def remove(self, account_id: str) -> bool:
        """Delete an account and its rows, and mark its sessions for deletion. False when there is
        no such account.
        """
        if not account_id.isalnum():  # no id is like that, and PostgreSQL takes no NUL
            return False

        def remove(connection: Connection) -> bool:
            removed = connection.execute(_REMOVE, {"wanted": account_id}).rowcount == 1
            if removed:
                values = {"wanted": account_id, "from_when": self._clock()}
                for statement in _OF_ACCOUNT:
                    connection.execute(statement, values)
                self._changes.increment(connection, "accounts")
            return removed

        return self._database.transact(remove)

    def _transact(self, action: Callable[[Connection], T]) -> T:
        try:
            return self._database.transact(action)
        except UniqueViolation:
            raise NameTaken from None

    def _encrypted(self, account: Account) -> bytes:
        return self._cipher.encrypt(account.credential.to_json())

    def _read(self, row: AnyRow) -> StoredAccount | None:
        values = decrypted(self._cipher, row.credential, "accounts", row.id)
        if values is None:
            return None
        try:
            credential = self._read_credential[row.upstream](values)
        except (KeyError, ValueError):  # of an upstream that this version does not have, or broken
            log.error("secret.unreadable", extra={"table": "accounts", "account": row.id})
            return None
        account = Account(row.id, row.name, row.upstream, credential)
        return StoredAccount(account, row.is_active, row.created_at, row.updated_at)


class EnabledOverrides:
    """Accounts from the environment that were disabled by hand: they cannot be changed, but left
    aside.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._put = upsert(database, enabled_overrides, "is_active")
        self._changes = ChangeCounter(database)

    def enable(self, account_id: str, is_active: bool) -> None:
        """Enable or disable an account of the environment, in all workers."""

        def enable(connection: Connection) -> None:
            connection.execute(self._put, {"account_id": account_id, "is_active": is_active})
            self._changes.increment(connection, "accounts")

        self._database.transact(enable)

    def disabled(self) -> frozenset[str]:
        return frozenset(row.account_id for row in self._database.fetch(_DISABLED))
