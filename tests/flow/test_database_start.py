"""The database at the start: what is made, for whom, how long it stays, and what ends the start."""

from __future__ import annotations

import os
import re
import signal
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from gbproxy.sessions.prewarmed import PREWARMED_PER_ACCOUNT
from gbproxy.storage.database import Database
from tests.support.databases import PostgreSQL
from tests.support.polling import until
from tests.support.serving import GUNICORN, KEY, Served, SharedUpstream, free_port, process, serving

pytestmark = pytest.mark.slow

SECRET, OTHER_SECRET = "a-secret-key-for-tests-1", "a-secret-key-for-tests-2"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files are made: nowhere else, and by nobody else."""
    made = tmp_path / "temporary"
    made.mkdir()
    monkeypatch.setenv("TMPDIR", str(made))
    return made


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    with SharedUpstream() as upstream:
        yield upstream.environment()


def databases(folder: Path) -> list[Path]:
    return sorted(folder.glob("gbproxy-database-*"))


def refused(environment: dict[str, str], status: int = 2) -> str:
    """What a start that must fail with this status says on stderr."""
    given = {"HOST": "127.0.0.1", "PORT": str(free_port()), "API_KEYS": KEY, **environment}
    with process(GUNICORN, given) as running:
        assert running.wait(60) == status
        assert "Traceback" not in running.stderr
        return running.stderr


def test_the_temporary_database_is_one_for_all_workers_stays_over_a_reload_and_is_gone_at_the_end(
    folder: Path, environment: dict[str, str]
) -> None:
    with serving(environment, WEB_CONCURRENCY="3") as gateway:
        (before,) = databases(folder)
        workers = gateway.worker_pids()

        gateway.process.signal(signal.SIGHUP)
        _wait_for_others(gateway, workers)

        assert databases(folder) == [before]
        assert stat.S_IMODE(before.stat().st_mode) == 0o700
        assert (before / "gbproxy.db").exists()
        assert gateway.ask().succeeded
        assert gateway.stop() == 0
    assert databases(folder) == []
    assert SECRET not in gateway.stderr


@pytest.mark.waits
def test_a_start_that_fails_leaves_no_database_behind(folder: Path) -> None:
    with serving({}) as gateway:
        assert len(databases(folder)) == 1
        taken = gateway.url.rpartition(":")[2]
        with process(GUNICORN, {"HOST": "127.0.0.1", "PORT": taken, "API_KEYS": KEY}) as second:
            assert second.wait(30) != 0

        assert len(databases(folder)) == 1


def test_an_interrupted_gateway_leaves_no_database_behind(folder: Path) -> None:
    with serving({}) as gateway:
        gateway.process.signal(signal.SIGINT)
        gateway.process.wait()

    assert databases(folder) == []


def test_what_a_killed_gateway_has_left_goes_with_the_next_start_and_its_sessions_are_deleted(
    folder: Path,
) -> None:
    with SharedUpstream() as upstream:
        with serving(upstream.environment(), WEB_CONCURRENCY="2") as gateway:
            assert gateway.ask().succeeded
            (left,) = databases(folder)
            with closing(
                Database(f"sqlite:///{left}/gbproxy.db")
            ) as database:  # the asked one, and each worker's prewarmed ones
                until(
                    lambda: (
                        len(database.fetch(text("SELECT id FROM sessions")))
                        == 1 + 2 * PREWARMED_PER_ACCOUNT
                    )
                )
            os.killpg(gateway.pid, signal.SIGKILL)
            gateway.process.wait()
        assert databases(folder) == [left]
        known = list(upstream.sessions.values())

        with serving(upstream.environment()) as gateway:
            told = gateway.wait_for_event("database.left")
            assert left not in databases(folder)
            assert upstream.wait_for(lambda: all(session.deleted for session in known), 30)

            assert (told["sessions"], told["others"]) == (len(known), 0)
            assert gateway.ask().succeeded
            assert gateway.stop() == 0
        assert [session for session in upstream.sessions.values() if not session.deleted] == []
    assert databases(folder) == []


def test_a_database_of_ones_own_stays_and_is_used_again(tmp_path: Path, folder: Path) -> None:
    url = f"sqlite:///{tmp_path}/own.db"

    for migrated in (1, 0):
        with serving({"DATABASE_URL": url, "SECRET_KEY": SECRET}) as gateway:
            assert gateway.stop() == 0
            assert len(gateway.events("database.migrated")) == migrated
            assert SECRET not in gateway.process.stdout + gateway.process.stderr

    with closing(Database(url)) as database:
        assert database.fetch(text("SELECT name FROM metadata")) == [("secret_key",)]
    assert stat.S_IMODE((tmp_path / "own.db").stat().st_mode) == 0o600
    assert databases(folder) == []


def test_the_same_on_postgresql(server: PostgreSQL, folder: Path) -> None:
    url = server.new_database()

    for migrated in (1, 0):
        with serving({"DATABASE_URL": url, "SECRET_KEY": SECRET}, WEB_CONCURRENCY="2") as gateway:
            assert gateway.stop() == 0
            assert len(gateway.events("database.migrated")) == migrated

    with closing(Database(url)) as database:
        assert database.fetch(text("SELECT name FROM metadata")) == [("secret_key",)]


def test_a_key_that_is_not_the_database_s_ends_the_start(tmp_path: Path) -> None:
    own = {"DATABASE_URL": f"sqlite:///{tmp_path}/own.db"}
    with serving({**own, "SECRET_KEY": SECRET}) as gateway:
        gateway.stop()

    said = refused({**own, "SECRET_KEY": OTHER_SECRET})
    with serving({**own, "SECRET_KEY": f"{OTHER_SECRET},{SECRET}"}) as gateway:
        rotated = gateway.wait_for_event("secret_key.rotated")

    assert re.search(r"^SECRET_KEY: none of its keys", said, re.MULTILINE)
    assert OTHER_SECRET not in said
    assert rotated["values"] == 0


def test_a_file_that_is_no_database_ends_the_start(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database at all\n" * 100)

    said = refused({"DATABASE_URL": f"sqlite:///{path}", "SECRET_KEY": SECRET})

    assert "DATABASE_URL: the database cannot be used: file is not a database" in said


def test_a_server_that_stays_away_ends_the_start_with_the_status_of_what_may_pass(
    tmp_path: Path,
) -> None:
    away = {"DATABASE_URL": f"postgresql:///name?host={tmp_path}", "SECRET_KEY": SECRET}

    said = refused(away, status=os.EX_TEMPFAIL)

    assert "DATABASE_URL: the database cannot be used: connection" in said


def test_mistakes_about_the_database_are_told_with_all_others() -> None:
    said = refused(
        {
            "DATABASE_URL": "mysql://u:hunter2@h/d",
            "LOG_LEVEL": "loud",
            "SECRET_KEY": "x",
            "HOST": "0.0.0.0",
        }
    )

    for name in ("DATABASE_URL", "LOG_LEVEL", "SECRET_KEY"):
        assert re.search(rf"^{name}: ", said, re.MULTILINE)
    assert "hunter2" not in said


def _wait_for_others(gateway: Served, than: frozenset[int]) -> None:
    """Until three workers are there, and none of those."""
    until(lambda: len(workers := gateway.worker_pids()) == 3 and not workers & than, 20)
    gateway.wait_until_ready()
