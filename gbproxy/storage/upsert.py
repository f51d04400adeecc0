"""INSERT … ON CONFLICT DO UPDATE, which both databases have, for a table's primary key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Table
from sqlalchemy.dialects import postgresql, sqlite

from gbproxy.storage.database import Database

Condition = Callable[[Any], ColumnElement[bool]]


def upsert(database: Database, table: Table, *columns: str, when: Condition | None = None) -> Any:
    """Put a row in, or replace `columns` of the one that is there: always, or if `when` (given the new row) holds.

    It changes one row, or none.
    """
    statement = (sqlite if database.kind == "sqlite" else postgresql).insert(table)
    upserting = statement.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={name: statement.excluded[name] for name in columns},
        where=when(statement.excluded) if when else None,
    )
    return upserting.execution_options(preserve_rowcount=True)
