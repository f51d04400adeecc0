"""Beside others on one pooler: nothing is left behind in a server's session, and limits in time
hold all the same.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, text

from gbproxy.errors import StorageUnavailable
from gbproxy.storage import engines
from gbproxy.storage.database import RETRY_AFTER_S, Database
from gbproxy.storage.migrate import migrate
from gbproxy.storage.sessions import SessionRows
from gbproxy.storage.workers import LeaderLeases
from tests.support.clock import Clock
from tests.support.databases import CIPHER, LEFT_BEHIND, Open, PgBouncer, PostgreSQL, pgbouncer
from tests.support.delays import Delays
from tests.support.polling import until

BACKEND = text("SELECT pg_backend_pid()")
SLEEPING = text(
    "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(%'"
)


def use(database: Database, clock: Clock) -> None:
    """Do of each kind of call one: single statements, transactions, and some that fail."""
    rows, leases = (
        SessionRows(database, clock, lambda: "worker"),
        LeaderLeases(database, clock, lambda: "worker"),
    )
    session = rows.add("account-key", "name", prewarmed=False)
    rows.commit(
        session,
        history_digest=b"head",
        key_digest=b"caller",
        conversation="c",
        expires_at=clock.now + 60,
    )
    assert rows.claim_history(b"head") == rows.all_sessions(1)[0]
    assert leases.acquire("leader", 5.0)

    def divide(connection: Connection) -> None:
        connection.execute(text("SELECT 1 / 0"))

    with pytest.raises(StorageUnavailable):
        database.transact(divide)


def until_nobody_sleeps(database: Database) -> None:
    until(lambda: not database.fetch(SLEEPING))


@pytest.fixture
def pooler(server: PostgreSQL) -> Iterator[PgBouncer]:
    with pgbouncer(server) as running:
        yield running


def test_a_session_of_the_server_is_left_as_it_was(
    opened: Open, server: PostgreSQL, clock: Clock
) -> None:
    database = opened(server.new_database())
    migrate(database, CIPHER)
    session = database.fetch(BACKEND)

    use(database, clock)

    assert database.fetch(BACKEND) == session
    assert database.fetch(LEFT_BEHIND) == []


def test_what_nobody_waits_for_any_more_is_ended_in_the_server_too(
    opened: Open, server: PostgreSQL, clock: Clock
) -> None:
    url = server.new_database()
    database, other = opened(url, clock=clock, request_timeout_s=0.2), opened(url)

    with pytest.raises(StorageUnavailable):
        database.fetch(text("SELECT pg_sleep(30)"))

    until_nobody_sleeps(other)


def test_so_is_the_statement_of_a_connection_that_is_closed_meanwhile(
    opened: Open, server: PostgreSQL
) -> None:
    url = server.new_database()
    other = opened(url)
    with engines.pooled(engines.parse(url), lambda: 5.0).connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.pgconn.send_query(b"SELECT pg_sleep(30)")
        until(lambda: other.fetch(SLEEPING))

        connection.invalidate()

    until_nobody_sleeps(other)


def test_many_share_the_one_session_that_a_pooler_lends_them(
    opened: Open, pooler: PgBouncer, clock: Clock
) -> None:
    url = pooler.new_database()
    migrate(opened(url), CIPHER)
    databases = [opened(url) for _ in range(8)]
    ready = threading.Barrier(len(databases))

    def work(number: int) -> None:
        rows = SessionRows(databases[number], clock, lambda: f"worker {number}")
        ready.wait(10)
        for turn in range(10):
            head = f"{number} {turn}".encode()
            session = rows.add("account-key", "name", prewarmed=False)
            assert rows.commit(
                session,
                history_digest=head,
                key_digest=b"",
                conversation="",
                expires_at=clock.now + 60,
            )
            assert rows.claim_history(head) is not None

    with ThreadPoolExecutor(len(databases)) as threads:
        list(threads.map(work, range(len(databases))))

    sessions = {database.fetch(BACKEND)[0][0] for database in databases}
    assert len(sessions) == 1
    assert databases[0].fetch(LEFT_BEHIND) == []
    assert [database.failures for database in databases] == [0] * len(databases)


def test_limits_in_time_hold_through_a_pooler(
    opened: Open, pooler: PgBouncer, clock: Clock
) -> None:
    url = pooler.new_database()
    database, other = (
        opened(url, clock=clock, request_timeout_s=0.2),
        opened(pooler.server_url(url)),
    )

    with Delays() as machine:
        begun_at = time.monotonic()
        with pytest.raises(StorageUnavailable):
            database.fetch(text("SELECT pg_sleep(30)"))
        took_s = time.monotonic() - begun_at

    assert took_s - machine.total_s < 1.0
    until_nobody_sleeps(other)
    clock.now += RETRY_AFTER_S
    with database.long_timeout():
        assert database.fetch(text("SELECT 1"))[0][0] == 1
        assert database.fetch(LEFT_BEHIND) == []
