"""Opens upstream sessions before requests need them, so that these need not wait. Each worker has
its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from gbproxy.domain.account import Account
from gbproxy.domain.clock import jitter
from gbproxy.domain.session import Session
from gbproxy.errors import GatewayError, StorageUnavailable
from gbproxy.observability.request_context import result_in_time
from gbproxy.storage.sessions import SessionRows

log = logging.getLogger(__name__)

PREWARMED_PER_ACCOUNT = 2
_RETRY_S = 30.0  # after a session could not be opened
_MAX_AGE_S = 900.0  # the upstream does not say how long it keeps an unused session


class OpenSession(Protocol):
    """`Upstream.open_session`, of the account's upstream."""

    def __call__(self, account: Account, *, for_files: bool) -> str: ...


@dataclass(slots=True)
class _Slot:
    """The prewarmed sessions of one account, each with the time when it was opened."""

    ready: deque[tuple[Session, float]] = field(default_factory=deque)
    opening: int = 0
    retry_at: float = 0.0


class SessionPool:
    """Sessions that no request has used yet; safe for use by many threads at once.

    A session is recorded as soon as the upstream has opened it, so that a killed worker's are
    found and deleted.
    """

    def __init__(
        self,
        sessions: SessionRows,
        open_session: OpenSession,
        submit: Callable[[Callable[[], None]], bool],
        delete_unrecorded: Callable[[Session], None],
        *,
        size: int = PREWARMED_PER_ACCOUNT,
        on_failure: Callable[
            [Account, GatewayError, float], None
        ] = lambda account, error, took_s: None,
        has_sessions: Callable[[Account], bool] = lambda account: True,
        clock: Callable[[], float] = time.monotonic,
        patience_s: float = 5.0,
    ) -> None:
        """`open_session`: opens one upstream and returns its name; raises GatewayErrors.

        `submit`: runs a job in the background, False if it will not. `size`: per account.
        `on_failure`: called when prewarming fails, with how many seconds it took. `patience_s`: how
        long `open` waits while another account may serve the request. `has_sessions`: False where
        an account's upstream has none.
        """
        self._sessions = sessions
        self._open_session = open_session
        self._submit = submit
        self._delete_unrecorded = delete_unrecorded
        self._size = size
        self._on_failure = on_failure
        self._has_sessions = has_sessions
        self._clock = clock
        self._patience_s = patience_s
        # Keyed by the account with its credential: after a change no old session is used.
        self._slots: dict[Account, _Slot] = {}
        self._lock = threading.Lock()
        self._openers: set[threading.Thread] = set()  # threads that open a session for a request
        self._closed = False

    def take(self, account: Account) -> Session | None:
        """Take the oldest prewarmed session, None when there is none. Another one is opened in the
        background.
        """
        self._refill(account, beyond=1)
        with self._lock:  # last: a greenlet that is killed before has taken nothing
            slot = self._slots.setdefault(account, _Slot())
            return slot.ready.popleft()[0] if slot.ready else None

    def open(self, account: Account, *, for_files: bool = False) -> str:
        """Open a session for one request, which waits for its name; if the request stops waiting,
        the session is added to the prewarmed ones. `for_files`: as for `Upstream.open_session`.

        Raises what the upstream raises; AccountStalled after `patience_s` while another account may
        serve the request; UpstreamTimeout when the request's time is over.
        """
        opened: Future[str] = Future()

        def work() -> None:
            self._openers.add(threading.current_thread())
            try:
                opened.set_result(self._open_session(account, for_files=for_files))
            except Exception as error:  # noqa: BLE001  raised in the thread that waits
                opened.set_exception(error)
            finally:
                self._openers.discard(threading.current_thread())

        opener = threading.Thread(
            target=copy_context().run, args=(work,), name="opening", daemon=True
        )
        try:
            opener.start()
            return result_in_time(opened, "opening a session", self._patience_s)
        # The client has left, the request goes to another account, or opening failed.
        except BaseException:
            opened.add_done_callback(lambda done: self._adopt_opened(account, done))
            raise

    def refill(self, accounts: Collection[Account]) -> None:
        """Keep sessions ready for these accounts, and for no others; what has grown old is
        replaced.
        """
        with self._lock:
            gone = [account for account in self._slots if account not in accounts]
            old = [session for account in gone for session, _ in self._slots.pop(account).ready]
            for slot in self._slots.values():
                while slot.ready and self._clock() - slot.ready[0][1] > _MAX_AGE_S:
                    old.append(slot.ready.popleft()[0])
        for session in old:
            self._mark_for_deletion(session)
        for account in accounts:
            if self._has_sessions(account):
                self._refill(account)

    def invalidate(self, account: Account) -> None:
        """Invalidate this account's prewarmed sessions, also those being opened: one of them did
        not exist upstream any more.
        """
        with self._lock:
            slot = self._slots.pop(account, _Slot())
        for session, _ in slot.ready:
            self._mark_for_deletion(session)

    def close(self, within_s: float = 0.0) -> list[Session]:
        """Open no more, wait for those being opened for requests, and return all that are left."""
        deadline = time.monotonic() + within_s
        with self._lock:
            self._closed = True
        for opener in tuple(self._openers):
            opener.join(max(0.0, deadline - time.monotonic()))
        with self._lock:
            left = [session for slot in self._slots.values() for session, _ in slot.ready]
            self._slots.clear()
        return left

    def _refill(self, account: Account, *, beyond: int = 0) -> None:
        """Submit the opening of missing sessions, and of `beyond` more that are about to be
        taken.
        """
        while True:
            with self._lock:
                slot = self._slots.setdefault(account, _Slot())
                count = max(0, len(slot.ready) - beyond) + slot.opening
                if self._closed or self._clock() < slot.retry_at or count >= self._size:
                    return
                slot.opening += 1
            submitted = False
            try:
                submitted = self._submit(partial(self._prewarm, account, slot))
            finally:  # also when the request's greenlet is killed here
                if not submitted:
                    with self._lock:
                        slot.opening -= 1
            if not submitted:
                return

    def _prewarm(self, account: Account, slot: _Slot) -> None:
        name: str | None = None
        began_at = self._clock()
        try:
            if not self._closed:
                name = self._open_session(account, for_files=False)
        except GatewayError as error:
            fields = {"account": account.id, "code": error.code, "said": error.safe_words}
            log.info("stock.failed", extra=fields)
            self._on_failure(account, error, self._clock() - began_at)
        finally:
            if name is None:
                with self._lock:
                    slot.opening -= 1
                    slot.retry_at = self._clock() + _RETRY_S
        if name is not None:
            self._record(account, slot, name)

    def _adopt_opened(self, account: Account, opened: Future[str]) -> None:
        # Without a name the upstream has not opened it yet.
        if opened.exception() is None and opened.result():
            with self._lock:
                slot = self._slots.setdefault(account, _Slot())
                slot.opening += 1
            self._record(account, slot, opened.result())

    def _record(self, account: Account, slot: _Slot, name: str) -> None:
        """Record a session that was opened and add it to its slot, or have it deleted."""
        recorded: Session | None = None
        try:
            recorded = self._sessions.add(account.account_key, name, prewarmed=True)
        except StorageUnavailable:
            with self._lock:
                slot.retry_at = self._clock() + _RETRY_S
        finally:
            was_added = self._add(account, slot, recorded)
        if recorded is None:
            self._delete_unrecorded(Session(name, account.account_key, name, ""))
        elif not was_added:
            self._mark_for_deletion(recorded)

    def _add(self, account: Account, slot: _Slot, session: Session | None) -> bool:
        """Add a session to its slot; False if the slot was replaced meanwhile, or is full."""
        with self._lock:
            slot.opening -= 1
            has_room = (
                not self._closed
                and self._slots.get(account) is slot
                and len(slot.ready) < self._size
            )
            if has_room and session is not None:
                # Jittered, so that not all expire at once.
                opened_at = self._clock() - jitter(0, _MAX_AGE_S / 4)
                slot.ready.append((session, opened_at))
            return has_room

    def _mark_for_deletion(self, session: Session) -> None:
        if self._closed:  # shutting down: maybe no other worker is left to read the records
            self._delete_unrecorded(session)
            return
        try:
            self._sessions.mark_for_deletion(session)
        except StorageUnavailable:
            self._delete_unrecorded(session)
