"""The public ids of conversations: a random half, and one that only the key can have made that the
conversation belongs to.
"""

from __future__ import annotations

import re
import secrets
from hashlib import sha256

_FORM = re.compile(r"[0-9a-f]{32}")
_HALF = 16


def random_half() -> str:
    """64 random bits in hex: what the record of a session is called until it is known whose it will
    be.
    """
    return secrets.token_hex(_HALF // 2)


def public_id(caller: bytes, half: str) -> str:
    """The id that this caller, and nobody else, can go by."""
    return half + sha256(b"gbproxy conversation" + caller + half.encode()).hexdigest()[:_HALF]


def belongs_to(caller: bytes, conversation: str) -> bool:
    """Whether an id was made for this caller; not whether there is such a conversation."""
    return (
        bool(_FORM.fullmatch(conversation))
        and public_id(caller, conversation[:_HALF]) == conversation
    )


def half_of(conversation: str) -> str:
    return conversation[:_HALF]
