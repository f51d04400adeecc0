"""How old a token is, whoever has signed it: another worker, another machine, or this one before it
was started again.

No clock of this machine is trusted beyond need. Whoever has signed in once knows the upstream's
clock, by which each token is dated; before that, the wall clocks of those who share a database are
taken to agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gbproxy.storage.tokens_cookies import StoredToken
from gbproxy.upstreams.widget.auth.jwt import issued_at

TOLERANCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Token:
    """`minted_at` is on the monotonic clock, `signed_at` on the wall clock, as it stands in the
    records; in seconds.
    """

    bearer: str = field(repr=False)
    minted_at: float
    signed_at: float

    def age_s(self, now: float) -> float:
        """`now`: on the monotonic clock."""
        return now - self.minted_at


class TokenAges:
    """Dates tokens of others on this process' monotonic clock."""

    def __init__(self, clock: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._ahead_s: float | None = None  # the upstream's clock before the monotonic one

    def clock_observed(self, upstream_time: float) -> None:
        """An answer has just told the upstream's clock (Unix seconds)."""
        self._ahead_s = upstream_time - self._monotonic()

    def token(self, stored: StoredToken) -> Token | None:
        """The token of a record, or None if its age cannot be told: it seems to come from the
        future.
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
