"""The waiting line's own vocabulary: what a request needs, what it was given, and that it waits."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from gbproxy.accounts.health import PooledAccount
from gbproxy.domain.account import QuotaClass
from gbproxy.errors import GatewayError


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """What a request needs of an account; `wanted` and `preferred` are seats, `excluded` are
    ids.
    """

    quota: QuotaClass
    wanted: str | None = None
    preferred: str | None = None
    excluded: frozenset[str] = frozenset()

    def admits(self, member: PooledAccount) -> bool:
        is_wanted = self.wanted is None or self.wanted == member.account.account_key
        return is_wanted and member.account.id not in self.excluded


@dataclass(frozen=True, slots=True)
class Lease:
    """A place on an account; with `probe_until` this request finds out whether the account may be
    asked again.
    """

    member: PooledAccount
    quota: QuotaClass
    probe_until: float | None = None


@dataclass(eq=False, slots=True)
class Waiter:
    """A request that waits, and what it was given in the end."""

    wish: LeaseRequest
    called: threading.Event = field(default_factory=threading.Event)
    lent: Lease | None = None
    error: GatewayError | None = None

    @property
    def is_served(self) -> bool:
        return self.lent is not None or self.error is not None

    def result(self) -> Lease:
        """The place. Raises the error that was given in its stead."""
        if self.lent is None:
            raise self.error or RuntimeError("this one is still waiting")
        return self.lent
