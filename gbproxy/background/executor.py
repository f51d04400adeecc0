"""Hands for the work between requests: a few threads that do what is put down for them, in
order.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

log = logging.getLogger(__name__)

Job = Callable[[], None]


class BackgroundExecutor:
    """Does jobs in the background, in few threads and from a queue with a bound; never delays who
    puts one down.
    """

    def __init__(self, *, width: int = 8, capacity: int = 10_000) -> None:
        self._width = width
        self._capacity = capacity
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._busy = 0
        self._threads: list[threading.Thread] = []

    def put(self, job: Job) -> bool:
        """Have a job done soon; False when too many wait already, or when the crew has been told to
        end.
        """
        with self._changed:
            if self._stopping or len(self._waiting) >= self._capacity:
                return False
            self._waiting.append(job)
            self._changed.notify()
            # last: the request's greenlet may be killed where this gives way
            self._ensure_threads()
        return True

    def widen(self, width: int) -> None:
        """Use more threads from now on."""
        self._width = max(self._width, width)

    def end(self, within_s: float) -> bool:
        """Do what still waits, for so long at most, and take nothing more. Whether all of it was
        done.
        """
        deadline = time.monotonic() + within_s
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            self._ensure_threads()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        with self._changed:
            return not self._waiting and not self._busy

    def _ensure_threads(self) -> None:
        """Start the threads at the first use: those of a process that has forked since do not exist
        here.
        """
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        wanted = min(self._width, len(self._waiting) + self._busy)
        while len(self._threads) < wanted:
            thread = threading.Thread(target=self._work, name="crew", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except Exception:  # a background loop's body: one failure must not end it
                log.exception("sweeper.failed")
            finally:
                with self._changed:
                    self._busy -= 1

    def _next(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            if not self._waiting:
                return None
            self._busy += 1
            return self._waiting.popleft()
