"""The digest of a conversation's history: it finds the upstream session that holds exactly this
history.

A history digest is 32 bytes: 8 that identify the system texts given last, with what was said of
tools and of the answer's form, and 24 of a chain over all turns. The chain begins with API key,
model and the same instructions, and each turn is hashed onto the digest before it. So the digest
that follows from a stored one and the new turns is the same as that of the whole history when a
client sends it in full.

What clients do to text does not count: surrounding white space, the form of line ends, one string
or several parts (the prompt joins them by a line end too), and before an assistant's words a block
of reasoning, `<think>` or `<details>`; nor do the pictures that it has made. Everything else does.
Every field is written with its length, so that no two histories look alike. Of a very long text
only the digest is written, so that an answer need not be kept whole while it arrives.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from gbproxy.domain.attachment import Attachment, LinkedAttachment, StoredAttachment
from gbproxy.domain.chat import Message, Part, TextPart, ToolCallPart, ToolResultPart
from gbproxy.domain.slices import Work
from gbproxy.domain.tools import canonical_arguments

# To be changed with what is digested, or how. The first is the form of a history in which nothing
# was said of tools or of the answer's form: older versions know it, and their conversations go on.
_FORM = "gbproxy history 1"
_FORM_WITH_TOOLS = "gbproxy history 2"
# Longer texts are replaced by their digest; reasoning is looked for up to here.
LONG_CHARS = 128 * 1024
_SYSTEM_BYTES = 8
_CHAIN_BYTES = 24
_PIECE = 4 * 1024 * 1024  # bytes that are hashed in one step

_OPENING = re.compile(r"\s*+<(think|thinking|details)(?:\s[^>]*)?>", re.IGNORECASE)
_CLOSING = {
    name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in ("think", "thinking", "details")
}


@dataclass(frozen=True, slots=True)
class History:
    """A request's messages: `system` texts, `past` turns up to the assistant's last one, and new
    `turns`.
    """

    system: tuple[str, ...]
    past: tuple[Message, ...]
    turns: tuple[Message, ...]


def split(messages: Sequence[Message]) -> History:
    """Split messages behind the assistant's last turn; without one there is no past.

    System texts are collected from every position, as in the prompt.
    """
    system = tuple(
        filter(None, (_normal(_joined(m.parts)) for m in messages if m.role == "system"))
    )
    turns = tuple(m for m in messages if m.role != "system")
    end = next((i for i in range(len(turns), 0, -1) if turns[i - 1].role == "assistant"), 0)
    return History(system, turns[:end], turns[end:])


def start(key_digest: bytes, model_id: str, system: Sequence[str], form: bytes = b"") -> bytes:
    """The history digest of a conversation that has no turn yet; `form`: the digest of what was
    said of tools and of the answer's form (ChatRequest.form_digest).
    """
    begun = (_bytes(_FORM_WITH_TOOLS), form) if form else (_bytes(_FORM),)
    fields = (*begun, key_digest, _bytes(model_id), *map(_bytes, system))
    return _system_mark(key_digest, system, form) + _hashed(b"", fields)[:_CHAIN_BYTES]


def extended(base: bytes, turns: Iterable[Message]) -> bytes:
    """The history digest after these turns."""
    with Work() as work:
        for turn in turns:
            base = _after(base, _fields(turn))
            work.rest()
    return base


def _after(base: bytes, fields: Iterable[bytes]) -> bytes:
    return base[:_SYSTEM_BYTES] + _hashed(base, fields)[:_CHAIN_BYTES]


def digest(
    key_digest: bytes,
    model_id: str,
    system: Sequence[str],
    turns: Iterable[Message],
    form: bytes = b"",
) -> bytes:
    """The digest of a whole history."""
    return extended(start(key_digest, model_id, system, form), turns)


@dataclass(frozen=True, slots=True)
class LongText:
    """The digest of an assistant's text longer than LONG_CHARS, kept in its place."""

    digest: bytes


class AnswerDigest:
    """Collects an assistant's text from its pieces: a short one whole, a long one as a digest."""

    def __init__(self) -> None:
        self._pieces: list[str] = []  # all of them, while the text is short
        self._characters = 0
        self._looks_at = LONG_CHARS  # characters: from then on it may be long
        # Of the text so far, with and without the white space at its end.
        self._digest = self._whole = sha256()
        self._is_long = self._has_begun = False
        self._return = ""  # a "\r" that may be the first half of a line end

    def add(self, piece: str) -> None:
        if self._is_long:
            self._take(piece)
            return
        self._pieces.append(piece)
        self._characters += len(piece)
        if self._characters > self._looks_at:
            self._look()

    def result(self) -> str | LongText:
        return LongText(self._whole.digest()) if self._is_long else "".join(self._pieces)

    def _look(self) -> None:
        """Go over to a digest, if more than LONG_CHARS are left without reasoning. For it stands in
        the first so many, that is so at twice as many at the latest.
        """
        whole = "".join(self._pieces)
        kept = whole.removesuffix("\r")
        text = _without_reasoning(_plain_line_ends(kept).lstrip())
        if len(text.rstrip()) <= LONG_CHARS and self._looks_at == LONG_CHARS:
            self._looks_at = 2 * LONG_CHARS
            return
        self._is_long = True
        self._pieces.clear()
        self._take(text)
        self._return = whole[len(kept) :]

    def _take(self, piece: str) -> None:
        piece = self._return + piece
        kept = piece.removesuffix("\r")
        self._return = piece[len(kept) :]
        text = _plain_line_ends(kept)
        if not self._has_begun:
            text = text.lstrip()
            self._has_begun = bool(text)
        solid = text.rstrip()
        if solid:
            self._digest.update(_bytes(solid))
            self._whole = self._digest.copy()
        self._digest.update(_bytes(text[len(solid) :]))


def answered(
    base: bytes,
    turns: Iterable[Message],
    answer: str | LongText,
    calls: Sequence[ToolCallPart] = (),
) -> bytes:
    """The history digest after these turns and the assistant's answer as the client got it: a text,
    and the calls behind it.
    """
    if isinstance(answer, str):
        return extended(base, (*turns, Message("assistant", (TextPart(answer), *calls))))
    called = tuple(_fields(Message("assistant", tuple(calls))))[2:]  # behind role and name
    fields = (b"assistant", b"", *_long_text(answer.digest), *called)
    return _after(extended(base, turns), fields)


def unknown(base: bytes) -> bytes:
    """The digest after this one of a history that nobody can tell: no request's is the same."""
    return base[:_SYSTEM_BYTES] + secrets.token_bytes(_CHAIN_BYTES)


def has_instructions(
    base: bytes, key_digest: bytes, system: Sequence[str], form: bytes = b""
) -> bool:
    """True if what the conversation was told last is this, or if this is nothing."""
    has_nothing = not system and not form
    return has_nothing or base[:_SYSTEM_BYTES] == _system_mark(key_digest, system, form)


def with_system(base: bytes, key_digest: bytes, system: Sequence[str], form: bytes = b"") -> bytes:
    """The history digest after further instructions in the middle of a conversation."""
    fields = (b"system", *map(_bytes, system), *([form] if form else []))
    return _system_mark(key_digest, system, form) + _hashed(base, fields)[:_CHAIN_BYTES]


def _system_mark(key_digest: bytes, system: Sequence[str], form: bytes = b"") -> bytes:
    told = (key_digest, *map(_bytes, system), *([b"form", form] if form else []))
    return _hashed(b"", told)[:_SYSTEM_BYTES]


def _fields(turn: Message) -> Iterator[bytes]:
    """Role, name, and for each part its kind and content; adjacent texts are joined into one."""
    yield turn.role.encode()
    yield _bytes(" ".join(turn.name.split())) if turn.name else b""
    texts: list[str] = []
    for part in turn.parts:
        match part:
            case TextPart(text):
                texts.append(text)
            case ToolCallPart(call_id, name, arguments, is_custom):
                yield from _text_fields(turn, texts)
                kind = b"custom call" if is_custom else b"call"
                what = _normal(arguments) if is_custom else canonical_arguments(arguments)
                yield from (kind, _bytes(call_id), _bytes(name), _bytes(what))
                texts = []
            case ToolResultPart(call_id, text):
                yield from _text_fields(turn, texts)
                yield from (b"result", _bytes(call_id), _bytes(_normal(text)))
                texts = []
            case Attachment() | LinkedAttachment() if turn.role == "assistant":
                pass  # it is known which answer this was, and clients may leave its files out
            case Attachment(digest=file_digest):
                yield from _text_fields(turn, texts)
                yield from (b"file", _bytes(file_digest))
                texts = []
            case StoredAttachment(digest=file_digest) if file_digest:
                yield from _text_fields(turn, texts)
                yield from (b"file", _bytes(file_digest))
                texts = []
            # A file of the past is not fetched again to see whether it is still the same.
            case LinkedAttachment(url):
                yield from _text_fields(turn, texts)
                yield from (b"link", _bytes(url))
                texts = []
    yield from _text_fields(turn, texts)


def _text_fields(turn: Message, texts: Sequence[str]) -> Iterator[bytes]:
    text = _normal("\n".join(texts))
    if turn.role == "assistant":
        text = _without_reasoning(text)
    if len(text) > LONG_CHARS:
        yield from _long_text(sha256(_bytes(text)).digest())
    elif text:  # clients send no text, an empty one or null, and mean the same
        yield b"text"
        yield _bytes(text)


def _long_text(digest: bytes) -> tuple[bytes, bytes]:
    return b"long text", digest


def _joined(parts: Iterable[Part]) -> str:
    return "\n".join(part.text for part in parts if isinstance(part, TextPart))


def _normal(text: str) -> str:
    return _plain_line_ends(text).strip()


def _plain_line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _without_reasoning(text: str) -> str:
    """Drop the blocks of reasoning at the beginning of a text. A last block with nothing behind it
    stays: it is the answer. Linear in the text's length.
    """
    start = 0
    while opening := _OPENING.match(text, start, LONG_CHARS):
        closing = _CLOSING[opening[1].lower()].search(text, opening.end(), LONG_CHARS)
        if closing is None or closing.end() == len(text):
            break
        start = closing.end()
    return text[start:].lstrip()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _hashed(base: bytes, fields: Iterable[bytes]) -> bytes:
    """The digest of a base and the fields behind it, each written with its length."""
    written = base + b"".join(b"%d:%b" % (len(field), field) for field in fields)
    if len(written) <= _PIECE:
        return sha256(written).digest()
    digest = sha256()
    with Work() as work, memoryview(written) as view:
        for start in range(0, len(view), _PIECE):
            digest.update(view[start : start + _PIECE])
            work.rest()
    return digest.digest()
