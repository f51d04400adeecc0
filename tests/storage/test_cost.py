"""What conversations cost a request: how often it speaks to the database, for how long, and that it
holds no connection.
"""

from __future__ import annotations

import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool

from gbproxy.domain.account import Account
from gbproxy.domain.events import ChatStream
from gbproxy.storage.database import Database
from gbproxy.storage.session_statements import PREWARMED
from gbproxy.storage.tables import sessions
from gbproxy.upstreams.base import UpstreamRequest
from tests.support.databases import PATIENT_S
from tests.support.fake_upstream import ACCOUNT, FakeUpstream
from tests.support.polling import until
from tests.support.serving import InProcess, in_process

SECRET = "a-secret-key-for-tests-1"
MEDIAN_S = {"sqlite": 0.001, "postgresql": 0.003}  # of a machine that does nothing else
BUSY = 10  # times as long, where many tests run at once
REQUESTS = 40

Record = Callable[[str, object], None]


class Watch(FakeUpstream):
    """What one thread has of the database: all others work between requests."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()
        self.statements: list[str] = []
        self.held: dict[int, float] = {}  # connections, each with when it was taken
        self.spent_s = 0.0
        self.held_while_streaming: list[int] = []

    @property
    def is_ours(self) -> bool:
        return threading.get_ident() == self._thread

    @property
    def verbs(self) -> list[str]:
        return [statement.split()[0] for statement in self.statements]

    def stream(self, request: UpstreamRequest, account: Account, session: str) -> ChatStream:
        for each in super().stream(request, account, session):
            self.held_while_streaming.append(len(self.held))
            yield each

    @contextmanager
    def watching(self) -> Iterator[None]:
        def executed_by_server(_: Any, cursor: Any, statement: str, *__: Any) -> None:
            if self.is_ours and not isinstance(cursor, sqlite3.Cursor):
                self.statements.append(statement)

        def executed_by_file(statement: str) -> None:
            if _is_request_s(statement) if _is_write(statement) else self.is_ours:
                self.statements.append(statement)

        def connected(connection: Any, _: Any) -> None:
            if isinstance(connection, sqlite3.Connection):  # tells itself what it executes
                connection.set_trace_callback(executed_by_file)

        def taken(_: Any, record: Any, __: Any) -> None:
            if self.is_ours:
                self.held[id(record)] = time.perf_counter()

        def returned(_: Any, record: Any) -> None:
            taken_at = self.held.pop(id(record), None)
            if taken_at is not None:
                self.spent_s += time.perf_counter() - taken_at

        listeners = (
            (Engine, "after_cursor_execute", executed_by_server),
            (Pool, "connect", connected),
            (Pool, "checkout", taken),
            (Pool, "checkin", returned),
        )
        for listener in listeners:
            event.listen(*listener)
        try:
            yield
        finally:
            for listener in listeners:
                event.remove(*listener)


def _is_write(statement: str) -> bool:
    return not statement.startswith("SELECT")


def _is_request_s(write: str) -> bool:
    """True for a request's own, whichever thread writes it: writes that meet are one thread's.

    The background records prewarmed sessions, and marks sessions for deletion.
    """
    is_background_s = "not_before" in write or (write.startswith("INSERT") and PREWARMED in write)
    return write.startswith(("INSERT INTO sessions", "UPDATE sessions")) and not is_background_s


@pytest.fixture
def watch() -> Iterator[Watch]:
    made = Watch()
    with made.watching():
        yield made


@pytest.fixture
def app(
    database: Database, url: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InProcess]:
    """A gateway on that database, with prewarmed sessions."""
    # After an outage, as which a busy server would count, none are made for half a minute.
    monkeypatch.setitem(Database.__init__.__kwdefaults__, "request_timeout_s", PATIENT_S)
    with in_process(ACCOUNT, upstream=watch, DATABASE_URL=url, SECRET_KEY=SECRET) as made:
        until(lambda: finds_a_prewarmed_session(made, watch))
        prewarmed = select(sessions.c.id).where(sessions.c.state == PREWARMED)
        until(lambda: len(database.fetch(prewarmed)) == 2)
        yield made


def finds_a_prewarmed_session(app: InProcess, watch: Watch) -> bool:
    watch.statements.clear()
    assert app.ask("Hi").succeeded
    return watch.verbs == ["UPDATE"]


def history(turns: int) -> list[dict[str, str]]:
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    return [*said * turns, {"role": "user", "content": "Hi"}]


def test_a_request_without_an_assistant_s_turn_reads_nothing_and_writes_once(
    app: InProcess, watch: Watch
) -> None:
    watch.statements.clear()

    assert app.ask("Hi").succeeded

    assert watch.verbs == ["UPDATE"]


def test_one_that_goes_on_claims_and_keeps(app: InProcess, watch: Watch) -> None:
    watch.statements.clear()

    assert app.ask(history(1)).succeeded

    assert watch.verbs == ["UPDATE", "UPDATE"]
    assert watch.prompts[-1] == "Hi"


def test_no_connection_is_held_while_an_answer_streams(app: InProcess, watch: Watch) -> None:
    for turns in (0, 1, 2):
        assert app.ask(history(turns)).succeeded

    assert len(watch.held_while_streaming) > 3
    assert set(watch.held_while_streaming) == {0}


def test_going_on_takes_the_database_little_time(
    app: InProcess,
    watch: Watch,
    kind: str,
    record_property: Record,
) -> None:
    each: list[float] = []
    for turns in range(1, REQUESTS + 1):
        watch.spent_s = 0.0
        assert app.ask(history(turns)).succeeded
        each.append(watch.spent_s)

    median_s = statistics.median(each)
    assert set(watch.prompts) == {"Hi"}  # all went on
    record_property(
        "measured",
        f"a continued request, {kind}: {median_s * 1000:.2f} ms for the database, median",
    )
    assert median_s <= BUSY * MEDIAN_S[kind]
