"""One conversation upstream, as the gateway's own records know it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Session:
    """`id` is the record's, `name` the upstream's; `conversation` is the public id that the record is known by.

    `seat`: who has made it, and alone can use it (Account.seat).
    """

    id: str
    seat: str
    name: str
    conversation: str
