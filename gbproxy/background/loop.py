"""The round that every worker goes, in a thread of its own."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import Protocol

from gbproxy.background.executor import BackgroundExecutor
from gbproxy.background.leader import ANYBODY, LeaderTasks, is_in_use
from gbproxy.domain.account import Account
from gbproxy.domain.session import Session
from gbproxy.errors import StorageUnavailable
from gbproxy.sessions.cleanup import SessionCleanup
from gbproxy.sessions.prewarmed import SessionPool
from gbproxy.storage.account_health import AccountUse
from gbproxy.storage.leases import WorkerRegistry
from gbproxy.storage.sessions import SessionRows

log = logging.getLogger(__name__)

PERIOD_S = 0.5
_ALL = 10_000


class Uses(Protocol):
    """Which accounts were used when, by all workers. Calls raise StorageUnavailable."""

    def used(self, account_ids: Collection[str], at: float) -> None: ...
    def uses(self) -> Mapping[str, AccountUse]: ...


class Pool(Protocol):
    """What the round needs of the pool."""

    def accounts(self) -> Iterable[Account]: ...
    def is_ready(self, account_id: str) -> bool: ...
    def running(self) -> Mapping[str, int]: ...


class BackgroundLoop:
    """Cares for what is between requests, from `start` to `close`."""

    def __init__(
        self,
        rows: SessionRows,
        workers: WorkerRegistry,
        uses: Uses,
        pool: Pool,
        stock: SessionPool,
        deletions: SessionCleanup,
        office: LeaderTasks,
        crew: BackgroundExecutor,
        *,
        take_over: Iterable[Callable[[], None]],
        warm: Callable[[Collection[Account]], None],
        patiently: Callable[[], AbstractContextManager[None]] = nullcontext,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`take_over`: each reads what other workers have learnt, and may raise StorageUnavailable.

        `patiently`: within it the database is waited for longer than a request would.
        """
        self._rows = rows
        self._workers = workers
        self._uses = uses
        self._pool = pool
        self._stock = stock
        self._deletions = deletions
        self._office = office
        self._take_over = tuple(take_over)
        self._crew = crew
        self._warm = warm
        self._patiently = patiently
        self._is_warming = False
        self._clock = clock
        self._used: set[str] = set()  # since the last round
        self._dead: set[str] = set()  # workers of which the others are still to be told
        self._last_uses: Mapping[str, AccountUse] = {}
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._process = 0

    def start(self) -> None:
        """Begin to go round; to be called in each process before it serves, and may be called
        again.

        When this returns, the others know that this worker is alive, and it knows what they have
        learnt.
        """
        with self._lock:
            if self._process == os.getpid() or self._stopping.is_set():
                return
            self._process = os.getpid()
            self._do(self._report, self._reclaim, *self._take_over)
            self._thread = threading.Thread(target=self._go_round, name="sweeper", daemon=True)
            self._thread.start()

    def note_dead(self, workers: Collection[str]) -> None:
        """These have died for sure: nobody waits until their silence tells. To be called before
        `start`.
        """
        self._dead |= set(workers)

    def note_use(self, account_id: str = ANYBODY) -> None:
        """An account was lent to a request, or a request has arrived."""
        self._used.add(account_id)
        if self._process != os.getpid():
            self.start()

    def take(self, account: Account) -> Session | None:
        """A fresh session from stock, if there is one."""
        return self._stock.take(account)

    def open(self, account: Account) -> str:
        """A session that is made now, by its name; who leaves meanwhile leaves it to the stock."""
        return self._stock.open(account)

    def distrust(self, account: Account) -> None:
        """A session from stock was gone: use none of those that were made with it."""
        self._stock.drop(account)

    def discard(self, session: Session) -> None:
        """Have a session deleted whose record cannot say so."""
        self._deletions.discard(session)

    def part(self, account: Account) -> None:
        """Have deleted what an account that was removed still has upstream."""
        self._deletions.part(account)

    def round(self) -> None:
        """What is to be done now. What cannot be reached is left for the next round."""
        with self._patiently():
            self._do(
                self._report,
                self._reclaim,
                *self._take_over,
                self._deletions.go_on,
                self._tend_stock,
                self._tend_office,
            )

    def _do(self, *chores: Callable[[], None]) -> None:
        for chore in chores:
            try:
                chore()
            except StorageUnavailable:  # the database has said so in the log
                continue
            except Exception:  # a background loop's body: one failure must not end it
                log.exception("sweeper.failed")

    def close(
        self, *, for_good: bool = False, hands_on: bool = False, within_s: float = 2.0
    ) -> None:
        """Stop. `for_good`: delete every session that there is; else this worker's stock, or hand
        it on to who ends last.
        """
        deadline = time.monotonic() + within_s
        self._stopping.set()
        if self._thread is not None and self._process == os.getpid():
            self._thread.join(within_s / 4)
        left: Collection[Session] = self._stock.close(within_s / 4)
        self._crew.end(within_s / 4)  # with what is being made
        with suppress(StorageUnavailable):
            self._office.leave()
            left = self._rows.all_sessions(_ALL) if for_good else left
            for session in left if hands_on else ():
                self._rows.doom(session)
            left = () if hands_on else left
        self._deletions.finish(left, max(0.0, deadline - time.monotonic()))
        with suppress(StorageUnavailable):
            self._workers.leave()  # what is left of ours is for others to delete

    def _go_round(self) -> None:
        while not self._stopping.wait(PERIOD_S):
            self.round()

    def _report(self) -> None:
        self._workers.touch(self._pool.running())
        used, self._used = self._used, set()
        try:
            self._uses.used(used, self._clock())
            self._last_uses = self._uses.uses()
        except StorageUnavailable:
            self._used |= used
            raise

    def _reclaim(self) -> None:
        if self._dead:
            self._office.reclaim(self._dead)
            self._dead.clear()

    def _tend_stock(self) -> None:
        now = self._clock()
        in_use = [
            account
            for account in self._pool.accounts()
            if is_in_use(self._last_uses, account.id, now)
        ]
        self._stock.tend([account for account in in_use if self._pool.is_ready(account.id)])
        if in_use and not self._is_warming:  # aside: connecting may take its time
            self._is_warming = True
            if not self._crew.put(partial(self._keep_warm, in_use)):
                self._is_warming = False
        self._rows.doom_lost()

    def _keep_warm(self, accounts: Collection[Account]) -> None:
        try:
            self._warm(accounts)
        finally:
            self._is_warming = False

    def _tend_office(self) -> None:
        self._office.serve(self._last_uses)
