"""Answers of the simulator that go on when a test says so, and not after some time."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from gbproxy.simulator.http.actions import LazyWrites

_WITHIN_S = 60.0


class Gate:
    """Holds up the answers in whose scripts it is, each at that place, until it is opened."""

    def __init__(self) -> None:
        self._opened = threading.Event()

    def open(self) -> None:
        self._opened.set()

    def wait(self, timeout_s: float) -> bool:
        """True as soon as it is open, False when the time is up."""
        return self._opened.wait(timeout_s)

    @property
    def closed(self) -> LazyWrites:
        """For a script: silence until the gate is opened. Before anything else it holds the head
        back too.
        """
        return LazyWrites(self._wait)

    def _wait(self) -> Iterable[bytes]:
        assert self._opened.wait(_WITHIN_S)
        return ()
