"""What comes of asking for the session of a conversation by its public id."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from gbproxy.domain.session import Session


@dataclass(frozen=True, slots=True)
class Claimed:
    """The session is the asker's alone; `head` is the digest of what it holds
    (domain/history.py).
    """

    session: Session
    head: bytes


class NoClaim(Enum):
    """`UNKNOWN`: there is none, it has expired, or it is another caller's; `BUSY`: a request is
    running in it.
    """

    UNKNOWN = auto()
    BUSY = auto()


Claim = Claimed | NoClaim
