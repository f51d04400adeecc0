"""The one connection to the database: SQLite or PostgreSQL, each statement on its own or several as
one transaction.

A connection is never held while anything else is waited for. Whatever goes wrong is
StorageUnavailable, within a second: after a failure calls fail at once. Whether the database is
back is found out by those who wait `patiently`, or where there are none, by one call a second; so
an outage delays no request for long, nor does it last longer for us than it does. A database that
refuses writes is away too, until it takes one: that it still answers what is read proves nothing.
"""

from __future__ import annotations

import logging
import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias, TypeVar

from sqlalchemy import Connection, Engine, Executable, Row, exc

from gbproxy.errors import StorageUnavailable
from gbproxy.observability.meter import SILENT, Meter
from gbproxy.storage import engines

log = logging.getLogger(__name__)

HASTE_S = 1.0  # what a call waits, at most; so a request goes on without the database soon
PATIENCE_S = 5.0  # what a patient one waits
REST_S = 1.0  # after a failure: calls fail at once for so long
TENDED_S = 10.0  # so long after a patient call the others rely on there being another
TOLD_S = 60.0  # for so long a defect of one kind is not told again: who meets it tries on

_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.05
_RETRY_AFTER_S = 2.0
_LEAST_S = 0.001

T = TypeVar("T")
AnyRow: TypeAlias = Row[*tuple[Any, ...]]
Values = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


class Conflict(Exception):
    """What must be unique is there already."""


class Database:
    """Safe for many threads at once, and for processes that fork: each makes connections of its
    own, at first use.

    `temporary`: it is gone with the process, and so should be what stands for it elsewhere.
    `haste_s`: what a call waits.
    """

    def __init__(
        self,
        url: str,
        *,
        temporary: bool = False,
        haste_s: float = HASTE_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        meter: Meter = SILENT,
    ) -> None:
        self.url = engines.parse(url)
        self.temporary = temporary
        self.failures = 0  # calls that have failed in this process
        self._haste_s = haste_s
        self._clock = clock
        self._sleep = sleep
        self._call = _Call(clock)
        self._tended_until = -math.inf
        self._meter = meter
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._pid = 0
        self._inherited: list[Engine] = []  # a parent's: to drop them would close its connections
        self._away_since: float | None = None
        self._rests_until = 0.0
        self._refuses_writes = False
        self._trying = False
        self._told: dict[str, float] = {}  # by kind, when a defect was last told

    @property
    def kind(self) -> Literal["sqlite", "postgresql"]:
        return "sqlite" if self.url.get_backend_name() == "sqlite" else "postgresql"

    @property
    def is_up(self) -> bool:
        """Whether the last that was heard of it was good."""
        return self._away_since is None

    def fetch(self, statement: Executable, values: Values = None) -> Sequence[AnyRow]:
        """The rows of one statement, which is a transaction by itself."""
        if statement.is_select and self._refuses_writes:
            self._count_failure()
            raise _unavailable()
        return self._run(lambda connection: connection.execute(statement, values).all())

    def change(self, statement: Executable, values: Values = None) -> int:
        """How many rows one statement has changed; it is a transaction by itself."""
        return self._run(lambda connection: connection.execute(statement, values).rowcount)

    def transact(self, action: Callable[[Connection], T]) -> T:
        """What `action` returns, all its statements as one transaction. It waits for nothing but
        the database.
        """

        def whole(connection: Connection) -> T:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if self.kind == "sqlite" else "BEGIN")
            try:
                result = action(connection)
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                if not connection.invalidated:
                    connection.exec_driver_sql("ROLLBACK")
                raise
            return result

        return self._run(whole)

    @contextmanager
    def patiently(self) -> Iterator[None]:
        """What this thread calls within may wait longer, and tries whether the database is back
        while others do not.
        """
        before, self._call.is_patient = self._call.is_patient, True
        self._tended_until = self._clock() + TENDED_S
        try:
            yield
        finally:
            self._call.is_patient = before
            self._tended_until = self._clock() + TENDED_S

    def close(self) -> None:
        """Close this process' connections; the next call makes new ones."""
        with self._lock:
            if self._engine is not None and self._pid == os.getpid():
                self._engine.dispose()
                self._engine = None

    def _run(self, action: Callable[[Connection], T]) -> T:
        trying = self._admit()
        patience = PATIENCE_S if self._call.is_patient else self._haste_s
        self._call.begin(patience)
        pause = _FIRST_PAUSE_S
        try:
            while True:
                try:
                    with self._connections().connect() as connection:
                        result = action(connection)
                    break
                except exc.IntegrityError as error:
                    raise Conflict from error
                except exc.SQLAlchemyError as error:
                    if not is_locked(error) or patience <= 0:
                        raise self._failed(error) from error
                # Here, and not inside of SQLite: others go on meanwhile.
                self._sleep(pause)
                patience -= pause
                pause = min(2 * pause, _LONGEST_PAUSE_S)
        finally:
            if trying:
                self._trying = False
        if trying:  # what had begun before the outage proves nothing
            self._recovered()
        return result

    def _admit(self) -> bool:
        """Refuse while the database is away, but let one call after the other try; True for the one
        that tries.
        """
        if self._away_since is None:
            return False
        now = self._clock()
        is_left_to_others = not self._call.is_patient and now < self._tended_until
        if self._trying or now < self._rests_until or is_left_to_others:
            self._count_failure()
            raise _unavailable()
        self._trying = True
        return True

    def _connections(self) -> Engine:
        if self._engine is None or self._pid != os.getpid():
            with self._lock:
                if self._engine is not None and self._pid != os.getpid():
                    self._inherited.append(self._engine)
                    self._engine = None
                if self._engine is None:
                    self._engine = engines.pooled(
                        self.url, self._call.left_s, temporary=self.temporary
                    )
                    self._pid = os.getpid()
        return self._engine

    def _count_failure(self) -> None:
        self.failures += 1
        self._meter.database_failed()

    def _failed(self, error: exc.SQLAlchemyError) -> StorageUnavailable:
        self._count_failure()
        # a statement that this database does not take: a defect, or a foreign schema
        if not is_outage(error):
            self._tell(error)
            return _unavailable()
        self._rests_until = self._clock() + REST_S
        self._refuses_writes = isinstance(error, exc.DBAPIError) and engines.refuses_writes(
            error.orig
        )
        if self._away_since is None:
            self._away_since = self._clock()
            log.error("database.unavailable", extra={"reason": reason(error)})
        return _unavailable()

    def _tell(self, error: exc.SQLAlchemyError) -> None:
        kind = type(error.orig if isinstance(error, exc.DBAPIError) else error).__name__
        now = self._clock()
        if now - self._told.get(kind, -math.inf) >= TOLD_S:
            self._told[kind] = now
            log.error("database.failed", exc_info=error)

    def _recovered(self) -> None:
        away_since, self._away_since = self._away_since, None
        self._refuses_writes = False
        if away_since is not None:
            log.info("database.available", extra={"away_s": round(self._clock() - away_since, 1)})


class _Call(threading.local):
    """What each thread is calling: until when it may take, and whether that is long."""

    is_patient = False
    _ends = 0.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def begin(self, within_s: float) -> None:
        self._ends = self._clock() + within_s

    def left_s(self) -> float:
        return max(self._ends - self._clock(), _LEAST_S)


def reason(error: exc.SQLAlchemyError) -> str:
    """Why, in the database's words: the first line, which has no values in it, or the kind of
    error.
    """
    if isinstance(error, exc.TimeoutError):
        return "no connection was free in time"
    driver = error.orig if isinstance(error, exc.DBAPIError) else None
    return str(driver).partition("\n")[0] if driver else type(error).__name__


def _unavailable() -> StorageUnavailable:
    return StorageUnavailable(
        "the gateway's database cannot be used at the moment", retry_after=_RETRY_AFTER_S
    )


def is_outage(error: exc.SQLAlchemyError) -> bool:
    """Whether the database itself is away, rather than one statement wrong."""
    return (
        isinstance(
            error, exc.OperationalError | exc.InterfaceError | exc.InternalError | exc.TimeoutError
        )
        or type(error) is exc.DatabaseError  # what is none of its kinds: a file that is damaged
        or (isinstance(error, exc.DBAPIError) and error.connection_invalidated)
    )


def is_locked(error: exc.SQLAlchemyError) -> bool:
    """Whether another writer has the SQLite file."""
    driver = error.orig if isinstance(error, exc.OperationalError) else None
    return isinstance(driver, sqlite3.OperationalError) and (
        getattr(driver, "sqlite_errorcode", 0) & 0xFF
        in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    )
