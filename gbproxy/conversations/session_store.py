"""The records of upstream sessions, and what becomes of sessions while the storage is away."""

from __future__ import annotations

import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Protocol

from gbproxy.domain.session import Claim, NoClaim, Session
from gbproxy.errors import StorageUnavailable
from gbproxy.observability.meter import SILENT, Meter, Outcome

log = logging.getLogger(__name__)

_MOST_PENDING = 10_000


class SessionStore(Protocol):
    """The records of upstream sessions, shared by all workers. Calls raise StorageUnavailable.

    A history digest (domain/history.py) identifies all that a session holds.
    """

    def add(
        self, account_key: str, name: str, *, prewarmed: bool, conversation: str | None = None
    ) -> Session:
        """Record a session that was just opened; it is this worker's. Without `conversation` it
        gets the prefix of an id.
        """
        ...

    def name(self, session: Session) -> bool:
        """Record the name of a session of ours that had none. False: we have lost it."""
        ...

    def claim_history(
        self,
        history_digest: bytes,
        conversation: str | None = None,
        avoided: Collection[str] = (),
    ) -> Session | None:
        """Claim a free session that holds this history, of this conversation where one is named,
        for this worker alone; None if there is none.

        Of several, one comes first whose account key is not `avoided`.
        """
        ...

    def is_taken(self, history_digest: bytes) -> bool:
        """True while a request runs in a session that held this history."""
        ...

    def claim_conversation(self, conversation: str, key_digest: bytes) -> Claim:
        """Claim the free session of this conversation, if it belongs to this API key."""
        ...

    def commit(
        self,
        session: Session,
        *,
        history_digest: bytes,
        key_digest: bytes,
        conversation: str,
        expires_at: float,
    ) -> bool:
        """Free a session of ours, with the files that it holds, to be continued until `expires_at`
        (Unix seconds). False: we have lost it.
        """
        ...

    def rollback(self, session: Session, history_digest: bytes) -> None:
        """Mark a committed session for deletion, if it is still free and holds this history."""
        ...

    def keep_files(self, session: Session, until: float) -> bool:
        """Have a session of ours deleted no earlier than `until` (Unix seconds), however the turn
        ends. False: we have lost it.
        """
        ...

    def release(self, session: Session) -> None:
        """Free a session of ours as it was when it was claimed."""
        ...

    def mark_for_deletion(self, session: Session) -> None:
        """Mark a session to be deleted upstream, if it is ours."""
        ...


@dataclass(slots=True)
class Outcomes:
    """Counts how requests found their sessions; safe for use by many threads at once.

    `miss`: fresh although there was a history; `contended`: another request was first, and has the
    session; `lost`: claimed, and then not committed; `unavailable`: storage was away.
    """

    continued: int = 0
    fresh: int = 0
    miss: int = 0
    contended: int = 0
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
    """A session of one request; `recorded` False: its row could not be written, so it serves this
    request only.
    """

    session: Session
    recorded: bool = True


class FailSafeSessions:
    """A `SessionStore` that fails no request: a session whose row cannot be written is deleted
    instead of continued.
    """

    def __init__(
        self, store: SessionStore, delete_unrecorded: Callable[[Session], None], outcomes: Outcomes
    ) -> None:
        self._store = store
        self._delete_unrecorded = delete_unrecorded
        self._outcomes = outcomes
        self._pending_rollbacks: deque[tuple[Session, bytes]] = deque(maxlen=_MOST_PENDING)

    def flush(self) -> None:
        """Roll back what could not be when it was due. Raises StorageUnavailable."""
        while self._pending_rollbacks:
            self._store.rollback(*self._pending_rollbacks[0])
            self._pending_rollbacks.popleft()

    def add(self, account_key: str, name: str, conversation: str | None) -> SessionHandle:
        unrecorded = Session(secrets.token_hex(16), account_key, name, "")
        try:
            return SessionHandle(
                self._store.add(account_key, name, prewarmed=False, conversation=conversation)
            )
        except StorageUnavailable:
            self.note_unavailable("record")
            return SessionHandle(unrecorded, recorded=False)
        except BaseException:  # the client has left
            self._delete_unrecorded(unrecorded)
            raise

    def name(self, handle: SessionHandle, name: str) -> SessionHandle:
        """The session with the name that the upstream has told late. One whose name cannot be
        recorded serves this request only.
        """
        session = replace(handle.session, name=name)
        try:
            return SessionHandle(session, recorded=handle.recorded and self._store.name(session))
        except StorageUnavailable:
            self.note_unavailable("record")
            return SessionHandle(session, recorded=False)

    def claim_history(
        self, history_digest: bytes, conversation: str | None, avoided: Collection[str]
    ) -> Session | None:
        try:
            session = self._store.claim_history(history_digest, conversation, avoided)
            if session is None and self._store.is_taken(history_digest):
                self._outcomes.add("contended")
        except StorageUnavailable:
            self.note_unavailable("begin")
            return None
        return session

    def claim_conversation(self, conversation: str, key_digest: bytes) -> Claim:
        """Raises StorageUnavailable: without the history nothing else can answer."""
        try:
            claim = self._store.claim_conversation(conversation, key_digest)
        except StorageUnavailable:
            self.note_unavailable("begin")
            raise
        if claim is NoClaim.BUSY:
            self._outcomes.add("contended")
        return claim

    def commit(
        self,
        handle: SessionHandle,
        history_digest: bytes,
        key_digest: bytes,
        conversation: str,
        expires_at: float,
    ) -> bool:
        """Free the session. True if it can be continued; else it is deleted."""
        committed = False
        if handle.recorded:
            try:
                committed = self._store.commit(
                    handle.session,
                    history_digest=history_digest,
                    key_digest=key_digest,
                    conversation=conversation,
                    expires_at=expires_at,
                )
            except StorageUnavailable:
                self.note_unavailable("keep")
        if not committed:
            self._delete_unrecorded(handle.session)
        return committed

    def rollback(self, session: Session, history_digest: bytes) -> None:
        try:
            self._store.rollback(session, history_digest)
        except StorageUnavailable:
            self._pending_rollbacks.append((session, history_digest))
            self.note_unavailable("withdraw")

    def keep_files(self, handle: SessionHandle, until: float) -> bool:
        """True if the session will live until then; one without a record is deleted before."""
        try:
            return handle.recorded and self._store.keep_files(handle.session, until)
        except StorageUnavailable:
            self.note_unavailable("keep")
            return False

    def release(self, session: Session) -> None:
        try:
            self._store.release(session)
        except StorageUnavailable:
            self.note_unavailable("release")
            self._delete_unrecorded(session)

    def mark_for_deletion(self, handle: SessionHandle) -> None:
        """Have a session deleted upstream, recorded or not."""
        if not handle.recorded:
            self._delete_unrecorded(handle.session)
            return
        try:
            self._store.mark_for_deletion(handle.session)
        except StorageUnavailable:
            self.note_unavailable("mark_for_deletion")
            self._delete_unrecorded(handle.session)

    def note_unavailable(self, during: str) -> None:
        self._outcomes.add("unavailable")
        log.warning("conversation.unavailable", extra={"during": during})
