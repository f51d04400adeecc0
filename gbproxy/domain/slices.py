"""Long computations in slices: what takes long has its turn, one at a time in a process, and rests as long as it worked.

While something is computed, an event loop serves nobody. Threads are no way out: only one of them computes at a time, and
decoding, joining and hashing do not let go before they are through. So work is cut into steps of milliseconds, and between
them the others have their time. Short work never waits: it is over before its first rest.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType

SLICE_S = 0.005

_TURN = threading.RLock()


class Work:
    """One computation, as a `with` block: `rest` stands between its steps."""

    def __init__(self) -> None:
        self._since = time.perf_counter()
        self._has_turn = False

    def __enter__(self) -> Work:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._has_turn:
            try:
                self.rest()
            finally:
                _TURN.release()

    def begin(self) -> None:
        """Wait for the turn: the next step may be long, and cannot be cut."""
        if not self._has_turn:
            _TURN.acquire()
            self._has_turn = True
            self._since = time.perf_counter()

    def rest(self) -> None:
        """Let others have as long as was worked since the last rest, when that is a slice or more."""
        worked_s = time.perf_counter() - self._since
        if worked_s < SLICE_S:
            return
        self.begin()
        time.sleep(worked_s)  # in an event loop this lets it go on; else other threads
        self._since = time.perf_counter()
