"""How a caller stands with what it may ask for, when a request of it comes in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from gbproxy.errors import RateLimitExceeded
from gbproxy.rate_limits.store import RateStatus


@dataclass(frozen=True, slots=True)
class Tokens:
    """Of a day in UTC; `reset_s`: seconds to its end."""

    limit: int
    used: int
    reset_s: float

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)

    def refusal(self) -> RateLimitExceeded:
        """The error of a request for which nothing is left."""
        return RateLimitExceeded(
            f"the {self.limit} tokens of this day are used up; the next begins at 00:00 UTC",
            retry_after=self.reset_s,
        )


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """None: not limited, or not known while what counts is away."""

    requests: RateStatus | None = None
    tokens: Tokens | None = None

    @property
    def exhausted(self) -> Literal["tokens", "requests"] | None:
        """What stands against the request, the longest wait first."""
        if self.tokens is not None and not self.tokens.remaining:
            return "tokens"
        return "requests" if self.requests is not None and not self.requests.is_taken else None

    def refusal(self) -> RateLimitExceeded | None:
        """What stands against the request, as its error."""
        if self.tokens is not None and self.exhausted == "tokens":
            return self.tokens.refusal()
        if self.requests is not None and self.exhausted == "requests":
            return RateLimitExceeded(
                f"more requests than {self.requests.rate}; the next may come in"
                f" {math.ceil(self.requests.reset_s)} s",
                retry_after=self.requests.reset_s,
            )
        return None
