"""SQLite or PostgreSQL: statements, each a transaction of its own, and several as one transaction.

A connection is never held while anything else is waited for. Every failure is StorageUnavailable,
within a second. After an outage calls fail at once (domain/circuit_breaker.py), and
the probe is left to calls with a long timeout, as long as background work makes some: an outage
delays no request for long. A database that refuses writes counts as away until it takes one: that
it still answers reads proves nothing.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from operator import attrgetter, methodcaller
from typing import Any, Literal, TypeAlias, TypeVar

from sqlalchemy import (
    Connection,
    Engine,
    Executable,
    Row,
    exc,
)

from gbproxy.domain.circuit_breaker import CircuitBreaker, CircuitOpen
from gbproxy.errors import StorageUnavailable
from gbproxy.observability.meter import SILENT, Meter
from gbproxy.storage import engines
from gbproxy.storage.group_commit import GroupCommit, Write
from gbproxy.storage.statements import HotStatement

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 1.0  # of a call, so that a request soon goes on without the database
LONG_TIMEOUT_S = 5.0  # of a call within `long_timeout`
RETRY_AFTER_S = 1.0  # after an outage: calls fail at once for so long
PROBED_BY_BACKGROUND_S = (
    10.0  # after a call with a long timeout: others leave the probe to the next
)
LOG_AGAIN_S = 60.0  # between two log lines about defects of one kind

_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.05
_CLIENT_RETRY_AFTER_S = 2.0
_LEAST_S = 0.001

T = TypeVar("T")
AnyRow: TypeAlias = Row[*tuple[Any, ...]]
Values = Mapping[str, Any] | None

# Of the driver's cursor, or SQLAlchemy's result.
_ROWS: Callable[[Any], Sequence[AnyRow]] = methodcaller("fetchall")
_COUNT: Callable[[Any], int] = attrgetter("rowcount")


class UniqueViolation(Exception):
    """A row with the same unique value is there already."""


class Database:
    """Safe for many threads at once, and for processes that fork: each makes connections of its
    own, at first use.

    `temporary`: the database ends with the process, and what refers to it elsewhere should, too.
    `request_timeout_s`: of each call outside `long_timeout`.
    """

    def __init__(
        self,
        url: str,
        *,
        temporary: bool = False,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        meter: Meter = SILENT,
    ) -> None:
        self.url = engines.parse(url)
        self.temporary = temporary
        self.failures = 0  # calls that have failed in this process
        self._request_timeout_s = request_timeout_s
        self._clock = clock
        self._sleep = sleep
        self._meter = meter
        self._breaker = CircuitBreaker(clock, on_close=_log_available)
        self._call = _Call(clock)
        self._probed_by_background_until = -math.inf
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._group_commit: GroupCommit | None = None  # of SQLite
        self._pid = 0
        # A parent's: letting go of them would close its connections.
        self._inherited: list[Engine] = []
        self._logged_at: dict[str, float] = {}  # of defects, by their kind

    @property
    def kind(self) -> Literal["sqlite", "postgresql"]:
        return "sqlite" if self.url.get_backend_name() == "sqlite" else "postgresql"

    @property
    def is_up(self) -> bool:
        """True while no call has failed since the last success."""
        return self._breaker.is_closed

    def fetch(
        self, statement: Executable | HotStatement, values: Values = None
    ) -> Sequence[AnyRow]:
        """Run one statement as a transaction. Returns its rows; a HotStatement's are tuples."""
        if statement.is_select and self._breaker.refuses_writes:
            raise self._unavailable()
        return self._run_statement(statement, values, _ROWS)

    def change(self, statement: Executable | HotStatement, values: Values = None) -> int:
        """Run one statement as a transaction. Returns how many rows it has changed."""
        return self._run_statement(statement, values, _COUNT)

    def transact(self, action: Callable[[Connection], T]) -> T:
        """Run all statements of `action` as one transaction. Returns its result. It must wait for
        nothing but the database, and may be called again when nothing of it was done.

        Rows that others may change too are to be changed in the order of their keys: transactions
        that want each other's rows wait for a second, until the server ends one.
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

        return self._run(lambda: self._on_connection(whole))

    @contextmanager
    def long_timeout(self) -> Iterator[None]:
        """Give this thread's calls inside LONG_TIMEOUT_S, and the probes of an outage."""
        before, self._call.is_long = self._call.is_long, True
        self._probed_by_background_until = self._clock() + PROBED_BY_BACKGROUND_S
        try:
            yield
        finally:
            self._call.is_long = before
            self._probed_by_background_until = self._clock() + PROBED_BY_BACKGROUND_S

    def close(self) -> None:
        """Close this process' connections; the next call makes new ones."""
        with self._lock:
            if self._engine is not None and self._pid == os.getpid():
                self._engine.dispose()
                self._engine = None

    def _run_statement(
        self, statement: Executable | HotStatement, values: Values, collect: Callable[[Any], T]
    ) -> T:
        if isinstance(statement, HotStatement):
            return self._run(lambda: self._execute_hot(statement, values or {}, collect))
        return self._run(
            lambda: self._on_connection(
                lambda connection: collect(connection.execute(statement, values))
            )
        )

    def _execute_hot(
        self, statement: HotStatement, values: Mapping[str, Any], collect: Callable[[Any], T]
    ) -> T:
        compiled = statement.compiled(self._connections().dialect)
        sql, bound = compiled.sql, compiled.bound(values)
        if (group := self._group_commit) is not None:
            write = Write(sql, bound, collect)
            if group.run_alone(write) if statement.is_select else group.run(write):
                return write.result
        # On PostgreSQL; and on SQLite, where the statement meets its fault again, SQLAlchemy
        # tells what that means and renews the connections if they are no good.
        return self._on_connection(
            lambda connection: collect(connection.exec_driver_sql(sql, bound))
        )

    def _on_connection(self, action: Callable[[Connection], T]) -> T:
        with self._connection() as connection:
            return action(connection)

    def _connection(self) -> Connection:
        connections = self._connections()
        try:
            return connections.connect()
        except exc.TimeoutError:
            # Once more: the time may have passed while this process was held up, and those that
            # hold the others with it.
            return connections.connect()

    def _run(self, attempt: Callable[[], T]) -> T:
        try:
            return self._breaker.run(lambda: self._execute(attempt), self._may_probe)
        except CircuitOpen:
            raise self._unavailable() from None

    def _execute(self, attempt: Callable[[], T]) -> T:
        """Run it; again while nothing of it is done because of others, until the call's time is
        up.
        """
        left_s = LONG_TIMEOUT_S if self._call.is_long else self._request_timeout_s
        self._call.begin(left_s)
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return attempt()
            except exc.IntegrityError as error:
                raise UniqueViolation from error
            except exc.SQLAlchemyError as error:
                if not engines.may_run_again(error) or left_s <= 0:
                    raise self._failed(error) from error
            # Here, and not inside of SQLite: others go on meanwhile.
            self._sleep(pause_s)
            left_s -= pause_s
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _may_probe(self) -> bool:
        return self._call.is_long or self._clock() >= self._probed_by_background_until

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
                    if self.kind == "sqlite":
                        self._group_commit = GroupCommit(self._engine, partial(self._sleep, 0))
                    self._pid = os.getpid()
        return self._engine

    def _failed(self, error: exc.SQLAlchemyError) -> StorageUnavailable:
        if engines.is_outage(error):
            driver = error.orig if isinstance(error, exc.DBAPIError) else None
            if self._breaker.fail(RETRY_AFTER_S, refuses_writes=engines.refuses_writes(driver)):
                log.error("database.unavailable", extra={"reason": engines.reason(error)})
        else:  # a statement that this database does not take: a defect, or a foreign schema
            self._log_defect(error)
        return self._unavailable()

    def _log_defect(self, error: exc.SQLAlchemyError) -> None:
        kind = type(error.orig if isinstance(error, exc.DBAPIError) else error).__name__
        now = self._clock()
        if now - self._logged_at.get(kind, -math.inf) >= LOG_AGAIN_S:
            self._logged_at[kind] = now
            log.error("database.failed", exc_info=error)

    def _unavailable(self) -> StorageUnavailable:
        """The error of a call that has failed, which is counted."""
        self.failures += 1
        self._meter.database_failed()
        return StorageUnavailable(
            "the gateway's database cannot be used at the moment",
            retry_after=_CLIENT_RETRY_AFTER_S,
        )


class _Call(threading.local):
    """Per-thread deadline of the current call."""

    is_long = False
    _ends_at = 0.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def begin(self, timeout_s: float) -> None:
        self._ends_at = self._clock() + timeout_s

    def left_s(self) -> float:
        return max(self._ends_at - self._clock(), _LEAST_S)


def _log_available(away_s: float) -> None:
    log.info("database.available", extra={"away_s": round(away_s, 1)})
