"""Audit lines of commands that worked on the database themselves: stored until a gateway's log has
them, as what a command prints is kept by nobody.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select

from gbproxy.storage.database import Database
from gbproxy.storage.tables import untold_changes as rows

_ALL = select(rows).order_by(rows.c.made_at, rows.c.id)
_ADD = insert(rows)
_REMOVE = delete(rows).where(rows.c.id == bindparam("wanted"))


class UntoldChanges:
    """Calls raise StorageUnavailable."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def add(self, facts: Mapping[str, Any]) -> None:
        row = {"id": uuid.uuid4().hex, "made_at": self._clock(), "facts": json.dumps(dict(facts))}
        self._database.transact(lambda connection: connection.execute(_ADD, row))

    def tell(self, line: Callable[[float, dict[str, Any]], None]) -> None:
        """Hand each to `line`, with its time in Unix seconds, the oldest first; once over all
        gateways, unless one is killed meanwhile.
        """
        for row in self._database.fetch(_ALL):
            id_ = row.id

            def remove(connection: Connection, id_: str = id_) -> bool:
                return connection.execute(_REMOVE, {"wanted": id_}).rowcount == 1

            if self._database.transact(remove):
                line(row.made_at, json.loads(row.facts))
