"""The accounts of this worker's pool, and what can be asked about them without changing
anything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from gbproxy.accounts.health import MAY_BE_ASKED, AccountView, Condition, PooledAccount
from gbproxy.accounts.lease_queue import LeaseRequest
from gbproxy.accounts.shortage import seconds_until
from gbproxy.domain.account import QUOTA_CLASSES, Account, QuotaClass


class Members:
    """In order, each with its places and its states; safe for use by many threads at once."""

    def __init__(
        self, accounts: Iterable[Account], concurrency: int, clock: Callable[[], float]
    ) -> None:
        self._members = {account.id: PooledAccount(account) for account in accounts}
        self._concurrency = concurrency
        self._clock = clock
        self._lock = threading.Lock()

    def is_ready(self, account_id: str, quota: QuotaClass = "text") -> bool:
        """Whether this account may be asked, be it busy or not."""
        with self._lock:
            member = self._members.get(account_id)
            return member is not None and member.condition(quota, self._clock()) in MAY_BE_ASKED

    def may_ask(
        self,
        quota: QuotaClass = "text",
        *,
        wanted: str | None = None,
        excluded: Collection[str] = (),
    ) -> bool:
        """Whether some account, or the one with the seat `wanted`, may be asked, or soon, beside
        these.
        """
        wish = LeaseRequest(quota, wanted, excluded=frozenset(excluded))
        with self._lock:
            now = self._clock()
            conditions = [member.condition(quota, now) for member in self._candidates(wish)]
        return any(condition in (*MAY_BE_ASKED, Condition.TRIED) for condition in conditions)

    def resting(self, account_id: str) -> Collection[QuotaClass]:
        """The kinds of request for which this account rests."""
        with self._lock:
            member = self._members.get(account_id)
            if member is None or not member.standings:
                return ()
            now = self._clock()
            return [
                quota
                for quota in QUOTA_CLASSES
                if member.standing(quota).cools_until(now) is not None
            ]

    def has_place(self, account_id: str) -> bool:
        """Whether fewer answers run on this account than may."""
        with self._lock:
            member = self._members.get(account_id)
            return member is not None and member.in_flight < self._concurrency

    def without_place(self, quota: QuotaClass = "text") -> Sequence[str]:
        """The seats that a request would not get at once: not to be asked at the moment, or
        busy.
        """
        with self._lock:
            now = self._clock()
            return [
                member.account.account_key
                for member in self._members.values()
                if member.in_flight >= self._concurrency
                or member.condition(quota, now) not in MAY_BE_ASKED
            ]

    def recovery_s(self, quota: QuotaClass = "text", *, wanted: str | None = None) -> float | None:
        """Seconds until an account may be asked (again), at least one; None when time alone brings
        none back.
        """
        with self._lock:
            now = self._clock()
            moments = []
            for member in self._candidates(LeaseRequest(quota, wanted)):
                match member.condition(quota, now):
                    case Condition.READY | Condition.DUE:
                        moments.append(now)
                    case Condition.COOLING | Condition.TRIED:
                        known = member.standing(quota)
                        moments.append(known.cools_until(now) or known.tried_until(now) or now)
                    case Condition.REFUSED | Condition.DISABLED:
                        pass
            return seconds_until(min(moments), now) if moments else None

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
            return tuple(
                m.account for m in self._members.values() if m.is_active and m.refusal is not None
            )

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
        """By account id, how many answers are running on it in this worker; those without any are
        left out.
        """
        with self._lock:
            return {
                id_: member.in_flight for id_, member in self._members.items() if member.in_flight
            }

    def snapshot(self) -> Sequence[AccountView]:
        """Every account as it stands, in order."""
        with self._lock:
            now = self._clock()
            return tuple(member.view(now) for member in self._members.values())

    def _candidates(self, wish: LeaseRequest) -> Iterator[PooledAccount]:
        return (member for member in self._members.values() if wish.admits(member))
