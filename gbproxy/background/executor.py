"""Runs jobs in the background: few threads, one bounded queue."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

log = logging.getLogger(__name__)

Job = Callable[[], None]


class BackgroundExecutor:
    """Runs jobs in order, in up to `width` threads; submitting never waits.

    Not `concurrent.futures.ThreadPoolExecutor`: its queue has no bound; after a fork it counts
    threads that do not exist in the child, and runs nothing; and at exit the interpreter joins its
    threads without a timeout, so one slow call upstream would outlast a worker's time to end.
    """

    def __init__(self, *, width: int = 8, capacity: int = 10_000) -> None:
        """`capacity`: how many jobs may wait."""
        self._width = width
        self._capacity = capacity
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._busy = 0
        self._threads: list[threading.Thread] = []

    def submit(self, job: Job) -> bool:
        """Queue a job; False when the queue is full, or after `shutdown`."""
        with self._changed:
            if self._stopping or len(self._waiting) >= self._capacity:
                return False
            self._waiting.append(job)
            self._changed.notify()
            # Last: starting a thread yields, and a request's greenlet may be killed there.
            self._ensure_threads()
        return True

    def grow(self, width: int) -> None:
        """Use up to `width` threads from now on."""
        self._width = max(self._width, width)

    def shutdown(self, within_s: float) -> bool:
        """Run the queued jobs, for `within_s` at most, and accept no more. True if all were run."""
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
        """Start the threads that are missing; those of the parent process are not alive after a
        fork.
        """
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        wanted = min(self._width, len(self._waiting) + self._busy)
        while len(self._threads) < wanted:
            thread = threading.Thread(target=self._work, name="background job", daemon=True)
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
