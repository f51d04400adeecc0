"""The accounts of the environment and those that administrators stored, as one list for the pool
and for administration.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from gbproxy.account_admin.account_input import AccountBody, AccountInput
from gbproxy.account_admin.credential_checks import CredentialChecks
from gbproxy.account_admin.views import (
    AccountRecord,
    AccountStore,
    ConfiguredAccount,
    CredentialStatus,
    record,
)
from gbproxy.accounts.pool import Pool
from gbproxy.domain.account import Account
from gbproxy.errors import Conflict, NotFound, StorageUnavailable
from gbproxy.observability import audit
from gbproxy.storage.accounts import NameTaken, StoredAccount

log = logging.getLogger(__name__)


class AccountRegistry:
    """Safe for many threads at once. All calls raise StorageUnavailable while the database is
    away.
    """

    def __init__(
        self,
        environment: Iterable[Account],
        pool: Pool,
        store: AccountStore,
        checks: CredentialChecks,
        on_removed: Callable[[Account], None],
        forget: Callable[[Account], None] = lambda account: None,
    ) -> None:
        """`environment`: the accounts of the settings; `on_removed`: has the account's upstream
        sessions deleted; `forget`: drops what is known of its models and tools.
        """
        self._environment = {account.id: account for account in environment}
        self._pool = pool
        self._store = store
        self._checks = checks
        self._on_removed = on_removed
        self._forget = forget
        self._version: int | None = None
        self._lock = threading.Lock()

    # Reading

    def list(self) -> Sequence[AccountRecord]:
        """The environment's first, then the stored ones, the oldest first."""
        self._sync()
        views = {view.id: view for view in self._pool.snapshot()}
        uses = self._store.health.uses()
        elsewhere = self._store.workers.in_flight_elsewhere()
        entries = self._configured()
        moments = self._checks.moments(entry.account for entry in entries.values())
        return [
            record(entry, views.get(id_), uses.get(id_), elsewhere.get(id_, 0), moments[id_])
            for id_, entry in entries.items()
        ]

    def get(self, account_id: str) -> AccountRecord:
        """Raises NotFound."""
        found = next((found for found in self.list() if found.id == account_id), None)
        if found is None:
            raise _unknown()
        return found

    def pull_changes(self) -> None:
        """Give the pool the accounts if any worker has changed one since the last call."""
        with self._lock:  # or an older list could replace a newer one
            version = self._store.changes.version("accounts")
            if version == self._version:
                return
            entries = self._configured().values()
            disabled = {entry.account.id for entry in entries if not entry.is_active}
            self._pool.replace([entry.account for entry in entries], disabled=disabled)
            self._version = version

    # Changing

    def add(self, given: Mapping[str, object]) -> AccountRecord:
        """Store an account; `given`: the fields of `AccountSettings`, and `is_active`.

        Unknown fields are ignored. Raises BadRequest, whose `param` is the first wrong field and
        whose message says what is wrong with each; Conflict when the name or the account exists.
        """
        read = self._parsed(given)
        try:
            stored = self._store.stored.add(read.account(""), is_active=read.is_active is not False)
        except NameTaken:
            raise _taken() from None
        self._note_given(stored.account)
        return self._done("added", stored.account.id, given)

    def try_add(self, given: Mapping[str, object]) -> None:
        """Raise what `add` would, and store nothing."""
        self._parsed(given)

    def try_change(self, account_id: str, given: Mapping[str, object]) -> bool:
        """True if `change` would change a value. Raises what it would, and stores nothing."""
        entry = self._configured().get(account_id)
        if entry is None:
            raise _unknown()
        account = AccountInput.parse(given, entry.account).account(account_id)
        if account == entry.account:
            return False
        if entry.source == "env":
            raise _of_environment()
        self._ensure_unique(account)
        return True

    def change(self, account_id: str, given: Mapping[str, object]) -> AccountRecord:
        """Change the given fields, as for `add`; an empty optional one is removed.

        Raises BadRequest, NotFound and Conflict, the last also for anything but `is_active` of an
        account of the environment.
        """
        known = self._environment.get(account_id)
        if known is None:
            return self._change(account_id, given)
        read = AccountInput.parse(given, known)
        if read.account(account_id) != known:
            raise _of_environment()
        if read.is_active is not None:
            self._store.overrides.enable(account_id, read.is_active)
        return self._done("changed", account_id, given)

    def remove(self, account_id: str) -> None:
        """Delete the account and all that is stored of it; running answers go on.

        Raises NotFound; Conflict for one of the environment.
        """
        if account_id in self._environment:
            raise Conflict(
                "this account stands in the environment: take it out there; here it can only be"
                " disabled"
            )
        entry = self._configured().get(account_id)
        if not self._store.stored.remove(account_id):
            raise _unknown()
        log.info("account.changed", extra={"account": account_id, "action": "removed"})
        audit.did("account.removed", account_id)
        if entry is not None:
            self._on_removed(entry.account)
        self.pull_changes()

    def clear_cooldown(self, account_id: str) -> AccountRecord:
        """End its cooldowns, and forget which models and tools it has refused, in all workers.
        Raises NotFound.
        """
        self._sync()
        self._forget(self._pooled(account_id))
        self._pool.clear_cooldown(account_id)
        audit.did("account.cooldown_cleared", account_id)
        return self.get(account_id)

    # Credentials

    def check(self, account_id: str) -> CredentialStatus:
        """Ask the upstream now whether the credential is good, and store the result. Raises
        NotFound.

        An upstream that cannot be asked is no error: the status is `unknown` then, and `detail`
        says why.
        """
        self._sync()
        self._checks.run(self._pooled(account_id))
        found = next((status for status in self.checks() if status.id == account_id), None)
        if found is None:  # it was removed meanwhile
            raise _unknown()
        audit.did("account.checked", account_id, status=found.status)
        return found

    def checks(self) -> Sequence[CredentialStatus]:
        """The status of each account's credential, in the order of `list`."""
        return self._checks.statuses(each.account for each in self._configured().values())

    # Private

    def _parsed(self, given: Mapping[str, object]) -> AccountInput:
        read = AccountInput.parse(given)
        self._ensure_unique(read.account(""))
        return read

    def _change(self, account_id: str, given: Mapping[str, object]) -> AccountRecord:
        entry = self._configured().get(account_id)
        if entry is None:
            raise _unknown()
        self._ensure_unique(AccountInput.parse(given, entry.account).account(account_id))

        # On the values as they are now: what another administrator has changed meanwhile stays.
        def edit(stored: StoredAccount) -> StoredAccount:
            read = AccountInput.parse(given, stored.account)
            is_active = stored.is_active if read.is_active is None else read.is_active
            return replace(stored, account=read.account(account_id), is_active=is_active)

        try:
            changed = self._store.stored.change(account_id, edit)
        except NameTaken:
            raise _taken() from None
        if changed is None:
            raise _unknown()
        if not changed.account.credential.is_same_sign_in(entry.account.credential):
            self._pool.forget_error(account_id)
            self._note_given(changed.account)
        return self._done("changed", account_id, given)

    def _note_given(self, account: Account) -> None:
        with suppress(StorageUnavailable):  # then the scheduled checks do it, some seconds later
            self._store.times.note(account)

    def _done(self, action: str, account_id: str, given: Mapping[str, object]) -> AccountRecord:
        log.info("account.changed", extra={"account": account_id, "action": action})
        # Their names alone: nearly every value is a secret.
        fields = [name for name in AccountBody.model_fields if name in given]
        switched = {"is_active": given["is_active"]} if "is_active" in given else {}
        audit.did(f"account.{action}", account_id, fields=fields, **switched)
        return self.get(account_id)

    def _configured(self) -> dict[str, ConfiguredAccount]:
        """By id, all accounts of the environment and of the database."""
        disabled = self._store.overrides.disabled()
        entries = {
            id_: ConfiguredAccount(account, id_ not in disabled, "env")
            for id_, account in self._environment.items()
        }
        for stored in self._store.stored.list():
            entries[stored.account.id] = ConfiguredAccount(
                stored.account, stored.is_active, "db", stored.created_at
            )
        return entries

    def _pooled(self, account_id: str) -> Account:
        account = self._pool.account(account_id)
        if account is None:
            raise _unknown()
        return account

    def _ensure_unique(self, account: Account) -> None:
        """Raise Conflict when the name or the sign-in is another account's."""
        for other in (entry.account for entry in self._configured().values()):
            if other.id == account.id:
                continue
            if other.name == account.name:
                raise _taken()
            if other.credential.is_same_sign_in(account.credential):
                raise Conflict(
                    f"this is the account {other.name}, which is there already: change that one"
                )

    def _sync(self) -> None:
        """Exchange news of accounts with the other workers at once."""
        self.pull_changes()
        self._pool.refresh(self._store.health.read())
        self._pool.flush()


def _unknown() -> NotFound:
    return NotFound("there is no account of this id")


def _of_environment() -> Conflict:
    return Conflict(
        "this account stands in the environment: change it there; here it can only be disabled"
    )


def _taken() -> Conflict:
    return Conflict("another account has this name", param="name")
