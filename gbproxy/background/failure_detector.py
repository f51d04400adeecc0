"""Who has died: judged by what we have seen ourselves, as neither clocks nor an outage of the
database tell.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

DEAD_AFTER_S = 15.0  # a worker that has not reported for so long, while we looked on, is dead
_LOOK_S = 5.0  # who has not looked for so long has not looked on


class FailureDetector:
    """Remembers when each worker's last report was first seen; on its own monotonic clock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looked_at: float | None = None
        # by worker: its last report, and when we first saw that
        self._seen: dict[str, tuple[float, float]] = {}

    def dead(self, reports: Mapping[str, float]) -> list[str]:
        """The workers that have stood still for too long. `reports`: by worker, when it has last
        said that it is alive.
        """
        now = self._clock()
        if self._looked_at is None or now - self._looked_at > _LOOK_S:
            self._seen.clear()  # everybody gets the time to report anew
        self._looked_at = now
        known = self._seen
        self._seen = {
            worker: known[worker]
            if worker in known and known[worker][0] == report
            else (report, now)
            for worker, report in reports.items()
        }
        return [worker for worker, (_, since) in self._seen.items() if now - since > DEAD_AFTER_S]

    def forget(self) -> None:
        """Somebody else looks from now on."""
        self._looked_at = None
