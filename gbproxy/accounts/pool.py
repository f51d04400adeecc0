"""The accounts of one worker: leased to requests, and judged by how these end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

from gbproxy.accounts import selection
from gbproxy.accounts.failure_policy import Retry, paused_by, policy_for
from gbproxy.accounts.health import AccountHealth, HealthState, PooledAccount, Scope
from gbproxy.accounts.health_changes import cooled_down, merged, rejected
from gbproxy.accounts.health_store import HealthPublisher, HealthStore, LocalHealthStore
from gbproxy.accounts.lease_queue import LeaseQueue
from gbproxy.accounts.selection import LeaseRequest, Order
from gbproxy.domain.account import (
    QUOTA_CLASSES,
    Account,
    AccountView,
    QuotaClass,
    QuotaScope,
    id_of,
    quota_class,
)
from gbproxy.domain.clock import jitter
from gbproxy.errors import GatewayError
from gbproxy.observability.meter import SILENT, Meter


class Pool:
    """Accounts in order, each with slots and a health for each quota class. Safe for many threads.

    This worker's news are published outside of the lock; those of other workers come by `refresh`,
    which the background loop calls.
    """

    def __init__(
        self,
        accounts: Iterable[Account],
        *,
        concurrency: int = 8,
        wait_s: float = 120,
        order: Order = "least-busy",
        clock: Callable[[], float] = time.time,
        store: HealthStore | None = None,
        uniform: Callable[[float, float], float] = jitter,
        meter: Meter = SILENT,
    ) -> None:
        """`concurrency`: slots of each account; a request waits for one for `wait_s` at most."""
        self._accounts = {account.id: PooledAccount(account) for account in accounts}
        self._all = self._accounts.values()
        self._lock = threading.Lock()
        self._concurrency = concurrency
        self._clock = clock
        self._publisher = HealthPublisher(store or LocalHealthStore(), meter)
        self._uniform = uniform
        self._queue = LeaseQueue(
            self._accounts,
            self._lock,
            concurrency=concurrency,
            wait_s=wait_s,
            order=order,
            clock=clock,
            publisher=self._publisher,
            meter=meter,
        )

    def lease(
        self,
        quota: QuotaScope = "text",
        *,
        required: str | None = None,
        preferred: str | None = None,
        excluded: Collection[str] = (),
    ) -> AbstractContextManager[Account]:
        """Lend an account for this quota class, to be used in a `with` block at once; while all are
        busy, wait in order.

        Raises UpstreamOverloaded, QuotaExhausted, CredentialRefused or NoAccountAvailable when no
        account will do, or none any more; Overloaded when all stay busy, UpstreamTimeout when the
        request's own time is over.
        """
        return self._queue.acquire(LeaseRequest(quota, required, preferred, frozenset(excluded)))

    # Learning

    def failed(
        self, account: Account, quota: QuotaScope, error: GatewayError, *, took_s: float = 0.0
    ) -> None:
        """Cool the account down for this quota class, or quarantine it, as the policy says.

        A failure of what began `took_s` seconds ago is ignored if the account was found good since.
        """
        policy = policy_for(error)
        if policy.retry is Retry.NEVER:
            return
        scopes = paused_by(error, quota)
        with self._lock:
            pooled = self._find(account.account_key)
            now = self._clock()
            if pooled is None or pooled.was_cleared_since(now - took_s, ("", *scopes)):
                return
            self._note_error(pooled, error, now)
            changes = (
                rejected(pooled, account, error, now)
                if policy.quarantines
                else cooled_down(pooled, scopes, policy.cooldown, error, now, self._uniform)
            )
            self._apply(pooled, changes, now)
        for change in changes:
            self._publisher.publish(change, now, error.safe_words)

    def call_failed(self, account: Account, error: GatewayError, took_s: float = 0.0) -> None:
        """Apply the policy for a failure that no question has met: of a session that was opened
        ahead, or of a file's link.
        """
        # Only a rejected credential says something about the account: others cost it nothing.
        if policy_for(error).quarantines:
            self.failed(account, "text", error, took_s=took_s)

    def succeeded(self, account: Account, quota: QuotaScope) -> None:
        """The upstream has begun to answer: forget a cooldown that is over, and its failures."""
        if ":" in quota:
            self.succeeded(account, quota_class(quota))
        with self._lock:
            pooled = self._find(account.account_key)
            known = pooled.known.get(quota) if pooled is not None else None
            if pooled is None or known is None or known.state == HealthState.READY:
                return
            now = self._clock()
            if known.cools_until(now) is not None:
                return  # this answer had begun before the cooldown
            change = self._clear(pooled, quota, now)
        self._publisher.publish(change, now)

    def accepted(self, account: Account) -> None:
        """A check has found the credential good: end its quarantine."""
        with self._lock:
            pooled = self._find(account.account_key)
            if pooled is None or pooled.rejection is None or not pooled.has_credential_of(account):
                return
            now = self._clock()
            change = self._clear(pooled, "", now)
        self._publisher.publish(change, now)

    def refresh(self, healths: Iterable[AccountHealth]) -> None:
        """Adopt what other workers have learnt."""
        with self._lock:
            now = self._clock()
            has_changed = False
            for theirs in healths:
                pooled = self._find(theirs.account_key)
                if pooled is not None and (change := merged(pooled, theirs, now)) is not None:
                    pooled.known[change.quota] = change
                    has_changed = True
            if has_changed:
                self._queue.dispatch(now)

    def flush(self) -> None:
        """Publish what is still unpublished. Raises the store's GatewayError."""
        self._publisher.flush(lambda account_id: self.account(account_id) is not None)

    # Administration

    def replace(self, accounts: Iterable[Account], *, disabled: Collection[str] = ()) -> None:
        """From now on these are the accounts, in this order; `disabled` are ids.

        A new credential ends the quarantine of the old one; another upstream identity under the
        same id begins anew.
        """
        changes: list[AccountHealth] = []
        kept: dict[str, PooledAccount] = {}
        with self._lock:
            now = self._clock()
            for account in accounts:
                pooled = self._find(account.account_key) or PooledAccount(account)
                if pooled.rejection is not None and not pooled.has_credential_of(account):
                    pooled.known[""] = AccountHealth(account.account_key, "", changed_at=now)
                    changes.append(pooled.known[""])
                pooled.account = account
                pooled.is_active = account.id not in disabled
                kept[account.id] = pooled
            self._accounts.clear()
            self._accounts.update(kept)
            self._queue.dispatch(now)
        for change in changes:
            self._publisher.share(change)

    def clear_cooldown(self, account_id: str) -> None:
        """Forget every cooldown of an account, and the failures that led to it."""
        with self._lock:
            pooled = self._accounts.get(account_id)
            if pooled is None:
                return
            key, now = pooled.account.account_key, self._clock()
            changes = [AccountHealth(key, scope, changed_at=now) for scope in pooled.known if scope]
            self._apply(pooled, changes, now)
        for change in changes:
            self._publisher.share(change)

    def forget_error(self, account_id: str) -> None:
        """Forget what an account has met last: it was about a sign-in that is replaced."""
        with self._lock:
            pooled = self._accounts.get(account_id)
            if pooled is not None:
                self._note_error(pooled, None, self._clock())

    # Asking

    def is_ready(self, account_id: str, quota: QuotaScope = "text") -> bool:
        """True when this account may be asked, be it busy or not."""
        with self._lock:
            pooled = self._accounts.get(account_id)
            return pooled is not None and pooled.is_available(quota, self._clock())

    def any_available(
        self, quota: QuotaScope, *, required: str | None = None, excluded: Collection[str] = ()
    ) -> bool:
        """True when an account may be asked, or soon, be it busy or not. See `LeaseRequest`."""
        request = LeaseRequest(quota, required, excluded=frozenset(excluded))
        with self._lock:
            return selection.any_available(self._all, request, self._clock())

    def recovery_s(self, quota: QuotaScope) -> float | None:
        """Seconds until an account may be asked, at least one; None if time alone brings none."""
        with self._lock:
            return selection.recovery_s(self._all, quota, self._clock())

    def cooling(self, account_id: str) -> Collection[QuotaClass]:
        """The quota classes for which this account cools down."""
        with self._lock:
            pooled = self._accounts.get(account_id)
            if pooled is None or not pooled.known:
                return ()
            now = self._clock()
            return [q for q in QUOTA_CLASSES if pooled.health(q).cools_until(now) is not None]

    def rejection_causes(self) -> Mapping[str, str]:
        """By account id, why the enabled accounts in quarantine were refused: for clients, so
        without a secret.
        """
        with self._lock:
            return {
                p.account.id: p.rejection.cause for p in self._all if p.is_active and p.rejection
            }

    def exhausted(self) -> Mapping[str, Mapping[QuotaScope, float]]:
        """By account id, the quotas that are used up, each with its end in Unix seconds."""
        with self._lock:
            now = self._clock()
            return {p.account.id: ends for p in self._all if (ends := p.exhausted(now))}

    def saturated(self, quota: QuotaScope = "text") -> Sequence[str]:
        """The keys of the accounts that a request would not get at once."""
        with self._lock:
            now = self._clock()
            return [
                pooled.account.account_key
                for pooled in self._all
                if pooled.in_flight >= self._concurrency or not pooled.is_available(quota, now)
            ]

    def available_count(self) -> int:
        """Count the accounts that could serve a request of some quota class."""
        with self._lock:
            now = self._clock()
            return sum(any(p.is_available(q, now) for q in QUOTA_CLASSES) for p in self._all)

    def account(self, account_id: str) -> Account | None:
        with self._lock:
            pooled = self._accounts.get(account_id)
            return pooled.account if pooled is not None else None

    def accounts(self) -> Sequence[Account]:
        """All of them, in order, whatever their state."""
        with self._lock:
            return tuple(pooled.account for pooled in self._all)

    def enabled(self) -> Sequence[Account]:
        with self._lock:
            return tuple(pooled.account for pooled in self._all if pooled.is_active)

    def rejected(self) -> Sequence[Account]:
        """The enabled accounts in quarantine: a probe may find their credential good again."""
        with self._lock:
            return tuple(p.account for p in self._all if p.is_active and p.rejection is not None)

    def running(self) -> Mapping[str, int]:
        """By account id, how many answers this worker runs; without the accounts that run none."""
        with self._lock:
            return {p.account.id: p.in_flight for p in self._all if p.in_flight}

    def snapshot(self) -> Sequence[AccountView]:
        """A view of every account, in order."""
        with self._lock:
            now = self._clock()
            return tuple(pooled.view(now) for pooled in self._all)

    # The lock is held

    def _find(self, account_key: str) -> PooledAccount | None:
        """The account of this key: not another one under the same id."""
        pooled = self._accounts.get(id_of(account_key))
        return pooled if pooled is not None and pooled.account.account_key == account_key else None

    def _apply(self, pooled: PooledAccount, changes: Sequence[AccountHealth], now: float) -> None:
        for change in changes:
            pooled.known[change.quota] = change
        if changes:
            self._queue.dispatch(now)

    def _clear(self, pooled: PooledAccount, scope: Scope, now: float) -> AccountHealth:
        self._note_error(pooled, None, now)
        change = AccountHealth(pooled.account.account_key, scope, changed_at=now)
        self._apply(pooled, [change], now)
        return change

    def _note_error(self, pooled: PooledAccount, error: GatewayError | None, now: float) -> None:
        pooled.note_error(error)
        self._publisher.note_error(pooled.account.id, error, now)
