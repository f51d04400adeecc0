"""The status of each account's credential: by probes, by requests and by sign-ins."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from gbproxy.account_admin.views import AccountStore, CredentialStatus
from gbproxy.accounts.health import AccountHealth, HealthState
from gbproxy.accounts.pool import Pool
from gbproxy.domain.account import Account, CredentialMoments
from gbproxy.errors import CredentialRefused, GatewayError, StorageUnavailable
from gbproxy.storage.account_health import AccountUse, CheckResult, Status

log = logging.getLogger(__name__)


class CredentialChecks:
    """Safe for many threads at once."""

    def __init__(
        self, pool: Pool, store: AccountStore, ask_upstream: Callable[[Account], None]
    ) -> None:
        """`ask_upstream`: `probe` of the port `Upstream`."""
        self._pool = pool
        self._store = store
        self._ask_upstream = ask_upstream

    def run(self, account: Account) -> None:
        """Probe the credential, store the result, and have the pool act on it."""
        try:
            self.probe(account)
        except GatewayError as error:
            if isinstance(error, CredentialRefused):
                self._pool.failed(account, "text", error)
            facts = {"account": account.id, "code": error.code, "said": error.safe_words}
            log.info("account.probed", extra=facts)
        else:
            self._pool.accepted(account)
            log.info("account.probed", extra={"account": account.id, "code": None, "said": None})

    def probe(self, account: Account) -> None:
        """Ask the upstream whether the credential is good, and store the time and the result.
        Raises as `probe` of the port `Upstream`.
        """
        with suppress(StorageUnavailable):
            # First: no other worker is to ask while we do.
            self._store.times.note_probe(account.account_key)
        try:
            self._ask_upstream(account)
        except GatewayError as error:
            self._store_result(account, error)
            raise
        self._store_result(account, None)

    def statuses(self, accounts: Iterable[Account]) -> Sequence[CredentialStatus]:
        """The status of each account's credential. Raises StorageUnavailable."""
        results, sign_ins = self._store.checks.read(), self._store.checks.sign_ins()
        uses = self._store.health.uses()
        rejections = {
            known.account_key: known
            for known in self._store.health.read()
            if known.state == HealthState.REJECTED
        }
        return [
            _status(
                account,
                rejections.get(account.account_key),
                [results.get(account.id), sign_ins.get(account.account_key)],
                uses.get(account.id),
            )
            for account in accounts
        ]

    def moments(self, accounts: Iterable[Account]) -> dict[str, CredentialMoments]:
        """By account id, how old each credential is and when it was checked last. Raises
        StorageUnavailable.
        """
        results, sign_ins = self._store.checks.read(), self._store.checks.sign_ins()
        times = self._store.times.read()
        found = {}
        for account in accounts:
            credential, given = account.fingerprint(), times.get(account.account_key)
            known = (results.get(account.id), sign_ins.get(account.account_key))
            checked = [each.at for each in known if each and each.credential == credential]
            found[account.id] = CredentialMoments(
                given.fresh_at if given is not None and given.is_of(account) else None,
                max(checked, default=None),
            )
        return found

    def known_moments(self, accounts: Iterable[Account]) -> dict[str, CredentialMoments]:
        """As `moments`; nothing while the database is away."""
        try:
            return self.moments(accounts)
        except StorageUnavailable:
            return {}

    def _store_result(self, account: Account, error: GatewayError | None) -> None:
        refused = isinstance(error, CredentialRefused)
        status: Status = "valid" if error is None else "refused" if refused else "unknown"
        detail, said = (error.own_words, error.safe_words) if error else ("", None)
        with suppress(StorageUnavailable):  # the result counts all the same
            self._store.checks.note(account.id, account.fingerprint(), status, detail, said)


def _status(
    account: Account,
    rejection: AccountHealth | None,
    results: Iterable[CheckResult | None],
    use: AccountUse | None,
) -> CredentialStatus:
    """The newest result for the credential that the account has now. While the account is in
    quarantine, no other counts.
    """
    fingerprint = account.fingerprint()
    known = [each for each in results if each is not None and each.credential == fingerprint]
    if rejection is not None and rejection.credential == fingerprint:
        rejected_at = [each.at for each in known if each.status == "refused"]
        # A request has met it, or a check, which may not be the one that led to the quarantine.
        causes = [(each.detail, each.said) for each in known] + (
            [(use.last_error, use.last_error_said)] if use else []
        )
        said = next((words for sentence, words in causes if sentence == rejection.cause), None)
        at = max([rejection.changed_at, *rejected_at])
        return CredentialStatus(account.id, account.name, "refused", at, rejection.cause, said)
    last = max(known, key=lambda each: each.at, default=None)
    if last is None:
        return CredentialStatus(account.id, account.name, "unknown", None, "")
    return CredentialStatus(account.id, account.name, last.status, last.at, last.detail, last.said)
