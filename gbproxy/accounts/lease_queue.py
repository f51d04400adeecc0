"""Lend slots of accounts, and queue the requests that wait for one in order."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from gbproxy.accounts.health import PROBE_S, AccountHealth, Condition, PooledAccount
from gbproxy.accounts.health_store import HealthPublisher
from gbproxy.accounts.selection import LeaseRequest, Order, select
from gbproxy.domain.account import Account, QuotaScope
from gbproxy.errors import GatewayError, Overloaded, UpstreamTimeout
from gbproxy.observability import request_context
from gbproxy.observability.meter import Meter
from gbproxy.observability.request_context import Phase

_RETRY_S = 5.0
_LEAST_WAIT_S = 0.01  # the clock may stand a little before the moment that was waited for


@dataclass(frozen=True, slots=True)
class Lease:
    """A slot of an account, given back at the end of its `with` block. With `probe_until` the
    request probes the account after a cooldown.
    """

    queue: LeaseQueue
    pooled: PooledAccount
    quota: QuotaScope
    probe_until: float | None = None

    def __enter__(self) -> Account:
        return self.pooled.account

    def __exit__(self, *_: object) -> None:
        self.queue.release(self)


@dataclass(eq=False, slots=True)
class _Waiter:
    """A request in the queue, and its result: a lease or an error."""

    request: LeaseRequest
    notified: threading.Event = field(default_factory=threading.Event)
    lease: Lease | None = None
    error: GatewayError | None = None

    @property
    def is_served(self) -> bool:
        return self.lease is not None or self.error is not None

    def result(self) -> Lease:
        """The lease. Raises the error that the request got in its place."""
        if self.lease is None:
            raise self.error or RuntimeError("this one is still waiting")
        return self.lease


class LeaseQueue:
    """Safe for use by many threads at once.

    No request in the queue can be served: code that changes an account calls `dispatch` before it
    releases `lock`.
    """

    def __init__(
        self,
        accounts: Mapping[str, PooledAccount],
        lock: threading.Lock,
        *,
        concurrency: int,
        wait_s: float,
        order: Order,
        clock: Callable[[], float],
        publisher: HealthPublisher,
        meter: Meter,
    ) -> None:
        """`accounts`: the pool's own, by id, guarded by `lock`."""
        self._accounts = accounts
        self._lock = lock
        self._concurrency = concurrency
        self._wait_s = wait_s
        self._order: Order = order
        self._clock = clock
        self._publisher = publisher
        self._meter = meter
        self._waiters: deque[_Waiter] = deque()
        self._due = math.inf  # when time alone will change a condition

    def acquire(self, request: LeaseRequest) -> Lease:
        """A slot, and after a cooldown the probe too. Raises as `Pool.lease` does."""
        lease = self._enqueue(request)
        while lease.probe_until is not None and not self._takes_probe(lease, lease.probe_until):
            self.release(lease, is_probed_elsewhere=True)
            lease = self._enqueue(request, requeue_first=True)
        return lease

    def release(self, lease: Lease, *, is_probed_elsewhere: bool = False) -> None:
        """Hand the slot to the first waiter that it will do for, or free it."""
        ended: AccountHealth | None = None
        pooled = lease.pooled
        with self._lock:
            now = self._clock()
            pooled.in_flight -= 1
            self._meter.account_returned(pooled.account.id)
            if lease.probe_until is not None and not is_probed_elsewhere:
                ended = self._end_probe(lease, now)
            if ended is not None or now >= self._due:
                self.dispatch(now)
            elif self._waiters:
                self._dispatch_slot(pooled, now)
        if ended is not None:
            self._publisher.share(ended)

    def dispatch(self, now: float) -> None:
        """Serve all waiters that can be served after a change, in order. The lock is held."""
        self._due = min(
            (
                moment
                for pooled in self._accounts.values()
                if pooled.known
                for moment in pooled.next_changes(now)
            ),
            default=math.inf,
        )
        left: deque[_Waiter] = deque()
        for waiter in self._waiters:
            try:
                pooled = self._select(waiter.request, now)
            except GatewayError as error:
                waiter.error = error
            else:
                if pooled is None:
                    left.append(waiter)
                else:
                    waiter.lease = self._lease(pooled, waiter.request.quota, now)
            # Also the ones that go on waiting: `_due`, up to which they sleep, may have moved.
            waiter.notified.set()
        self._waiters = left

    def _enqueue(self, request: LeaseRequest, *, requeue_first: bool = False) -> Lease:
        with self._lock:
            now = self._clock()
            if self._waiters and now >= self._due:
                self.dispatch(now)
            pooled = self._select(request, now)
            if pooled is not None:
                return self._lease(pooled, request.quota, now)
            waiter = _Waiter(request)
            if requeue_first:
                self._waiters.appendleft(waiter)
            else:
                self._waiters.append(waiter)
        return self._wait(waiter)

    def _select(self, request: LeaseRequest, now: float) -> PooledAccount | None:
        return select(
            self._accounts.values(),
            request,
            concurrency=self._concurrency,
            order=self._order,
            now=now,
        )

    def _lease(self, pooled: PooledAccount, quota: QuotaScope, now: float) -> Lease:
        pooled.in_flight += 1
        self._meter.account_leased(pooled.account.id)
        pooled.last_used_at = now
        if pooled.condition(quota, now) is Condition.READY:
            return Lease(self, pooled, quota)
        until = now + PROBE_S
        # Not published: the store notes the probe when it is taken.
        pooled.known[quota] = replace(pooled.health(quota), probe_until=until)
        self._due = min(self._due, until)
        return Lease(self, pooled, quota, until)

    def _takes_probe(self, lease: Lease, until: float) -> bool:
        try:
            return self._publisher.try_probe(lease.pooled.health(lease.quota), lease.quota, until)
        except BaseException:  # the client has left
            self.release(lease)
            raise

    def _end_probe(self, lease: Lease, now: float) -> AccountHealth | None:
        """End a probe without a verdict: the next request may try. The lock is held."""
        known = lease.pooled.health(lease.quota)
        if known.probe_until != lease.probe_until:
            return None
        ended = lease.pooled.known[lease.quota] = replace(known, probe_until=None, changed_at=now)
        return ended

    def _dispatch_slot(self, pooled: PooledAccount, now: float) -> None:
        """Lend one free slot to the first waiter that it will do for. The lock is held."""
        for waiter in self._waiters:
            request = waiter.request
            if request.admits(pooled) and self._is_free(pooled, request.quota, now):
                waiter.lease = self._lease(pooled, request.quota, now)
                self._waiters.remove(waiter)
                waiter.notified.set()
                return

    def _is_free(self, pooled: PooledAccount, quota: QuotaScope, now: float) -> bool:
        is_pooled = self._accounts.get(pooled.account.id) is pooled
        has_capacity = pooled.in_flight < self._concurrency
        return is_pooled and has_capacity and pooled.is_available(quota, now)

    def _wait(self, waiter: _Waiter) -> Lease:
        started = time.perf_counter()
        context = request_context.current()
        context.phase = Phase.WAITING
        wait_s = min(self._wait_s, context.until - time.monotonic())
        try:
            while not waiter.is_served:
                left_s = started + wait_s - time.perf_counter()
                waiter.notified.wait(min(left_s, max(self._due - self._clock(), _LEAST_WAIT_S)))
                with self._lock:
                    waiter.notified.clear()
                    now = self._clock()
                    if now >= self._due:
                        self.dispatch(now)
                    if not waiter.is_served and time.perf_counter() - started >= wait_s:
                        self._waiters.remove(waiter)
                        raise self._timeout_error(wait_s)
            return waiter.result()
        except BaseException:
            self._withdraw(waiter)
            raise
        finally:
            context.queued_s += time.perf_counter() - started

    def _timeout_error(self, waited_s: float) -> GatewayError:
        if waited_s < self._wait_s:
            return UpstreamTimeout(
                "every account was busy for all the time that the request may take"
            )
        return Overloaded(
            f"every account was busy for {self._wait_s:g} s (ACCOUNT_CONCURRENCY)",
            retry_after=_RETRY_S,
        )

    def _withdraw(self, waiter: _Waiter) -> None:
        """Leave the queue; a slot that was leased just now goes to the next in it."""
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        if waiter.lease is not None:
            self.release(waiter.lease)
