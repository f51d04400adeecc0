"""Random clients, failures and workers over the real rows, each of two workers with connections of its own.

tests/conversation_machine.py says what must hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import delete

from gbproxy.storage import tables
from gbproxy.storage.database import Database
from gbproxy.storage.sessions import SessionRows
from tests.conversation_machine import ConversationMachine, ExpiringRows
from tests.databases import Open

_SETTINGS = settings(
    max_examples=40, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_no_session_ever_holds_what_its_conversation_does_not(database: Database, url: str, opened: Open) -> None:
    workers = [database, opened(url)]

    class OverRows(ConversationMachine):
        def open_rows(self, clock: Callable[[], float]) -> AbstractContextManager[Sequence[ExpiringRows]]:
            database.change(delete(tables.sessions))
            return nullcontext([_rows(worker, name, clock) for worker, name in zip(workers, "ab", strict=True)])

    run_state_machine_as_test(OverRows, settings=_SETTINGS)


def _rows(database: Database, worker: str, clock: Callable[[], float]) -> SessionRows:
    return SessionRows(database, clock, lambda: worker)
