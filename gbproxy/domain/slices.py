"""Long computations in slices: what takes long has its turn, one at a time in a process, and rests
as long as it worked.

While something is computed, an event loop serves nobody. Threads are no way out: only one of them
computes at a time, and decoding, joining and hashing do not let go before they are through. So work
is cut into steps of milliseconds, and between them the others have their time. Short work never
waits: it is over before its first rest.
"""

from __future__ import annotations

import threading
import time

SLICE_S = 0.005


class Work:
    """One computation, as a `with` block: `rest` stands between its steps. Who has rested waits for
    all who came before.
    """

    _turn = threading.RLock()
    _free_at = 0.0  # when all have rested from what was done last, by time.perf_counter

    def __init__(self) -> None:
        self._since = time.perf_counter()
        self._has_turn = False

    def __enter__(self) -> Work:
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_turn:
            self._leave()

    def begin(self) -> None:
        """Wait for the turn: the next step may be long, and cannot be cut."""
        if not self._has_turn:
            self._enter()

    def rest(self) -> None:
        """Let others have as long as was worked since the last rest, when that is a slice or
        more.
        """
        if time.perf_counter() - self._since < SLICE_S:
            return
        if self._has_turn:
            self._leave()
            time.sleep(0)  # to the end of the queue
        self._enter()

    def _enter(self) -> None:
        Work._turn.acquire()
        try:
            # Meanwhile the event loop goes on, or other threads.
            time.sleep(max(0.0, Work._free_at - time.perf_counter()))
        except BaseException:
            Work._turn.release()
            raise
        self._has_turn = True
        self._since = time.perf_counter()

    def _leave(self) -> None:
        now = time.perf_counter()
        Work._free_at = now + now - self._since
        self._has_turn = False
        Work._turn.release()
