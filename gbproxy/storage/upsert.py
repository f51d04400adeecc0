"""INSERT … ON CONFLICT DO UPDATE, which both databases have, for a table's primary key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Table
from sqlalchemy.dialects import postgresql, sqlite

from gbproxy.storage.database import Database

Condition = Callable[[Any], ColumnElement[bool]]


def upsert(database: Database, table: Table, *columns: str, when: Condition | None = None) -> Any:
    """Put a row in, or replace `columns` of the one that is there, `when` (given the new row) allows it; None: always."""
    statement = (sqlite if database.kind == "sqlite" else postgresql).insert(table)
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={name: statement.excluded[name] for name in columns},
        where=when(statement.excluded) if when else None,
    )
