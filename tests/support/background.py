"""For tests of sessions and of the background: a database that may be away, an upstream that counts,
and an executor of the test's own thread.

Time is a clock that stands still. Jobs wait until the test runs them, unless it takes a real
executor.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest
from sqlalchemy import Connection, Executable, select

from gbproxy.domain.account import Account
from gbproxy.domain.session import Session
from gbproxy.errors import StorageUnavailable
from gbproxy.storage.database import AnyRow, Database, Values
from gbproxy.storage.session_statements import PREWARMED
from gbproxy.storage.sessions import SessionRows
from gbproxy.storage.statements import HotStatement
from gbproxy.storage.tables import sessions
from tests.support.accounts import widget_account
from tests.support.clock import Clock

ONE, TWO = (
    widget_account(id=name, name=name, csesidx="1", config_id="c", secure_c_ses="CSE.secret")
    for name in ("one", "two")
)
US, THEM = "worker-1", "worker-2"
KEY, HEAD = b"k" * 32, b"h" * 32

T = TypeVar("T")


class FragileDatabase(Database):
    """`away`: nothing can be reached."""

    away = False

    def fetch(
        self, statement: Executable | HotStatement, values: Values = None
    ) -> Sequence[AnyRow]:
        self._check()
        return super().fetch(statement, values)

    def change(self, statement: Executable | HotStatement, values: Values = None) -> int:
        self._check()
        return super().change(statement, values)

    def transact(self, action: Callable[[Connection], T]) -> T:
        self._check()
        return super().transact(action)

    def _check(self) -> None:
        if self.away:
            raise StorageUnavailable("the gateway's database cannot be used at the moment")


class ManualExecutor:
    """An executor of the test's own thread: jobs wait until `run_all`; `capacity`: how many may."""

    def __init__(self, capacity: int = 1000) -> None:
        self.waiting: deque[Callable[[], None]] = deque()
        self.capacity = capacity
        self.ended = False

    def submit(self, job: Callable[[], None]) -> bool:
        if self.ended or len(self.waiting) >= self.capacity:
            return False
        self.waiting.append(job)
        return True

    def run_all(self) -> int:
        """Run what waits now; how many jobs that were. Raises what a job raises."""
        count = len(self.waiting)
        for _ in range(count):
            self.waiting.popleft()()
        return count

    def grow(self, width: int) -> None:
        del width

    def shutdown(self, within_s: float) -> bool:
        del within_s
        self.ended = True
        self.run_all()
        return True


class Upstream:
    """Counts sessions: `fails` says what the nth try to open or delete raises; without `go_on`
    everything waits.

    Or, where `slow`, deletions only.
    """

    def __init__(
        self, fails: Callable[[str, int], Exception | None] = lambda session, nth: None
    ) -> None:
        self.sessions: list[str] = []  # that are there now
        self.opened = 0
        self.tried: list[str] = []
        self.deleted: list[str] = []
        self.threads: set[int] = set()
        self.go_on = threading.Event()
        self.go_on.set()
        self.fails = fails
        self.slow = False
        self._condition = threading.Condition()

    def open_session(self, account: Account, *, for_files: bool = False) -> str:
        with self._condition:
            self.opened += 1
            name = f"{account.id}/{self.opened}"
            self._condition.notify_all()
        if not self.slow:
            self._wait("", self.opened)
        with self._condition:
            self.sessions.append(name)
        return name

    def delete_session(self, account: Account, session: str) -> None:
        assert account.id in (ONE.id, TWO.id)
        with self._condition:
            self.tried.append(session)
            self.threads.add(threading.get_ident())
            self._condition.notify_all()
        self._wait(session, self.tried.count(session))
        with self._condition:
            self.deleted.append(session)
            if session in self.sessions:
                self.sessions.remove(session)
            self._condition.notify_all()

    def wait_for(self, predicate: Callable[[Upstream], object], within_s: float = 10) -> bool:
        with self._condition:
            return bool(self._condition.wait_for(lambda: predicate(self), within_s))

    def _wait(self, session: str, nth: int) -> None:
        assert self.go_on.wait(10)
        error = self.fails(session, nth)
        if error is not None:
            raise error


def session_rows(database: Database, clock: Clock, worker: str = US) -> SessionRows:
    return SessionRows(database, clock, lambda: worker)


def kept(
    rows: SessionRows, name: str, account: Account = ONE, *, expires_at: float, head: bytes = HEAD
) -> Session:
    """A session that may be continued until then."""
    session = rows.add(account.account_key, name, prewarmed=False)
    rows.commit(
        session,
        history_digest=head,
        key_digest=KEY,
        conversation=session.conversation,
        expires_at=expires_at,
    )
    return session


def marked(rows: SessionRows, name: str, account: Account = ONE) -> Session:
    """A session that is marked for deletion."""
    session = rows.add(account.account_key, name, prewarmed=False)
    rows.mark_for_deletion(session)
    return session


def prewarmed(database: Database, worker: str = US) -> list[str]:
    """The names of the unused sessions that the records say this worker has, the oldest first."""
    wanted = (
        select(sessions.c.name)
        .where(sessions.c.holder == worker, sessions.c.state == PREWARMED)
        .order_by(sessions.c.created_at, sessions.c.name)
    )
    return [row.name for row in database.fetch(wanted)]


def accounts() -> tuple[Account, ...]:
    return ONE, TWO


def logged(caplog: pytest.LogCaptureFixture, name: str) -> list[logging.LogRecord]:
    """The events of this name."""
    return [record for record in caplog.records if record.message == name]
