"""ChatRequest -> the one text that an upstream without roles, system prompts or tools understands.

Either the whole conversation, for a session that holds nothing yet, or what is new in it, for the session that holds the
rest. A single user message goes out as it is. Anything else is laid out as parts, each opened by a line that holds a mark which
stands nowhere in the texts themselves: whatever a user writes, it cannot open a part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from gbproxy.domain.chat import Message, Part, TextPart, ToolCallPart, ToolResultPart

_INTRODUCTION = (
    "Below is a conversation in parts. Each part begins with a line that starts with {mark} and names whose words follow, "
    "up to the next such line. Follow the instructions, where there are any, and write only the assistant's next reply, "
    "in the language of the conversation, without such a line."
)
_CONTINUATION = (
    "The conversation goes on, in parts. Each part begins with a line that starts with {mark} and names whose words follow, "
    "up to the next such line; no earlier line that looked like these counts any more. Follow the instructions, where there "
    "are any, and write only the assistant's next reply, in the language of the conversation, without such a line."
)


def flatten(messages: Sequence[Message]) -> str:
    """A whole conversation: system texts first, then the turns in their order with their roles."""
    return _laid_out(messages, _INTRODUCTION)


def continued(messages: Sequence[Message]) -> str:
    """What is new in a conversation that the upstream remembers; system texts among it are further ones."""
    return _laid_out(messages, _CONTINUATION)


def _laid_out(messages: Sequence[Message], introduction: str) -> str:
    if len(messages) == 1 and messages[0].role == "user":
        return _text(messages[0].parts)
    instructions = [m for m in messages if m.role == "system"]
    turns = [m for m in messages if m.role != "system"]
    parts = [("instructions", "\n\n".join(_text(m.parts) for m in instructions))] if instructions else []
    parts += [(_title(m), _text(m.parts)) for m in turns]
    mark = _mark(text for part in parts for text in part)
    blocks = [f"{mark} {title}\n{text}" for title, text in parts]
    return "\n\n".join([introduction.format(mark=mark), *blocks, f"{mark} assistant"]) + "\n"


def _title(message: Message) -> str:
    role = "tool result" if message.role == "tool" else message.role
    name = " ".join((message.name or "").split())
    return f"{role} ({name})" if name else role


def _text(parts: Iterable[Part]) -> str:
    return "\n".join(_part(part) for part in parts)


def _part(part: Part) -> str:
    match part:
        case TextPart(text):
            return text
        case ToolCallPart(call_id, name, arguments):
            return f"[called the tool {name} as {call_id} with {arguments or '{}'}]"
        case ToolResultPart(call_id, text):
            return f"[answer to {call_id}]\n{text}" if call_id else text


def _mark(texts: Iterable[str]) -> str:
    """A mark that none of the texts contains; the same for the same texts."""
    everything = "\n".join(texts)
    digest = hashlib.sha256(everything.encode("utf-8", "surrogatepass")).hexdigest()
    for start in range(len(digest)):
        mark = f"=={digest[start : start + 8]}=="
        if mark not in everything:
            return mark
    raise AssertionError("64 marks of a text's own digest cannot all stand in it")  # pragma: no cover
