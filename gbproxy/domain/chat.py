"""A chat request, in no client's format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gbproxy.domain.attachment import Attachment, LinkedAttachment
from gbproxy.domain.media import IN_TEXT, MediaDelivery
from gbproxy.domain.principal import ANONYMOUS, Principal
from gbproxy.domain.response_format import ResponseFormat
from gbproxy.domain.tools import NO_TOOLS, Tools

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class TextPart:
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """A call that the assistant has made; `arguments` is JSON text as the client sent it, for a
    custom tool the text that is its input.
    """

    id: str
    name: str
    arguments: str
    is_custom: bool = False


@dataclass(frozen=True, slots=True)
class ToolResultPart:
    """The result of the client's tool for the call `call_id`."""

    call_id: str
    text: str


# Files stand where the client put them; those of a tool's result stand behind it.
Part = TextPart | ToolCallPart | ToolResultPart | Attachment | LinkedAttachment


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    parts: tuple[Part, ...]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """`model`: the name that the client gave, or None; `show_thoughts`: None leaves it to the
    settings.

    `conversation`: the id of the conversation to continue, as the client sent it; `is_streamed`:
    True if the answer is streamed. `stop`: sequences before which the answer ends; `max_tokens`:
    its greatest length, by the gateway's estimate. `tools`: what the answer may call;
    `response_format`: the form of its text, None: any. `choices`: how many answers are asked for.
    `is_kept` False: nobody continues from this answer, unless `conversation` says so. `web_search`:
    the answer is to rest on a web search, with the upstream's other tools left out;
    `makes_image`: it is to be a picture. `media`: how files of the answer are delivered.
    """

    messages: tuple[Message, ...]
    model: str | None = None
    show_thoughts: bool | None = None
    principal: Principal = ANONYMOUS
    conversation: str | None = None
    is_streamed: bool = False
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    tools: Tools = NO_TOOLS
    response_format: ResponseFormat | None = None
    choices: int = 1
    web_search: bool = False
    is_kept: bool = True
    makes_image: bool = False
    media: MediaDelivery = IN_TEXT

    @property
    def form_digest(self) -> bytes:
        """Differs when the model has to be told something else of tools and of the answer's form;
        b"" when nothing has to be told.
        """
        if not self.tools.declared and self.response_format is None:
            return b""
        form = self.response_format.digest() if self.response_format is not None else b""
        return self.tools.digest() + form

    @property
    def key_digest(self) -> bytes:
        """SHA-256 of the API key under which the conversation is stored; b"" to store nothing."""
        return self.principal.key_digest if self.is_kept or self.conversation else b""
