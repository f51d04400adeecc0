"""Insert a row, or update the one that is there: the same on both kinds of database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, bindparam, or_

from gbproxy.domain.clock import SET_BACK_S
from gbproxy.storage.database import Database

Condition = Callable[[Any], ColumnElement[bool]]


def not_older(new: Any, noted_at: Column[float]) -> ColumnElement[bool]:
    """Accept the row unless an existing one is newer. Rows over 60 s in the future are ignored: the
    clock was set back.

    The statement needs the values of `at`.
    """
    return or_(
        new[noted_at.name] >= noted_at, noted_at > bindparam("set_back", type_=noted_at.type)
    )


def at(noted_at: Column[float], time: float) -> dict[str, float]:
    """The time of a new row, as `not_older` needs it; Unix seconds."""
    return {noted_at.name: time, "set_back": time + SET_BACK_S}


def insert(database: Database, table: Table) -> Any:
    """An INSERT that has `on_conflict_do_update`."""
    if database.kind == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # loads asyncio's drivers too

    return postgresql.insert(table)


def upsert(database: Database, table: Table, *columns: str, when: Condition | None = None) -> Any:
    """Insert a row, or update `columns` of the existing one: always, or if `when`, given the new
    row, holds. It changes one row, or none.
    """
    statement = insert(database, table)
    upserting = statement.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={name: statement.excluded[name] for name in columns},
        where=when(statement.excluded) if when else None,
    )
    return upserting.execution_options(preserve_rowcount=True)
