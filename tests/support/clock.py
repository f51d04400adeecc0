"""Time for tests."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

LOS_ANGELES = ZoneInfo("America/Los_Angeles")  # whose midnights quotas begin anew at
NOON = datetime(2026, 5, 4, 12, tzinfo=LOS_ANGELES).timestamp()


class Clock:
    """Seconds that pass only when a test says so; Unix time unless a test takes it for another."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
