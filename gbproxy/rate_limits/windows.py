"""Rates and sums by the library `limits`, over any of its storages. Windows move: fixed ones would
let twice the rate pass around their border.

Source: https://limits.readthedocs.io/en/stable/strategies.html#moving-window
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from limits import RateLimitItemPerSecond
from limits.storage import MovingWindowSupport, Storage
from limits.strategies import MovingWindowRateLimiter

from gbproxy.domain.principal import Rate
from gbproxy.rate_limits.store import RateStatus

_TIDY_EVERY = 1024  # entries


class MovingWindows:
    """`clock`: seconds, of the clock that the storage reads."""

    def __init__(self, storage: Storage, clock: Callable[[], float]) -> None:
        self._storage = storage
        self._clock = clock
        self._limiter = MovingWindowRateLimiter(storage)

    def hit(self, name: str, rate: Rate) -> RateStatus:
        item = RateLimitItemPerSecond(rate.amount, rate.per_s)
        is_taken = self._limiter.hit(item, name)
        stats = self._limiter.get_window_stats(item, name)
        left_s = stats.reset_time - self._clock() if stats.remaining < rate.amount else 0.0
        remaining = max(0, stats.remaining) if is_taken else 0
        return RateStatus(rate, is_taken, remaining, min(max(0.0, left_s), rate.per_s))

    def add(self, name: str, amount: int, keep_s: int) -> None:
        self._storage.incr(name, keep_s, amount)

    def read(self, name: str) -> int:
        return self._storage.get(name)


class MemoryStorage(Storage, MovingWindowSupport):
    """A storage of the library in memory; its user locks.

    The library's own memory storage reads the wall clock, which may be set back, starts a thread
    for nearly each entry, and copies all windows whenever one of them ends.
    """

    STORAGE_SCHEME = None

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        # By key: the window's seconds, and the times of its hits.
        self._entries: dict[str, tuple[float, deque[float]]] = {}
        self._sums: dict[str, tuple[float, int]] = {}  # by key: its end, and the sum
        self._until_tidy = _TIDY_EVERY

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        self._tidy()
        _, entries = self._entries.setdefault(key, (expiry, deque()))
        self._drop_old(expiry, entries)
        if len(entries) + amount > limit:
            return False
        entries.extend([self._clock()] * amount)
        return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        _, entries = self._entries.get(key, (expiry, deque()))
        self._drop_old(expiry, entries)
        return (entries[0], len(entries)) if entries else (self._clock(), 0)

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        self._tidy()
        ends_at, total = self._sums.get(key, (0.0, 0))
        if ends_at <= self._clock():
            ends_at, total = self._clock() + expiry, 0
        self._sums[key] = (ends_at, total + amount)
        return total + amount

    def get(self, key: str) -> int:
        return self._sums[key][1] if self.get_expiry(key) > self._clock() else 0

    def get_expiry(self, key: str) -> float:
        return self._sums.get(key, (0.0, 0))[0]

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        self._entries.clear()
        self._sums.clear()
        return None

    def clear(self, key: str) -> None:
        self._entries.pop(key, None)
        self._sums.pop(key, None)

    def _drop_old(self, expiry: float, entries: deque[float]) -> None:
        over = self._clock() - expiry
        while entries and entries[0] <= over:
            entries.popleft()

    def _tidy(self) -> None:
        """Drop the windows and sums that have ended, once in _TIDY_EVERY calls or more."""
        self._until_tidy -= 1
        if self._until_tidy > 0:
            return
        self._until_tidy = max(_TIDY_EVERY, len(self._entries))
        now = self._clock()
        self._entries = {
            key: each
            for key, each in self._entries.items()
            if each[1] and each[1][-1] > now - each[0]
        }
        self._sums = {key: each for key, each in self._sums.items() if each[0] > now}
