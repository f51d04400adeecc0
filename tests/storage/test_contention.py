"""Many requests in several workers want the same sessions: each goes to one of them, and nobody
else is held up.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

import pytest

from gbproxy.storage.database import Database
from gbproxy.storage.sessions import SessionRows
from tests.support.databases import ROOT

HEAD, CALLER = b"\x01" * 32, b"\xaa" * 32
SESSIONS, WORKERS, GREENLETS = 150, 3, 30
# how much later a heartbeat may be meanwhile than on the machine at all; waiting inside of SQLite
# costs more
LATE_MS = 1500
# Greenlets that are ended while the server works on their statements; then the connections are used.
ENDING = """
from gevent import monkey; monkey.patch_all()
import gevent, sys
from sqlalchemy import text
from gbproxy.storage.database import Database
from tests.support.polling import until

asleep = text(
    "SELECT 1 FROM pg_stat_activity"
    " WHERE state = 'active' AND query LIKE '%pg_sleep(20)%' AND pid <> pg_backend_pid()"
)
patient = {"request_timeout_s": 20.0}  # a busy server must not be taken for an absent one
database, other = Database(sys.argv[1], **patient), Database(sys.argv[1], **patient)
ended = [gevent.spawn(database.fetch, text("SELECT 1 FROM pg_sleep(20)")) for _ in range(10)]  # no more than the pool has
until(lambda: len(other.fetch(asleep)) > 1)
gevent.killall(ended)
right = [database.fetch(text(f"SELECT {n}"))[0][0] for n in range(20)] == list(range(20))
print(right, database.failures)
"""


@pytest.mark.slow
def test_of_all_who_claim_at_once_each_session_goes_to_one(
    database: Database, url: str, kind: str, record_property: Callable[[str, object], None]
) -> None:
    rows = SessionRows(database, time.time, lambda: "maker")
    for number in range(SESSIONS):
        session = rows.add("anna", f"sessions/{number}", prewarmed=False)
        rows.commit(
            session,
            history_digest=HEAD,
            key_digest=CALLER,
            conversation="c",
            expires_at=time.time() + 600,
        )

    told = _rush(url)

    claimed = Counter(name for worker in told for name in worker["claimed"])
    late_ms = max(worker["late_ms"] for worker in told)
    record_property(
        "measured",
        f"{WORKERS} workers claim {SESSIONS} sessions ({kind}): hub late by {late_ms:.0f} ms at"
        " most",
    )
    assert claimed == Counter(f"sessions/{number}" for number in range(SESSIONS))
    assert late_ms < LATE_MS


@pytest.mark.parametrize("kind", ["postgresql"])
def test_a_connection_with_a_high_number_works(url: str, database: Database) -> None:
    """A busy worker has thousands of files open; `select()` ends at 1024."""
    program = (
        "from gevent import monkey; monkey.patch_all()\nimport os, resource, sys; from sqlalchemy"
        " import text; from gbproxy.storage.database import"
        " Database\nresource.setrlimit(resource.RLIMIT_NOFILE, (2000, 2000)); held = [os.dup(0) for"
        " _ in range(1500)]\nprint(Database(sys.argv[1], request_timeout_s=20.0).fetch(text('SELECT 1 FROM"
        " pg_sleep(0.01)')))"
    )

    run = _ended("-c", program, url)

    assert (run.stdout, run.returncode) == ("[(1,)]\n", 0), run.stderr


@pytest.mark.parametrize("kind", ["postgresql"])
def test_a_request_that_is_ended_in_mid_statement_does_not_spoil_its_connection(
    url: str, database: Database
) -> None:
    run = _ended("-c", ENDING, url)

    assert (run.stdout, run.stderr) == ("True 0\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["postgresql"])
def test_a_database_that_answers_is_not_away_for_a_worker_that_is_held_up(url: str) -> None:
    run = _ended("-m", "tests.support.held_up_in_gevent", url)

    assert (run.stdout, run.returncode) == ("(0, 0, 0)", 0), run.stderr


def _ended(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python program, when it has ended."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _rush(url: str) -> list[dict[str, object]]:
    """What each worker tells, having begun when all of them were ready."""
    workers = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.support.rush",
                url,
                f"worker-{number}",
                str(GREENLETS),
                HEAD.hex(),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(WORKERS)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    return [json.loads(worker.communicate(timeout=200)[0]) for worker in workers]
