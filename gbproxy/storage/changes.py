"""By which all workers learn that something was changed: a number for each topic, which grows with
every change.
"""

from __future__ import annotations

from typing import Literal

from sqlalchemy import Connection, bindparam, select

from gbproxy.storage.database import Database
from gbproxy.storage.tables import changes
from gbproxy.storage.upsert import insert

Topic = Literal["accounts", "keys"]

_VERSION = select(changes.c.version).where(changes.c.topic == bindparam("topic"))


class ChangeCounter:
    """What has changed since a worker has looked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        new = insert(database, changes)
        self._bump = new.on_conflict_do_update(
            index_elements=[changes.c.topic], set_={"version": changes.c.version + 1}
        )

    def version(self, topic: Topic) -> int:
        """Another number than before, once something of this topic has changed. Raises
        StorageUnavailable.
        """
        found = self._database.fetch(_VERSION, {"topic": topic})
        return int(found[0].version) if found else 0

    def bump(self, connection: Connection, topic: Topic) -> None:
        """Tell all workers; in the transaction that makes the change, so that nobody looks too
        early.
        """
        connection.execute(self._bump, {"topic": topic, "version": 1})
