"""Time for tests."""

from __future__ import annotations


class Clock:
    """Unix seconds that pass only when a test says so."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
