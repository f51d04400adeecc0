"""Lends accounts to requests; with all of them busy, requests wait in line."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

from gbproxy.accounts.health import (
    MAY_BE_ASKED,
    TRIAL_S,
    AccountHealth,
    Condition,
    HealthStore,
    PooledAccount,
)
from gbproxy.accounts.health_store import HealthPublisher
from gbproxy.accounts.lease_queue import Lease, LeaseRequest, Waiter
from gbproxy.accounts.members import Members
from gbproxy.accounts.shortage import nothing_to_try
from gbproxy.domain.account import Account, QuotaClass
from gbproxy.errors import GatewayError, Overloaded, UpstreamTimeout
from gbproxy.observability import request_context
from gbproxy.observability.meter import Meter
from gbproxy.observability.request_context import Phase

log = logging.getLogger(__name__)

Order = Literal["least-busy", "first"]

_RETRY_S = 5.0


class Lending(Members):
    """The members, and who waits for a place with one of them."""

    def __init__(
        self,
        accounts: Iterable[Account],
        concurrency: int,
        wait_s: float,
        order: Order,
        clock: Callable[[], float],
        board: HealthStore,
        meter: Meter,
    ) -> None:
        super().__init__(accounts, concurrency, clock)
        self._wait_s = wait_s
        self._order = order
        self._board = board
        self._meter = meter
        self._telling = HealthPublisher(board, meter)
        # nobody in it can be served: every change sees to that at once
        self._waiting: deque[Waiter] = deque()
        self._due = math.inf  # when time alone will change something

    @contextmanager
    def lease(
        self,
        quota: QuotaClass = "text",
        *,
        wanted: str | None = None,
        preferred: str | None = None,
        excluded: Collection[str] = (),
    ) -> Iterator[Account]:
        """Lend an account that may be asked for this kind of request; with all of these busy, wait
        in order.

        Only the seat `wanted` will do, when it is given; `preferred` is taken when it has a free
        place; `excluded` are ids. When nothing can be tried, or no longer while waiting, the error
        follows the states of what there is: raises UpstreamOverloaded, QuotaExhausted,
        CredentialRefused or NoAccountAvailable; after waiting in vain Overloaded, or
        UpstreamTimeout when the request's time is over.
        """
        lent = self._take(LeaseRequest(quota, wanted, preferred, frozenset(excluded)))
        try:
            yield lent.member.account
        finally:
            self._give_back(lent)

    def _take(self, wish: LeaseRequest) -> Lease:
        """A place, and where a cooldown has just ended also the word of the board that nobody else
        is trying.
        """
        lent = self._place(wish)
        while not self._may_try(lent):
            self._give_back(lent, is_tried_elsewhere=True)
            lent = self._place(wish, comes_back=True)
        return lent

    def _place(self, wish: LeaseRequest, *, comes_back: bool = False) -> Lease:
        with self._lock:
            now = self._clock()
            if self._waiting and now >= self._due:
                self._serve(now)
            member = self._pick(wish, now)
            if member is not None:
                return self._lend(member, wish.quota, now)
            waiter = Waiter(wish)
            if comes_back:
                self._waiting.appendleft(waiter)
            else:
                self._waiting.append(waiter)
        return self._wait(waiter)

    def _pick(self, wish: LeaseRequest, now: float) -> PooledAccount | None:
        """The account that serves this wish best, None when one may later. Raises when none
        will.
        """
        free: list[PooledAccount] = []
        may_come = False
        for member in self._candidates(wish):
            condition = member.condition(wish.quota, now)
            if condition in MAY_BE_ASKED:
                may_come = True
                if member.in_flight < self._concurrency:
                    free.append(member)
            elif condition is Condition.TRIED:
                may_come = True
        if not free:
            if may_come:
                return None
            raise nothing_to_try(self._members.values(), wish, now)
        best = free[0] if self._order == "first" else min(free, key=lambda member: member.in_flight)
        if wish.preferred is None:
            return best
        return next(
            (member for member in free if member.account.account_key == wish.preferred), best
        )

    def _lend(self, member: PooledAccount, quota: QuotaClass, now: float) -> Lease:
        member.in_flight += 1
        self._meter.account_lent(member.account.id)
        member.last_used_at = now
        if member.condition(quota, now) is Condition.READY:
            return Lease(member, quota)
        until = now + TRIAL_S
        # the board notes it by itself
        member.standings[quota] = replace(member.standing(quota), probe_until=until)
        self._due = min(self._due, until)
        return Lease(member, quota, until)

    def _may_try(self, lent: Lease) -> bool:
        if lent.probe_until is None:
            return True
        try:
            return self._board.try_trial(
                lent.member.account.account_key, lent.quota, lent.probe_until
            ) or self._tell_anew(lent)
        except GatewayError as error:  # without the board each worker tries for itself
            log.warning(
                "pool.unshared", extra={"account": lent.member.account.id, "reason": error.code}
            )
            return True
        except BaseException:  # the client has left
            self._give_back(lent)
            raise

    def _tell_anew(self, lent: Lease) -> bool:
        """Whether the board knows nothing of the cooldown that has ended, as it was away when it
        began; now it does.
        """
        known = lent.member.standing(lent.quota)
        rows = (
            row
            for row in self._board.read()
            if (row.account_key, row.quota) == (known.account_key, known.quota)
        )
        row = next(rows, None)
        if row is not None and row.changed_at >= known.changed_at:
            return False
        self._board.publish(known)
        return True

    def _wait(self, waiter: Waiter) -> Lease:
        started = time.perf_counter()
        context = request_context.current()
        context.phase = Phase.WAITING
        wait_s = min(self._wait_s, context.until - time.monotonic())
        try:
            while not waiter.is_served:
                left_s = started + wait_s - time.perf_counter()
                waiter.called.wait(min(left_s, max(self._due - self._clock(), 0.01)))
                with self._lock:
                    waiter.called.clear()
                    now = self._clock()
                    if now >= self._due:
                        self._serve(now)
                    if not waiter.is_served and time.perf_counter() - started >= wait_s:
                        self._waiting.remove(waiter)
                        if wait_s < self._wait_s:
                            raise UpstreamTimeout(
                                "every account was busy for all the time that the request may take"
                            )
                        raise Overloaded(
                            f"every account was busy for {self._wait_s:g} s (ACCOUNT_CONCURRENCY)",
                            retry_after=_RETRY_S,
                        )
            return waiter.result()
        except BaseException:
            self._withdraw(waiter)
            raise
        finally:
            context.queued_s += time.perf_counter() - started

    def _withdraw(self, waiter: Waiter) -> None:
        """The client has left: its turn is the next one's."""
        with self._lock:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
        if waiter.lent is not None:
            self._give_back(waiter.lent)

    def _give_back(self, lent: Lease, *, is_tried_elsewhere: bool = False) -> None:
        """Hand the place to the first in the line that it will do for, or free it. A trial without
        a verdict is over.
        """
        ended: AccountHealth | None = None
        with self._lock:
            now = self._clock()
            lent.member.in_flight -= 1
            self._meter.account_returned(lent.member.account.id)
            known = lent.member.standing(lent.quota)
            if (
                lent.probe_until is not None
                and lent.probe_until == known.probe_until
                and not is_tried_elsewhere
            ):
                ended = lent.member.standings[lent.quota] = replace(
                    known, probe_until=None, changed_at=now
                )
            if ended is not None or now >= self._due:
                self._serve(now)
            elif self._waiting:
                self._serve_place(lent.member, now)
        if ended is not None:
            self._telling.share(ended)

    def _serve_place(self, member: PooledAccount, now: float) -> None:
        for waiter in self._waiting:
            wish = waiter.wish
            if wish.admits(member) and self._is_free(member, wish.quota, now):
                waiter.lent = self._lend(member, wish.quota, now)
                self._waiting.remove(waiter)
                waiter.called.set()
                return

    def _is_free(self, member: PooledAccount, quota: QuotaClass, now: float) -> bool:
        is_here = self._members.get(member.account.id) is member
        has_place = member.in_flight < self._concurrency
        return is_here and has_place and member.condition(quota, now) in MAY_BE_ASKED

    def _serve(self, now: float) -> None:
        """Something has changed: see to everyone who waits, in order."""
        self._due = min(
            (t for member in self._members.values() for t in member.next_change(now)),
            default=math.inf,
        )
        still: list[Waiter] = []
        for waiter in self._waiting:
            try:
                member = self._pick(waiter.wish, now)
            except GatewayError as error:
                waiter.error = error
            else:
                if member is None:
                    still.append(waiter)
                else:
                    waiter.lent = self._lend(member, waiter.wish.quota, now)
            # also of those who wait on: when time will change something may be another moment now
            waiter.called.set()
        self._waiting = deque(still)
