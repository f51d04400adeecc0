"""The mark that opens a call: a line that holds a nonce of the conversation, so that nothing that
was written elsewhere, as an example or to deceive, is ever taken for a call.

The mark has no sign that Markdown or HTML would escape, but some escape all that is not ASCII, and
models put other brackets in its place, or white space within. All of these forms are read as it.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from functools import cached_property

_NONCE_BYTES = 4

# Of each sign all ways to write it.
_ENTITIES = ("&{0};", "&amp;{0};")
_BRACKETS = ("{0}", "\\{0}")


def any_of(forms: Iterable[str]) -> str:
    return f"(?:{'|'.join(map(re.escape, sorted(forms, key=len, reverse=True)))})"


def _forms(signs: Iterable[str], entities: Iterable[str]) -> tuple[str, ...]:
    written = [form.format(sign) for sign in signs for form in _BRACKETS]
    return (*written, *(form.format(name) for name in entities for form in _ENTITIES))


_OPEN = _forms(("⟦", "[", "【"), ("#10214", "#x27e6", "lobrk"))
_CLOSE = _forms(("⟧", "]", "】"), ("#10215", "#x27e7", "robrk"))
_INSIDE = ("", " ")  # the brackets
_SPACE = (" ", "  ", ":", ": ", "\xa0", *_forms((), ("nbsp", "#160")))

# What a mark may stand behind and is no content then: white space, emphasis, the line that opens a
# fence around the whole call.
BEFORE = " \t\r\n*`"
MOST_BEFORE = 8
_BEFORE = rf"[{BEFORE}]{{0,{MOST_BEFORE}}}"
_FENCE = r"(?:`{3,8}|~{3,8})[ \t]?[a-z_]{0,12}[ \t]?\r?\n[ \t]{0,3}"
_FENCE_BEGUN = r"(?:`{1,8}|~{1,8}|(?:`{3,8}|~{3,8})[ \t]?[a-z_]{0,12}[ \t]?\r?)\Z"
_MOST_FENCE = 8 + 1 + 12 + 1 + 2 + 3
_BEGUN_FOR_CERTAIN = re.compile(rf"⟦|{any_of(_OPEN)} ?[cC]")
# Without one of these only what is in BEFORE can begin an opening.
_MAY_BEGIN = re.compile(r"[\[⟦【\\&`~]")


class Mark:
    """The mark of one conversation. `most_held`: no text that may be the beginning of a mark, with
    what may stand before it, is longer; in characters.
    """

    def __init__(self, nonce: str) -> None:
        self.nonce = nonce
        self.line = f"⟦call {nonce}⟧"
        words = ("call", "Call", "CALL")
        self._tokens = (_OPEN, _INSIDE, words, _SPACE, (nonce,), _INSIDE, _CLOSE)
        self.most_held = (
            MOST_BEFORE + _MOST_FENCE + sum(max(map(len, each)) for each in self._tokens)
        )

    # Compiled with the first answer, which takes a millisecond; to write, the line is enough.
    @cached_property
    def _opening(self) -> re.Pattern[str]:
        whole = "".join(any_of(token) for token in self._tokens)
        return re.compile(f"{_BEFORE}(?:{_FENCE})?{whole}")

    @cached_property
    def _begun(self) -> re.Pattern[str]:
        begun = begun_pattern(self._tokens)
        return re.compile(f"{_BEFORE}(?:{_FENCE_BEGUN}|(?:{_FENCE})?{begun})")

    def find(self, text: str, start: int = 0) -> re.Match[str] | None:
        """The first mark, with what stands before it and is no content."""
        return self._opening.search(text, start) if text.find(self.nonce, start) >= 0 else None

    def match(self, text: str) -> re.Match[str] | None:
        """The mark that a text begins with."""
        return self._opening.match(text) if self.nonce in text else None

    def begins_at(self, text: str) -> int:
        """Where in a text its end may be the beginning of a mark; the text's length: nowhere."""
        start = max(0, len(text) - self.most_held)
        if _MAY_BEGIN.search(text, start):
            found = self._begun.search(text, start)
            return found.start() if found else len(text)
        return run_before(text, len(text))

    def may_be(self, text: str) -> bool:
        """True if all of a text may be the beginning of a mark."""
        return self._begun.fullmatch(text) is not None

    def without_beginning(self, text: str) -> str:
        """A text whose end may be the beginning of a mark, without that."""
        found = _BEGUN_FOR_CERTAIN.search(text)
        return text[: run_before(text, found.start())] if found else text


def run_before(text: str, end: int) -> int:
    """Where what may stand before a mark begins, when the mark begins at `end`."""
    start = max(0, end - MOST_BEFORE)
    return start + len(text[start:end].rstrip(BEFORE))


def new_nonce() -> str:
    """A nonce for a session that nothing continues."""
    return secrets.token_hex(_NONCE_BYTES)


def nonce_of(key_digest: bytes, conversation: str) -> str:
    """The nonce of a conversation, which nobody can tell who has not got its API key.

    Derived, so that each worker has it without a look at what is stored.
    """
    words = f"gbproxy tool calls {conversation}".encode()
    return hmac.digest(key_digest, words, "sha256")[:_NONCE_BYTES].hex()


def begun_pattern(tokens: Sequence[Sequence[str]]) -> str:
    """A pattern for all beginnings, up to the text's end, of texts that are one form of each token,
    one after the other.
    """
    pattern = r"\Z"
    for token in reversed(tokens):
        begun = sorted({form[:n] for form in token for n in range(len(form))})
        pattern = rf"(?:{any_of(token)}{pattern}|{any_of(begun)}\Z)"
    return pattern
