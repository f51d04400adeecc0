"""The port of what is counted for callers, by all workers together."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from gbproxy.settings import Rate


@dataclass(frozen=True, slots=True)
class RateStatus:
    """How it stands with a rate. `reset_s`: seconds until one more comes free; 0.0 when all are."""

    rate: Rate
    is_taken: bool
    remaining: int
    reset_s: float


class LimitStore(Protocol):
    """Each call is one step that nothing comes between, over all workers. It may raise
    StorageUnavailable, soon.
    """

    def hit(self, name: str, rate: Rate) -> RateStatus:
        """Take one of the rate, if one is left in the time that ends now. `remaining` knows of
        those who came right behind.
        """
        ...

    def reserve(self, name: str, for_s: float) -> float:
        """Have `name` for so long; 0.0 when it was free, else the seconds until it is."""
        ...

    def add(self, name: str, amount: int, keep_s: int) -> None:
        """Count up, or down by a negative amount; what was counted is forgotten so long after the
        first of it.
        """
        ...

    def add_below(self, name: str, amount: int, limit: int, keep_s: int) -> bool:
        """Count up, if less than `limit` was counted before."""
        ...

    def read(self, name: str) -> int:
        """What was counted."""
        ...

    def enter(self, name: str, member: str, limit: int, for_s: float) -> bool:
        """Become one of at most so many members of `name`, for so long unless it is renewed or left
        before.
        """
        ...

    def renew(self, members: Collection[tuple[str, str]], for_s: float) -> None:
        """Stay for so long from now: (name, member) of each."""
        ...

    def leave(self, name: str, member: str) -> None: ...
