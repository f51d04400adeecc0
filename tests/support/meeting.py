"""Writes that meet in one round of the event loop: `python -m tests.support.meeting FOLDER`.

Patched as under gunicorn. Each scenario has a SQLite file of its own; prints as JSON what each
shows.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import sqlite3  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Collection  # noqa: E402
from contextlib import closing  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
import gevent.event  # noqa: E402
from sqlalchemy import bindparam, event, insert, select  # noqa: E402
from sqlalchemy.pool import Pool  # noqa: E402

from gbproxy.errors import StorageUnavailable  # noqa: E402
from gbproxy.storage.database import Database, UniqueViolation  # noqa: E402
from gbproxy.storage.migrate import create  # noqa: E402
from gbproxy.storage.statements import HotStatement  # noqa: E402
from gbproxy.storage.tables import metadata_entries  # noqa: E402

ADD = HotStatement(
    insert(metadata_entries).values(name=bindparam("name"), value=bindparam("value"))
)
NAMES = select(metadata_entries.c.name).order_by(metadata_entries.c.name)
LETTERS = "abcdef"

executed: list[str] = []
watchers: list[Callable[[str], None]] = [executed.append]


def add(database: Database, name: str, value: bytes = b"") -> str:
    """Write one row; what its caller is told."""
    try:
        database.change(ADD, {"name": name, "value": value})
    except (StorageUnavailable, UniqueViolation) as error:
        return type(error).__name__
    return "written"


def names(database: Database) -> list[str]:
    return [row.name for row in database.fetch(NAMES)]


def together(database: Database, letters: Collection[str] = LETTERS) -> list[gevent.Greenlet]:
    return [gevent.spawn(add, database, letter) for letter in letters]


def told(writers: Collection[gevent.Greenlet]) -> list[str]:
    """What each caller is told; "left" of one that was ended before."""
    gevent.joinall(writers, raise_error=True)
    return ["left" if isinstance(w.value, gevent.GreenletExit) else w.value for w in writers]


def all_go_well(database: Database, path: Path) -> dict[str, Any]:
    found: list[bool] = []

    def add_and_look(letter: str) -> str:
        result = add(database, letter)
        with closing(sqlite3.connect(path)) as other:  # it is written for everybody
            found.append((letter,) in other.execute("SELECT name FROM metadata").fetchall())
        return result

    names(database)
    executed.clear()
    writers = told([gevent.spawn(add_and_look, letter) for letter in LETTERS])
    return {"told": writers, "found": found, "commits": executed.count("COMMIT")}


def one_is_there_already(database: Database, path: Path) -> dict[str, Any]:
    add(database, "c")
    return {"told": told(together(database)), "failures": database.failures}


def one_is_no_value(database: Database, path: Path) -> dict[str, Any]:
    """The driver refuses it by an error that is none of SQLite's; its own caller alone meets it."""

    def add_or_fail(name: str) -> str:
        try:
            return add(database, name)
        except UnicodeEncodeError as error:
            return type(error).__name__

    return {"told": told([gevent.spawn(add_or_fail, name) for name in ("a", "b", "\ud800", "c")])}


def clients_leave(database: Database, path: Path) -> dict[str, Any]:
    """One that follows, and then the one that leads, before anything is written."""
    all_wait = gevent.event.Event()
    with closing(Database(str(database.url), sleep=lambda seconds: all_wait.wait())) as waiting:
        writers = together(waiting)
        gevent.sleep(0)  # each has begun
        gevent.killall([writers[2], writers[0]], block=False)
        result = told(writers)
        all_wait.set()
        return {"told": result, "later": add(waiting, "g")}


def clients_leave_when_it_is_written(database: Database, path: Path) -> dict[str, Any]:
    """What was written when its client left is there, and nobody else is held up."""

    def end_two(statement: str) -> None:
        if statement == "COMMIT":
            gevent.killall(writers[1:3], block=False)  # before they can hear of it

    watchers.append(end_two)
    writers = together(database)
    result = told(writers)
    watchers.remove(end_two)
    return {"told": result, "later": add(database, "g")}


def another_has_the_file(database: Database, path: Path) -> dict[str, Any]:
    """Until this greenlet ends the other program's transaction, which it can while they wait."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writers = together(database)
        gevent.sleep(0.05)
        other.execute("COMMIT")
        return {"told": told(writers), "failures": database.failures}


def another_keeps_the_file(database: Database, path: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began_at = time.monotonic()
        result = told(together(database))
        took_s = time.monotonic() - began_at
    return {"told": result, "took_s": took_s, "is_up": database.is_up}


def the_disk_is_full_for_one(database: Database, path: Path) -> dict[str, Any]:
    """SQLite ends the transaction by itself then, and with it what the others have written."""

    def limit(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count = 100")

    event.listen(Pool, "connect", limit)
    try:
        big = gevent.spawn(add, database, "big", b"x" * 1_000_000)
        return {"told": told([*together(database, "ab"), big, *together(database, "cd")])}
    finally:
        event.remove(Pool, "connect", limit)


def the_file_is_gone(database: Database, path: Path) -> dict[str, Any]:
    """No connection can be made for any of them."""
    path.rename(path.with_suffix(".gone"))
    path.mkdir()
    result = told(together(database))
    path.rmdir()
    path.with_suffix(".gone").rename(path)
    return {"told": result, "is_up": database.is_up}


SCENARIOS: tuple[Callable[[Database, Path], dict[str, Any]], ...] = (
    all_go_well,
    one_is_there_already,
    one_is_no_value,
    clients_leave,
    clients_leave_when_it_is_written,
    another_has_the_file,
    another_keeps_the_file,
    the_disk_is_full_for_one,
    the_file_is_gone,
)


def _trace(connection: sqlite3.Connection, _: object) -> None:
    connection.set_trace_callback(_tell)


def _tell(statement: str) -> None:
    for watcher in watchers:
        watcher(statement)


def main(folder: Path) -> None:
    shown: dict[str, dict[str, Any]] = {}
    event.listen(Pool, "connect", _trace)
    for scenario in SCENARIOS:
        path = folder / f"{scenario.__name__}.db"
        with closing(Database(f"sqlite:///{path}")) as made:
            create(made)
        with closing(Database(f"sqlite:///{path}")) as database:
            shown[scenario.__name__] = scenario(database, path)
        with closing(Database(f"sqlite:///{path}")) as database:
            shown[scenario.__name__]["names"] = "".join(names(database))
    print(json.dumps(shown))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
