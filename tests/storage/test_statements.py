"""Statements that are compiled ahead do what SQLAlchemy's own way does, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import bindparam, delete, insert, select, update

from gbproxy.storage.database import Database, UniqueViolation
from gbproxy.storage.statements import HotStatement
from gbproxy.storage.tables import workers

NOW = 1_700_000_000.125
_id = workers.c.id == bindparam("wanted")
ADD = insert(workers).values(
    id=bindparam("wanted"), heartbeat_at=NOW, in_flight=bindparam("running")
)
MOVE = update(workers).where(_id, workers.c.heartbeat_at <= bindparam("now"))
MOVE = MOVE.values(heartbeat_at=bindparam("now"), in_flight=None).returning(workers.c.id)
FIND = select(workers.c.id, workers.c.in_flight).where(_id)
REMOVE = delete(workers).where(_id)


def write(database: Database, wrap: Any) -> list[Any]:
    """What a few statements give, and what is stored then."""
    add, move, find, remove = (wrap(each) for each in (ADD, MOVE, FIND, REMOVE))
    database.change(add, {"wanted": "a%b", "running": '{"x": 1}'})
    database.change(add, {"wanted": "c", "running": None})
    results: list[Any] = [
        list(map(tuple, database.fetch(find, {"wanted": "a%b"}))),
        list(map(tuple, database.fetch(move, {"wanted": "a%b", "now": NOW + 1.5}))),
        list(map(tuple, database.fetch(move, {"wanted": "a%b", "now": NOW}))),
        database.change(remove, {"wanted": "c"}),
        database.change(remove, {"wanted": "c"}),
        list(map(tuple, database.fetch(select(workers)))),
    ]
    with pytest.raises(UniqueViolation):
        database.change(add, {"wanted": "a%b", "running": None})
    database.change(remove, {"wanted": "a%b"})
    return results


def test_a_hot_statement_does_what_the_statement_does(database: Database) -> None:
    plain = write(database, lambda statement: statement)
    hot = write(database, HotStatement)

    assert hot == plain
    assert hot == [
        [("a%b", '{"x": 1}')],
        [("a%b",)],
        [],
        1,
        0,
        [("a%b", NOW + 1.5, None)],
    ]


def test_a_statement_whose_text_depends_on_its_values_is_refused(database: Database) -> None:
    statement = HotStatement(
        select(workers).where(workers.c.id.in_(bindparam("some", expanding=True)))
    )

    with pytest.raises(ValueError, match="depends on its values"):
        database.fetch(statement, {"some": ["a", "b"]})
