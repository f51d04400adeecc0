"""Texts as people write them: files of Windows' editors decoded, quotes round values removed.

Shells remove such quotes, Docker's env files hand them on.
"""

from __future__ import annotations

import codecs
import re

_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def decoded(content: bytes) -> str:
    """UTF-8, or UTF-16 as some editors and PowerShell write it; without the mark at its beginning.

    Raises ValueError with what it is instead, never with what stands there.
    """
    mark = content[:2]
    encoding = _MARKS.get(mark) or _unmarked(content)
    try:
        text = content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise ValueError(
            f"is not {'UTF-16' if encoding.startswith('utf-16') else 'UTF-8'} text"
        ) from None
    if "\0" in text:
        raise ValueError("holds NUL characters, so it is no text")
    return text


def _unmarked(content: bytes) -> str:
    """Letters and digits of UTF-16 have a zero on one side; text in UTF-8 has none at all."""
    zeros = [content[side::2].count(0) for side in (0, 1)]
    most = len(content) // 4  # half of all characters
    if zeros[1] > most and not zeros[0]:
        return "utf-16-le"
    return "utf-16-be" if zeros[0] > most and not zeros[1] else "utf-8"


QUOTES = "\"'"


# the inside of "…" in which each `"` is written `\"`
_WITH_ESCAPES = re.compile(r'(?:[^"\\]|\\.)*', re.DOTALL)


def unquoted(text: str) -> str:
    """A value without the white space and the one pair of quotes round it.

    Only one pair: what must begin or end with a quote is put into another pair. Raises ValueError
    for a quote that stands alone at one end.
    """
    text = text.strip()
    if not _is_quoted(text):
        _refuse_lone_quote(text)
        return text
    inner = text[1:-1]
    if text[0] == '"' and '\\"' in inner and _WITH_ESCAPES.fullmatch(inner):
        inner = re.sub(r'\\(["\\])', r"\1", inner)  # JSON as a shell takes it
    return inner.strip()


def unquoted_items(text: str) -> str:
    """The same for items that commas separate: quotes stand round all of them, or round single
    ones.
    """
    text = text.strip()
    if _is_quoted(text) and text[0] not in text[1:-1]:
        return text[1:-1].strip()
    items = text.split(",")
    try:
        return ",".join(map(unquoted, items))
    except ValueError as error:
        raise ValueError(
            f"one of its {len(items)} values {error}" if len(items) > 1 else str(error)
        ) from None


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] in QUOTES and text[0] == text[-1]


def _refuse_lone_quote(text: str) -> None:
    """One at an end whose partner is inside is the value's own: `**Reading "x"**, Searching
    "y"`.
    """
    for where, quote in (("begins", text[:1]), ("ends", text[-1:])):
        if quote and quote in QUOTES and text.count(quote) % 2:
            raise ValueError(
                f"{where} with a quote that has no partner at the other end: take it away, or put"
                " quotes round the whole value"
            )
