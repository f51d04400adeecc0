"""Fresh upstream sessions, made ahead, so that a request need not wait for one. Each worker has its own."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

from gbproxy.domain.account import Account
from gbproxy.domain.session import Session
from gbproxy.errors import GatewayError, StorageUnavailable

log = logging.getLogger(__name__)

SIZE = 2  # for each account
_RETRY_S = 30.0  # after a session could not be made
_AGE_S = 900.0  # how long an unused session of the upstream's surely lives is not known


class Rows(Protocol):
    """What is recorded of sessions. Calls raise StorageUnavailable."""

    def add(self, account_id: str, name: str, *, stock: bool) -> Session: ...
    def doom(self, session: Session) -> None: ...


@dataclass(slots=True)
class _Shelf:
    """What one account has ready: each session with the time at which it was made."""

    ready: deque[tuple[Session, float]] = field(default_factory=deque)
    making: int = 0
    rests_until: float = 0.0


class Stock:
    """Sessions that were made for nobody yet; safe for use by many threads at once.

    A session is recorded as soon as the upstream has made it: whoever dies with stock in hand leaves word of it.
    """

    def __init__(
        self,
        rows: Rows,
        open_session: Callable[[Account], str],
        put: Callable[[Callable[[], None]], bool],
        discard: Callable[[Session], None],
        *,
        on_failure: Callable[[Account, GatewayError], None] = lambda account, error: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`put` has a job done in the background; `discard` has a session deleted of which there is no record."""
        self._rows = rows
        self._open_session = open_session
        self._put = put
        self._discard = discard
        self._on_failure = on_failure
        self._clock = clock
        self._shelves: dict[Account, _Shelf] = {}  # by the account as it is: of a changed one nothing is used
        self._lock = threading.Lock()
        self._closed = False

    def take(self, account: Account) -> Session | None:
        """A session for one request, the oldest first; None when there is none. Another one is made in its place."""
        with self._lock:
            shelf = self._shelves.setdefault(account, _Shelf())
            session = shelf.ready.popleft()[0] if shelf.ready else None
        self._fill(account)
        return session

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
            self._fill(account)

    def drop(self, account: Account) -> None:
        """Use none of what was made for this account."""
        with self._lock:
            shelf = self._shelves.pop(account, _Shelf())
        for session, _ in shelf.ready:
            self._doom(session)

    def close(self) -> list[Session]:
        """Make no more, and hand out all that there is."""
        with self._lock:
            self._closed = True
            left = [session for shelf in self._shelves.values() for session, _ in shelf.ready]
            self._shelves.clear()
        return left

    def _fill(self, account: Account) -> None:
        with self._lock:
            shelf = self._shelves.setdefault(account, _Shelf())
            if self._closed or self._clock() < shelf.rests_until:
                return
            missing = SIZE - len(shelf.ready) - shelf.making
            shelf.making += max(0, missing)
        for _ in range(missing):
            if not self._put(lambda: self._make(account, shelf)):
                with self._lock:
                    shelf.making -= 1

    def _make(self, account: Account, shelf: _Shelf) -> None:
        made: Session | None = None
        try:
            name = self._open_session(account)
            try:
                made = self._rows.add(account.id, name, stock=True)
            except StorageUnavailable:
                self._discard(Session(name, account.id, name, ""))
                self._rest(shelf)
        except GatewayError as error:
            log.info("stock.failed", extra={"account": account.id, "code": error.code})
            self._rest(shelf)
            self._on_failure(account, error)
        finally:
            if not self._put_on(account, shelf, made) and made is not None:
                self._doom(made)

    def _put_on(self, account: Account, shelf: _Shelf, made: Session | None) -> bool:
        """Whether the shelf is still there to take it."""
        with self._lock:
            shelf.making -= 1
            is_wanted = not self._closed and self._shelves.get(account) is shelf
            if is_wanted and made is not None:
                shelf.ready.append((made, self._clock()))
            return is_wanted

    def _doom(self, session: Session) -> None:
        try:
            self._rows.doom(session)
        except StorageUnavailable:
            self._discard(session)

    def _rest(self, shelf: _Shelf) -> None:
        with self._lock:
            shelf.rests_until = self._clock() + _RETRY_S
