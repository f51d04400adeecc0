"""Deletes upstream sessions that nobody continues, so that the user's own history stays clean."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import Protocol

from gbproxy.domain.account import Account
from gbproxy.domain.session import Session
from gbproxy.errors import GatewayError, StorageUnavailable
from gbproxy.storage.sessions import Doomed
from gbproxy.sweeper.crew import Crew

log = logging.getLogger(__name__)

_AT_ONCE = 64
_TRIES = 10
_FIRST_PAUSE_S = 30.0
_LONGEST_PAUSE_S = 3600.0
_OWN_TRIES_S = (1.0, 5.0, 25.0)  # between the tries for a session that is recorded nowhere


class Rows(Protocol):
    """The part of the sessions' records that has to do with their end. Calls raise StorageUnavailable."""

    def doomed(self, limit: int) -> list[Doomed]: ...
    def deleted(self, session: Session) -> None: ...
    def postpone(self, session: Session, until: float) -> None: ...


class Deletions:
    """Has sessions deleted in the background; what fails is tried again for hours."""

    def __init__(
        self,
        rows: Rows,
        delete: Callable[[Account, str], None],
        account: Callable[[str], Account | None],
        crew: Crew,
        *,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`delete` deletes upstream; `account` finds one by its id."""
        self._rows = rows
        self._delete = delete
        self._account = account
        self._crew = crew
        self._clock = clock
        self._pause = pause
        self._in_hand: set[str] = set()
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Begin to delete what the records say is to be deleted. For one worker at a time. Raises StorageUnavailable."""
        for session in self._rows.doomed(_AT_ONCE):
            self._put(session, partial(self._delete_doomed, session))

    def discard(self, session: Session) -> None:
        """Have a session deleted whose record cannot say so, or that has none."""
        self._put(session, partial(self._delete_unrecorded, session))

    def finish(self, sessions: Collection[Session], within_s: float) -> None:
        """Delete these now, together with whatever the crew still has to do; what is not done in time is left upstream."""
        left = {session.id for session in sessions}
        for session in sessions:
            if not self._put(session, partial(self._delete_last, session, left)):
                left.discard(session.id)
        if not self._crew.end(within_s) or left:
            log.warning("session.left", extra={"sessions": len(left), "reason": "shutdown"})

    def _put(self, session: Session, delete: Callable[[], None]) -> bool:
        """False when it is being deleted already."""
        with self._lock:
            if session.id in self._in_hand:
                return False
            self._in_hand.add(session.id)

        def job() -> None:
            try:
                delete()
            finally:
                with self._lock:
                    self._in_hand.discard(session.id)

        if not self._crew.put(job):
            with self._lock:
                self._in_hand.discard(session.id)
            _left(session, "too many wait to be deleted")
        return True

    def _delete_doomed(self, session: Doomed) -> None:
        error = self._try(session)
        if error is None:
            self._rows.deleted(session)
            return
        if session.tries + 1 >= _TRIES:
            self._rows.deleted(session)
            _left(session, error)
            return
        pause_s = min(_FIRST_PAUSE_S * 2**session.tries, _LONGEST_PAUSE_S) * random.uniform(0.75, 1.25)  # noqa: S311  jitter
        self._rows.postpone(session, self._clock() + pause_s)

    def _delete_unrecorded(self, session: Session) -> None:
        error = self._try(session)
        for pause_s in _OWN_TRIES_S:
            if error is None:
                break
            self._pause(pause_s)
            error = self._try(session)
        if error is not None:
            _left(session, error)
            return
        with suppress(StorageUnavailable):  # if there is a record, it will be found to be lost, and deleted once more
            self._rows.deleted(session)

    def _delete_last(self, session: Session, left: set[str]) -> None:
        if self._try(session) is None:
            left.discard(session.id)
            self._rows.deleted(session)

    def _try(self, session: Session) -> str | None:
        """Delete upstream; why that failed, or None."""
        account = self._account(session.account_id)
        if account is None:
            return "its account is gone"
        try:
            self._delete(account, session.name)
        except GatewayError as error:
            return error.code
        log.debug("session.deleted", extra={"account": session.account_id})
        return None


def _left(session: Session, reason: str) -> None:
    log.warning("session.left", extra={"account": session.account_id, "reason": reason})
