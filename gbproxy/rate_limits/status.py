"""What a caller has left of its limits, as it is told with every answer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from gbproxy.errors import RateLimitExceeded
from gbproxy.rate_limits.store import RateStatus


@dataclass(frozen=True, slots=True)
class TokenStatus:
    """The tokens of a day in UTC; `reset_s`: seconds to its end."""

    limit: int
    used: int
    reset_s: float

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)

    def refusal(self) -> RateLimitExceeded:
        """The error of a request for which no token is left."""
        return RateLimitExceeded(
            f"the {self.limit} tokens of this day are used up; the next begins at 00:00 UTC",
            retry_after=self.reset_s,
        )


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """None: not limited, or not known while the store is away."""

    requests: RateStatus | None = None
    tokens: TokenStatus | None = None

    @property
    def exhausted(self) -> Literal["tokens", "requests"] | None:
        """The limit that refuses the request; of both the one with the longer wait."""
        if self.tokens is not None and not self.tokens.remaining:
            return "tokens"
        return "requests" if self.requests is not None and not self.requests.is_taken else None

    def refusal(self) -> RateLimitExceeded | None:
        """The error of the request, None when no limit refuses it."""
        if self.tokens is not None and self.exhausted == "tokens":
            return self.tokens.refusal()
        if self.requests is not None and self.exhausted == "requests":
            return RateLimitExceeded(
                f"more requests than {self.requests.rate}; the next may come in"
                f" {math.ceil(self.requests.reset_s)} s",
                retry_after=self.requests.reset_s,
            )
        return None
