"""What a busy machine takes from a gateway and from its clients, for times that are a promise of the
gateway's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Self

_TICK_S = 0.005


def waited_s(pids: Collection[int]) -> float:
    """For how long the main threads of these processes have been ready to run, since they began,
    while the processors did other work. 0 where the system does not tell.
    """
    total_ns = 0
    for pid in pids:
        with suppress(OSError):
            total_ns += int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])
    return total_ns / 1e9


class Delays:
    """Measures, while it is entered, for how long this process and these were not let run when they
    wanted to: `total_s`, to be read behind it.
    """

    def __init__(self, pids: Collection[int] = ()) -> None:
        self.total_s = 0.0
        self._pids = pids
        self._waited_s = 0.0
        self._ended = threading.Event()
        self._ticking = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        self._waited_s = waited_s(self._pids)
        self._ticking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._ticking.join()
        self.total_s += waited_s(self._pids) - self._waited_s

    def _tick(self) -> None:
        ended = False
        while not ended:
            before = time.monotonic()
            ended = self._ended.wait(_TICK_S)
            self.total_s += max(0.0, time.monotonic() - before - _TICK_S)
