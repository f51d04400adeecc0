"""Offices that one worker holds for all, each for a limited time; and which workers are alive.

The clocks of all machines on one database must agree within a few seconds: the limits are told in
their time.
"""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Mapping

from sqlalchemy import bindparam, delete, select

from gbproxy.storage.database import Database
from gbproxy.storage.tables import offices, workers
from gbproxy.storage.upsert import upsert

_GIVE_UP = delete(offices).where(
    offices.c.name == bindparam("office"), offices.c.holder == bindparam("worker")
)
_HOLDER = select(offices.c.holder).where(
    offices.c.name == bindparam("office"), offices.c.until > bindparam("now")
)
_REPORTS = select(workers.c.id, workers.c.seen_at)
_IN_FLIGHT = select(workers.c.in_flight).where(
    workers.c.id != bindparam("worker"),
    workers.c.seen_at > bindparam("since"),
    workers.c.in_flight.is_not(None),
)
_SEEN_LATELY_S = 5.0  # whose last report is older may have died, and its answers with it
_LEAVE = delete(workers).where(workers.c.id == bindparam("worker"))
_FORGET = delete(workers).where(workers.c.id.in_(bindparam("gone", expanding=True)))
_VACATE = delete(offices).where(offices.c.holder.in_(bindparam("gone", expanding=True)))
_TERMS = 2  # an end that lies further ahead was set by a clock that has been set back since


class WorkerId:
    """This process' name: the one that it was given, or a random one, so that each process that
    forks has its own.
    """

    def __init__(self) -> None:
        self._made = (0, "")

    def take(self, name: str) -> None:
        """Go by this name from now on, in this process; before its first use."""
        self._made = (os.getpid(), name)

    def __call__(self) -> str:
        if self._made[0] != os.getpid():
            self._made = (os.getpid(), secrets.token_hex(16))
        return self._made[1]


class LeaderLeases:
    """`clock`: Unix seconds."""

    def __init__(
        self, database: Database, clock: Callable[[], float], worker_id: Callable[[], str]
    ) -> None:
        self._database = database
        self._clock = clock
        self._worker_id = worker_id
        self._take = upsert(
            database,
            offices,
            "holder",
            "until",
            when=lambda new: (
                (offices.c.holder == new.holder)
                | (offices.c.until <= bindparam("now"))
                | (offices.c.until > bindparam("too_late"))
            ),
        )

    def take(self, office: str, for_s: float) -> bool:
        """Take a free office, or keep the one that is ours, for so long from now; False: another
        worker holds it.
        """
        now = self._clock()
        values = {"name": office, "holder": self._worker_id(), "until": now + for_s}
        limits = {"now": now, "too_late": now + _TERMS * for_s}
        return self._database.change(self._take, values | limits) == 1

    def give_up(self, office: str) -> None:
        """Let another worker take it at once."""
        self._database.change(_GIVE_UP, {"office": office, "worker": self._worker_id()})

    def vacate(self, gone: Collection[str]) -> None:
        """Let others take at once what workers held that have died."""
        self._database.change(_VACATE, {"gone": list(gone)})

    def holder(self, office: str) -> str | None:
        """The worker that holds it now."""
        found = self._database.fetch(_HOLDER, {"office": office, "now": self._clock()})
        return found[0].holder if found else None


class WorkerRegistry:
    """Who is alive: each worker says so every second or so. `clock`: Unix seconds."""

    def __init__(
        self, database: Database, clock: Callable[[], float], worker_id: Callable[[], str]
    ) -> None:
        self._database = database
        self._clock = clock
        self._worker_id = worker_id
        self._touch = upsert(database, workers, "seen_at", "in_flight")

    def touch(self, in_flight: Mapping[str, int] | None = None) -> None:
        """This worker is alive; `in_flight`: by account id, how many answers run on it here."""
        running = json.dumps(in_flight) if in_flight else None
        values = {"id": self._worker_id(), "seen_at": self._clock(), "in_flight": running}
        self._database.change(self._touch, values)

    def in_flight_elsewhere(self) -> Mapping[str, int]:
        """By account id, how many answers run on it in all other workers, as they have last
        said.
        """
        values = {"worker": self._worker_id(), "since": self._clock() - _SEEN_LATELY_S}
        found: Counter[str] = Counter()
        for row in self._database.fetch(_IN_FLIGHT, values):
            found.update(json.loads(row.in_flight))
        return found

    def all(self) -> dict[str, float]:
        """By worker, when it has last said that it is alive (Unix seconds, by its own clock)."""
        return {row.id: row.seen_at for row in self._database.fetch(_REPORTS)}

    def leave(self) -> None:
        """This worker ends: what it holds is free for others at once."""
        self._database.change(_LEAVE, {"worker": self._worker_id()})

    def forget(self, gone: Collection[str]) -> None:
        """These have died."""
        self._database.change(_FORGET, {"gone": list(gone)})
