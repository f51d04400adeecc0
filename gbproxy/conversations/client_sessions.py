"""Sessions that clients open by themselves, and continue by their id with nothing but their new
message.

One is a conversation whose id its client got before its first question. That question's model
decides which accounts can answer, so only then an upstream session is opened for it
(`Conversations.begin`); until then its record names neither account nor session.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from gbproxy.domain.session import (
    Claim,
    Claimed,
    ClientSession,
    NoClaim,
    Session,
    belongs_to,
    client_session_id,
    is_client_session,
)
from gbproxy.errors import ConversationBusy, ConversationNotFound

# With SESSION_TIMEOUT=0, which is about conversations that nobody has asked to keep.
_LIFETIME_S = 1800.0


class ClientSessionStore(Protocol):
    """The records, shared by all workers. Calls raise StorageUnavailable."""

    def add_unopened(self, conversation: str, key_digest: bytes, expires_at: float) -> None:
        """Record a session, free to be claimed, for which no upstream session stands yet."""
        ...

    def client_sessions(
        self, key_digest: bytes, conversation: str | None = None
    ) -> Sequence[ClientSession]:
        """This API key's sessions that are free or in use, the newest first, at most 1,000; or the
        one of this id.
        """
        ...

    def claim_conversation(self, conversation: str, key_digest: bytes) -> Claim:
        """Claim the free session of this conversation, if it belongs to this API key."""
        ...

    def mark_for_deletion(self, session: Session) -> None:
        """Mark a claimed session to be deleted upstream."""
        ...


class ClientSessions:
    """Opens, shows and deletes the sessions of API keys. Each call raises StorageUnavailable; an id
    that is unknown, expired or another key's is a ConversationNotFound.
    """

    def __init__(
        self,
        store: ClientSessionStore,
        *,
        session_timeout_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._lifetime_s = lifetime_s(session_timeout_s)
        self._clock = clock

    def open(self, key_digest: bytes) -> ClientSession:
        now = self._clock()
        opened = ClientSession(client_session_id(key_digest, now), now + self._lifetime_s)
        self._store.add_unopened(opened.id, key_digest, opened.expires_at)
        return opened

    def list(self, key_digest: bytes) -> Sequence[ClientSession]:
        """The newest first, at most 1,000."""
        return self._store.client_sessions(key_digest)

    def get(self, key_digest: bytes, session_id: str) -> ClientSession:
        _ensure_theirs(key_digest, session_id)
        found = self._store.client_sessions(key_digest, session_id)
        if not found:
            raise ConversationNotFound
        return found[0]

    def delete(self, key_digest: bytes, session_id: str) -> None:
        """Have it deleted upstream too. Raises ConversationBusy while an answer runs in it."""
        _ensure_theirs(key_digest, session_id)
        match self._store.claim_conversation(session_id, key_digest):
            case Claimed(session):
                self._store.mark_for_deletion(session)
            case NoClaim.UNKNOWN:
                raise ConversationNotFound
            case NoClaim.BUSY:
                raise ConversationBusy


def lifetime_s(session_timeout_s: float) -> float:
    """How long a client session lives behind its last turn, in seconds."""
    return session_timeout_s or _LIFETIME_S


def _ensure_theirs(key_digest: bytes, session_id: str) -> None:
    if not (is_client_session(session_id) and belongs_to(key_digest, session_id)):
        raise ConversationNotFound
