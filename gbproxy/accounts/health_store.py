"""The shared store of account health, and this worker's publisher to it, the log and metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from gbproxy.accounts.health import AccountHealth, HealthState
from gbproxy.domain.account import QuotaScope, id_of, quota_class
from gbproxy.errors import GatewayError
from gbproxy.observability.meter import Meter

log = logging.getLogger(__name__)

_LastError = tuple[str | None, float, dict[str, Any] | None, str | None]
"""As `HealthStore.failed` takes it."""


class HealthStore(Protocol):
    """Account health, shared by all workers. Calls raise GatewayErrors."""

    def publish(self, change: AccountHealth) -> object:
        """Replace what is stored for this account and scope, unless that is newer."""
        ...

    def failed(
        self,
        account_id: str,
        error: str | None,
        at: float,
        said: dict[str, Any] | None = None,
        kind: str | None = None,
    ) -> object:
        """Store the account's last error, unless a newer one is; None: it has recovered.

        `said`: the upstream's words (UpstreamWords.safe); `kind`: GatewayError.kind.
        """
        ...

    def try_probe(self, account_key: str, quota: QuotaScope, until: float) -> bool:
        """Take the one probe after a cooldown, until `until`; atomic over all workers.

        False when another request has it, or no cooldown is stored.
        """
        ...

    def read(self) -> Iterable[AccountHealth]:
        """The health of all accounts in every scope."""
        ...


class LocalHealthStore:
    """The store of a worker that is alone."""

    def publish(self, change: AccountHealth) -> None:
        del change

    def failed(
        self,
        account_id: str,
        error: str | None,
        at: float,
        said: dict[str, Any] | None = None,
        kind: str | None = None,
    ) -> None:
        del account_id, error, at, said, kind

    def try_probe(self, account_key: str, quota: QuotaScope, until: float) -> bool:
        del account_key, quota, until
        return True

    def read(self) -> Iterable[AccountHealth]:
        return ()


class HealthPublisher:
    """Publishes what this worker learns, and keeps what the store could not take for `flush`.

    All but `note_error` may wait for the store: not to be called while the pool's lock is held.
    """

    def __init__(self, store: HealthStore, meter: Meter) -> None:
        self._store = store
        self._meter = meter
        self._unpublished: dict[tuple[str, str], AccountHealth] = {}
        self._unpublished_errors: dict[str, _LastError] = {}

    def publish(
        self, change: AccountHealth, now: float, said: dict[str, Any] | None = None
    ) -> None:
        """Log, count and store a change of state. `said`: the upstream's words that led to it."""
        _log(change, now, said)
        cause = change.cause if change.state == HealthState.COOLING else ""
        self._meter.account_changed(change.state, quota_class(change.quota), cause)
        self.share(change)

    def share(self, change: AccountHealth) -> None:
        """Store a change without logging it."""
        try:
            self._store.publish(change)
        except GatewayError as error:
            self._unpublished[change.account_key, change.quota] = change
            _log_unshared(change, error)

    def note_error(self, account_id: str, error: GatewayError | None, now: float) -> None:
        """Keep an account's last error for `flush`: no request waits until it is stored."""
        self._unpublished_errors[account_id] = (
            (None, now, None, None)
            if error is None
            else (error.own_words, now, error.safe_words, error.kind)
        )

    def flush(self, is_pooled: Callable[[str], bool]) -> None:
        """Store what is not yet, errors of pooled accounts only. Raises a store's GatewayError."""
        while self._unpublished:
            key, change = next(iter(self._unpublished.items()))
            self._store.publish(change)
            if self._unpublished.get(key) is change:
                del self._unpublished[key]
        while self._unpublished_errors:
            account_id, met = next(iter(self._unpublished_errors.items()))
            if is_pooled(account_id):
                self._store.failed(account_id, *met)
            if self._unpublished_errors.get(account_id) is met:
                del self._unpublished_errors[account_id]

    def try_probe(self, health: AccountHealth, quota: QuotaScope, until: float) -> bool:
        """Take the probe after a cooldown. False when another worker has it."""
        try:
            return self._store.try_probe(health.account_key, quota, until) or self._republish(
                health
            )
        except GatewayError as error:  # without the store each worker probes for itself
            _log_unshared(health, error)
            return True

    def _republish(self, known: AccountHealth) -> bool:
        """Store a cooldown that the store missed while it was down. True if it was missing."""
        stored = next(
            (
                each
                for each in self._store.read()
                if (each.account_key, each.quota) == (known.account_key, known.quota)
            ),
            None,
        )
        if stored is not None and stored.changed_at >= known.changed_at:
            return False
        self._store.publish(known)
        return True


def _log_unshared(health: AccountHealth, error: GatewayError) -> None:
    log.warning("pool.unshared", extra={"account": id_of(health.account_key), "reason": error.code})


def _log(change: AccountHealth, now: float, said: dict[str, Any] | None) -> None:
    account, quota = id_of(change.account_key), quota_class(change.quota) or None
    match change.state:
        case HealthState.COOLING:
            facts = {
                "account": account,
                "quota": quota,
                "model": change.quota.partition(":")[2] or None,  # for this one alone
                "cause": change.cause,
                "seconds": round((change.cooling_until or now) - now, 1),
                "strikes": change.consecutive_failures,
                "said": said,
            }
            log.warning("account.cooling", extra=facts)
        case HealthState.REJECTED:
            log.warning(
                "account.refused", extra={"account": account, "reason": change.cause, "said": said}
            )
        case HealthState.READY:
            log.info("account.ready", extra={"account": account, "quota": quota})
