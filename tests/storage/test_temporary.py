"""Temporary databases: closed to others, held by those who use them, and cleared away when nobody
does any more.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from gbproxy.domain.account import identity_of
from gbproxy.errors import StorageUnavailable
from gbproxy.storage import temporary
from gbproxy.storage.database import Database
from gbproxy.storage.migrate import create
from tests.support.background import ONE, FragileDatabase, session_rows
from tests.support.clock import Clock
from tests.support.databases import Open

FOREIGN = "0123456789abcdef:somebody"
OWNERS = [identity_of(ONE.account_key)]

# A server that makes a temporary database with these sessions in it, says where, and ends without a
# word.
SERVER = """
import os, sys
from gbproxy.storage import temporary
from gbproxy.storage.database import Database
from gbproxy.storage.migrate import create
from gbproxy.storage.sessions import SessionRows
folder = temporary.new_folder()
database = Database(temporary.url_in(folder), temporary=True)
create(database)
for key, name in zip(sys.argv[1::2], sys.argv[2::2]):
    SessionRows(database, lambda: 0.0, lambda: "worker").add(key, name, prewarmed=True)
print(folder, flush=True)
sys.stdin.read()
os._exit(9)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files are made."""
    made = tmp_path / "temporary"
    made.mkdir()
    monkeypatch.setenv("TMPDIR", str(made))
    monkeypatch.setattr("tempfile.tempdir", str(made))
    return made


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[FragileDatabase]:
    database = FragileDatabase(f"sqlite:///{tmp_path}/ours.db")
    create(database)
    yield database
    database.close()


def killed(*sessions: str) -> Path:
    """What a server has left that was killed with these (account key and name of each)."""
    command = [sys.executable, "-c", SERVER, *sessions]
    done = subprocess.run(command, input="", stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 9
    return Path(done.stdout.strip())


def reclaim(database: Database, clock: Clock) -> list[tuple[str, str]]:
    """Account key and name of what is marked after it."""
    rows = session_rows(database, clock)
    temporary.reclaim_abandoned(rows, OWNERS)
    return [
        (session.account_key, session.name)
        for session in rows.due_deletions(100, [ONE.account_key, FOREIGN])
    ]


def test_what_a_killed_server_has_left_goes_and_its_sessions_are_to_be_deleted(
    ours: FragileDatabase, clock: Clock, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = killed(ONE.account_key, "s/1", ONE.account_key, "s/2", FOREIGN, "s/3")
    assert list(place.iterdir()) == [folder]

    found = reclaim(ours, clock)

    assert found == [(ONE.account_key, "s/1"), (ONE.account_key, "s/2")]
    assert list(place.iterdir()) == []
    assert [(record.sessions, record.others) for record in caplog.records] == [(2, 1)]
    assert reclaim(ours, clock) == found


def test_what_a_process_still_uses_stays(ours: FragileDatabase, clock: Clock, place: Path) -> None:
    own = temporary.new_folder()
    with ExitStack() as stack:
        serving = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", SERVER, ONE.account_key, "s/1"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        assert serving.stdout is not None
        folder = Path(serving.stdout.readline().strip())

        meanwhile = reclaim(ours, clock)
        there = set(place.iterdir())
        serving.communicate("")

    assert (meanwhile, there) == ([], {own, folder})
    assert reclaim(ours, clock) == [(ONE.account_key, "s/1")]
    assert list(place.iterdir()) == [own]
    temporary.remove(own, os.getpid())


def test_what_cannot_be_reclaimed_now_is_left_for_another_time(
    ours: FragileDatabase, clock: Clock, place: Path
) -> None:
    folder = killed(ONE.account_key, "s/1")

    ours.away = True
    with pytest.raises(StorageUnavailable):
        reclaim(ours, clock)
    still = list(place.iterdir())
    ours.away = False

    assert still == [folder]
    assert reclaim(ours, clock) == [(ONE.account_key, "s/1")]


def test_what_a_server_of_an_earlier_version_has_left_is_found_too(
    ours: FragileDatabase, clock: Clock, place: Path
) -> None:
    folder = killed(ONE.account_key, "s/1")
    with closing(sqlite3.connect(folder / "gbproxy.db")) as connection:
        connection.execute("ALTER TABLE sessions RENAME COLUMN account_key TO account_id")

    assert reclaim(ours, clock) == [(ONE.account_key, "s/1")]
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("content", [None, b"", b"nothing that a database is made of"])
def test_what_cannot_be_read_goes_too(
    ours: FragileDatabase,
    clock: Clock,
    place: Path,
    content: bytes | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = killed(ONE.account_key, "s/1")
    for file in folder.glob("gbproxy.db*"):
        file.unlink()
    if content is not None:
        (folder / "gbproxy.db").write_bytes(content)

    assert reclaim(ours, clock) == []
    assert list(place.iterdir()) == []


def test_what_is_none_of_ours_or_is_just_being_made_stays(
    ours: FragileDatabase, clock: Clock, place: Path
) -> None:
    for name in ("gbproxy-database-new", "another"):
        (place / name).mkdir()
    (place / "gbproxy-database-link").symlink_to(place / "another")

    assert reclaim(ours, clock) == []
    assert len(list(place.iterdir())) == 3


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_files_can_be_read_by_their_owner_alone(opened: Open, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        folder = temporary.new_folder()
        kept, passing = (
            opened(f"sqlite:///{tmp_path}/kept.db"),
            opened(temporary.url_in(folder), temporary=True),
        )
        for database in (kept, passing):
            create(database)
            session_rows(database, Clock()).add(ONE.account_key, "s/1", prewarmed=True)

        files = [*tmp_path.glob("kept.db*"), *folder.iterdir()]
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in files}
    finally:
        os.umask(before)

    assert {
        "kept.db",
        "kept.db-wal",
        "kept.db-shm",
        "gbproxy.db",
        "gbproxy.db-wal",
        "gbproxy.db-shm",
    } <= modes.keys()
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    temporary.remove(folder, os.getpid())
