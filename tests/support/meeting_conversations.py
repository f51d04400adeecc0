"""The model of conversations over rows whose every write meets others: `python -m
tests.support.meeting_conversations URL`.

Patched as under gunicorn. Each call of a worker runs in one round of the event loop with writes to
sessions of other requests, which must be written as well, and now and then with one that fails.
tests/support/conversation_machine.py says what must hold.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import itertools  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable, Iterator, Sequence  # noqa: E402
from contextlib import AbstractContextManager, closing, nullcontext, suppress  # noqa: E402
from functools import partial  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402
from hypothesis.stateful import run_state_machine_as_test  # noqa: E402
from sqlalchemy import bindparam, delete, insert  # noqa: E402

from gbproxy.domain.session import Session  # noqa: E402
from gbproxy.storage import tables  # noqa: E402
from gbproxy.storage.database import Database, UniqueViolation  # noqa: E402
from gbproxy.storage.sessions import SessionRows  # noqa: E402
from gbproxy.storage.statements import HotStatement  # noqa: E402
from tests.support.conversation_machine import (  # noqa: E402
    REPORTED_IN_TIME,
    ConversationMachine,
    ExpiringRows,
)

_SETTINGS = settings(
    REPORTED_IN_TIME,
    max_examples=12,
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
_NEVER_S = 10 * 365 * 86_400.0
_TAKEN = {"name": "taken", "value": b""}
_ADD_AGAIN = HotStatement(
    insert(tables.metadata_entries).values(name=bindparam("name"), value=bindparam("value"))
)


class Meeting:
    """A worker's rows, each call of which meets the next steps of three other requests."""

    def __init__(self, database: Database, worker: str, clock: Callable[[], float]) -> None:
        self._database = database
        self._rows = SessionRows(database, clock, lambda: worker)
        self._clock = clock
        self._others = [self._other_request(f"{worker}{number}") for number in range(3)]
        self._places = itertools.cycle(range(4))

    def __getattr__(self, name: str) -> Any:
        return lambda *given, **named: self._met(lambda: getattr(self._rows, name)(*given, **named))

    def _met(self, call: Callable[[], Any]) -> Any:
        calls: list[Callable[[], Any]] = [partial(next, other) for other in self._others]
        place = next(self._places)  # the call itself leads the round, or follows
        if place % 2:  # without a fault all are one transaction
            calls.append(self._fail)
        calls.insert(place, call)
        running = [gevent.spawn(each) for each in calls]
        gevent.joinall(running, raise_error=True)
        return running[place].value

    def _fail(self) -> None:
        with suppress(UniqueViolation):
            self._database.change(_ADD_AGAIN, _TAKEN)
            raise AssertionError("it is there already")

    def _other_request(self, name: str) -> Iterator[None]:
        """One write after the other, each of which finds what the one before has left."""
        rows, digest = self._rows, name.encode().ljust(32, b"-")
        while True:
            session = rows.add("another account", name, prewarmed=True)
            yield
            assert rows.commit(
                session,
                history_digest=digest,
                key_digest=digest,
                conversation=name,
                expires_at=self._clock() + _NEVER_S,
            )
            yield
            claimed = rows.claim_history(digest)
            assert claimed == Session(session.id, "another account", name, name)
            yield
            rows.release(claimed)
            yield
            rows.rollback(claimed, digest)
            yield
            assert rows.claim_history(digest) is None
            yield
            rows.remove(claimed)
            yield


def main(url: str) -> None:
    # A server that is late on a busy machine must not be taken for one that is away.
    one, other = (Database(url, request_timeout_s=10.0) for _ in range(2))
    with closing(one), closing(other):
        one.change(_ADD_AGAIN, _TAKEN)

        class WhereWritesMeet(ConversationMachine):
            def open_rows(
                self, clock: Callable[[], float]
            ) -> AbstractContextManager[Sequence[ExpiringRows]]:
                one.change(delete(tables.sessions))
                workers: list[Any] = [Meeting(one, "a", clock), Meeting(other, "b", clock)]
                return nullcontext(workers)

        run_state_machine_as_test(WhereWritesMeet, settings=_SETTINGS)


if __name__ == "__main__":
    main(sys.argv[1])
