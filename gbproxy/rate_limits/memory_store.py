"""The counts in memory, for a gateway with a single worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from functools import cached_property
from typing import TYPE_CHECKING

from gbproxy.domain.principal import Rate
from gbproxy.rate_limits.store import RateStatus

if TYPE_CHECKING:
    from gbproxy.rate_limits.windows import MovingWindows

_TIDY_AT = 1024


class MemoryLimitStore:
    """Safe for use by many threads at once. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held_until: dict[str, float] = {}
        self._members: dict[str, set[str]] = {}

    def hit(self, name: str, rate: Rate) -> RateStatus:
        with self._lock:
            return self._windows.hit(name, rate)

    def hold(self, name: str, for_s: float) -> float:
        with self._lock:
            now = self._clock()
            until = self._held_until.get(name, now)
            if until > now:
                return until - now
            if len(self._held_until) >= _TIDY_AT:
                self._held_until = {
                    name: until for name, until in self._held_until.items() if until > now
                }
            self._held_until[name] = now + for_s
            return 0.0

    def add(self, name: str, amount: int, keep_s: int) -> None:
        with self._lock:
            self._windows.add(name, amount, keep_s)

    def add_below(self, name: str, amount: int, limit: int, keep_s: int) -> bool:
        with self._lock:
            is_below = self._windows.read(name) < limit
            if is_below:
                self._windows.add(name, amount, keep_s)
            return is_below

    def read(self, name: str) -> int:
        with self._lock:
            return self._windows.read(name)

    def acquire(self, name: str, member: str, limit: int, for_s: float) -> bool:
        del for_s  # its holders end with this memory
        with self._lock:
            members = self._members.setdefault(name, set())
            if len(members) >= limit:
                return False
            members.add(member)
            return True

    def renew(self, members: Collection[tuple[str, str]], for_s: float) -> None:
        del members, for_s

    def release(self, name: str, member: str) -> None:
        with self._lock:
            members = self._members.get(name, set())
            members.discard(member)
            if not members:
                self._members.pop(name, None)

    @cached_property
    def _windows(self) -> MovingWindows:
        # Imported late: the library is loaded only where a limit is set.
        from gbproxy.rate_limits.windows import MemoryStorage, MovingWindows

        return MovingWindows(MemoryStorage(self._clock), self._clock)
