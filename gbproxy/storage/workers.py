"""Coordination of workers: leases, each held by one of them for a limited time; the registry of
those that are alive; and version counters of what they share.

The clocks of all machines on one database must agree within a few seconds: the ends of leases are
written in their time.
"""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Literal

from sqlalchemy import Connection, Executable, bindparam, delete, select

from gbproxy.storage.database import Database, Values
from gbproxy.storage.statements import HotStatement
from gbproxy.storage.tables import changes, leases, workers
from gbproxy.storage.upserts import insert, upsert

Topic = Literal["accounts", "console", "credentials", "health", "keys"]
REREAD_S = 5.0  # what a worker of an earlier version has stored moves no counter

_RELEASE = delete(leases).where(
    leases.c.name == bindparam("lease"), leases.c.holder == bindparam("worker")
)
_HEARTBEATS = select(workers.c.id, workers.c.heartbeat_at)
_IN_FLIGHT = select(workers.c.in_flight).where(
    workers.c.id != bindparam("worker"),
    workers.c.heartbeat_at > bindparam("since"),
    workers.c.in_flight.is_not(None),
)
_ALIVE_S = 5.0  # with an older heartbeat a worker may be dead, and its answers with it
_DEREGISTER = delete(workers).where(workers.c.id == bindparam("worker"))
_REMOVE = delete(workers).where(workers.c.id.in_(bindparam("gone", expanding=True)))
_RELEASE_HELD = delete(leases).where(leases.c.holder.in_(bindparam("gone", expanding=True)))
_VERSIONS = HotStatement(select(changes.c.topic, changes.c.version))
_VERSION = HotStatement(select(changes.c.version).where(changes.c.topic == bindparam("topic")))
# An end further ahead than so many terms was written by a clock that has been set back since.
_TERMS = 2


class WorkerId:
    """This process' name: a given one, or a random one, anew in each process that is forked."""

    def __init__(self) -> None:
        self._made = (0, "")

    def assign(self, name: str) -> None:
        """Use this name in this process; to be called before the first use."""
        self._made = (os.getpid(), name)

    def __call__(self) -> str:
        if self._made[0] != os.getpid():
            self._made = (os.getpid(), secrets.token_hex(16))
        return self._made[1]


class LeaderLeases:
    """Leader election by lease. `clock`: Unix seconds. Calls raise StorageUnavailable."""

    def __init__(
        self, database: Database, clock: Callable[[], float], worker_id: Callable[[], str]
    ) -> None:
        self._database = database
        self._clock = clock
        self._worker_id = worker_id
        self._acquire = upsert(
            database,
            leases,
            "holder",
            "expires_at",
            when=lambda new: (
                (leases.c.holder == new.holder)
                | (leases.c.expires_at <= bindparam("now"))
                | (leases.c.expires_at > bindparam("too_late"))
            ),
        )

    def acquire(self, lease: str, for_s: float) -> bool:
        """Take a free lease, or renew this worker's, for so long from now. False: another worker
        holds it.
        """
        now = self._clock()
        values = {"name": lease, "holder": self._worker_id(), "expires_at": now + for_s}
        limits = {"now": now, "too_late": now + _TERMS * for_s}
        return self._database.change(self._acquire, values | limits) == 1

    def release(self, lease: str) -> None:
        """Free this worker's lease for others at once."""
        self._database.change(_RELEASE, {"lease": lease, "worker": self._worker_id()})

    def release_held_by(self, gone: Collection[str]) -> None:
        """Free the leases of workers that have died."""
        self._database.change(_RELEASE_HELD, {"gone": list(gone)})


class WorkerRegistry:
    """Lists the workers alive: each writes a heartbeat twice a second. `clock`: Unix seconds.

    Calls raise StorageUnavailable.
    """

    def __init__(
        self, database: Database, clock: Callable[[], float], worker_id: Callable[[], str]
    ) -> None:
        self._database = database
        self._clock = clock
        self._worker_id = worker_id
        self._heartbeat = HotStatement(upsert(database, workers, "heartbeat_at", "in_flight"))

    def heartbeat(self, in_flight: Mapping[str, int] | None = None) -> None:
        """This worker is alive; `in_flight`: by account id, how many answers run on it here."""
        running = json.dumps(in_flight) if in_flight else None
        values = {"id": self._worker_id(), "heartbeat_at": self._clock(), "in_flight": running}
        self._database.change(self._heartbeat, values)

    def in_flight_elsewhere(self) -> Mapping[str, int]:
        """By account id, how many answers run on it in all other workers, by their last
        heartbeats.
        """
        values = {"worker": self._worker_id(), "since": self._clock() - _ALIVE_S}
        found: Counter[str] = Counter()
        for row in self._database.fetch(_IN_FLIGHT, values):
            found.update(json.loads(row.in_flight))
        return found

    def heartbeats(self) -> dict[str, float]:
        """By worker, the time of its last heartbeat (Unix seconds, by its own clock)."""
        return {row.id: row.heartbeat_at for row in self._database.fetch(_HEARTBEATS)}

    def deregister(self) -> None:
        """This worker ends: what it still holds is reclaimed by the leader soon."""
        self._database.change(_DEREGISTER, {"worker": self._worker_id()})

    def remove(self, gone: Collection[str]) -> None:
        """These workers have died."""
        self._database.change(_REMOVE, {"gone": list(gone)})


class ChangeCounter:
    """One version counter per topic; workers poll it and reload when it moves."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._increment = insert(database, changes).on_conflict_do_update(
            index_elements=[changes.c.topic], set_={"version": changes.c.version + 1}
        )

    def version(self, topic: Topic) -> int:
        """Raises StorageUnavailable."""
        found = self._database.fetch(_VERSION, {"topic": topic})
        return int(found[0][0]) if found else 0

    def versions(self) -> Mapping[str, int]:
        """Of all topics that have ever changed, in one look. Raises StorageUnavailable."""
        return dict(self._database.fetch(_VERSIONS, {}))

    def change(self, topic: Topic, statement: Executable, values: Values) -> int:
        """Run one statement, counted for its topic if it changes anything. Returns how many rows it
        has changed. Raises StorageUnavailable.
        """

        def change_and_count(connection: Connection) -> int:
            count = connection.execute(statement, values).rowcount
            if count:
                self.increment(connection, topic)
            return count

        return self._database.transact(change_and_count)

    def increment(self, connection: Connection, topic: Topic) -> None:
        """To be called in the transaction of the change itself: a worker that sees the new version
        sees the change.
        """
        connection.execute(self._increment, {"topic": topic, "version": 1})

    def advance(self, topic: Topic) -> None:
        """Where the new version is the whole change. Raises StorageUnavailable."""
        self._database.transact(lambda connection: self.increment(connection, topic))
