"""Cuts long computations into slices: one computation at a time in a process, which rests as long
as it worked.

During a computation the event loop serves no other request. Threads do not help: one computes at a
time, and decoding, joining and hashing hold the interpreter until they are through. So work is cut
into steps of milliseconds, with time for other requests between them. Short work never waits: it is
over before its first rest.
"""

from __future__ import annotations

import threading
import time

SLICE_S = 0.005


class Work:
    """One computation, as a `with` block; call `rest` between its steps. After a rest it queues
    behind the computations that came before.
    """

    _turn = threading.RLock()
    _free_at = 0.0  # end of the rest after the latest slice, by time.perf_counter

    def __init__(self) -> None:
        self._since = time.perf_counter()
        self._has_turn = False

    def __enter__(self) -> Work:
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_turn:
            self._leave()

    def begin(self) -> None:
        """Wait for the turn before a step that may be long and cannot be cut."""
        if not self._has_turn:
            self._enter()

    def rest(self) -> None:
        """After a slice or more of work, give others as much time."""
        if time.perf_counter() - self._since < SLICE_S:
            return
        if self._has_turn:
            self._leave()
            time.sleep(0)  # to the end of the queue
        self._enter()

    def _enter(self) -> None:
        Work._turn.acquire()
        try:
            # Gives way to the event loop, or to other threads.
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
