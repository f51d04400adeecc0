"""One conversation upstream, as the gateway's own records know it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Session:
    """`id` is the record's, `name` the upstream's; `conversation` is the public id that the record
    is known by.

    `name` is empty as long as the upstream, which is to make the session with its first answer, has
    not told it. `account_key`: who has made it, and alone can use it (Account.seat).
    """

    id: str
    account_key: str
    name: str
    conversation: str
