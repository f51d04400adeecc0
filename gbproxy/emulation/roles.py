"""Flattens messages into one text, for an upstream without roles, system prompts or tools.

The text is the whole conversation for a new session, or its new messages for the session that holds
the rest. A single user message is sent as it is. Anything else is laid out in parts, each begun by
a line with a mark that occurs nowhere in the texts: so no text of a user can begin a part. Files
stand behind the text, each with a label where it stood.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from gbproxy.domain.attachment import Attachment, LinkedAttachment
from gbproxy.domain.chat import Message, Part, TextPart, ToolCallPart, ToolResultPart
from gbproxy.domain.events import estimate_quarter_tokens
from gbproxy.domain.slices import Work

_INTRODUCTION = (
    "Below is a conversation in parts. Each part begins with a line that starts with {mark} and"
    " names whose words follow, up to the next such line. Follow the instructions, where there are"
    " any, and write only the assistant's next reply, in the language of the conversation, without"
    " such a line."
)
_CONTINUATION = (
    "The conversation goes on, in parts. Each part begins with a line that starts with {mark} and"
    " names whose words follow, up to the next such line; no earlier line that looked like these"
    " counts any more. Follow the instructions, where there are any, and write only the assistant's"
    " next reply, in the language of the conversation, without such a line."
)

_MARK = "==00000000=="  # placeholder of the mark, of its length and weight
_PIECE = 256 * 1024  # characters

Messages = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class PromptSize:
    """Size of a prompt, in characters and in quarter tokens (domain/events.py). `has_file`: older
    turns go up as a file.
    """

    chars: int
    quarter_tokens: int
    has_file: bool = False


def flatten_to_one(messages: Messages, is_resumed: bool) -> Messages:
    """Flatten messages into one user message: a text, and the files in their order. `is_resumed`:
    the upstream remembers what came before these.
    """
    text = flatten_delta(messages) if is_resumed else flatten(messages)
    return (Message("user", (TextPart(text), *attachments(messages))),)


def attachments(messages: Sequence[Message]) -> list[Attachment]:
    return [part for each in messages for part in each.parts if isinstance(part, Attachment)]


def flatten(messages: Sequence[Message]) -> str:
    """A whole conversation as text: system texts first, then the turns in order, with roles."""
    return _flattened(messages, _INTRODUCTION)


def flatten_delta(messages: Sequence[Message]) -> str:
    """The new messages of a resumed conversation as text; system texts among them are added."""
    return _flattened(messages, _CONTINUATION)


def measure(messages: Sequence[Message]) -> PromptSize:
    """Measure what `flatten` would return, without building a text that may be too long to use."""
    chars = quarter_tokens = 0
    with Work() as work:
        for piece in _pieces(_all_fragments(messages, _INTRODUCTION)):
            chars += len(piece)
            quarter_tokens += estimate_quarter_tokens(piece)
            work.rest()
    return PromptSize(chars, quarter_tokens)


def introduction(*, is_resumed: bool) -> str:
    """What the model is told of the form; for `fragments`."""
    return _CONTINUATION if is_resumed else _INTRODUCTION


def laid_out(*texts: Iterable[str]) -> list[str]:
    """Texts of these fragments, with the same mark in all, which occurs nowhere else in them."""
    with Work() as work:
        all_fragments = [list(each) for each in texts]
        text = "".join(chain.from_iterable(all_fragments))
        work.rest()
        mark = _mark(text)
        del text
        work.rest()
        return [
            "".join([mark if each is _MARK else each for each in fragments])
            for fragments in all_fragments
        ]


def _flattened(messages: Sequence[Message], introduction: str) -> str:
    if _is_alone(messages):
        return "".join(_words(messages[0].parts))
    return laid_out(fragments(messages, introduction))[0]


def _is_alone(messages: Sequence[Message]) -> bool:
    return len(messages) == 1 and messages[0].role == "user"


def _all_fragments(messages: Sequence[Message], introduction: str) -> Iterator[str]:
    if _is_alone(messages):
        return _words(messages[0].parts)
    return fragments(messages, introduction)


def fragments(messages: Sequence[Message], introduction: str) -> Iterator[str]:
    """The fragments of a prompt. The object _MARK stands for the mark, told by identity: a text may
    equal it.
    """
    before, _, after = introduction.partition("{mark}")
    yield from (before, _MARK, after, "\n\n")
    instructions = [message for message in messages if message.role == "system"]
    for i, message in enumerate(instructions):
        yield from ("\n\n",) if i else (_MARK, " instructions\n")
        yield from _texts(message.parts)
    if instructions:
        yield "\n\n"
    yield from turn_fragments(messages)
    yield _MARK
    yield " assistant\n"


def turn_fragments(messages: Iterable[Message]) -> Iterator[str]:
    """The fragments of the turns among these messages."""
    for message in messages:
        if message.role != "system":
            yield _MARK
            yield f" {_title(message)}\n"
            yield from _texts(message.parts)
            yield "\n\n"


def turn_chars(message: Message) -> int:
    return sum(map(len, turn_fragments((message,))))


def _pieces(fragments: Iterable[str]) -> Iterator[str]:
    """The same text in pieces of bounded length, but not many."""
    held: list[str] = []
    size = 0
    for fragment in fragments:
        held.append(fragment)
        size += len(fragment)
        if size >= _PIECE:
            text = "".join(held)
            yield from (text[start : start + _PIECE] for start in range(0, size, _PIECE))
            held, size = [], 0
    yield "".join(held)


def _title(message: Message) -> str:
    role = "tool result" if message.role == "tool" else message.role
    name = " ".join((message.name or "").split())
    return f"{role} ({name})" if name else role


def _words(parts: Iterable[Part]) -> Iterator[str]:
    """Yield the parts of a message that is sent by itself, where every file is one that it is
    about.
    """
    return _texts([part for part in parts if not isinstance(part, Attachment | LinkedAttachment)])


def _texts(parts: Iterable[Part]) -> Iterator[str]:
    """Yield each part on lines of its own."""
    for i, part in enumerate(parts):
        if i:
            yield "\n"
        yield _part(part)


def _part(part: Part) -> str:
    match part:
        case TextPart(text):
            return text
        case ToolCallPart(call_id, name, arguments, _):
            return f"[called the tool {name} as {call_id} with {arguments or '{}'}]"
        case ToolResultPart(call_id, text):
            return f"[answer to {call_id}]\n{text}" if call_id else text
        case Attachment(name=name) | LinkedAttachment(name=name):
            return f"[attached file {name}]" if name else "[attached file]"


def _mark(text: str) -> str:
    """A mark that the text does not contain; the same for the same text."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    for start in range(len(digest)):
        mark = f"=={digest[start : start + 8]}=="
        if mark not in text:
            return mark
    raise AssertionError(
        "64 marks of a text's own digest cannot all stand in it"
    )  # pragma: no cover
