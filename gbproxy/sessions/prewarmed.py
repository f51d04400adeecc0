"""Fresh upstream sessions, made ahead, so that a request need not wait for one. Each worker has its
own.
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

from gbproxy.domain import jitter
from gbproxy.domain.account import Account
from gbproxy.domain.session import Session
from gbproxy.errors import GatewayError, StorageUnavailable
from gbproxy.observability.waiting import result_in_time

log = logging.getLogger(__name__)

SIZE = 2  # for each account
_RETRY_S = 30.0  # after a session could not be made
_AGE_S = 900.0  # how long an unused session of the upstream's surely lives is not known


class Rows(Protocol):
    """What is recorded of sessions. Calls raise StorageUnavailable."""

    def add(self, account_key: str, name: str, *, stock: bool) -> Session: ...
    def doom(self, session: Session) -> None: ...


@dataclass(slots=True)
class _Shelf:
    """What one account has ready: each session with the time at which it was made."""

    ready: deque[tuple[Session, float]] = field(default_factory=deque)
    making: int = 0
    rests_until: float = 0.0


class SessionPool:
    """Sessions that were made for nobody yet; safe for use by many threads at once.

    A session is recorded as soon as the upstream has made it: whoever dies with stock in hand
    leaves word of it.
    """

    def __init__(
        self,
        rows: Rows,
        open_session: Callable[[Account], str],
        put: Callable[[Callable[[], None]], bool],
        discard: Callable[[Session], None],
        *,
        size: int = SIZE,
        on_failure: Callable[
            [Account, GatewayError, float], None
        ] = lambda account, error, took_s: None,
        has_sessions: Callable[[Account], bool] = lambda account: True,
        clock: Callable[[], float] = time.monotonic,
        patience_s: float = 5.0,
    ) -> None:
        """`put` has a job done in the background; `discard` has a session deleted of which there is
        no record.

        `on_failure` is also told how many seconds it took. `has_sessions`: whether there is such a
        thing at the account's upstream.
        """
        self._rows = rows
        self._open_session = open_session
        self._put = put
        self._discard = discard
        self._size = size
        self._on_failure = on_failure
        self._has_sessions = has_sessions
        self._clock = clock
        self._patience_s = patience_s  # of a request that another account may serve
        # by the account as it is: of a changed one nothing is used
        self._shelves: dict[Account, _Shelf] = {}
        self._lock = threading.Lock()
        self._openers: set[threading.Thread] = set()  # which make a session for a request
        self._closed = False

    def take(self, account: Account) -> Session | None:
        """A session for one request, the oldest first; None when there is none. Another one is made
        in its place.
        """
        self._fill(account, beyond=1)
        with self._lock:  # last: who is interrupted has taken nothing
            shelf = self._shelves.setdefault(account, _Shelf())
            return shelf.ready.popleft()[0] if shelf.ready else None

    def open(self, account: Account) -> str:
        """Make a session for one request, which waits for its name; if it stops waiting, the
        session goes into the stock.

        Raises what the upstream raises; AccountStalled when it takes long and another account may
        serve the request; UpstreamTimeout when the request's time is over.
        """
        opening: Future[str] = Future()

        def work() -> None:
            self._openers.add(threading.current_thread())
            try:
                opening.set_result(self._open_session(account))
            except Exception as error:  # noqa: BLE001  it is raised where it is waited for
                opening.set_exception(error)
            finally:
                self._openers.discard(threading.current_thread())

        opener = threading.Thread(
            target=copy_context().run, args=(work,), name="opening", daemon=True
        )
        try:
            opener.start()
            return result_in_time(opening, "opening a session", self._patience_s)
        # the client has left, or the request goes elsewhere; or there will be no session
        except BaseException:
            opening.add_done_callback(lambda done: self._inherit(account, done))
            raise

    def _inherit(self, account: Account, opened: Future[str]) -> None:
        # a session without a name was not made yet
        if opened.exception() is None and opened.result():
            with self._lock:
                shelf = self._shelves.setdefault(account, _Shelf())
                shelf.making += 1
            self._record(account, shelf, opened.result())

    def tend(self, accounts: Collection[Account]) -> None:
        """Keep stock for these accounts, and for no others."""
        with self._lock:
            gone = [account for account in self._shelves if account not in accounts]
            old = [session for account in gone for session, _ in self._shelves.pop(account).ready]
            for shelf in self._shelves.values():
                while shelf.ready and self._clock() - shelf.ready[0][1] > _AGE_S:
                    old.append(shelf.ready.popleft()[0])
        for session in old:
            self._doom(session)
        for account in accounts:
            if self._has_sessions(account):
                self._fill(account)

    def drop(self, account: Account) -> None:
        """Use none of what was made for this account."""
        with self._lock:
            shelf = self._shelves.pop(account, _Shelf())
        for session, _ in shelf.ready:
            self._doom(session)

    def close(self, within_s: float = 0.0) -> list[Session]:
        """Make no more, wait so long for what is being opened, and hand out all that there is."""
        deadline = time.monotonic() + within_s
        with self._lock:
            self._closed = True
        for opener in tuple(self._openers):
            opener.join(max(0.0, deadline - time.monotonic()))
        with self._lock:
            left = [session for shelf in self._shelves.values() for session, _ in shelf.ready]
            self._shelves.clear()
        return left

    def _fill(self, account: Account, *, beyond: int = 0) -> None:
        """Have made what is missing, and as much again as is about to be taken."""
        while True:
            with self._lock:
                shelf = self._shelves.setdefault(account, _Shelf())
                there = max(0, len(shelf.ready) - beyond) + shelf.making
                if self._closed or self._clock() < shelf.rests_until or there >= self._size:
                    return
                shelf.making += 1
            put = False
            try:
                put = self._put(partial(self._make, account, shelf))
            finally:
                if not put:
                    with self._lock:
                        shelf.making -= 1
            if not put:
                return

    def _make(self, account: Account, shelf: _Shelf) -> None:
        name: str | None = None
        begun_at = self._clock()
        try:
            if not self._closed:
                name = self._open_session(account)
        except GatewayError as error:
            facts = {"account": account.id, "code": error.code, "said": error.safe_words}
            log.info("stock.failed", extra=facts)
            self._on_failure(account, error, self._clock() - begun_at)
        finally:
            if name is None:
                with self._lock:
                    shelf.making -= 1
                    shelf.rests_until = self._clock() + _RETRY_S
        if name is not None:
            self._record(account, shelf, name)

    def _record(self, account: Account, shelf: _Shelf, name: str) -> None:
        """Put a session on its shelf, if that is still there and has room; nothing that was made is
        lost sight of.
        """
        made: Session | None = None
        try:
            made = self._rows.add(account.account_key, name, stock=True)
        except StorageUnavailable:
            with self._lock:
                shelf.rests_until = self._clock() + _RETRY_S
        finally:
            is_wanted = self._put_on(account, shelf, made)
        if made is None:
            self._discard(Session(name, account.account_key, name, ""))
        elif not is_wanted:
            self._doom(made)

    def _put_on(self, account: Account, shelf: _Shelf, made: Session | None) -> bool:
        """Whether the shelf is still there to take it."""
        with self._lock:
            shelf.making -= 1
            has_room = (
                not self._closed
                and self._shelves.get(account) is shelf
                and len(shelf.ready) < self._size
            )
            if has_room and made is not None:
                shelf.ready.append((made, self._clock() - jitter.uniform(0, _AGE_S / 4)))
            return has_room

    def _doom(self, session: Session) -> None:
        if self._closed:  # nobody may be left to look at the records
            self._discard(session)
            return
        try:
            self._rows.doom(session)
        except StorageUnavailable:
            self._discard(session)
