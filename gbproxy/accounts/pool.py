"""Lends accounts to requests, and learns from how these end."""

from __future__ import annotations

import logging
import math
import random as chance
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

from gbproxy.accounts.learning import cooled, refused, taken_over
from gbproxy.accounts.line import Lent, Waiter, Wish
from gbproxy.accounts.rules import Then, rule_for
from gbproxy.accounts.shortage import nothing_to_try, seconds_until
from gbproxy.accounts.states import MAY_BE_ASKED, TRIAL_S, AccountView, Alone, Board, Condition, Member, Standing
from gbproxy.domain import jitter
from gbproxy.domain.account import QUOTA_CLASSES, Account, QuotaClass, id_of
from gbproxy.errors import GatewayError, Overloaded
from gbproxy.observability import trace
from gbproxy.observability.meter import SILENT, Meter
from gbproxy.observability.trace import Phase

log = logging.getLogger(__name__)

Order = Literal["least-busy", "first"]

_RETRY_S = 5.0


class Pool:
    """The accounts, each with a number of places and a state for each kind of request; safe for use by many threads at once.

    What one worker learns goes onto the `board`, outside of the lock; whoever polls it hands what others have learnt to
    `refresh`.
    """

    def __init__(
        self,
        accounts: Iterable[Account],
        *,
        concurrency: int = 8,
        wait_s: float = 120,
        order: Order = "least-busy",
        clock: Callable[[], float] = time.time,
        board: Board | None = None,
        random: chance.Random | None = None,
        meter: Meter = SILENT,
    ) -> None:
        """`concurrency`: answers at once on one account; a request waits for a place for `wait_s` seconds at most."""
        self._members = {account.id: Member(account) for account in accounts}
        self._concurrency = concurrency
        self._wait_s = wait_s
        self._order = order
        self._clock = clock
        self._board = board or Alone()
        self._meter = meter
        self._uniform = random.uniform if random is not None else jitter.uniform
        self._waiting: deque[Waiter] = deque()  # nobody in it can be served: every change sees to that at once
        self._due = math.inf  # when time alone will change something
        self._untold: dict[tuple[str, str], Standing] = {}
        self._untold_errors: dict[str, tuple[str | None, float]] = {}
        self._lock = threading.Lock()

    # Lending

    @contextmanager
    def lease(
        self,
        quota: QuotaClass = "text",
        *,
        wanted: str | None = None,
        preferred: str | None = None,
        excluded: Collection[str] = (),
    ) -> Iterator[Account]:
        """Lend an account that may be asked for this kind of request; with all of these busy, wait in order.

        Only the seat `wanted` will do, when it is given; `preferred` is taken when it has a free place; `excluded` are ids.
        When nothing can be tried, or no longer while waiting, the error follows the states of what there is: raises
        UpstreamOverloaded, QuotaExhausted, CredentialRefused or NoAccountAvailable; after waiting in vain Overloaded.
        """
        lent = self._take(Wish(quota, wanted, preferred, frozenset(excluded)))
        try:
            yield lent.member.account
        finally:
            self._give_back(lent)

    def _take(self, wish: Wish) -> Lent:
        """A place, and where a cooldown has just ended also the word of the board that nobody else is trying."""
        lent = self._place(wish)
        while not self._may_try(lent):
            self._give_back(lent, is_tried_elsewhere=True)
            lent = self._place(wish, comes_back=True)
        return lent

    def _place(self, wish: Wish, *, comes_back: bool = False) -> Lent:
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

    def _pick(self, wish: Wish, now: float) -> Member | None:
        """The account that serves this wish best, None when one may later. Raises when none will."""
        free: list[Member] = []
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
        return next((member for member in free if member.account.seat == wish.preferred), best)

    def _candidates(self, wish: Wish) -> Iterator[Member]:
        return (member for member in self._members.values() if wish.admits(member))

    def _lend(self, member: Member, quota: QuotaClass, now: float) -> Lent:
        member.in_flight += 1
        self._meter.account_lent(member.account.id)
        member.last_used_at = now
        if member.condition(quota, now) is Condition.READY:
            return Lent(member, quota)
        until = now + TRIAL_S
        member.standings[quota] = replace(member.standing(quota), trial_until=until)  # the board notes it by itself
        self._due = min(self._due, until)
        return Lent(member, quota, until)

    def _may_try(self, lent: Lent) -> bool:
        if lent.trial_until is None:
            return True
        try:
            return self._board.try_trial(lent.member.account.seat, lent.quota, lent.trial_until) or self._tell_anew(
                lent
            )
        except GatewayError as error:  # without the board each worker tries for itself
            log.warning("pool.unshared", extra={"account": lent.member.account.id, "reason": error.code})
            return True
        except BaseException:  # the client has left
            self._give_back(lent)
            raise

    def _tell_anew(self, lent: Lent) -> bool:
        """Whether the board knows nothing of the cooldown that has ended, as it was away when it began; now it does."""
        known = lent.member.standing(lent.quota)
        rows = (row for row in self._board.read() if (row.account_id, row.quota) == (known.account_id, known.quota))
        row = next(rows, None)
        if row is not None and row.changed_at >= known.changed_at:
            return False
        self._board.publish(known)
        return True

    def _wait(self, waiter: Waiter) -> Lent:
        started = time.perf_counter()
        trace.current().phase = Phase.WAITING
        try:
            while not waiter.is_served:
                left_s = started + self._wait_s - time.perf_counter()
                waiter.called.wait(min(left_s, max(self._due - self._clock(), 0.01)))
                with self._lock:
                    waiter.called.clear()
                    now = self._clock()
                    if now >= self._due:
                        self._serve(now)
                    if not waiter.is_served and time.perf_counter() - started >= self._wait_s:
                        self._waiting.remove(waiter)
                        raise Overloaded(
                            f"every account was busy for {self._wait_s:g} s (ACCOUNT_CONCURRENCY)", retry_after=_RETRY_S
                        )
            return waiter.result()
        except BaseException:
            self._withdraw(waiter)
            raise
        finally:
            trace.current().queued_s += time.perf_counter() - started

    def _withdraw(self, waiter: Waiter) -> None:
        """The client has left: its turn is the next one's."""
        with self._lock:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
        if waiter.lent is not None:
            self._give_back(waiter.lent)

    def _give_back(self, lent: Lent, *, is_tried_elsewhere: bool = False) -> None:
        """Hand the place to the first in the line that it will do for, or free it. A trial without a verdict is over."""
        ended: Standing | None = None
        with self._lock:
            now = self._clock()
            lent.member.in_flight -= 1
            self._meter.account_returned(lent.member.account.id)
            known = lent.member.standing(lent.quota)
            if lent.trial_until is not None and lent.trial_until == known.trial_until and not is_tried_elsewhere:
                ended = lent.member.standings[lent.quota] = replace(known, trial_until=None, changed_at=now)
            if ended is not None or now >= self._due:
                self._serve(now)
            elif self._waiting:
                self._serve_place(lent.member, now)
        if ended is not None:
            self._share(ended)

    def _serve_place(self, member: Member, now: float) -> None:
        for waiter in self._waiting:
            wish = waiter.wish
            if wish.admits(member) and self._is_free(member, wish.quota, now):
                waiter.lent = self._lend(member, wish.quota, now)
                self._waiting.remove(waiter)
                waiter.called.set()
                return

    def _is_free(self, member: Member, quota: QuotaClass, now: float) -> bool:
        is_here = self._members.get(member.account.id) is member
        has_place = member.in_flight < self._concurrency
        return is_here and has_place and member.condition(quota, now) in MAY_BE_ASKED

    def _serve(self, now: float) -> None:
        """Something has changed: see to everyone who waits, in order."""
        self._due = min((t for member in self._members.values() for t in member.next_change(now)), default=math.inf)
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
            waiter.called.set()  # also of those who wait on: when time will change something may be another moment now
        self._waiting = deque(still)

    # Learning

    def failed(self, account: Account, quota: QuotaClass, error: GatewayError, *, took_s: float = 0.0) -> None:
        """Learn from a failure, by the rules: the account may cool down for this kind of request, or be set aside.

        What has begun `took_s` seconds ago teaches nothing if the account was found, or declared, good since.
        """
        rule = rule_for(error)
        if rule.then is Then.ENDS:
            return
        with self._lock:
            member = self._seated(account.seat)
            if member is None:
                return
            now = self._clock()
            if any(member.is_cleared_since(scope, now - took_s) for scope in ("", quota)):
                return
            self._note_error(member, error.message, now)
            change: Standing | None = None
            if rule.refuses and member.account.credential() == account.credential():
                change = refused(member, error, now)
            elif rule.cooldown is not None:
                change = cooled(member.standing(quota), rule.cooldown, error, now, self._uniform)
            if change is not None:
                member.standings[change.quota] = change
                self._serve(now)
        if change is not None:
            self._tell(change, now)

    def succeeded(self, account: Account, quota: QuotaClass) -> None:
        """The upstream has begun to answer: a cooldown that is over, and the strikes before it, are forgotten."""
        with self._lock:
            member = self._seated(account.seat)
            known = member.standings.get(quota) if member is not None else None
            if member is None or known is None or known.state == "ready":
                return
            now = self._clock()
            if known.cools_until(now) is not None:
                return  # this answer had begun before
            self._note_error(member, None, now)
            change = member.standings[quota] = Standing(account.seat, quota, changed_at=now)
            self._serve(now)
        self._tell(change, now)

    def accepted(self, account: Account) -> None:
        """A probe has found the credential good."""
        with self._lock:
            member = self._seated(account.seat)
            if member is None or member.refusal is None or member.account.credential() != account.credential():
                return
            now = self._clock()
            self._note_error(member, None, now)
            change = member.standings[""] = Standing(account.seat, "", changed_at=now)
            self._serve(now)
        self._tell(change, now)

    def refresh(self, standings: Iterable[Standing]) -> None:
        """Take over what other workers have learnt since."""
        with self._lock:
            now = self._clock()
            taken = [standing for standing in standings if self._take_over(standing, now)]
            if taken:
                self._serve(now)

    def _take_over(self, standing: Standing, now: float) -> bool:
        member = self._seated(standing.account_id)
        news = taken_over(member, standing, now) if member is not None else None
        if member is None or news is None:
            return False
        member.standings[news.quota] = news
        return True

    def _note_error(self, member: Member, error: str | None, now: float) -> None:
        member.last_error = error
        self._untold_errors[member.account.id] = (error, now)  # told with the next round: no request waits for it

    def _tell(self, change: Standing, now: float) -> None:
        """Everybody who is to know: those who read the log or the figures, and the other workers."""
        _log_change(change, now)
        cause = change.cause if change.state == "cooling" else ""
        self._meter.account_changed(change.state, change.quota, cause)
        self._share(change)

    def _share(self, change: Standing) -> None:
        try:
            self._board.publish(change)
        except GatewayError as error:  # this worker knows; the others hear of it later
            self._untold[change.account_id, change.quota] = change
            log.warning("pool.unshared", extra={"account": id_of(change.account_id), "reason": error.code})

    def share_again(self) -> None:
        """Tell the others what they were not told yet, or could not be. Raises the GatewayError of the board."""
        while self._untold:
            key, change = next(iter(self._untold.items()))
            self._board.publish(change)
            if self._untold.get(key) is change:
                del self._untold[key]
        while self._untold_errors:
            account_id, met = next(iter(self._untold_errors.items()))
            if account_id in self._members:
                self._board.failed(account_id, *met)
            if self._untold_errors.get(account_id) is met:
                del self._untold_errors[account_id]

    # Changing

    def replace(self, accounts: Iterable[Account], *, disabled: Collection[str] = ()) -> None:
        """From now on these are the accounts, in this order. A changed credential forgets that the old one was refused.

        What is another seat under the same id begins anew.
        """
        with self._lock:
            now = self._clock()
            changes: list[Standing] = []
            members: dict[str, Member] = {}
            for account in accounts:
                member = self._seated(account.seat) or Member(account)
                if member.refusal is not None and member.account.credential() != account.credential():
                    change = member.standings[""] = Standing(account.seat, "", changed_at=now)
                    changes.append(change)
                member.account = account
                member.is_active = account.id not in disabled
                members[account.id] = member
            self._members = members
            self._serve(now)
        for change in changes:
            self._share(change)

    def enable(self, account_id: str) -> None:
        self._switch(account_id, is_active=True)

    def disable(self, account_id: str) -> None:
        """Lend this account to nobody any more; what runs on it goes on."""
        self._switch(account_id, is_active=False)

    def _switch(self, account_id: str, *, is_active: bool) -> None:
        with self._lock:
            member = self._members.get(account_id)
            if member is not None:
                member.is_active = is_active
                self._serve(self._clock())

    def clear_cooldown(self, account_id: str) -> None:
        """Forget every cooldown of an account, and the strikes that led to it."""
        with self._lock:
            member = self._members.get(account_id)
            if member is None:
                return
            now = self._clock()
            kept = {scope: known for scope, known in member.standings.items() if scope == ""}
            changes = [
                Standing(member.account.seat, scope, changed_at=now) for scope in member.standings.keys() - kept.keys()
            ]
            member.standings = kept | {change.quota: change for change in changes}
            self._serve(now)
        for change in changes:
            self._share(change)

    # Looking

    def is_ready(self, account_id: str, quota: QuotaClass = "text") -> bool:
        """Whether this account may be asked, be it busy or not."""
        with self._lock:
            member = self._members.get(account_id)
            return member is not None and member.condition(quota, self._clock()) in MAY_BE_ASKED

    def may_ask(self, quota: QuotaClass = "text", *, excluded: Collection[str] = ()) -> bool:
        """Whether some account may be asked, or soon, beside these."""
        wish = Wish(quota, excluded=frozenset(excluded))
        with self._lock:
            now = self._clock()
            conditions = [member.condition(quota, now) for member in self._candidates(wish)]
        return any(condition in (*MAY_BE_ASKED, Condition.TRIED) for condition in conditions)

    def has_place(self, account_id: str) -> bool:
        """Whether fewer answers run on this account than may."""
        with self._lock:
            member = self._members.get(account_id)
            return member is not None and member.in_flight < self._concurrency

    def without_place(self, quota: QuotaClass = "text") -> Sequence[str]:
        """The seats that a request would not get at once: not to be asked at the moment, or busy."""
        with self._lock:
            now = self._clock()
            return [m.account.seat for m in self._members.values() if not self._is_free(m, quota, now)]

    def recovery_s(self, quota: QuotaClass = "text", *, wanted: str | None = None) -> float | None:
        """Seconds until an account may be asked (again), at least one; None when time alone brings none back."""
        with self._lock:
            now = self._clock()
            moments = []
            for member in self._candidates(Wish(quota, wanted)):
                match member.condition(quota, now):
                    case Condition.READY | Condition.DUE:
                        moments.append(now)
                    case Condition.COOLING | Condition.TRIED:
                        known = member.standing(quota)
                        moments.append(known.cools_until(now) or known.tried_until(now) or now)
                    case Condition.REFUSED | Condition.DISABLED:
                        pass
            return seconds_until(min(moments), now) if moments else None

    def _seated(self, seat: str) -> Member | None:
        """The account with this seat, if it is still there. The lock is held."""
        member = self._members.get(id_of(seat))
        return member if member is not None and member.account.seat == seat else None

    def account(self, account_id: str) -> Account | None:
        with self._lock:
            member = self._members.get(account_id)
            return member.account if member is not None else None

    def accounts(self) -> Sequence[Account]:
        """All of them, in order, whatever their state."""
        with self._lock:
            return tuple(member.account for member in self._members.values())

    def enabled(self) -> Sequence[Account]:
        """Those that are not disabled by hand."""
        with self._lock:
            return tuple(member.account for member in self._members.values() if member.is_active)

    def refused(self) -> Sequence[Account]:
        """The enabled accounts whose credential is set aside: a probe may find it good again."""
        with self._lock:
            return tuple(m.account for m in self._members.values() if m.is_active and m.refusal is not None)

    def usable(self) -> int:
        """How many accounts could serve a request."""
        with self._lock:
            now = self._clock()
            return sum(
                any(member.condition(quota, now) in MAY_BE_ASKED for quota in QUOTA_CLASSES)
                for member in self._members.values()
            )

    def in_flight(self) -> int:
        """How many answers are running on all accounts, in this worker."""
        with self._lock:
            return sum(member.in_flight for member in self._members.values())

    def running(self) -> Mapping[str, int]:
        """By account id, how many answers are running on it in this worker; those without any are left out."""
        with self._lock:
            return {id_: member.in_flight for id_, member in self._members.items() if member.in_flight}

    def snapshot(self) -> Sequence[AccountView]:
        """Every account as it stands, in order."""
        with self._lock:
            now = self._clock()
            return tuple(member.view(now) for member in self._members.values())


def _log_change(change: Standing, now: float) -> None:
    account, quota = id_of(change.account_id), change.quota or None
    match change.state:
        case "cooling":
            seconds = round((change.cooling_until or now) - now, 1)
            facts = {
                "account": account,
                "quota": quota,
                "cause": change.cause,
                "seconds": seconds,
                "strikes": change.strikes,
            }
            log.warning("account.cooling", extra=facts)
        case "refused":
            log.warning("account.refused", extra={"account": account, "reason": change.cause})
        case "ready":
            log.info("account.ready", extra={"account": account, "quota": quota})
