"""Counts behind the limits, for all workers together: the contract of their store, and the status
of a limit.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, Protocol

from gbproxy.domain.principal import Rate
from gbproxy.errors import RateLimitExceeded


@dataclass(frozen=True, slots=True)
class RateStatus:
    """The rest of a rate; `is_taken`: the request was counted, so it may pass. `reset_s`: seconds
    until one more is free; 0.0 when all are.
    """

    rate: Rate
    is_taken: bool
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class TokenStatus:
    """The tokens of a day in UTC; `reset_s`: seconds until it ends."""

    limit: int
    used: int
    reset_s: float

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)

    def refusal(self) -> RateLimitExceeded:
        """The error for a request when no token is left."""
        return RateLimitExceeded(
            f"the {self.limit} tokens of this day are used up; the next begins at 00:00 UTC",
            retry_after=self.reset_s,
        )


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """The rest of an API key's limits, sent with every answer. None: not limited, or not known
    while the store is away.
    """

    requests: RateStatus | None = None
    tokens: TokenStatus | None = None

    @property
    def exhausted(self) -> Literal["tokens", "requests"] | None:
        """The limit that refuses the request; of both that with the longer wait, the tokens."""
        if self.tokens is not None and not self.tokens.remaining:
            return "tokens"
        return "requests" if self.requests is not None and not self.requests.is_taken else None

    def refusal(self) -> RateLimitExceeded | None:
        """The error for the request, None when no limit refuses it."""
        if self.tokens is not None and self.exhausted == "tokens":
            return self.tokens.refusal()
        if self.requests is not None and self.exhausted == "requests":
            return RateLimitExceeded(
                f"more requests than {self.requests.rate}; the next may come in"
                f" {math.ceil(self.requests.reset_s)} s",
                retry_after=self.requests.reset_s,
            )
        return None


class LimitStore(Protocol):
    """Each call is atomic over all workers. It may raise StorageUnavailable, within a second."""

    def hit(self, name: str, rate: Rate) -> RateStatus:
        """Take one of the rate, if one is left in the window that ends now. `remaining` may be
        lower than it was at that moment: later hits count, too.
        """
        ...

    def hold(self, name: str, for_s: float) -> float:
        """Hold `name` for `for_s` seconds: 0.0, or the seconds until it is free when it is held."""
        ...

    def add(self, name: str, amount: int, keep_s: int) -> None:
        """Add to a sum; `amount` may be negative. The sum ends `keep_s` seconds after its first."""
        ...

    def add_below(self, name: str, amount: int, limit: int, keep_s: int) -> bool:
        """Add to a sum if that is below `limit`; False when it is not."""
        ...

    def read(self, name: str) -> int:
        """A sum, 0 when there is none."""
        ...

    def acquire(self, name: str, member: str, limit: int, for_s: float) -> bool:
        """Take one of `limit` slots of `name` for `for_s` seconds; False when all are taken."""
        ...

    def renew(self, members: Collection[tuple[str, str]], for_s: float) -> None:
        """Keep slots (name, member) for `for_s` seconds from now, also those that had expired."""
        ...

    def release(self, name: str, member: str) -> None:
        """Free a slot; one that is not held is ignored."""
        ...
