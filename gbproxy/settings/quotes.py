"""Quotes round a value, which shells and most readers of environment files take away, and Docker
hands on.
"""

from __future__ import annotations

import re

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
