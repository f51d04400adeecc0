"""The work between requests: upstream sessions that are done with are deleted, so that the user's history stays clean."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Protocol

from gbproxy.domain.account import Account
from gbproxy.errors import GatewayError

log = logging.getLogger(__name__)

_TRIES = 3


class Deletes(Protocol):
    """What the sweeper needs of an upstream."""

    def delete_session(self, account: Account, session: str) -> None: ...


class Sweeper:
    """Deletes sessions in the background, in few threads and from a queue with a bound; never delays who hands one in."""

    def __init__(self, upstream: Deletes, *, capacity: int = 10_000, retry_s: float = 1.0, workers: int = 8) -> None:
        self._upstream = upstream
        self._capacity = capacity
        self._retry_s = retry_s
        self._width = workers
        self._waiting: deque[tuple[Account, str]] = deque()
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._workers: list[threading.Thread] = []

    def discard(self, account: Account, session: str) -> None:
        """Have a session deleted soon. When too many wait already, it is left upstream and said so."""
        with self._changed:
            full = len(self._waiting) >= self._capacity
            if not full:
                self._waiting.append((account, session))
                self._changed.notify()
                self._ensure_workers()  # last: the request's greenlet may be killed where this gives way
        if full:
            log.warning("session.left", extra={"account": account.id, "reason": "too many wait to be deleted"})

    def close(self, within_s: float = 2.0) -> None:
        """Delete what still waits, for so long at most. Nothing may be handed in any more."""
        deadline = time.monotonic() + within_s
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        if self._waiting:
            log.warning("session.left", extra={"sessions": len(self._waiting), "reason": "shutdown"})

    def _ensure_workers(self) -> None:
        """Start the threads at the first use: those of a process that has forked since do not exist here."""
        self._workers = [worker for worker in self._workers if worker.is_alive()]
        while len(self._workers) < self._width:
            worker = threading.Thread(target=self._work, name="sweeper", daemon=True)
            self._workers.append(worker)
            worker.start()

    def _work(self) -> None:
        while (item := self._next()) is not None:
            self._delete(*item)

    def _next(self) -> tuple[Account, str] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping.is_set())
            return self._waiting.popleft() if self._waiting else None

    def _delete(self, account: Account, session: str) -> None:
        for attempt in range(1, _TRIES + 1):
            try:
                self._upstream.delete_session(account, session)
            except GatewayError as error:
                reason = error.code
            except Exception:  # a background loop's body: one failure must not end it
                log.exception("sweeper.failed", extra={"account": account.id})
                return
            else:
                log.debug("session.deleted", extra={"account": account.id})
                return
            if attempt == _TRIES or self._stopping.wait(self._retry_s * attempt):
                break
        log.warning("session.left", extra={"account": account.id, "reason": reason})
