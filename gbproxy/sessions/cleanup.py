"""Deletes upstream sessions that are over, so that the user's own history stays clean."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from typing import Protocol

from gbproxy.domain.account import Account, id_of, identity_of
from gbproxy.domain.clock import jitter
from gbproxy.domain.session import PendingDeletion, Session
from gbproxy.errors import GatewayError, StorageUnavailable
from gbproxy.storage.sessions import SessionRows

log = logging.getLogger(__name__)

_BATCH = 64  # pending deletions per read
_MAX_ATTEMPTS = 10
_FIRST_PAUSE_S = 30.0
_LONGEST_PAUSE_S = 3600.0
_ACCOUNT_PAUSE_S = 900.0  # while the account cannot be used
_ABANDON_AFTER_S = 7 * 86_400.0  # an account may be missing for so long
_ABANDON_PERIOD_S = 60.0  # between looks for such; rounds come twice a second
_UNRECORDED_PAUSES_S = (1.0, 5.0, 25.0)  # between attempts
_WIDTH_AT_THE_END = 64
_DEPARTED_S = 3600.0  # by then a removed account's last answers are over


class Executor(Protocol):
    """Runs jobs in the background: `BackgroundExecutor`, or in tests the test's own thread."""

    def submit(self, job: Callable[[], None]) -> bool:
        """Queue a job; False when the queue is full, or after `shutdown`."""
        ...

    def grow(self, width: int) -> None:
        """Use up to `width` threads from now on."""
        ...

    def shutdown(self, within_s: float) -> bool:
        """Run the queued jobs and accept no more. True if all were run in time."""
        ...


class SessionCleanup:
    """Deletes sessions in the background and retries failures for hours; safe for use by many
    threads at once.
    """

    def __init__(
        self,
        sessions: SessionRows,
        delete: Callable[[Account, str], None],
        accounts: Callable[[], Iterable[Account]],
        executor: Executor,
        *,
        is_refused: Callable[[Account], bool] = lambda account: False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`delete`: deletes a session upstream, by its name; raises GatewayErrors.

        `is_refused`: True while the account's credential is set aside. `clock`: Unix seconds.
        """
        self._sessions = sessions
        self._delete = delete
        self._accounts = accounts
        self._executor = executor
        self._clock = clock
        self._is_refused = is_refused
        # unrecorded sessions: when the next attempt is due, and how many there were
        self._retries: list[tuple[float, Session, int]] = []
        self._in_progress: set[str] = set()
        self._abandoned_at = 0.0
        # removed accounts by account key, and until when they are kept
        self._departed: dict[str, tuple[Account, float]] = {}
        self._lock = threading.Lock()

    def run_due(self) -> None:
        """Submit the recorded deletions that are due; for the leader. Raises StorageUnavailable.

        Sessions of accounts that are not configured here are left to the gateways that have them,
        and abandoned after a week.
        """
        account_keys = [account.account_key for account in self._accounts()]
        for session in self._sessions.due_deletions(_BATCH, account_keys):
            self._submit(session, partial(self._delete_marked, session))
        now = self._clock()
        if abs(now - self._abandoned_at) < _ABANDON_PERIOD_S:
            return
        self._abandoned_at = now
        if abandoned := self._sessions.abandon(account_keys, _ABANDON_AFTER_S):
            log.warning(
                "session.left", extra={"sessions": abandoned, "reason": "its account is gone"}
            )

    def retry_due(self) -> None:
        """Retry unrecorded sessions that are due, and submit the recorded deletions of removed
        accounts. Raises StorageUnavailable.
        """
        now = self._clock()
        with self._lock:
            due = [(session, attempts) for at, session, attempts in self._retries if at <= now]
            self._retries = [retry for retry in self._retries if retry[0] > now]
            self._departed = {
                account_key: (account, until)
                for account_key, (account, until) in self._departed.items()
                if until > now
            }
        for session, attempts in due:
            delete = partial(self._delete_unrecorded, session, attempts)
            self._submit(session, delete, is_recorded=False)
        if self._departed:
            for marked in self._sessions.due_deletions(_BATCH, list(self._departed)):
                self._submit(marked, partial(self._delete_marked, marked))

    def delete_unrecorded(self, session: Session) -> None:
        """Delete a session that has no record, or whose record could not be marked."""
        self._submit(session, partial(self._delete_unrecorded, session), is_recorded=False)

    def delete_for_account(self, account: Account) -> None:
        """Keep a removed account for the deletion of its sessions, also of those that its last
        answers still use.
        """
        with self._lock:
            self._departed[account.account_key] = (account, self._clock() + _DEPARTED_S)

    def drain(self, sessions: Collection[Session], within_s: float) -> None:
        """Delete these now, and all that is queued; log how many are left after `within_s`."""
        with self._lock:
            waiting, self._retries = [session for _, session, _ in self._retries], []
        each = {session.id: session for session in (*sessions, *waiting)}
        left = set(each)
        for session in each.values():
            if not self._submit(session, partial(self._delete_last, session, left)):
                left.discard(session.id)
        self._executor.grow(_WIDTH_AT_THE_END)
        if not self._executor.shutdown(within_s) or left:
            log.warning("session.left", extra={"sessions": len(left), "reason": "shutdown"})

    def _submit(
        self, session: Session, delete: Callable[[], None], *, is_recorded: bool = True
    ) -> bool:
        """Submit a deletion; False if the session is being deleted already."""
        with self._lock:
            if session.id in self._in_progress:
                return False
            self._in_progress.add(session.id)

        def job() -> None:
            try:
                delete()
            except StorageUnavailable:  # the record stays, and is read again
                return
            finally:
                with self._lock:
                    self._in_progress.discard(session.id)

        if not self._executor.submit(job):
            with self._lock:
                self._in_progress.discard(session.id)
            if not is_recorded:  # a recorded one stays in the records and is read again
                _log_left(session, "too many wait to be deleted")
        return True

    def _delete_marked(self, session: PendingDeletion) -> None:
        account = self._account(session.account_key)
        # The account may come back: postponed without counting an attempt.
        if session.name and (account is None or self._is_refused(account)):
            until = self._clock() + _jittered(_ACCOUNT_PAUSE_S)
            self._sessions.reschedule(session, until, failed=False)
            return
        error = self._try(session)
        if error is None:
            self._sessions.remove(session)
        elif session.attempts + 1 >= _MAX_ATTEMPTS:
            self._sessions.remove(session)
            _log_left(session, error)
        else:
            pause_s = min(_FIRST_PAUSE_S * 2**session.attempts, _LONGEST_PAUSE_S)
            self._sessions.reschedule(session, self._clock() + _jittered(pause_s))

    def _delete_unrecorded(self, session: Session, attempts: int = 0) -> None:
        error = self._try(session)
        if error is None:
            # If a record exists all the same, it is reclaimed as leaked and deleted once more.
            with suppress(StorageUnavailable):
                self._sessions.remove(session)
        elif attempts < len(_UNRECORDED_PAUSES_S):
            at = self._clock() + _UNRECORDED_PAUSES_S[attempts]
            with self._lock:
                self._retries.append((at, session, attempts + 1))
        else:
            _log_left(session, error)

    def _delete_last(self, session: Session, left: set[str]) -> None:
        if self._try(session) is None:
            left.discard(session.id)
            with suppress(StorageUnavailable):  # then another worker deletes it once more
                self._sessions.remove(session)

    def _account(self, account_key: str) -> Account | None:
        """The account that can delete sessions of this key: one of the same upstream identity,
        under any id, or the removed one.
        """
        owner = identity_of(account_key)
        present = (
            account for account in self._accounts() if identity_of(account.account_key) == owner
        )
        return next(present, self._departed.get(account_key, (None,))[0])

    def _try(self, session: Session) -> str | None:
        """Delete upstream; return the reason of a failure, or None."""
        if not session.name:  # never opened upstream, or its name never arrived
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
    return seconds * jitter(0.75, 1.25)


def _log_left(session: Session, reason: str) -> None:
    log.warning("session.left", extra={"account": id_of(session.account_key), "reason": reason})
