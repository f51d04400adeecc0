"""Calls and results of earlier turns -> text, calls in exactly the form in which the model is to
write them: it copies what it sees.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gbproxy.domain import jsontext
from gbproxy.domain.attachment import Attachment, LinkedAttachment
from gbproxy.domain.chat import Message, Part, TextPart, ToolCallPart, ToolResultPart
from gbproxy.emulation.tool_calls.assembly import LABEL
from gbproxy.emulation.tool_calls.mark import Mark

LONG_CHARS = 200  # a longer text stands in a block of its own, and so does one with several lines
_LEAST_FENCE = 4  # so that ordinary fences may stand in a long text

_RUN = re.compile("`+")
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def call(mark: Mark, name: str, payload: Any, *, is_custom: bool = False) -> str:
    """One call as the model writes it; `payload`: its arguments, or a custom tool's input."""
    texts: list[str] = []
    short = _shortened(payload, texts)
    written = _JSON.encode({"name": name, "input" if is_custom else "arguments": short})
    blocks = [_block(f"@{number}", text) for number, text in enumerate(texts, 1)]
    return "\n".join((mark.line, f"```json\n{written}\n```", *blocks))


def names_of_calls(messages: Iterable[Message]) -> Mapping[str, str]:
    """The names of the tools that were called, by the ids of the calls."""
    parts = (part for message in messages for part in message.parts)
    return {part.id: part.name for part in parts if isinstance(part, ToolCallPart)}


def render(
    messages: Sequence[Message], mark: Mark, names: Mapping[str, str]
) -> tuple[Message, ...]:
    """Messages of texts and files alone. Results become a user's words: those that follow each
    other one message.
    """
    rendered: list[Message] = []
    is_result = False
    for message in messages:
        parts = tuple(_part(part, mark, names) for part in message.parts)
        if message.role == "tool" and is_result:
            rendered[-1] = Message("user", (*rendered[-1].parts, *parts))
        elif message.role == "tool":
            rendered.append(Message("user", parts))
        else:
            rendered.append(Message(message.role, parts, message.name))
        is_result = message.role == "tool"
    return tuple(rendered)


def _part(part: Part, mark: Mark, names: Mapping[str, str]) -> Part:
    match part:
        case TextPart() | Attachment() | LinkedAttachment():
            return part
        case ToolCallPart(_, name, text, is_custom):
            payload = text if is_custom else _arguments(text)
            return TextPart(call(mark, name, payload, is_custom=is_custom))
        case ToolResultPart(call_id, text):
            named = f"{names[call_id]}, call {call_id}" if call_id in names else f"call {call_id}"
            return TextPart(f"Result of {named if call_id else 'the call'}:\n{text}")


def _arguments(text: str) -> Any:
    """What is no JSON stays a text: other models may have written it."""
    try:
        return jsontext.decode(text.strip() or "{}")
    except ValueError:
        return text


def _shortened(value: Any, texts: list[str]) -> Any:
    """The value with labels for its long texts, which are added to `texts`."""
    match value:
        case str() if _is_long(value):
            texts.append(value)
            return f"@{len(texts)}"
        case dict():
            return {key: _shortened(each, texts) for key, each in value.items()}
        case list():
            return [_shortened(each, texts) for each in value]
        case _:
            return value


def _is_long(text: str) -> bool:
    # what looks like a label would be taken for one
    return len(text) > LONG_CHARS or "\n" in text or LABEL.fullmatch(text) is not None


def _block(label: str, text: str) -> str:
    longest = max((len(run[0]) for run in _RUN.finditer(text)), default=0)
    fence = "`" * max(_LEAST_FENCE, longest + 1)
    return f"{fence}{label}\n{text}\n{fence}"
