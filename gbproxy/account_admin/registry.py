"""The accounts that are administered: those of the environment and those that are stored, as one
list for the pool.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from gbproxy.account_admin import account_input as givens
from gbproxy.account_admin.views import AccountRecord, ConfiguredAccount, CredentialStatus, record
from gbproxy.accounts.health import AccountHealth, HealthState
from gbproxy.accounts.pool import Pool
from gbproxy.domain.account import Account
from gbproxy.errors import Conflict, CredentialRefused, GatewayError, NotFound, StorageUnavailable
from gbproxy.storage.account_health import (
    AccountHealthRows,
    AccountUse,
    CheckResult,
    CheckStore,
    Status,
)
from gbproxy.storage.accounts import EnabledOverrides, NameTaken, StoredAccount, StoredAccounts
from gbproxy.storage.workers import ChangeCounter, WorkerRegistry

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AccountStore:
    """All that the database keeps of accounts, but for what their credentials have bought."""

    stored: StoredAccounts
    switches: EnabledOverrides
    changes: ChangeCounter
    checks: CheckStore
    states: AccountHealthRows[AccountHealth]
    workers: WorkerRegistry


class AccountRegistry:
    """Safe for use by many threads at once. All calls raise StorageUnavailable while the database
    is away.
    """

    def __init__(
        self,
        environment: Iterable[Account],
        pool: Pool,
        rows: AccountStore,
        probe: Callable[[Account], None],
        part: Callable[[Account], None],
        forget: Callable[[Account], None] = lambda account: None,
    ) -> None:
        """`environment`: the accounts that settings name; `probe` as in the port `Upstream`.

        `part` has the sessions of an account that was removed deleted upstream, soon; `forget`
        begins anew with which models and tools it has.
        """
        self._environment = {account.id: account for account in environment}
        self._pool = pool
        self._rows = rows
        self._ask = probe
        self._part = part
        self._forget = forget
        self._version: int | None = None
        self._lock = threading.Lock()

    # Looking

    def list(self) -> Sequence[AccountRecord]:
        """Those of the environment first, then the stored ones, the oldest first."""
        self._catch_up()
        views = {view.id: view for view in self._pool.snapshot()}
        uses = self._rows.states.uses()
        elsewhere = self._rows.workers.in_flight_elsewhere()
        return [
            record(entry, views.get(id_), uses.get(id_), elsewhere.get(id_, 0))
            for id_, entry in self._entries().items()
        ]

    def get(self, account_id: str) -> AccountRecord:
        """Raises NotFound."""
        found = next((found for found in self.list() if found.id == account_id), None)
        if found is None:
            raise _unknown()
        return found

    def pull_changes(self) -> None:
        """Give the pool what was changed since the last call, by whichever worker; called twice a
        second by each.
        """
        with self._lock:  # or an older state might be put into the place of a newer one
            version = self._rows.changes.version("accounts")
            if version == self._version:
                return
            entries = self._entries().values()
            disabled = {entry.account.id for entry in entries if not entry.is_active}
            self._pool.replace([entry.account for entry in entries], disabled=disabled)
            self._version = version

    # Changing

    def add(self, given: Mapping[str, object]) -> AccountRecord:
        """Store an account: name, secure_c_ses, csesidx, config_id (or team_id), and what else is
        wanted of an account's fields.

        Unknown fields are passed over. Raises BadRequest, whose `param` is the first field that is
        wrong and whose message says what is wrong with each; Conflict when the name, or the account
        itself, is there already.
        """
        read = self._addable(given)
        try:
            stored = self._rows.stored.add(read.account(""), is_active=read.is_active is not False)
        except NameTaken:
            raise _taken() from None
        return self._done("added", stored.account.id)

    def try_add(self, given: Mapping[str, object]) -> None:
        """Raises what `add` would, and stores nothing."""
        self._addable(given)

    def try_change(self, account_id: str, given: Mapping[str, object]) -> bool:
        """Whether `change` would change the account's values. Raises what it would, and stores
        nothing.
        """
        entry = self._entries().get(account_id)
        if entry is None:
            raise _unknown()
        account = givens.read(given, entry.account).account(account_id)
        if account == entry.account:
            return False
        if entry.source == "env":
            raise _of_environment()
        self._refuse_twins(account)
        return True

    def change(self, account_id: str, given: Mapping[str, object]) -> AccountRecord:
        """Change what is given and keep the rest; fields as for `add`. An empty optional one takes
        it away.

        Raises BadRequest, NotFound and Conflict, the last also for anything but `is_active` of an
        account of the environment.
        """
        known = self._environment.get(account_id)
        if known is None:
            return self._change(account_id, given)
        read = givens.read(given, known)
        if read.account(account_id) != known:
            raise _of_environment()
        if read.is_active is not None:
            self._rows.switches.enable(account_id, read.is_active)
        return self._done("changed", account_id)

    def enable(self, account_id: str, is_active: bool) -> AccountRecord:
        """Let it be used, or no longer: what runs on it goes on. Raises NotFound."""
        return self.change(account_id, {"is_active": is_active})

    def remove(self, account_id: str) -> None:
        """With all that is stored of it; what runs on it goes on. Raises NotFound; Conflict for one
        of the environment.
        """
        if account_id in self._environment:
            raise Conflict(
                "this account stands in the environment: take it out there; here it can only be"
                " disabled"
            )
        entry = self._entries().get(account_id)
        if not self._rows.stored.remove(account_id):
            raise _unknown()
        log.info("account.changed", extra={"account": account_id, "action": "removed"})
        if entry is not None:
            self._part(entry.account)
        self.pull_changes()

    def clear_cooldown(self, account_id: str) -> AccountRecord:
        """Forget every cooldown of it, and which models and tools it has refused, in all workers.
        Raises NotFound.
        """
        self._catch_up()
        self._forget(self._known(account_id))
        self._pool.clear_cooldown(account_id)
        return self.get(account_id)

    # Credentials

    def check(self, account_id: str) -> CredentialStatus:
        """Ask the upstream now whether the credential is good, and remember what it says. Raises
        NotFound.

        An upstream that cannot be asked is no error: the status is `unknown` then, and `detail`
        says why.
        """
        self._catch_up()
        account = self._known(account_id)
        try:
            self.probe(account)
        except GatewayError as error:
            if isinstance(error, CredentialRefused):
                self._pool.failed(account, "text", error)
            facts = {"account": account_id, "code": error.code, "said": error.safe_words}
            log.info("account.probed", extra=facts)
        else:
            self._pool.accepted(account)
            log.info("account.probed", extra={"account": account_id, "code": None, "said": None})
        found = next((check for check in self.checks() if check.id == account_id), None)
        if found is None:  # it was removed meanwhile
            raise _unknown()
        return found

    def probe(self, account: Account) -> None:
        """Ask the upstream whether the credential is good, and note what it says. Raises as the
        port `Upstream`.
        """
        try:
            self._ask(account)
        except GatewayError as error:
            self._note(account, error)
            raise
        self._note(account, None)

    def checks(self) -> Sequence[CredentialStatus]:
        """What is known of each account's credential, in the order of `list`: by checks, requests
        and sign-ins.
        """
        looks, sign_ins, uses = (
            self._rows.checks.read(),
            self._rows.checks.sign_ins(),
            self._rows.states.uses(),
        )
        refusals = {
            known.account_key: known
            for known in self._rows.states.read()
            if known.state == HealthState.REJECTED
        }
        return [
            _check(
                account,
                refusals.get(account.account_key),
                [looks.get(account.id), sign_ins.get(account.account_key)],
                uses.get(account.id),
            )
            for account in (entry.account for entry in self._entries().values())
        ]

    # How

    def _addable(self, given: Mapping[str, object]) -> givens.AccountInput:
        read = givens.read(given)
        self._refuse_twins(read.account(""))
        return read

    def _change(self, account_id: str, given: Mapping[str, object]) -> AccountRecord:
        entry = self._entries().get(account_id)
        if entry is None:
            raise _unknown()
        self._refuse_twins(givens.read(given, entry.account).account(account_id))

        # what somebody else has changed meanwhile stays changed
        def edit(stored: StoredAccount) -> StoredAccount:
            read = givens.read(given, stored.account)
            is_active = stored.is_active if read.is_active is None else read.is_active
            return replace(stored, account=read.account(account_id), is_active=is_active)

        try:
            changed = self._rows.stored.change(account_id, edit)
        except NameTaken:
            raise _taken() from None
        if changed is None:
            raise _unknown()
        return self._done("changed", account_id)

    def _done(self, action: str, account_id: str) -> AccountRecord:
        log.info("account.changed", extra={"account": account_id, "action": action})
        return self.get(account_id)

    def _entries(self) -> dict[str, ConfiguredAccount]:
        """All accounts as they stand in the environment and in the database, by id."""
        disabled = self._rows.switches.disabled()
        entries = {
            id_: ConfiguredAccount(account, id_ not in disabled, "env")
            for id_, account in self._environment.items()
        }
        for stored in self._rows.stored.list():
            entries[stored.account.id] = ConfiguredAccount(
                stored.account, stored.is_active, "db", stored.created_at
            )
        return entries

    def _known(self, account_id: str) -> Account:
        account = self._pool.account(account_id)
        if account is None:
            raise _unknown()
        return account

    def _refuse_twins(self, account: Account) -> None:
        """Raises Conflict when the name or the credential is another account's."""
        for other in (entry.account for entry in self._entries().values()):
            if other.id == account.id:
                continue
            if other.name == account.name:
                raise _taken()
            if other.credential.is_same_sign_in(account.credential):
                raise Conflict(
                    f"this is the account {other.name}, which is there already: change that one"
                )

    def _catch_up(self) -> None:
        """Have the pool of this worker know what all others have told, and tell them what it
        knows.
        """
        self.pull_changes()
        self._pool.refresh(self._rows.states.read())
        self._pool.flush()

    def _note(self, account: Account, error: GatewayError | None) -> None:
        refused = isinstance(error, CredentialRefused)
        status: Status = "valid" if error is None else "refused" if refused else "unknown"
        with suppress(StorageUnavailable):  # what it says counts all the same
            detail, said = (error.own_words, error.safe_words) if error else ("", None)
            self._rows.checks.note(account.id, account.fingerprint(), status, detail, said)


def _check(
    account: Account,
    refusal: AccountHealth | None,
    seen: Iterable[CheckResult | None],
    use: AccountUse | None,
) -> CredentialStatus:
    """The latest word about the credential that the account has now; while it is set aside, no
    other counts.
    """
    known = [each for each in seen if each is not None and each.credential == account.fingerprint()]
    if refusal is not None and refusal.credential == account.fingerprint():
        refused_at = [each.at for each in known if each.status == "refused"]
        # A request has met it, or a look, which may be one that this refusal was not learnt from.
        told = [(each.detail, each.said) for each in known] + (
            [(use.last_error, use.last_error_said)] if use else []
        )
        said = next((words for sentence, words in told if sentence == refusal.cause), None)
        at = max([refusal.changed_at, *refused_at])
        return CredentialStatus(account.id, account.name, "refused", at, refusal.cause, said)
    last = max(known, key=lambda each: each.at, default=None)
    if last is None:
        return CredentialStatus(account.id, account.name, "unknown", None, "")
    return CredentialStatus(account.id, account.name, last.status, last.at, last.detail, last.said)


def _unknown() -> NotFound:
    return NotFound("there is no account of this id")


def _of_environment() -> Conflict:
    return Conflict(
        "this account stands in the environment: change it there; here it can only be disabled"
    )


def _taken() -> Conflict:
    return Conflict("another account has this name", param="name")
