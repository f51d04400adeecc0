"""Bring a database to the tables of this version: under a lock, from one process (startup does it
before any fork).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, exc, inspect, text

from gbproxy.storage import engines
from gbproxy.storage.database import Database
from gbproxy.storage.encryption import Cipher
from gbproxy.storage.tables import REVISION, metadata

log = logging.getLogger(__name__)

_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x6762_7072_6F78_79  # PostgreSQL's advisory locks are numbers: "gbproxy"
_LOCKED_S = 60.0  # how long another process' migration is waited for
_PAUSE_S = 0.2
_SAY_AFTER_S = 1.0
_SAY_EVERY_S = 5.0


NEWER = "the database was made by a newer version of gbproxy, or is none of gbproxy's"


class CannotMigrate(Exception):
    """The database cannot be used; the message, for the user, has neither address nor password.
    `may_pass`: it is away or locked, and may be usable later as it is.
    """

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
        self.may_pass = may_pass


def create(database: Database) -> None:
    """Make the tables of a temporary database, which no other version will ever see: no need for
    its history.
    """
    _in_wal_mode(database)
    database.transact(metadata.create_all)


def migrate(
    database: Database,
    cipher: Cipher,
    *,
    timeout_s: float = 15.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str | None:
    """Run the missing migrations, and wait for a server that is still starting. Returns the
    revision that was found.

    `cipher` opens what a migration has to write anew. Raises CannotMigrate; WrongSecretKey before
    anything is changed.
    """
    deadline = clock() + timeout_s
    say_at = clock() + _SAY_AFTER_S
    while True:
        try:
            return _migrate(database, cipher, clock, sleep)
        except exc.SQLAlchemyError as error:
            may_pass = _may_pass(database, error)
            if clock() >= deadline or not may_pass:
                reason = f"the database cannot be used: {engines.reason(error)}"
                raise CannotMigrate(reason, may_pass=may_pass) from error
            if clock() >= say_at:
                log.warning(
                    "database.awaited",
                    extra={"reason": engines.reason(error), "left_s": round(deadline - clock())},
                )
                say_at = clock() + _SAY_EVERY_S
        sleep(_PAUSE_S)


def _may_pass(database: Database, error: exc.SQLAlchemyError) -> bool:
    """Also a server that takes no writes yet may be about to, after a failover; a file will not
    change by itself.
    """
    return engines.may_run_again(error) or (
        database.kind == "postgresql" and engines.is_outage(error)
    )


def _migrate(
    database: Database,
    cipher: Cipher,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> str | None:
    if database.kind == "sqlite":
        _in_wal_mode(database)
    engine = engines.unpooled(database.url)
    with engine.connect() as connection:
        if revision(connection) == REVISION:
            return REVISION
        _begin_alone(connection, clock() + _LOCKED_S, clock, sleep)
        try:
            before = revision(connection)  # another process may have been faster
            if before != REVISION:
                _upgrade(connection, cipher)
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            if not connection.invalidated:
                connection.exec_driver_sql("ROLLBACK")
            raise
    if before != REVISION:
        log.info("database.migrated", extra={"before": before, "after": REVISION})
    return before


def _begin_alone(
    connection: Connection,
    deadline: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    """Begin a transaction that no other process' migration runs beside."""
    while not _has_begun(connection):
        if clock() >= deadline:
            raise CannotMigrate(
                "the database is locked: another process is still changing its tables",
                may_pass=True,
            )
        sleep(_PAUSE_S)


def _has_begun(connection: Connection) -> bool:
    if connection.dialect.name == "sqlite":
        try:
            connection.exec_driver_sql("BEGIN EXCLUSIVE")
        except exc.OperationalError as error:
            if engines.may_run_again(error):
                return False
            raise
        return True
    connection.exec_driver_sql("BEGIN")
    if connection.execute(
        text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOCK}
    ).scalar_one():
        return True
    connection.exec_driver_sql("ROLLBACK")
    return False


def revision(connection: Connection) -> str | None:
    """The newest migration that has run here; None: none has. Without alembic, which need not be
    loaded for it.
    """
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection, cipher: Cipher) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["cipher"] = cipher
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise CannotMigrate(NEWER) from error


def _in_wal_mode(database: Database) -> None:
    """Readers and the writer do not wait for each other. The mode stays with the file."""
    engine = engines.unpooled(database.url)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=5000")  # no request waits yet
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
