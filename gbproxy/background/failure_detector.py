"""Failure detector: a worker is dead when its heartbeat has not changed for 15 s of our own
monotonic time. Wall clocks and outages cannot fool it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

DEAD_AFTER_S = 15.0
_MAX_GAP_S = 5.0  # between two looks: after a longer one nobody has been watched


class FailureDetector:
    """Remembers when each worker's last heartbeat was first seen. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looked_at: float | None = None
        # by worker: its last heartbeat, and when that was first seen
        self._seen: dict[str, tuple[float, float]] = {}

    def dead_workers(self, heartbeats: Mapping[str, float]) -> list[str]:
        """The workers whose heartbeat has stood still for too long; to be called twice a second.

        `heartbeats`: the last one of each worker, by that worker's own clock.
        """
        now = self._clock()
        # We, or the database, were away: everybody gets the time to report anew.
        if self._looked_at is None or now - self._looked_at > _MAX_GAP_S:
            self._seen.clear()
        self._looked_at = now
        known = self._seen
        self._seen = {
            worker: known[worker]
            if worker in known and known[worker][0] == heartbeat
            else (heartbeat, now)
            for worker, heartbeat in heartbeats.items()
        }
        return [worker for worker, (_, since) in self._seen.items() if now - since > DEAD_AFTER_S]

    def reset(self) -> None:
        """Begin anew at the next look: another worker watches from now on."""
        self._looked_at = None
