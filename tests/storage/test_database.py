"""Statements, transactions, and what happens when the database does not take one or is away."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, bindparam, insert, select, text, update

from gbproxy.errors import StorageUnavailable
from gbproxy.storage.database import (
    LOG_AGAIN_S,
    PROBED_BY_BACKGROUND_S,
    REQUEST_TIMEOUT_S,
    RETRY_AFTER_S,
    Database,
    UniqueViolation,
)
from gbproxy.storage.migrate import create, migrate
from gbproxy.storage.prepare import prepare
from gbproxy.storage.tables import REVISION, metadata_entries
from tests.support.clock import Clock
from tests.support.databases import CIPHER, Open, PostgreSQL, postgresql
from tests.support.delays import Delays
from tests.support.polling import until

SECRET = "a-secret-key-for-tests-1"
ADD = insert(metadata_entries)
CHANGE = (
    update(metadata_entries)
    .where(metadata_entries.c.name == bindparam("wanted"))
    .values(value=bindparam("by"))
)
NAMES = select(metadata_entries.c.name).order_by(metadata_entries.c.name)


def fact(name: str) -> dict[str, Any]:
    return {"name": name, "value": b""}


def names(database: Database) -> list[str]:
    return [row.name for row in database.fetch(NAMES)]


# As it should be


def test_a_statement_is_a_transaction(opened: Open, database: Database, url: str) -> None:
    changed = database.change(ADD.execution_options(preserve_rowcount=True), fact("one"))

    assert changed == 1
    assert names(opened(url)) == ["one"]


def test_a_transaction_is_done_as_a_whole_or_not_at_all(database: Database) -> None:
    def both(connection: Connection) -> str:
        connection.execute(ADD, fact("one"))
        connection.execute(ADD, fact("two"))
        return "done"

    def half(connection: Connection) -> None:
        connection.execute(ADD, fact("three"))
        raise RuntimeError("a defect")

    result = database.transact(both)
    with pytest.raises(RuntimeError):
        database.transact(half)

    assert result == "done"
    assert names(database) == ["one", "two"]


def test_what_must_be_unique_is_told_apart_from_a_failure(database: Database) -> None:
    database.change(ADD, fact("one"))

    with pytest.raises(UniqueViolation):
        database.change(ADD, fact("one"))
    with pytest.raises(UniqueViolation):
        database.transact(lambda connection: connection.execute(ADD, fact("one")))
    assert database.failures == 0
    assert names(database) == ["one"]


def test_a_statement_that_is_not_taken_is_a_defect_and_no_outage(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StorageUnavailable), caplog.at_level(logging.INFO):
        database.fetch(
            text("SELECT secret_column FROM metadata WHERE name = :name"),
            {"name": "a-secret-value"},
        )

    # SQLite tells a wrong name by the same class as an outage: a second's pause does no harm.
    assert caplog.records[0].getMessage() in ("database.failed", "database.unavailable")
    assert "a-secret-value" not in caplog.text


def test_a_process_that_has_forked_makes_connections_of_its_own(database: Database) -> None:
    database.change(ADD, fact("parent"))

    child = os.fork()
    if child == 0:
        try:
            database.change(ADD, fact("child"))
        finally:
            os._exit(0)
    os.waitpid(child, 0)

    assert names(database) == ["child", "parent"]


# SQLite, locked by another


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[tuple[Path, sqlite3.Connection]]:
    """A file whose writers another program keeps out until it says COMMIT."""
    path = tmp_path / "locked.db"
    create(Database(f"sqlite:///{path}"))
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield path, other


def test_a_locked_file_is_waited_for_in_pauses_that_others_can_use(
    opened: Open, locked: tuple[Path, sqlite3.Connection]
) -> None:
    path, other = locked
    paused: list[float] = []

    def sleep(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == 5:
            other.execute("COMMIT")

    database = opened(f"sqlite:///{path}", sleep=sleep)
    database.change(ADD, fact("one"))
    database.transact(lambda connection: connection.execute(ADD, fact("two")))

    assert len(paused) == 5
    assert max(paused) <= 0.05
    assert names(database) == ["one", "two"]


def test_a_file_that_stays_locked_is_given_up(
    opened: Open,
    locked: tuple[Path, sqlite3.Connection],
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path, _ = locked
    paused: list[float] = []
    database = opened(f"sqlite:///{path}", clock=clock, sleep=paused.append)

    with pytest.raises(StorageUnavailable) as raised, caplog.at_level(logging.INFO):
        database.change(ADD, fact("one"))
    tried = len(paused)
    with pytest.raises(StorageUnavailable):
        database.change(ADD, fact("one"))

    assert REQUEST_TIMEOUT_S <= sum(paused) < REQUEST_TIMEOUT_S + 0.1
    assert len(paused) == tried
    assert (raised.value.status, raised.value.code, raised.value.retry_after) == (
        503,
        "storage_unavailable",
        2,
    )
    assert str(path) not in raised.value.message
    assert [(record.getMessage(), record.reason) for record in caplog.records] == [
        ("database.unavailable", "database is locked")
    ]
    assert database.failures == 2


def test_readers_do_not_wait_for_the_writer(
    opened: Open, locked: tuple[Path, sqlite3.Connection]
) -> None:
    path, _ = locked

    def never(seconds: float) -> None:
        raise AssertionError("waited")

    assert names(opened(f"sqlite:///{path}", sleep=never)) == []


def test_the_next_call_after_a_second_probes_and_its_success_is_logged(
    opened: Open,
    locked: tuple[Path, sqlite3.Connection],
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path, other = locked
    database = opened(f"sqlite:///{path}", clock=clock, sleep=lambda seconds: None)
    with pytest.raises(StorageUnavailable):
        database.change(ADD, fact("one"))
    other.execute("COMMIT")

    with pytest.raises(StorageUnavailable):
        database.change(ADD, fact("one"))
    clock.now += RETRY_AFTER_S
    with caplog.at_level(logging.INFO):
        database.change(ADD, fact("two"))

    assert names(database) == ["two"]
    assert caplog.messages == ["database.unavailable", "database.available"]
    assert caplog.records[-1].away_s == RETRY_AFTER_S


def test_while_one_call_probes_the_others_fail_at_once(
    opened: Open, locked: tuple[Path, sqlite3.Connection], clock: Clock
) -> None:
    path, other = locked
    outage_is_known, is_probing, go_on = threading.Event(), threading.Event(), threading.Event()

    def sleep(seconds: float) -> None:
        if outage_is_known.is_set():
            is_probing.set()
            go_on.wait(10)

    database = opened(f"sqlite:///{path}", clock=clock, sleep=sleep)
    with pytest.raises(StorageUnavailable):
        database.change(ADD, fact("one"))
    clock.now += RETRY_AFTER_S
    outage_is_known.set()
    first = threading.Thread(target=lambda: database.change(ADD, fact("first")))
    first.start()
    assert is_probing.wait(10)
    with pytest.raises(StorageUnavailable):
        database.change(ADD, fact("second"))
    other.execute("COMMIT")
    go_on.set()
    first.join()

    assert names(database) == ["first"]


def test_while_calls_with_a_long_timeout_come_the_others_leave_the_probe_to_them(
    opened: Open, locked: tuple[Path, sqlite3.Connection], clock: Clock
) -> None:
    path, other = locked
    paused: list[float] = []
    database = opened(f"sqlite:///{path}", clock=clock, sleep=paused.append)
    with database.long_timeout(), pytest.raises(StorageUnavailable):
        database.change(ADD, fact("one"))
    waited_s = sum(paused)
    other.execute("COMMIT")
    clock.now += RETRY_AFTER_S

    with pytest.raises(StorageUnavailable):
        database.change(ADD, fact("two"))
    with database.long_timeout():
        database.change(ADD, fact("three"))
    database.change(ADD, fact("four"))

    assert waited_s > REQUEST_TIMEOUT_S
    assert names(database) == ["four", "three"]


def test_without_calls_with_a_long_timeout_the_others_probe_again(
    opened: Open, locked: tuple[Path, sqlite3.Connection], clock: Clock
) -> None:
    path, other = locked
    database = opened(f"sqlite:///{path}", clock=clock, sleep=lambda seconds: None)
    with database.long_timeout(), pytest.raises(StorageUnavailable):
        database.change(ADD, fact("one"))
    other.execute("COMMIT")

    clock.now += PROBED_BY_BACKGROUND_S

    assert names(database) == []


def test_a_file_that_cannot_be_opened_is_an_outage(
    opened: Open, tmp_path: Path, clock: Clock
) -> None:
    database = opened(f"sqlite:///{tmp_path}/none/x.db", clock=clock)

    with pytest.raises(StorageUnavailable):
        names(database)

    (tmp_path / "none").mkdir()
    create(opened(f"sqlite:///{tmp_path}/none/x.db"))
    clock.now += RETRY_AFTER_S
    assert names(database) == []


# PostgreSQL, away and back


@pytest.fixture
def own_server() -> Iterator[PostgreSQL]:
    """One that a test may stop."""
    with postgresql() as running:
        yield running


def test_a_server_that_stops_is_told_at_once_and_used_as_soon_as_it_is_back(
    opened: Open, own_server: PostgreSQL, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    url = own_server.new_database()
    migrate(opened(url), CIPHER)
    database = opened(url, clock=clock)
    database.change(ADD, fact("before"))

    own_server.stop()
    with pytest.raises(StorageUnavailable), caplog.at_level(logging.INFO):
        names(database)
    own_server.start()
    with pytest.raises(StorageUnavailable):
        names(database)
    clock.now += RETRY_AFTER_S
    with caplog.at_level(logging.INFO):
        after = names(database)

    assert after == ["before"]
    assert caplog.messages == ["database.unavailable", "database.available"]


def test_a_restart_between_two_statements_is_not_noticed(
    opened: Open, own_server: PostgreSQL
) -> None:
    database = opened(own_server.new_database())
    migrate(database, CIPHER)
    database.change(ADD, fact("before"))

    own_server.stop()
    own_server.start()

    assert names(database) == ["before"]
    assert database.failures == 0


def test_a_server_that_says_nothing_is_given_up(
    opened: Open, own_server: PostgreSQL, clock: Clock
) -> None:
    url = own_server.new_database()
    migrate(opened(url), CIPHER)
    database = opened(url, clock=clock, request_timeout_s=0.2)
    with database.long_timeout():  # connecting is not what is tested
        names(database)

    own_server.pause()
    try:
        with pytest.raises(StorageUnavailable):
            names(database)
    finally:
        own_server.resume()

    clock.now += RETRY_AFTER_S
    with database.long_timeout():
        assert names(database) == []


def test_a_server_that_says_nothing_is_waited_for_for_a_second_in_all(
    opened: Open, own_server: PostgreSQL
) -> None:
    url = own_server.new_database()
    migrate(opened(url), CIPHER)

    with closing(Database(url)) as database, closing(Database(url)) as unconnected:
        with database.long_timeout():  # it has time to connect
            names(database)
        own_server.pause()
        try:
            with Delays() as machine:
                begun_at = time.monotonic()
                with ThreadPoolExecutor(2) as threads:
                    failures = list(threads.map(_unavailable, (database, unconnected)))
                took_s = time.monotonic() - begun_at
        finally:
            own_server.resume()

    assert all(isinstance(failure, StorageUnavailable) for failure in failures)
    assert took_s - machine.total_s < REQUEST_TIMEOUT_S + 0.5


def _unavailable(database: Database) -> BaseException | None:
    try:
        names(database)
    except StorageUnavailable as error:
        return error
    return None


def test_transactions_that_wait_for_each_other_are_both_done(
    opened: Open, server: PostgreSQL
) -> None:
    url = f"{server.new_database()}&options=-c%20deadlock_timeout%3D20ms"
    database = opened(url, request_timeout_s=20.0)
    migrate(database, CIPHER)
    for name in ("one", "two"):
        database.change(ADD, fact(name))
    both_have_theirs, one_is_done = threading.Barrier(2), threading.Event()
    begun: list[str] = []

    def change(first: str, second: str) -> None:
        def both(connection: Connection) -> None:
            if first in begun:  # else it may have a row before the other one has woken for it
                assert one_is_done.wait(20)
            begun.append(first)
            for name in (first, second):
                connection.execute(CHANGE, {"wanted": name, "by": first.encode()})
                if name == first and begun.count(first) == 1:
                    both_have_theirs.wait(20)

        database.transact(both)
        one_is_done.set()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(change, ("one", "two"), ("two", "one")))

    values = {row.value for row in database.fetch(select(metadata_entries.c.value))}
    assert len(values & {b"one", b"two"}) == 1  # of the one that was done last
    assert len(begun) == 3
    assert database.failures == 0
    assert database.is_up


def test_a_statement_that_takes_too_long_does_not_hold_its_connection(
    opened: Open, server: PostgreSQL, clock: Clock
) -> None:
    database = opened(server.new_database(), clock=clock, request_timeout_s=0.2)

    with pytest.raises(StorageUnavailable):
        database.fetch(text("SELECT pg_sleep(30)"))
    clock.now += RETRY_AFTER_S

    with database.long_timeout():
        assert database.fetch(text("SELECT 1"))[0][0] == 1


def test_the_address_may_say_more(opened: Open, server: PostgreSQL) -> None:
    database = opened(f"{server.new_database()}&application_name=mine")

    assert database.fetch(text("SELECT current_setting('application_name')"))[0][0] == "mine"


# A database that refuses writes


READ_ONLY = {
    "sqlite": "PRAGMA query_only = on",
    "postgresql": "SET default_transaction_read_only = on",
}


def test_a_connection_that_takes_no_writes_is_made_anew_and_told_in_one_line(
    opened: Open,
    database: Database,
    url: str,
    kind: str,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As after a failover: the server that we are connected to is no primary any more."""
    demoted = opened(url, clock=clock)
    demoted.change(text(READ_ONLY[kind]))

    with caplog.at_level(logging.INFO):
        for write in (
            lambda: demoted.change(ADD, fact("one")),
            lambda: demoted.transact(lambda connection: connection.execute(ADD, fact("one"))),
            lambda: names(demoted),
        ):
            with pytest.raises(StorageUnavailable):
                write()
        clock.now += RETRY_AFTER_S
        demoted.change(ADD, fact("two"))

    assert caplog.messages == ["database.unavailable", "database.available"]
    assert "read" in caplog.records[0].reason
    assert caplog.records[0].exc_info is None
    assert names(demoted) == names(database) == ["two"]


def test_what_can_still_be_read_does_not_end_it(
    opened: Open, own_server: PostgreSQL, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    url = own_server.new_database()
    migrate(opened(url), CIPHER)
    # A busy server that is late would be another fault than the one that refuses writes.
    database = opened(url, clock=clock, request_timeout_s=10.0)
    database.change(ADD, fact("before"))

    own_server.refuse_writes()
    is_refusing = text("SHOW default_transaction_read_only")
    until(lambda: database.fetch(is_refusing)[0][0] == "on")  # this connection has heard of it
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            clock.now += RETRY_AFTER_S
            with pytest.raises(StorageUnavailable):
                database.change(ADD, fact("meanwhile"))
            clock.now += RETRY_AFTER_S
            with pytest.raises(StorageUnavailable):
                names(database)
        own_server.take_writes()
        clock.now += RETRY_AFTER_S
        database.change(ADD, fact("after"))

    assert names(database) == ["after", "before"]
    assert caplog.messages == ["database.unavailable", "database.available"]


def test_a_gateway_starts_on_a_server_that_takes_no_writes_for_now(own_server: PostgreSQL) -> None:
    url = own_server.new_database()
    prepare(url, [SECRET])

    own_server.refuse_writes()

    assert prepare(url, [SECRET]) == REVISION


def test_a_defect_that_is_met_again_and_again_is_told_once_a_minute(
    opened: Open, server: PostgreSQL, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    database = opened(server.new_database(), clock=clock)

    for _ in range(3):
        for _ in range(20):
            with pytest.raises(StorageUnavailable):
                database.fetch(NAMES)
        clock.now += LOG_AGAIN_S

    assert caplog.messages == ["database.failed"] * 3


def test_a_damaged_file_is_an_outage(
    opened: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "damaged.db").write_bytes(b"nothing that a database is made of" * 100)
    database = opened(f"sqlite:///{tmp_path}/damaged.db")

    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            names(database)

    assert caplog.messages == ["database.unavailable"]
