"""Writes to a SQLite file that meet are one transaction, and each of them is as it is alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import bindparam, event, insert, select, text
from sqlalchemy.pool import Pool

from gbproxy.storage.database import REQUEST_TIMEOUT_S, Database
from gbproxy.storage.migrate import create
from gbproxy.storage.statements import HotStatement
from gbproxy.storage.tables import metadata_entries
from tests.support.databases import ROOT, Open

ADD = HotStatement(insert(metadata_entries).values(name=bindparam("name"), value=b""))
NAMES = select(metadata_entries.c.name).order_by(metadata_entries.c.name)
ALL_WRITTEN = ["written"] * 6


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What each scenario of `tests/support/meeting.py` shows, under gevent."""
    folder = tmp_path_factory.mktemp("meeting")
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.meeting", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return dict(json.loads(run.stdout))


def test_writes_of_one_round_are_one_transaction_and_written_when_they_return(
    shown: dict[str, dict[str, Any]],
) -> None:
    seen = shown["all_go_well"]

    assert seen == {"told": ALL_WRITTEN, "found": [True] * 6, "commits": 1, "names": "abcdef"}


def test_a_statement_s_fault_is_its_own(shown: dict[str, dict[str, Any]]) -> None:
    seen = shown["one_is_there_already"]

    assert seen["told"] == ["written"] * 2 + ["UniqueViolation"] + ["written"] * 3
    assert (seen["names"], seen["failures"]) == ("abcdef", 0)


def test_a_value_that_the_driver_refuses_is_the_fault_of_its_own_caller(
    shown: dict[str, dict[str, Any]],
) -> None:
    seen = shown["one_is_no_value"]

    assert seen == {"told": ["written"] * 2 + ["UnicodeEncodeError", "written"], "names": "abc"}


def test_who_leaves_before_it_is_written_takes_its_own_write_along_and_no_other(
    shown: dict[str, dict[str, Any]],
) -> None:
    seen = shown["clients_leave"]

    assert seen["told"] == ["left", "written", "left", "written", "written", "written"]
    assert (seen["names"], seen["later"]) == ("bdefg", "written")


def test_what_is_written_when_its_client_leaves_stays_written(
    shown: dict[str, dict[str, Any]],
) -> None:
    seen = shown["clients_leave_when_it_is_written"]

    assert seen["told"] == ["written", "left", "left", "written", "written", "written"]
    assert (seen["names"], seen["later"]) == ("abcdefg", "written")


def test_a_file_that_another_has_is_waited_for(shown: dict[str, dict[str, Any]]) -> None:
    assert shown["another_has_the_file"] == {"told": ALL_WRITTEN, "failures": 0, "names": "abcdef"}


def test_a_file_that_another_keeps_is_given_up_within_each_call_s_time(
    shown: dict[str, dict[str, Any]],
) -> None:
    seen = shown["another_keeps_the_file"]

    assert seen["told"] == ["StorageUnavailable"] * 6
    assert (
        REQUEST_TIMEOUT_S <= seen["took_s"] < 5 * REQUEST_TIMEOUT_S
    )  # and not one after the other
    assert (seen["is_up"], seen["names"]) == (False, "")


def test_a_disk_that_is_full_for_one_is_not_full_for_the_others(
    shown: dict[str, dict[str, Any]],
) -> None:
    seen = shown["the_disk_is_full_for_one"]

    assert seen["told"] == ["written", "written", "StorageUnavailable", "written", "written"]
    assert seen["names"] == "abcd"


def test_without_a_connection_all_are_told(shown: dict[str, dict[str, Any]]) -> None:
    seen = shown["the_file_is_gone"]

    assert seen == {"told": ["StorageUnavailable"] * 6, "is_up": False, "names": ""}


# In threads, as in a program that is not patched


@pytest.fixture
def url(tmp_path: Path) -> str:
    made = f"sqlite:///{tmp_path}/own.db"
    database = Database(made)
    create(database)
    database.close()
    return made


@pytest.fixture
def executed() -> Iterator[list[str]]:
    statements: list[str] = []

    def trace(connection: Any, _: object) -> None:
        connection.set_trace_callback(statements.append)

    event.listen(Pool, "connect", trace)
    yield statements
    event.remove(Pool, "connect", trace)


def names(database: Database) -> list[str]:
    return [row.name for row in database.fetch(NAMES)]


def add(database: Database, name: str) -> int:
    return database.change(ADD, {"name": name})


def test_a_write_that_comes_alone_is_one_statement(
    opened: Open, url: str, executed: list[str]
) -> None:
    database = opened(url)
    database.fetch(text("SELECT 1"))
    executed.clear()

    assert add(database, "one") == 1

    assert [statement.split()[0] for statement in executed] == ["INSERT"]


def test_many_threads_write_at_once(opened: Open, url: str) -> None:
    database = opened(url)
    everyone = [f"{number:03}" for number in range(200)]

    with ThreadPoolExecutor(8) as threads:
        changed = list(threads.map(lambda name: add(database, name), everyone))

    assert changed == [1] * 200
    assert names(opened(url)) == everyone


class Left(BaseException):
    """Thrown into a thread that waits, as when its client has left."""


def test_who_leads_and_leaves_holds_nobody_up(opened: Open, url: str) -> None:
    leaving = iter([True])

    def sleep(seconds: float) -> None:
        if next(leaving, False):
            raise Left

    database = opened(url, sleep=sleep)
    with pytest.raises(Left):
        add(database, "one")

    assert add(database, "two") == 1
    assert names(database) == ["two"]


def test_a_process_that_is_forked_while_writes_wait_does_not_wait_for_them(
    opened: Open, url: str
) -> None:
    parent, statuses = os.getpid(), []

    def fork(seconds: float) -> None:
        if os.getpid() == parent and not statuses:
            statuses.append(-1)  # the child's own write sleeps as well
            child = os.fork()
            if child == 0:
                try:
                    add(database, "child")
                finally:
                    os._exit(0)
            _, statuses[0] = os.waitpid(child, 0)

    database = opened(url, sleep=fork)
    writing = threading.Thread(target=add, args=(database, "parent"), daemon=True)
    writing.start()
    writing.join(10)

    assert statuses == [0]
    assert names(opened(url)) == ["child", "parent"]
