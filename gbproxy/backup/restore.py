"""What an import of a backup adds, changes and leaves, and the rows that it writes."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from gbproxy.backup.envelope import BackupError
from gbproxy.domain.account import Account, CredentialReader, id_of
from gbproxy.storage.api_keys import key_of
from gbproxy.storage.backup import BackupRow, BackupRows

Result = Literal["new", "changed", "same", "environment", "conflict"]
Kind = Literal["account", "key"]

_ACCOUNT_FIELDS = ("name", "upstream", "is_active")
_COUNTED = ("rate_limit", "tokens_per_day", "concurrent_streams")
_OF_ITS_OWN = ("id", "digest", "created_at")  # columns of a key that are not compared


@dataclass(frozen=True, slots=True)
class Item:
    """One account or key of the backup, under the id that it has here.

    `result`, compared with what is here: `new`; `changed`, in the fields of `differs`; `same`;
    `environment`: it is an account of the environment; `conflict`: it cannot be stored, as `reason`
    says.
    """

    kind: Kind
    id: str
    name: str
    result: Result
    differs: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """`rows`: to be written."""

    items: tuple[Item, ...] = ()
    rows: BackupRows = field(default=BackupRows())

    @property
    def conflicts(self) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.result == "conflict")

    @property
    def limited(self) -> tuple[str, ...]:
        """The names of the keys with a limit that needs counting, of those to be written."""
        return tuple(
            str(row["name"])
            for row in self.rows.keys
            if any(row[limit] is not None for limit in _COUNTED)
        )

    @property
    def changed(self) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.result == "changed")


def plan(
    backup: BackupRows,
    here: BackupRows,
    environment: Iterable[Account],
    readers: Mapping[str, CredentialReader],
    *,
    replace_changed: bool,
) -> Plan:
    """Compare a backup with what is stored. What differs is written with `replace_changed` only.

    `environment`: the accounts of the settings; `readers`: of credentials, by upstream. Raises
    BackupError for an account that this version cannot use.
    """
    accounts = _Accounts(backup, here, tuple(environment), readers)
    taken: set[Result] = {"new", "changed"} if replace_changed else {"new"}
    keys = list(_keys(backup, here))
    items = [*accounts.items(replacing=replace_changed), *(item for item, _ in keys)]
    chosen = [
        (row, item.id)
        for row, item in zip(backup.accounts, items, strict=False)
        if item.result in taken
    ]
    rows = BackupRows(
        accounts=tuple({**row, "id": id_} for row, id_ in chosen),
        cookies=tuple(_of_accounts(backup.cookies, accounts.keys_here(chosen))),
        states=tuple(_of_accounts(backup.states, accounts.keys_here(chosen))),
        checks=tuple(_checks(backup.checks, {str(row["id"]): id_ for row, id_ in chosen})),
        keys=tuple({**row, "id": item.id} for item, row in keys if item.result in taken),
        times=tuple(_of_accounts(backup.times, accounts.keys_here(chosen))),
    )
    return Plan(tuple(items), rows)


class _Accounts:
    """The accounts of a backup beside those that are here."""

    def __init__(
        self,
        backup: BackupRows,
        here: BackupRows,
        environment: Sequence[Account],
        readers: Mapping[str, CredentialReader],
    ) -> None:
        self._backup = backup
        self._environment = environment
        self._rows = {str(row["id"]): row for row in here.accounts}
        self._here = {
            id_: account
            for id_, row in self._rows.items()
            if (account := _account(row, readers)) is not None
        }
        self._renewed_here = _renewals(here.cookies)
        self._given = [self._usable(row, readers) for row in backup.accounts]
        self._renewed = _renewals(backup.cookies)

    def items(self, *, replacing: bool) -> list[Item]:
        """One for each account of the backup, in its order."""
        found = [
            self._compared(account, row)
            for account, row in zip(self._given, self._backup.accounts, strict=True)
        ]
        return [self._checked(item, found, replacing=replacing) for item in found]

    def keys_here(self, chosen: Iterable[tuple[BackupRow, str]]) -> dict[str, str]:
        """The account key that each chosen account has here, by the one that it has in the
        backup.
        """
        ids = {str(row["id"]): id_ for row, id_ in chosen}
        return {
            account.account_key: replace(account, id=ids[account.id]).account_key
            for account in self._given
            if account.id in ids
        }

    def _compared(self, account: Account, row: BackupRow) -> Item:
        if any(_is_same(account, other) for other in self._environment):
            return Item("account", account.id, account.name, "environment")
        id_ = self._id_here(account)
        if id_ is None:
            return Item("account", account.id, account.name, "new")
        twin = next(
            (
                other.name
                for other in self._here.values()
                if other.id != id_ and other.credential.is_same_sign_in(account.credential)
            ),
            None,
        )
        if twin is not None:
            return _conflict(account, f"it is the account {twin}, which is here under another id")
        differs = tuple(self._differing(account, row, id_))
        return Item("account", id_, account.name, "changed" if differs else "same", differs)

    def _id_here(self, account: Account) -> str | None:
        """The id of the same account here: by its id, else by its sign-in, else its identity."""
        if account.id in self._rows:
            return account.id
        of_others = {given.id for given in self._given}
        here = [other for id_, other in self._here.items() if id_ not in of_others]
        return next((other.id for other in here if _is_same(account, other)), None)

    def _differing(self, account: Account, row: BackupRow, id_: str) -> Iterator[str]:
        known = self._rows[id_]
        yield from (name for name in _ACCOUNT_FIELDS if row[name] != known[name])
        other = self._here.get(id_)
        if other is None:  # what is here cannot be read
            yield "credential"
            return
        given, there = account.credential.to_json(), other.credential.to_json()
        yield from (name for name in given if given[name] != there.get(name))
        newer = self._renewed.get(account.account_key, 0.0)
        if newer > self._renewed_here.get(other.account_key, 0.0):
            yield "renewed cookies"

    def _checked(self, item: Item, items: Sequence[Item], *, replacing: bool) -> Item:
        """The item, or a conflict when another account has its name or is stored under its id."""
        if item.result not in ("new", "changed"):
            return item
        going = {each.id for each in items if replacing and each.result == "changed"} | {item.id}
        names = {str(row["name"]) for id_, row in self._rows.items() if id_ not in going}
        names |= {account.name for account in self._environment}
        if item.name in names:
            reason = "another account here has its name: rename that one first"
            return replace(item, result="conflict", differs=(), reason=reason)
        if [each.id for each in items].count(item.id) > 1:
            reason = "here it is the same account as another one of the file"
            return replace(item, result="conflict", differs=(), reason=reason)
        return item

    def _usable(self, row: BackupRow, readers: Mapping[str, CredentialReader]) -> Account:
        account = _account(row, readers)
        if account is None:
            raise BackupError(
                f"the account {str(row['name'])!r} of the file is none that this gbproxy can use"
            )
        return account


def _account(row: BackupRow, readers: Mapping[str, CredentialReader]) -> Account | None:
    try:
        credential = readers[row["upstream"]](row["credential"])
    except (KeyError, ValueError, TypeError):
        return None
    return Account(str(row["id"]), str(row["name"]), str(row["upstream"]), credential)


def _is_same(one: Account, other: Account) -> bool:
    return (
        one.credential.is_same_sign_in(other.credential)
        or one.credential.identity == other.credential.identity
    )


def _conflict(account: Account, reason: str) -> Item:
    return Item("account", account.id, account.name, "conflict", reason=reason)


def _renewals(rows: Iterable[BackupRow]) -> dict[str, float]:
    """When the cookies of each account were renewed, by account key."""
    return {str(row["account_key"]): float(row["renewed_at"]) for row in rows}


def _of_accounts(rows: Iterable[BackupRow], keys: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for row in rows:
        if row["account_key"] in keys:
            yield {**row, "account_key": keys[row["account_key"]]}


def _checks(rows: Iterable[BackupRow], ids: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for row in rows:
        if row["account_id"] in ids:
            yield {**row, "account_id": ids[row["account_id"]]}


def _keys(backup: BackupRows, here: BackupRows) -> Iterator[tuple[Item, BackupRow]]:
    """Each client key of the backup, told from others by the key's digest."""
    known = {row["digest"]: row for row in here.keys}
    ids = {str(row["id"]) for row in here.keys}
    for row in backup.keys:
        name = str(row["name"])
        if not _is_usable_key(row):
            raise BackupError(f"the key {name!r} of the file is none that this gbproxy can use")
        other = known.get(row["digest"])
        if other is None:
            id_ = str(row["id"]) if row["id"] not in ids else uuid.uuid4().hex
            yield Item("key", id_, name, "new"), row
            continue
        compared = (column for column in row if column not in _OF_ITS_OWN)
        differs = tuple(column for column in compared if row[column] != other.get(column))
        yield Item("key", str(other["id"]), name, "changed" if differs else "same", differs), row


def _is_usable_key(row: BackupRow) -> bool:
    """False for one that could not be read again, and would hide all others with it."""
    try:
        key = key_of({**row, "digest": bytes.fromhex(row["digest"])})
    except (ValueError, TypeError, AttributeError):
        return False
    return key.id.isalnum()  # the store changes and removes no other


def exported(rows: BackupRows) -> tuple[BackupRows, tuple[str, ...]]:
    """The rows that a backup keeps, and the names of stored accounts that are left out, as no
    SECRET_KEY can decrypt them. Nothing is kept of the environment's accounts.
    """
    kept = tuple(row for row in rows.accounts if row["credential"] is not None)
    ids = {row["id"] for row in kept}
    readable = BackupRows(
        accounts=kept,
        cookies=tuple(
            row
            for row in rows.cookies
            if id_of(row["account_key"]) in ids and row["cookies"] is not None
        ),
        states=tuple(row for row in rows.states if id_of(row["account_key"]) in ids),
        checks=tuple(row for row in rows.checks if row["account_id"] in ids),
        keys=rows.keys,
        times=tuple(row for row in rows.times if id_of(row["account_key"]) in ids),
    )
    return readable, tuple(str(row["name"]) for row in rows.accounts if row["credential"] is None)
