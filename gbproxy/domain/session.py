"""Upstream sessions as the gateway records them, and the public ids of conversations.

A public id is a random prefix followed by a digest of it and the API key: it proves which key it
belongs to.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from enum import Enum, auto
from hashlib import sha256

_FORM = re.compile(r"[0-9a-f]{32}")
_PREFIX_CHARS = 16


@dataclass(frozen=True, slots=True)
class Session:
    """`id`: the record's; `name`: the upstream's; `conversation`: the public id of the
    conversation, or its prefix until the API key is known.

    `name` is empty until the upstream, which opens the session with its first answer, sends it.
    `account_key`: the account that opened it, and alone can use it (Account.account_key). `files`:
    what it holds of files (domain/session_files.py).
    """

    id: str
    account_key: str
    name: str
    conversation: str
    files: str = field(default="", kw_only=True)


@dataclass(frozen=True, slots=True)
class PendingDeletion(Session):
    """A session to be deleted upstream, and how many attempts have failed."""

    attempts: int


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
    return prefix + rest[:_PREFIX_CHARS]


def belongs_to(key_digest: bytes, conversation: str) -> bool:
    """True if the id was made for this API key; the conversation need not exist."""
    return (
        bool(_FORM.fullmatch(conversation))
        and public_id(key_digest, id_prefix(conversation)) == conversation
    )
