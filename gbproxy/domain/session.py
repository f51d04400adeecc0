"""Upstream sessions as the gateway's own records know them, and the public ids of conversations.

A public id is a random prefix, and a rest that only the key can have made that the conversation
belongs to.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from enum import Enum, auto
from hashlib import sha256

_FORM = re.compile(r"[0-9a-f]{32}")
_PREFIX_CHARS = 16


@dataclass(frozen=True, slots=True)
class Session:
    """`id` is the record's, `name` the upstream's; `conversation` is the public id of the
    conversation, or its prefix as long as the caller is not known.

    `name` is empty as long as the upstream, which is to make the session with its first answer, has
    not told it. `account_key`: the account that opened it, and alone can use it
    (Account.account_key).
    """

    id: str
    account_key: str
    name: str
    conversation: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """A session that is the claimant's alone; `history_digest` identifies what it holds
    (domain/history.py).
    """

    session: Session
    history_digest: bytes


class NoClaim(Enum):
    """Why the session of a conversation was not claimed.

    `UNKNOWN`: there is none, it has expired, or it is another caller's; `BUSY`: a request is
    running in it.
    """

    UNKNOWN = auto()
    BUSY = auto()


Claim = Claimed | NoClaim


def random_prefix() -> str:
    """64 random bits in hex, by which a session's record goes until its caller is known."""
    return secrets.token_hex(_PREFIX_CHARS // 2)


def id_prefix(conversation: str) -> str:
    return conversation[:_PREFIX_CHARS]


def public_id(caller: bytes, prefix: str) -> str:
    """The id with this prefix that this caller alone can go by."""
    rest = sha256(b"gbproxy conversation" + caller + prefix.encode()).hexdigest()
    return prefix + rest[:_PREFIX_CHARS]


def belongs_to(caller: bytes, conversation: str) -> bool:
    """True if an id was made for this caller; whether there is such a conversation is another
    matter.
    """
    return (
        bool(_FORM.fullmatch(conversation))
        and public_id(caller, id_prefix(conversation)) == conversation
    )
