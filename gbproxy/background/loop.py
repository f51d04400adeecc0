"""The loop that every worker runs twice a second, in a thread of its own."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial

from gbproxy.accounts.health import AccountHealth
from gbproxy.accounts.pool import Pool
from gbproxy.background.leader import ANY_ACCOUNT, LeaderTasks, is_active
from gbproxy.domain.account import Account
from gbproxy.domain.session import Session
from gbproxy.errors import StorageUnavailable
from gbproxy.sessions.cleanup import Executor, SessionCleanup
from gbproxy.sessions.prewarmed import SessionPool
from gbproxy.storage.account_health import AccountHealthRows, AccountUse
from gbproxy.storage.sessions import SessionRows
from gbproxy.storage.workers import WorkerRegistry

log = logging.getLogger(__name__)

PERIOD_S = 0.5
_AT_ONCE_S = 0.001  # of a round, of 1.5 ms in all
_REST_S = 0.001
_USES_PERIOD_S = 2.0  # between looks for accounts that only other workers use
_LEAK_PERIOD_S = 10.0  # between looks for sessions that were leaked a minute ago
_MAX_SESSIONS = 10_000  # of a temporary database


def _start_thread(run: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=run, name="background loop", daemon=True)
    thread.start()
    return thread


class BackgroundLoop:
    """Runs this worker's background tasks, from `start` to `close`."""

    def __init__(
        self,
        sessions: SessionRows,
        workers: WorkerRegistry,
        uses: AccountHealthRows[AccountHealth],
        pool: Pool,
        session_pool: SessionPool,
        cleanup: SessionCleanup,
        leader: LeaderTasks,
        executor: Executor,
        *,
        sync: Iterable[Callable[[], None]],
        keep_warm: Callable[[Collection[Account]], None],
        long_timeout: Callable[[], AbstractContextManager[None]] = nullcontext,
        clock: Callable[[], float] = time.time,
        start_thread: Callable[[Callable[[], None]], threading.Thread | None] = _start_thread,
    ) -> None:
        """`sync`: exchange changes with the other workers; may raise StorageUnavailable.

        `keep_warm`: keeps connections to these accounts' upstream open; may take long.
        `long_timeout`: within it calls of the database have a longer timeout than a request's.
        `clock`: Unix seconds.
        """
        self._sessions = sessions
        self._workers = workers
        self._uses = uses
        self._pool = pool
        self._session_pool = session_pool
        self._cleanup = cleanup
        self._leader = leader
        self._executor = executor
        self._sync = tuple(sync)
        self._keep_warm = keep_warm
        self._long_timeout = long_timeout
        self._clock = clock
        self._start_thread = start_thread
        self._is_warming = False
        self._leaks_sought_at = -math.inf
        self._active: set[str] = set()  # ids of accounts used since the last run
        self._dead: set[str] = set()  # workers known to be dead, still to be reclaimed
        self._last_uses: Mapping[str, AccountUse] = {}
        self._uses_read_at = -math.inf
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._process = 0

    def start(self) -> None:
        """Start the thread, once in each process; to be called before it serves.

        Writes the first heartbeat and pulls the other workers' changes before it returns.
        """
        with self._lock:
            if self._process == os.getpid() or self._stopping.is_set():
                return
            self._process = os.getpid()
            self._run_tasks(self._report, self._reclaim_dead, *self._sync)
            self._thread = self._start_thread(self._run)

    def note_dead(self, workers: Collection[str]) -> None:
        """Have these workers reclaimed, which are known to be dead, without the failure detector.
        To be called before `start`.
        """
        self._dead |= set(workers)

    def record_activity(self, account_id: str = ANY_ACCOUNT) -> None:
        """Record that a request has arrived, or has leased this account. Starts the loop in a
        process where it does not run yet.
        """
        self._active.add(account_id)
        if self._process != os.getpid():
            self.start()

    def run_once(self) -> None:
        """Run what is due. A task that cannot reach the database runs again next time."""
        tasks = (
            self._report,
            self._reclaim_dead,
            *self._sync,
            self._cleanup.retry_due,
            self._maintain_accounts,
            self._reclaim_leaked,
            self._lead,
        )
        with self._long_timeout():
            rested_at = time.perf_counter()
            for task in tasks:
                self._run_tasks(task)
                # A request that has come meanwhile goes first. Not sleep(0): within it gevent does
                # not look for any.
                if time.perf_counter() - rested_at > _AT_ONCE_S:
                    self._stopping.wait(_REST_S)
                    rested_at = time.perf_counter()

    def close(
        self, *, for_good: bool = False, hand_over: bool = False, within_s: float = 2.0
    ) -> None:
        """Stop, and delete this worker's prewarmed sessions: one attempt each, in `within_s`.

        `for_good`: delete all recorded sessions. `hand_over`: delete none, but mark the prewarmed
        ones for the worker that ends last.
        """
        deadline = time.monotonic() + within_s
        self._stopping.set()
        if self._thread is not None and self._process == os.getpid():
            self._thread.join(within_s / 4)
        left: Collection[Session] = self._session_pool.close(within_s / 4)
        self._executor.shutdown(within_s / 4)  # with the sessions that are being opened
        with suppress(StorageUnavailable):
            self._leader.resign()
            left = self._sessions.all_sessions(_MAX_SESSIONS) if for_good else left
            for session in left if hand_over else ():
                self._sessions.mark_for_deletion(session)
            left = () if hand_over else left
        self._cleanup.drain(left, max(0.0, deadline - time.monotonic()))
        with suppress(StorageUnavailable):
            self._workers.deregister()  # other workers delete what is left of ours

    def _run(self) -> None:
        while not self._stopping.wait(PERIOD_S):
            self.run_once()

    def _run_tasks(self, *tasks: Callable[[], object]) -> None:
        for task in tasks:
            try:
                task()
            except StorageUnavailable:  # the database has logged it
                continue
            except Exception:  # a background loop's body: one failure must not end it
                log.exception("sweeper.failed")

    def _report(self) -> None:
        self._workers.heartbeat(self._pool.running())
        now = self._clock()
        active, self._active = self._active, set()
        if not active and abs(now - self._uses_read_at) < _USES_PERIOD_S:
            return
        try:
            self._uses.used(active, now)
            self._last_uses = self._uses.uses()
            self._uses_read_at = now
        except StorageUnavailable:
            self._active |= active
            raise

    def _reclaim_dead(self) -> None:
        if self._dead:
            self._leader.reclaim(self._dead)
            self._dead.clear()

    def _reclaim_leaked(self) -> None:
        now = self._clock()
        if abs(now - self._leaks_sought_at) >= _LEAK_PERIOD_S:
            self._sessions.reclaim_leaked()
            self._leaks_sought_at = now

    def _maintain_accounts(self) -> None:
        """Keep sessions and connections ready for the accounts in use."""
        now = self._clock()
        active = [
            account
            for account in self._pool.accounts()
            if is_active(self._last_uses, account.id, now)
        ]
        self._session_pool.refill(
            [account for account in active if self._pool.is_ready(account.id)]
        )
        if active and not self._is_warming:  # in the background: connecting may take long
            self._is_warming = True
            if not self._executor.submit(partial(self._warm, active)):
                self._is_warming = False

    def _warm(self, accounts: Collection[Account]) -> None:
        try:
            self._keep_warm(accounts)
        finally:
            self._is_warming = False

    def _lead(self) -> None:
        self._leader.run(self._last_uses)
