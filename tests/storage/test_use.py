"""The use of accounts and keys, in either database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from sqlalchemy import text

from gbproxy.storage.database import Database
from gbproxy.storage.migrate import migrate
from gbproxy.storage.use import HOUR_S, Use, UseRows
from tests.support.databases import CIPHER, Open, PostgreSQL
from tests.support.polling import until

NOON = 1_800_000_000.0 // 86_400 * 86_400 + 12 * HOUR_S
ONE = NOON + HOUR_S
SESSIONS = text("SELECT count(*) FROM pg_stat_activity WHERE usename = current_user")
OTHERS = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)
DEADLOCKS = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")


def test_uses_add_up_by_account_and_by_key(database: Database) -> None:
    rows = UseRows(database)

    rows.add([Use(NOON, "anna", "aa", "text", 1, 10), Use(NOON, "anna", "bb", "images", 2, 20)])
    rows.add([Use(NOON, "anna", "aa", "text", 3, 5), Use(ONE, "ben", "aa", "text", 1, 2**40)])
    rows.add([])

    assert rows.of_accounts(NOON) == {
        ("anna", "text"): 4,
        ("anna", "images"): 2,
        ("ben", "text"): 1,
    }
    assert rows.of_keys(NOON) == {"aa": (5, 15 + 2**40), "bb": (2, 20)}
    assert rows.of_keys(ONE) == {"aa": (1, 2**40)}


def test_hours_that_are_long_over_are_deleted(database: Database) -> None:
    rows = UseRows(database)
    rows.add([Use(NOON, "anna", "aa", "text", 1, 10), Use(ONE, "anna", "aa", "text", 1, 10)])

    rows.trim(ONE)

    assert rows.of_keys(0) == {"aa": (1, 10)}


def test_workers_that_add_the_same_uses_do_not_end_each_other(
    opened: Open, server: PostgreSQL
) -> None:
    """As the server would, where each had some of the rows that the other wants."""
    url = server.new_database()
    watcher = opened(url)
    migrate(watcher, CIPHER)
    uses = [Use(NOON, f"account {number}", "aa", "text", 1, 1) for number in range(50)]

    def add(mine: list[Use]) -> None:
        with closing(Database(url, request_timeout_s=20.0)) as database:
            for _ in range(20):
                UseRows(database).add(mine)

    # of all tests on this server, whose sessions have ended
    until(lambda: watcher.fetch(OTHERS)[0][0] == 0)
    before = watcher.fetch(DEADLOCKS)[0][0]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(add, (uses, uses[::-1])))

    assert UseRows(watcher).of_keys(NOON) == {"aa": (2000, 2000)}
    until(lambda: watcher.fetch(SESSIONS)[0][0] == 1)  # each counts when it ends
    assert watcher.fetch(DEADLOCKS)[0][0] == before
