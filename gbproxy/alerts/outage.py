"""Tells that the database is away, while nothing can be shared in it: each worker watches for
itself, and who gets a hold (`outage_hold.py`) tells for all. That it is over is told once, by the
database itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from gbproxy.alerts.alert import DATABASE, Alert
from gbproxy.alerts.outage_hold import BeingTaken, Hold
from gbproxy.storage.alerts import AlertRows

AWAY_S = 10.0  # a shorter outage is no news
_LEAST_HOLD_S = 60.0  # all workers meet an outage, and its end, within this time
_EARLIER_S = 30.0  # by which another worker may have met the same outage before us


class DatabaseWatch:
    """One worker's watch. `clock`: Unix seconds."""

    def __init__(
        self,
        is_up: Callable[[], bool],
        hold: Hold,
        rows: AlertRows,
        send: Callable[[Alert], None],
        *,
        silence_s: float,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._is_up = is_up
        self._hold = hold
        self._rows = rows
        self._send = send
        self._hold_s = max(silence_s, _LEAST_HOLD_S)
        self._clock = clock
        self._monotonic = monotonic
        self._away_since: float | None = None
        self._told_at: float | None = None  # Unix seconds, by whichever worker
        self._try_at = -math.inf
        # Also at the start: an outage may have been told by workers that are gone.
        self._end_may_be_due = True

    def look(self) -> None:
        """To be called often. Raises StorageUnavailable."""
        if not self._is_up():
            self._note_away()
        elif self._end_may_be_due:
            self._note_back()

    def _note_away(self) -> None:
        now = self._monotonic()
        self._end_may_be_due = True
        if self._away_since is None:
            self._away_since = now
        away_s = now - self._away_since
        if self._told_at is not None or away_s < AWAY_S or now < self._try_at:
            return
        try:
            taken_at = self._hold.take(self._hold_s)
        except BeingTaken:
            return
        held_s = 0.0 if taken_at is None else self._clock() - taken_at
        if taken_at is None:
            self._told_at = self._clock()
            self._send(Alert(DATABASE, False, None, "", self._told_at))
        elif held_s <= away_s + _EARLIER_S:
            self._told_at = taken_at
        else:  # of an earlier outage: this one is told after the silence, if it lasts
            self._try_at = now + self._hold_s - held_s

    def _note_back(self) -> None:
        told_at = self._told_at
        if told_at is None:
            told_at = self._hold.taken_at(self._hold_s)
        if told_at is not None:
            # The worker that opens and closes it tells; the others find it told.
            self._rows.open(DATABASE, self._hold_s - _EARLIER_S, at=told_at)
        if self._rows.close(DATABASE):
            self._send(Alert(DATABASE, True, None, "", self._clock()))
        self._end_may_be_due = False
        self._away_since = self._told_at = None
        self._try_at = -math.inf
