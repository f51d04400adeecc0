"""`system` and `messages` of a request -> Message.

Source: https://platform.claude.com/docs/en/api/messages/create, and what agents send beside it.
Results of tools become messages of their own, as in other formats: so a conversation goes on from
one format to another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, WithJsonSchema

from gbproxy.api.anthropic.content import ContentReader, json_text, text_part
from gbproxy.domain.chat import Message, Part, TextPart, ToolCallPart

# Claude Code's first block: of its own billing, with a number that changes with each request. It
# would make each of them another conversation.
# Source: https://github.com/anthropics/claude-code/issues/68900
_BILLING = "x-anthropic-billing-header:"

# Checked block by block, with rests in between: to have pydantic do it takes 0.1 s for 50,000.
Content = Annotated[
    Any,
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}),
]


class MessageBody(BaseModel):
    """A message as it was sent, checked as far as all roles are alike."""

    model_config = ConfigDict(strict=True, extra="ignore")

    role: Literal["user", "assistant", "system"]
    content: Content = None


class MessageReader:
    """Reads the messages of one request, and calls `rest` after each. `has_billing`: a block of
    Claude Code's billing was left out.
    """

    def __init__(self, content: ContentReader, rest: Callable[[], None]) -> None:
        self.has_billing = False
        self._content = content
        self._rest = rest

    def read(self, system: object, messages: Iterable[MessageBody]) -> tuple[Message, ...]:
        """Raises BadRequest or RequestTooLarge, whose `param` names the place that is wrong."""
        found = [] if system is None else list(self._system(system, "system"))
        for i, message in enumerate(messages):
            found += self._messages(message, f"messages.{i}.content")
            self._rest()
        return tuple(found)

    def _messages(self, message: MessageBody, place: str) -> Iterator[Message]:
        match message.role:
            case "system":
                yield from self._system(message.content, place)
            case "assistant":
                yield Message("assistant", tuple(self._assistant(message.content or "", place)))
            case "user":
                yield from self._user(message.content, place)

    def _system(self, content: object, place: str) -> Iterator[Message]:
        blocks = self._content.blocks(content, place)
        parts = [text_part(block, where) for _, block, where in blocks]
        kept = tuple(part for part in parts if not part.text.startswith(_BILLING))
        self.has_billing = self.has_billing or len(kept) < len(parts)
        if any(part.text for part in kept):
            yield Message("system", kept)

    def _user(self, content: object, place: str) -> Iterator[Message]:
        parts: list[Part] = []
        has_results = False
        for kind, block, where in self._content.blocks(content, place):
            if kind == "tool_result":
                if parts:
                    yield Message("user", tuple(parts))
                    parts = []
                has_results = True
                yield Message("tool", self._content.result(block, where))
            else:
                parts += self._content.said(kind, block, where)
        if parts or not has_results:
            yield Message("user", tuple(parts))

    def _assistant(self, content: object, place: str) -> Iterator[Part]:
        """Texts that follow each other are one: the API splits them where a source is cited or
        where the model has thought.
        """
        texts: list[str] = []
        for kind, block, where in self._content.blocks(content, place):
            name = block.get("name")
            if kind == "text":
                texts.append(text_part(block, where).text)
            elif kind == "tool_use" and isinstance(name, str):
                if texts:
                    yield TextPart("".join(texts))
                    texts = []
                call_id, input_ = block.get("id"), block.get("input")
                arguments = json_text({} if input_ is None else input_, f"{where}.input")
                yield ToolCallPart(call_id if isinstance(call_id, str) else "", name, arguments)
            else:  # thoughts, and what the API's own tools do
                self._content.has_passed_over = True
        if texts:
            yield TextPart("".join(texts))
