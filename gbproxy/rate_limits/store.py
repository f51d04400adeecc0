"""Where the counts behind the limits are kept, for all workers together: the contract, and the
choice between memory and Redis.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from gbproxy.domain.principal import Rate


@dataclass(frozen=True, slots=True)
class RateStatus:
    """What is left of a rate. `reset_s`: seconds until one more is free; 0.0 when all are."""

    rate: Rate
    is_taken: bool
    remaining: int
    reset_s: float


class LimitStore(Protocol):
    """Each call is atomic over all workers. It may raise StorageUnavailable, within a second."""

    def hit(self, name: str, rate: Rate) -> RateStatus:
        """Take one of the rate, if one is left in the window that ends now. `remaining` may be
        lower than it was at that moment: later hits count, too.
        """
        ...

    def hold(self, name: str, for_s: float) -> float:
        """Hold `name` for `for_s` seconds; 0.0 when it was free, else the seconds until it is."""
        ...

    def add(self, name: str, amount: int, keep_s: int) -> None:
        """Add to a sum, also a negative amount. The sum ends `keep_s` seconds after its first."""
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
        """Keep slots, each given by name and member, for `for_s` seconds from now, also where they
        had expired.
        """
        ...

    def release(self, name: str, member: str) -> None:
        """Free a slot; nothing happens when it is not held."""
        ...


def open_store(redis_url: str | None) -> LimitStore:
    """The store in Redis, or in this process' memory without a URL, for a worker that is the only
    one. Neither connects nor loads a library before its first use.
    """
    if redis_url is None:
        from gbproxy.rate_limits.memory_store import MemoryLimitStore

        return MemoryLimitStore(time.monotonic)
    from gbproxy.rate_limits.redis_store import RedisLimitStore

    return RedisLimitStore(redis_url)
