"""What one request adds to its conversation."""

from __future__ import annotations

from dataclasses import dataclass

from gbproxy.domain.chat import Message


@dataclass(frozen=True, slots=True)
class TurnPlan:
    """The new turns of a request and the history that they follow, whose digest is `base_digest`.

    `full_messages` go into a fresh session, None where the client sent no history; `delta_messages`
    into the one that holds the rest. `conversation` None: nothing is kept. `is_new`: the client has
    not been sent its id. `is_told` False: that session was not told this request's instructions.
    """

    key_digest: bytes
    conversation: str | None
    base_digest: bytes
    new_turns: tuple[Message, ...]
    full_messages: tuple[Message, ...] | None
    delta_messages: tuple[Message, ...]
    is_new: bool = False
    is_told: bool = True
