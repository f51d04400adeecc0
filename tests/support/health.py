"""Health is asked for while something else goes on, and nobody waits for that."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.delays import waited_s
from tests.support.serving import Served

WAIT_S = 0.5
_NAP_S = 0.005


@dataclass
class Waits:
    """Seconds. `slowest_s`: without those for which the gateway was ready to run while the machine
    did other work; `stall_s`: for which this process itself stood still at most, for that reason.
    """

    slowest_s: float = 0.0
    stall_s: float = 0.0

    def __str__(self) -> str:
        return f"health {self.slowest_s * 1000:.0f} ms at most"

    @property
    def is_short(self) -> bool:
        return self.slowest_s < WAIT_S + self.stall_s


def waits_for_health(
    gateway: Served, running: Collection[Future[Any]], *, every_s: float = _NAP_S
) -> Waits:
    """Ask for health, on connections of its own, while these run."""
    waits = Waits()
    workers = gateway.worker_pids()
    with _stalls_noted(waits):
        while wait(running, timeout=every_s).not_done:
            started, waited_before_s = time.monotonic(), waited_s(workers)
            assert gateway.request("GET", "/health").status == 200
            held_up_s = waited_s(workers) - waited_before_s
            waits.slowest_s = max(waits.slowest_s, time.monotonic() - started - held_up_s)
    return waits


@contextmanager
def _stalls_noted(waits: Waits) -> Iterator[None]:
    ended = threading.Event()

    def nap() -> None:
        due = time.monotonic() + _NAP_S
        while not ended.wait(_NAP_S):
            now = time.monotonic()
            waits.stall_s = max(waits.stall_s, now - due)
            due = now + _NAP_S

    thread = threading.Thread(target=nap, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
