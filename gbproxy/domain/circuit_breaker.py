"""Circuit breaker for a store that all workers share: while the store is away calls fail at once,
but for one probe at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def _always() -> bool:
    return True


class CircuitOpen(Exception):
    """The store is away, and this call is not its probe."""


class CircuitBreaker:
    """Closed at first. `fail` opens it, a probe that succeeds closes it again.

    `clock`: monotonic seconds. `on_close`: called with the seconds for which the circuit was open.
    Safe for use by many threads at once.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        on_close: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._on_close = on_close
        self._lock = threading.Lock()
        self._opened_at: float | None = None
        self._retry_at = 0.0
        self._is_probing = False
        self._refuses_writes = False

    @property
    def is_closed(self) -> bool:
        """True while the store is taken to be available."""
        return self._opened_at is None

    @property
    def refuses_writes(self) -> bool:
        """True if the store failed by refusing a write. Then a read that succeeds is no sign of
        recovery, so a read must not be the probe.
        """
        return self._refuses_writes

    def run(self, call: Callable[[], T], may_probe: Callable[[], bool] = _always) -> T:
        """Return what `call` returns and raise what it raises. Raises CircuitOpen without calling
        it.

        `may_probe`: asked when a probe is due; True if this call may be the probe.
        """
        if self._opened_at is None:
            return call()  # its success proves nothing if the circuit opens meanwhile
        self._begin_probe(may_probe)
        try:
            result = call()
        finally:
            self._is_probing = False
        self._close()
        return result

    def fail(self, retry_after_s: float, *, refuses_writes: bool = False) -> bool:
        """Record that a call failed: the next probe may start after `retry_after_s`. True if this
        opened the circuit.
        """
        with self._lock:
            now = self._clock()
            self._retry_at = now + retry_after_s
            self._refuses_writes = refuses_writes
            if self._opened_at is not None:
                return False
            self._opened_at = now
            return True

    def _begin_probe(self, may_probe: Callable[[], bool]) -> None:
        with self._lock:
            if self._is_probing or self._clock() < self._retry_at or not may_probe():
                raise CircuitOpen
            self._is_probing = True

    def _close(self) -> None:
        with self._lock:
            opened_at, self._opened_at = self._opened_at, None
            self._refuses_writes = False
        if opened_at is not None:
            self._on_close(self._clock() - opened_at)
