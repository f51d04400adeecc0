"""Upstream sessions as the gateway records them, and the public ids of conversations.

A public id is a random prefix followed by a digest of it and the API key: it proves which key it
belongs to. That of a client session, which a client opened by itself and of which it may keep no
history, also says when that was: `sess_`, the Unix seconds, and the rest as above.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from enum import Enum, auto
from hashlib import sha256

CLIENT_SESSION = "sess_"
_FORM = re.compile(rf"(?:{CLIENT_SESSION}[0-9a-f]{{8}})?[0-9a-f]{{32}}")
_PREFIX_CHARS = 16  # of an id without a time
_DIGEST_CHARS = 16


@dataclass(frozen=True, slots=True)
class Session:
    """`id`: the record's; `name`: the upstream's; `conversation`: the public id of the
    conversation, or its prefix until the API key is known.

    `name` is empty until the upstream, which opens the session with its first answer, sends it.
    `account_key`: the account that opened it, and alone can use it (Account.account_key); empty
    for a client session that has not been opened upstream yet. `files`: what it holds of files
    (domain/session_files.py).
    """

    id: str
    account_key: str
    name: str
    conversation: str
    files: str = field(default="", kw_only=True)

    @property
    def is_opened(self) -> bool:
        """False until an upstream session stands for a client session."""
        return bool(self.account_key)


@dataclass(frozen=True, slots=True)
class PendingDeletion(Session):
    """A session to be deleted upstream, and how many attempts have failed."""

    attempts: int


@dataclass(frozen=True, slots=True)
class ClientSession:
    """A session that a client has opened, by the id that it holds. Times are Unix seconds;
    `last_turn_at` None: nothing was asked in it yet.
    """

    id: str
    expires_at: float
    last_turn_at: float | None = None

    @property
    def created_at(self) -> int:
        return int(self.id[len(CLIENT_SESSION) :][:8], 16)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A session claimed for one request; `history_digest` identifies the history that it holds
    (domain/history.py).
    """

    session: Session
    history_digest: bytes


class NoClaim(Enum):
    """The reason why the session of a conversation was not claimed.

    `UNKNOWN`: there is none, it has expired, or it belongs to another API key; `BUSY`: a request is
    running in it.
    """

    UNKNOWN = auto()
    BUSY = auto()


Claim = Claimed | NoClaim


def random_prefix() -> str:
    """64 random bits in hex: a session's `conversation` until its API key is known."""
    return secrets.token_hex(_PREFIX_CHARS // 2)


def id_prefix(conversation: str) -> str:
    return conversation[:_PREFIX_CHARS]


def public_id(key_digest: bytes, prefix: str) -> str:
    """The public id with this prefix for this API key."""
    rest = sha256(b"gbproxy conversation" + key_digest + prefix.encode()).hexdigest()
    return prefix + rest[:_DIGEST_CHARS]


def client_session_id(key_digest: bytes, now: float) -> str:
    """A new public id for a session that this API key's client opens now (Unix seconds)."""
    return public_id(key_digest, f"{CLIENT_SESSION}{int(now):08x}{random_prefix()}")


def is_client_session(conversation: str | None) -> bool:
    """True for an id of `client_session_id`."""
    return conversation is not None and conversation.startswith(CLIENT_SESSION)


def belongs_to(key_digest: bytes, conversation: str) -> bool:
    """True if the id was made for this API key; the conversation need not exist."""
    return (
        bool(_FORM.fullmatch(conversation))
        and public_id(key_digest, conversation[:-_DIGEST_CHARS]) == conversation
    )
