"""Deletes upstream sessions that nobody continues, so that the user's own history stays clean."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from typing import Protocol

from gbproxy.background.executor import BackgroundExecutor
from gbproxy.domain import jitter
from gbproxy.domain.account import Account, id_of, identity_of
from gbproxy.domain.session import Session
from gbproxy.errors import GatewayError, StorageUnavailable
from gbproxy.storage.sessions import PendingDeletion

log = logging.getLogger(__name__)

_AT_ONCE = 64
_TRIES = 10
_FIRST_PAUSE_S = 30.0
_LONGEST_PAUSE_S = 3600.0
_NOBODY_S = 900.0  # while its account cannot be used
_GIVEN_UP_S = 7 * 86_400.0  # for so long an account may be away
_OWN_PAUSES_S = (1.0, 5.0, 25.0)  # between the tries for a session that is recorded nowhere
_HANDS_AT_THE_END = 64
_PARTING_S = 3600.0  # so long what a removed account's last answers leave behind can be deleted


class Rows(Protocol):
    """The part of the sessions' records that has to do with their end. Calls raise
    StorageUnavailable.
    """

    def doomed(self, limit: int, account_keys: Collection[str]) -> list[PendingDeletion]: ...
    def give_up(self, account_keys: Collection[str], after_s: float) -> int: ...
    def deleted(self, session: Session) -> None: ...
    def postpone(self, session: Session, until: float, *, failed: bool = True) -> None: ...


class SessionCleanup:
    """Has sessions deleted in the background; what fails is tried again for hours."""

    def __init__(
        self,
        rows: Rows,
        delete: Callable[[Account, str], None],
        accounts: Callable[[], Iterable[Account]],
        crew: BackgroundExecutor,
        *,
        is_refused: Callable[[Account], bool] = lambda account: False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`delete` deletes upstream; `is_refused` says whether an account's credential is set
        aside.
        """
        self._rows = rows
        self._delete = delete
        self._accounts = accounts
        self._crew = crew
        self._clock = clock
        self._is_refused = is_refused
        self._later: list[tuple[float, Session, int]] = []
        self._in_hand: set[str] = set()
        # by seat, with when they are forgotten
        self._parting: dict[str, tuple[Account, float]] = {}
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Begin to delete what the records say is to be deleted. For one worker at a time. Raises
        StorageUnavailable.

        Sessions of seats that are not there are left to those who have them; after a week nobody
        has.
        """
        account_keys = [account.account_key for account in self._accounts()]
        for session in self._rows.doomed(_AT_ONCE, account_keys):
            self._put(session, partial(self._delete_doomed, session))
        given_up = self._rows.give_up(account_keys, _GIVEN_UP_S)
        if given_up:
            log.warning(
                "session.left", extra={"sessions": given_up, "reason": "its account is gone"}
            )

    def discard(self, session: Session) -> None:
        """Have a session deleted whose record cannot say so, or that has none."""
        self._put(session, partial(self._delete_unrecorded, session), is_recorded=False)

    def part(self, account: Account) -> None:
        """An account was removed: have its sessions deleted, also those that its last answers leave
        behind.
        """
        with self._lock:
            self._parting[account.account_key] = (account, self._clock() + _PARTING_S)

    def finish(self, sessions: Collection[Session], within_s: float) -> None:
        """Delete these now, together with whatever the crew still has to do; what is not done in
        time is left upstream.
        """
        with self._lock:
            waiting, self._later = [session for _, session, _ in self._later], []
        each = {session.id: session for session in (*sessions, *waiting)}
        left = set(each)
        for session in each.values():
            if not self._put(session, partial(self._delete_last, session, left)):
                left.discard(session.id)
        self._crew.widen(_HANDS_AT_THE_END)
        if not self._crew.end(within_s) or left:
            log.warning("session.left", extra={"sessions": len(left), "reason": "shutdown"})

    def _put(
        self, session: Session, delete: Callable[[], None], *, is_recorded: bool = True
    ) -> bool:
        """False when it is being deleted already. What finds no hands free stays in the records, if
        it is there.
        """
        with self._lock:
            if session.id in self._in_hand:
                return False
            self._in_hand.add(session.id)

        def job() -> None:
            try:
                delete()
            except StorageUnavailable:  # the record stays, and so it will be found again
                return
            finally:
                with self._lock:
                    self._in_hand.discard(session.id)

        if not self._crew.put(job):
            with self._lock:
                self._in_hand.discard(session.id)
            if not is_recorded:
                _left(session, "too many wait to be deleted")
        return True

    def go_on(self) -> None:
        """Try again what is due of those that are recorded nowhere, and what those who have left us
        leave behind.

        Raises StorageUnavailable.
        """
        now = self._clock()
        with self._lock:
            due = [(session, tries) for at, session, tries in self._later if at <= now]
            self._later = [later for later in self._later if later[0] > now]
            self._parting = {
                account_key: parting
                for account_key, parting in self._parting.items()
                if parting[1] > now
            }
        for session, tries in due:
            self._put(session, partial(self._delete_unrecorded, session, tries), is_recorded=False)
        for doomed in self._rows.doomed(_AT_ONCE, list(self._parting)) if self._parting else ():
            self._put(doomed, partial(self._delete_doomed, doomed))

    def _delete_doomed(self, session: PendingDeletion) -> None:
        account = self._account(session.account_key)
        if session.name and (
            account is None or self._is_refused(account)
        ):  # it may come back; that is no fault of the session's
            self._rows.postpone(session, self._clock() + _jittered(_NOBODY_S), failed=False)
            return
        error = self._try(session)
        if error is None:
            self._rows.deleted(session)
        elif session.tries + 1 >= _TRIES:
            self._rows.deleted(session)
            _left(session, error)
        else:
            pause_s = min(_FIRST_PAUSE_S * 2**session.tries, _LONGEST_PAUSE_S)
            self._rows.postpone(session, self._clock() + _jittered(pause_s))

    def _delete_unrecorded(self, session: Session, tries: int = 0) -> None:
        error = self._try(session)
        if error is None:
            with suppress(
                StorageUnavailable
            ):  # if there is a record, it will be found to be lost, and deleted once more
                self._rows.deleted(session)
        elif tries < len(_OWN_PAUSES_S):
            with self._lock:
                self._later.append((self._clock() + _OWN_PAUSES_S[tries], session, tries + 1))
        else:
            _left(session, error)

    def _delete_last(self, session: Session, left: set[str]) -> None:
        if self._try(session) is None:
            left.discard(session.id)
            with suppress(StorageUnavailable):  # then it will be deleted once more
                self._rows.deleted(session)

    def _account(self, account_key: str) -> Account | None:
        """Who can delete what was made under this seat: that account, or the one that has come into
        its place.
        """
        owner = identity_of(account_key)
        present = (
            account for account in self._accounts() if identity_of(account.account_key) == owner
        )
        return next(present, self._parting.get(account_key, (None,))[0])

    def _try(self, session: Session) -> str | None:
        """Delete upstream; why that failed, or None."""
        if not session.name:  # it was never asked, or its name was never told: nobody can delete it
            return None
        account = self._account(session.account_key)
        if account is None:
            return "its account is gone"
        try:
            self._delete(account, session.name)
        except GatewayError as error:
            return error.code
        log.debug("session.deleted", extra={"account": id_of(session.account_key)})
        return None


def _jittered(seconds: float) -> float:
    return seconds * jitter.uniform(0.75, 1.25)


def _left(session: Session, reason: str) -> None:
    log.warning("session.left", extra={"account": id_of(session.account_key), "reason": reason})
