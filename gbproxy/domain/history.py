"""The digest of a conversation's history, by which an upstream session that holds exactly this history is found again.

A *head* is 32 bytes: 8 that tell the system texts given last, and 24 of a chain over all turns. It begins with caller,
model and system texts, and each turn is hashed onto the head before it. So the head that follows from a stored one and the
new turns is the same as that of the whole history when a client sends it in full.

What clients do to text does not count: surrounding white space, the form of line ends, one string or several parts (the
prompt joins them by a line end too), and before an assistant's words a block of reasoning, `<think>` or `<details>`.
Everything else does. Every field is written with its length, so that no two histories look alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from gbproxy.domain.chat import Message, Part, TextPart, ToolCallPart, ToolResultPart
from gbproxy.domain.slices import Work

_FORM = "gbproxy history 1"  # a change of what is digested, or how, is a change of this
_SYSTEM_BYTES = 8
_CHAIN_BYTES = 24
_PIECE = 4 * 1024 * 1024  # bytes that are hashed in one step

_OPENING = re.compile(r"\s*+<(think|thinking|details)(?:\s[^>]*)?>", re.IGNORECASE)
_CLOSING = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in ("think", "thinking", "details")}


@dataclass(frozen=True, slots=True)
class History:
    """A request's messages: all system texts, the turns up to the assistant's last one, and those that are new."""

    system: tuple[str, ...]
    past: tuple[Message, ...]
    turns: tuple[Message, ...]


def split(messages: Sequence[Message]) -> History:
    """Without a turn of the assistant's there is no past. System texts count wherever they stand, as in the prompt."""
    system = tuple(filter(None, (_normal(_joined(m.parts)) for m in messages if m.role == "system")))
    turns = tuple(m for m in messages if m.role != "system")
    end = next((i for i in range(len(turns), 0, -1) if turns[i - 1].role == "assistant"), 0)
    return History(system, turns[:end], turns[end:])


def start(caller: bytes, model_id: str, system: Sequence[str]) -> bytes:
    """The head of a conversation that has no turn yet."""
    fields = (_bytes(_FORM), caller, _bytes(model_id), *map(_bytes, system))
    return _system_mark(caller, system) + _hashed(b"", fields)[:_CHAIN_BYTES]


def extended(head: bytes, turns: Iterable[Message]) -> bytes:
    """The head after these turns."""
    mark = head[:_SYSTEM_BYTES]
    with Work() as work:
        for turn in turns:
            head = mark + _hashed(head, _fields(turn))[:_CHAIN_BYTES]
            work.rest()
    return head


def digest(caller: bytes, model_id: str, system: Sequence[str], turns: Iterable[Message]) -> bytes:
    """The head of a whole history."""
    return extended(start(caller, model_id, system), turns)


def answered(head: bytes, turns: Iterable[Message], answer: str) -> bytes:
    """The head after these turns and the assistant's answer to them, as its client was shown it."""
    return extended(head, (*turns, Message("assistant", (TextPart(answer),))))


def has_instructions(head: bytes, caller: bytes, system: Sequence[str]) -> bool:
    """Whether these system texts are those that the conversation was given last; none are always."""
    return not system or head[:_SYSTEM_BYTES] == _system_mark(caller, system)


def instructed(head: bytes, caller: bytes, system: Sequence[str]) -> bytes:
    """The head after further system texts in the middle of a conversation."""
    fields = (b"system", *map(_bytes, system))
    return _system_mark(caller, system) + _hashed(head, fields)[:_CHAIN_BYTES]


def _system_mark(caller: bytes, system: Sequence[str]) -> bytes:
    return _hashed(b"", (caller, *map(_bytes, system)))[:_SYSTEM_BYTES]


def _fields(turn: Message) -> Iterator[bytes]:
    """Role, name, and for each part its kind and what it holds; texts that follow each other are one."""
    yield turn.role.encode()
    yield _bytes(" ".join(turn.name.split())) if turn.name else b""
    texts: list[str] = []
    for part in turn.parts:
        match part:
            case TextPart(text):
                texts.append(text)
            # a file will be its own kind with the digest of its bytes: name and type alone say nothing of them
            case ToolCallPart(call_id, name, arguments):
                yield from _text_fields(turn, texts)
                yield from (b"call", _bytes(call_id), _bytes(name), _bytes(_normal(arguments)))
                texts = []
            case ToolResultPart(call_id, text):
                yield from _text_fields(turn, texts)
                yield from (b"result", _bytes(call_id), _bytes(_normal(text)))
                texts = []
    yield from _text_fields(turn, texts)


def _text_fields(turn: Message, texts: Sequence[str]) -> Iterator[bytes]:
    text = _normal("\n".join(texts))
    if turn.role == "assistant":
        text = _without_reasoning(text)
    if text:  # clients send no text, an empty one or null for the same
        yield b"text"
        yield _bytes(text)


def _joined(parts: Iterable[Part]) -> str:
    return "\n".join(part.text for part in parts if isinstance(part, TextPart))


def _normal(text: str) -> str:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.strip()


def _without_reasoning(text: str) -> str:
    """Drop the blocks that a normal text begins with, up to the last that something follows. Linear in its length."""
    start = 0
    while opening := _OPENING.match(text, start):
        closing = _CLOSING[opening[1].lower()].search(text, opening.end())
        if closing is None or closing.end() == len(text):  # with nothing behind it, it is the answer
            break
        start = closing.end()
    return text[start:].lstrip()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _hashed(head: bytes, fields: Iterable[bytes]) -> bytes:
    """The digest of a head and the fields behind it, each written with its length."""
    written = head + b"".join(b"%d:%b" % (len(field), field) for field in fields)
    if len(written) <= _PIECE:
        return sha256(written).digest()
    digest = sha256()
    with Work() as work, memoryview(written) as view:
        for start in range(0, len(view), _PIECE):
            digest.update(view[start : start + _PIECE])
            work.rest()
    return digest.digest()
