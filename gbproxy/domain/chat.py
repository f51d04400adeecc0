"""What a client asks for, in no client's format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gbproxy.domain.principal import ANONYMOUS, Principal

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class TextPart:
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """A call that the assistant made in an earlier turn; `arguments` is the JSON text as the client
    holds it.
    """

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolResultPart:
    """What the client's tool answered to the call `call_id`."""

    call_id: str
    text: str


Part = TextPart | ToolCallPart | ToolResultPart


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    parts: tuple[Part, ...]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request. `model` is the name that the client gave, or None; `show_thoughts` None leaves
    it to the settings.

    `conversation` is the id that the client wants to go on with, as it sent it; `is_streamed` says
    how it will be answered. `stop`: sequences before which the answer ends; `max_tokens`: its
    longest, by the gateway's estimate.
    """

    messages: tuple[Message, ...]
    model: str | None = None
    show_thoughts: bool | None = None
    principal: Principal = ANONYMOUS
    conversation: str | None = None
    is_streamed: bool = False
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None

    @property
    def key_digest(self) -> bytes:
        """The digest of the API key; b"" is anonymous: nothing is stored for it."""
        return self.principal.key_digest
