"""Make SQLAlchemy's engine for a database's address, with the time limits of each kind of database,
and tell what its errors mean.

Everything runs in autocommit: one statement is one transaction, and one round trip; longer ones say
BEGIN themselves. A driver is imported when an engine of its kind is made.

When a server refuses writes, all connections are made anew: another may have taken its place.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import (
    URL,
    Engine,
    ExceptionContext,
    NullPool,
    QueuePool,
    create_engine,
    event,
    exc,
    make_url,
)

_CONNECT_S = 3
_FREE_S = 0.5  # to wait for a connection of the pool; asked twice
_CONNECTIONS = 5  # of one worker: none is held for longer than a statement takes

# Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
# read-only, as after a failover; no right to it; disk full
_REFUSING_STATES = frozenset({"25006", "42501", "53100"})
_VICTIM_STATES = frozenset({"40001", "40P01"})  # not serializable, deadlock
_REFUSING_CODES = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})


def parse(url: str) -> URL:
    """`sqlite:///path` and `postgresql://…`, the latter by psycopg 3."""
    if url.startswith("sqlite:///"):
        return URL.create("sqlite", database=url.removeprefix("sqlite:///"))
    return make_url(url).set(drivername="postgresql+psycopg")


def pooled(url: URL, left_s: Callable[[], float], *, temporary: bool = False) -> Engine:
    """The engine for requests. `temporary`: its content may be lost in a crash.

    `left_s` is asked, in the thread of a call, for how many seconds it may still wait.
    """
    if url.get_backend_name() == "sqlite":
        # Nothing gives way between BEGIN and COMMIT: threads apart, one connection is enough.
        return _sqlite(
            url, temporary, poolclass=QueuePool, pool_size=2, max_overflow=8, pool_timeout=_FREE_S
        )
    return _postgresql(
        url,
        left_s,
        poolclass=QueuePool,
        pool_size=_CONNECTIONS,
        max_overflow=_CONNECTIONS,
        pool_timeout=_FREE_S,
        pool_pre_ping=True,
    )


def unpooled(url: URL) -> Engine:
    """The engine for migrations: a connection for each use, and no limit in time."""
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, False, poolclass=NullPool)
    return _postgresql(url, None, poolclass=NullPool)


def refuses_writes(error: BaseException | None) -> bool:
    """True for a driver's error by which the database takes no writes now, though it may still
    answer reads.
    """
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _REFUSING_CODES
    return getattr(error, "sqlstate", None) in _REFUSING_STATES


def reason(error: exc.SQLAlchemyError) -> str:
    """The cause in the database's words, for the log: their first line, which quotes no values, or
    else the kind of error.
    """
    if isinstance(error, exc.TimeoutError):
        return "no connection was free in time"
    driver = error.orig if isinstance(error, exc.DBAPIError) else None
    return str(driver).partition("\n")[0] if driver else type(error).__name__


def is_outage(error: exc.SQLAlchemyError) -> bool:
    """True when the database is away, False when one statement is wrong."""
    return (
        isinstance(
            error, exc.OperationalError | exc.InterfaceError | exc.InternalError | exc.TimeoutError
        )
        or type(error) is exc.DatabaseError  # what is none of its kinds: a file that is damaged
        or (isinstance(error, exc.DBAPIError) and error.connection_invalidated)
    )


def may_run_again(error: exc.SQLAlchemyError) -> bool:
    """True when nothing of the transaction was done, and it may be soon: while another writer has
    the SQLite file, and where PostgreSQL has ended it for the sake of others.
    """
    driver = error.orig if isinstance(error, exc.OperationalError) else None
    if isinstance(driver, sqlite3.OperationalError):
        code = getattr(driver, "sqlite_errorcode", 0) & 0xFF
        return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return getattr(driver, "sqlstate", None) in _VICTIM_STATES


def _sqlite(url: URL, temporary: bool, **options: Any) -> Engine:
    # Not to wait inside of SQLite: that would hold up the whole worker (Database waits).
    connecting = {"timeout": 0, "check_same_thread": False}
    engine = _engine(url, connecting, options | {"paramstyle": "named"})

    @event.listens_for(engine, "do_connect")
    def make(dialect: object, record: object, arguments: Any, keywords: Any) -> None:
        # Readable by its owner alone, whatever the umask; SQLite gives the files beside it the same
        # mode.
        # it is there, and must not be opened beside SQLite; or SQLite says what is wrong
        with suppress(OSError):
            os.close(
                os.open(
                    str(url.database), os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600
                )
            )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: object) -> None:
        connection.execute(f"PRAGMA synchronous={'OFF' if temporary else 'NORMAL'}")

    return engine


def _postgresql(url: URL, left_s: Callable[[], float] | None, **options: Any) -> Engine:
    from gbproxy.storage.postgresql import connect

    connecting = {
        "connect_timeout": _CONNECT_S,
        "tcp_user_timeout": _CONNECT_S * 1000,
        # a pooler in between may give the next statement to another server process
        "prepare_threshold": None,
        "application_name": "gbproxy",
    }
    engine = _engine(
        url, {name: value for name, value in connecting.items() if name not in url.query}, options
    )

    @event.listens_for(engine, "do_connect")
    def within_limits(dialect: object, record: object, arguments: Any, keywords: Any) -> Any:
        return connect(left_s, *arguments, **keywords)

    return engine


def _engine(url: URL, connecting: dict[str, Any], options: dict[str, Any]) -> Engine:
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        hide_parameters=True,
        connect_args=connecting,
        **options,
    )

    @event.listens_for(engine, "handle_error")
    def renew(context: ExceptionContext) -> None:
        if refuses_writes(context.original_exception):
            context.is_disconnect = True  # of all that are in the pool

    return engine
