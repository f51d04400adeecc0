"""The age of a token that another worker, another machine, or this one before a restart has signed.

Wall clocks are trusted only at need. After one sign-in the process knows the upstream's clock, by
which every token is dated; before that it takes the wall clocks of all workers to agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gbproxy.storage.tokens_cookies import StoredToken
from gbproxy.upstreams.widget.auth.jwt import issued_at

TOLERANCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Token:
    """`minted_at`: monotonic seconds; `signed_at`: Unix seconds, as stored."""

    bearer: str = field(repr=False)
    minted_at: float
    signed_at: float

    def age_s(self, now: float) -> float:
        """`now`: monotonic seconds."""
        return now - self.minted_at


class TokenAges:
    """Dates tokens on this process' monotonic clock."""

    def __init__(self, clock: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._ahead_s: float | None = None  # the upstream's clock minus the monotonic one

    def now(self) -> tuple[float, float]:
        """Monotonic and Unix seconds."""
        return self._monotonic(), self._clock()

    def clock_observed(self, upstream_time: float) -> None:
        """Note the upstream's clock (Unix seconds), which an answer has just told."""
        self._ahead_s = upstream_time - self._monotonic()

    def token(self, stored: StoredToken) -> Token | None:
        """The token of a record; None if it seems to come from the future, so that its age is
        unknown.
        """
        now = self._monotonic()
        issued = issued_at(stored.bearer)
        if self._ahead_s is None or issued is None:
            age = self._clock() - stored.signed_at
        else:
            age = now + self._ahead_s - issued
        if age < -TOLERANCE_S:
            return None
        return Token(stored.bearer, now - max(age, 0.0), stored.signed_at)
