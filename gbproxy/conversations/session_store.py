"""The records of upstream sessions, and what happens to sessions while these cannot be reached."""

from __future__ import annotations

import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Protocol

from gbproxy.domain.claim import Claim, NoClaim
from gbproxy.domain.session import Session
from gbproxy.errors import StorageUnavailable
from gbproxy.observability.meter import SILENT, Meter, Outcome

log = logging.getLogger(__name__)

_MOST_OWED = 10_000


class SessionStore(Protocol):
    """The records of upstream sessions, shared by all workers. Every call may raise
    StorageUnavailable.
    """

    def add(
        self, account_key: str, name: str, *, prewarmed: bool, conversation: str | None = None
    ) -> Session:
        """Record a session that was just made; it is this worker's. Without `conversation` it gets
        half an id.
        """
        ...

    def name(self, session: Session) -> bool:
        """Record the name of a session of ours that had none. False: it is not ours any more."""
        ...

    def claim_head(
        self, head: bytes, conversation: str | None = None, avoided: Collection[str] = ()
    ) -> Session | None:
        """Take one free session with this head, of this conversation where one is named, for this
        worker alone.

        Of several, one whose account key is not `avoided` comes first.
        """
        ...

    def is_taken(self, head: bytes) -> bool:
        """Whether a request is running in a session that had this head."""
        ...

    def claim_conversation(self, conversation: str, caller: bytes) -> Claim:
        """Take the free session of this conversation, if it is this caller's."""
        ...

    def keep(
        self, session: Session, *, head: bytes, caller: bytes, conversation: str, expires_at: float
    ) -> bool:
        """Let a session of ours go, to be continued until `expires_at` (Unix seconds). False: it is
        not ours any more.
        """
        ...

    def withdraw(self, session: Session, head: bytes) -> None:
        """Have a session deleted after all, if it is still free and has this head."""
        ...

    def release(self, session: Session) -> None:
        """Let a session of ours go as it was when it was claimed."""
        ...

    def mark_for_deletion(self, session: Session) -> None:
        """Have a session deleted upstream, if it is ours."""
        ...


@dataclass(slots=True)
class Outcomes:
    """How requests found their sessions; safe for use by many threads at once.

    `missed`: fresh although there was a history; `taken`: another request was first, and has the
    session; `lost`: claimed, and then not kept; `unavailable`: storage was away.
    """

    continued: int = 0
    fresh: int = 0
    missed: int = 0
    taken: int = 0
    lost: int = 0
    unavailable: int = 0
    _meter: Meter = SILENT
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, outcome: Outcome) -> None:
        with self._lock:
            setattr(self, outcome, getattr(self, outcome) + 1)
        self._meter.conversation(outcome)


@dataclass(frozen=True, slots=True)
class SessionHandle:
    """A session that a request has; `recorded` False: its row could not be written, it serves this
    request only.
    """

    session: Session
    recorded: bool = True


class FailSafeSessions:
    """`SessionStore` that never fail a request: a session whose row cannot be written is not continued, but
    discarded.
    """

    def __init__(
        self, rows: SessionStore, discard: Callable[[Session], None], counts: Outcomes
    ) -> None:
        self._rows = rows
        self._discard = discard
        self._counts = counts
        self._owed: deque[tuple[Session, bytes]] = deque(maxlen=_MOST_OWED)

    def flush(self) -> None:
        """Withdraw what could not be withdrawn when it was due. Raises StorageUnavailable."""
        while self._owed:
            self._rows.withdraw(*self._owed[0])
            self._owed.popleft()

    def add(self, account_key: str, name: str, conversation: str | None) -> SessionHandle:
        unrecorded = Session(secrets.token_hex(16), account_key, name, "")
        try:
            return SessionHandle(
                self._rows.add(account_key, name, prewarmed=False, conversation=conversation)
            )
        except StorageUnavailable:
            self.note_unavailable("record")
            return SessionHandle(unrecorded, recorded=False)
        except BaseException:  # the client has left
            self._discard(unrecorded)
            raise

    def name(self, held: SessionHandle, name: str) -> SessionHandle:
        """A session whose name is known now; one that cannot be recorded is not continued, but
        discarded.
        """
        session = replace(held.session, name=name)
        try:
            return SessionHandle(session, recorded=held.recorded and self._rows.name(session))
        except StorageUnavailable:
            self.note_unavailable("record")
            return SessionHandle(session, recorded=False)

    def claim_head(
        self, head: bytes, conversation: str | None, avoided: Collection[str]
    ) -> Session | None:
        try:
            session = self._rows.claim_head(head, conversation, avoided)
            if session is None and self._rows.is_taken(head):
                self._counts.add("taken")
        except StorageUnavailable:
            self.note_unavailable("begin")
            return None
        return session

    def claim_conversation(self, conversation: str, caller: bytes) -> Claim:
        """Raises StorageUnavailable: nothing else would do."""
        try:
            claim = self._rows.claim_conversation(conversation, caller)
        except StorageUnavailable:
            self.note_unavailable("begin")
            raise
        if claim is NoClaim.BUSY:
            self._counts.add("taken")
        return claim

    def keep(
        self, held: SessionHandle, head: bytes, caller: bytes, conversation: str, expires_at: float
    ) -> bool:
        """Whether the session will be continued; it is let go in any case."""
        kept = False
        if held.recorded:
            try:
                kept = self._rows.keep(
                    held.session,
                    head=head,
                    caller=caller,
                    conversation=conversation,
                    expires_at=expires_at,
                )
            except StorageUnavailable:
                self.note_unavailable("keep")
        if not kept:
            self._discard(held.session)
        return kept

    def withdraw(self, session: Session, head: bytes) -> None:
        try:
            self._rows.withdraw(session, head)
        except StorageUnavailable:
            self._owed.append((session, head))
            self.note_unavailable("withdraw")

    def release(self, session: Session) -> None:
        try:
            self._rows.release(session)
        except StorageUnavailable:
            self.note_unavailable("release")
            self._discard(session)

    def mark_for_deletion(self, held: SessionHandle) -> None:
        if not held.recorded:
            self._discard(held.session)
            return
        try:
            self._rows.mark_for_deletion(held.session)
        except StorageUnavailable:
            self.note_unavailable("doom")
            self._discard(held.session)

    def note_unavailable(self, during: str) -> None:
        self._counts.add("unavailable")
        log.warning("conversation.unavailable", extra={"during": during})
