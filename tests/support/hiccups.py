"""What a busy machine takes from everybody on it, for times that are a promise of the gateway's."""

from __future__ import annotations

import threading
import time
from typing import Self

_TICK_S = 0.01
_LEAST_S = 0.05  # a tick that is late by less is none


class Hiccups:
    """Measures, while it is entered, for how long this process was not let run when it wanted to:
    `late_s`, to be read behind it, is the sum.
    """

    def __init__(self) -> None:
        self.late_s = 0.0
        self._ended = threading.Event()
        self._ticking = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        self._ticking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._ticking.join()

    def _tick(self) -> None:
        ended = False
        while not ended:
            before = time.monotonic()
            ended = self._ended.wait(_TICK_S)
            late_s = time.monotonic() - before - _TICK_S
            if late_s >= _LEAST_S:
                self.late_s += late_s
