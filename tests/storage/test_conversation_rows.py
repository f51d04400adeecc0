"""Random clients, failures and workers over the real rows, each of two workers with connections of
its own.

tests/support/conversation_machine.py says what must hold.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import delete

from gbproxy.conversations import Conversations
from gbproxy.domain.chat import Message, TextPart
from gbproxy.errors import ConversationBusy, ConversationNotFound
from gbproxy.storage import tables
from gbproxy.storage.database import Database
from gbproxy.storage.sessions import SessionRows
from tests.support.clock import Clock
from tests.support.conversation_machine import (
    KEYS,
    MODELS,
    REPORTED_IN_TIME,
    TIMEOUT_S,
    ConversationMachine,
    ExpiringRows,
    Switchable,
)
from tests.support.databases import PATIENT_S, ROOT, Open

pytestmark = pytest.mark.slow

_SETTINGS = settings(
    REPORTED_IN_TIME,
    max_examples=40,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
_HI, _HELLO, _WHY = (
    Message(role, (TextPart(text),))
    for role, text in [("user", "Hi"), ("assistant", "Hello"), ("user", "Why?")]
)


def test_no_session_ever_holds_what_its_conversation_does_not(
    database: Database, url: str, opened: Open
) -> None:
    workers = [database, opened(url, request_timeout_s=PATIENT_S)]

    class OverRows(ConversationMachine):
        def open_rows(
            self, clock: Callable[[], float]
        ) -> AbstractContextManager[Sequence[ExpiringRows]]:
            database.change(delete(tables.sessions))
            return nullcontext(
                [_rows(worker, name, clock) for worker, name in zip(workers, "ab", strict=True)]
            )

    run_state_machine_as_test(OverRows, settings=_SETTINGS)


def test_the_same_holds_where_each_write_meets_others(database: Database, url: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.meeting_conversations", url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )

    assert (run.returncode, run.stdout) == (0, ""), run.stdout + run.stderr


def test_a_request_that_fails_over_again_while_storage_is_away_keeps_its_conversation_busy(
    database: Database, url: str, opened: Open
) -> None:
    clock = Clock()
    own_rows = Switchable(_rows(database, "a", clock))
    rows = _rows(opened(url, request_timeout_s=PATIENT_S), "b", clock)
    own, other = (
        Conversations(
            seen, session_timeout_s=TIMEOUT_S, delete_unrecorded=lambda _: None, clock=clock
        )  # type: ignore[arg-type]
        for seen in (own_rows, rows)
    )
    with own.begin(KEYS[0], MODELS[0], [_HI]) as first:
        first.record("account", "s/1")
        first.mark_sent()
        assert first.commit("Hello")
    turn = own.begin(KEYS[0], MODELS[0], [_HI, _HELLO, _WHY])
    assert turn.conversation == first.conversation

    with turn:
        turn.invalidate_session()
        with pytest.raises(ConversationBusy):
            other.begin(KEYS[0], MODELS[0], [_WHY], turn.conversation)
        turn.record("account", "s/2")
        turn.mark_sent()
        own_rows.away = True
        turn.invalidate_session()
        with pytest.raises(ConversationBusy):
            other.begin(KEYS[0], MODELS[0], [_WHY], turn.conversation)
        own_rows.away = False

    with pytest.raises(ConversationNotFound):
        other.begin(KEYS[0], MODELS[0], [_WHY], turn.conversation)


def _rows(database: Database, worker: str, clock: Callable[[], float]) -> SessionRows:
    return SessionRows(database, clock, lambda: worker)
