"""Placeholders for what is redacted, each of as many bytes as what it stands for."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_SHAPES = {
    **dict.fromkeys(range(ord("a"), ord("z") + 1), "x"),
    **dict.fromkeys(range(ord("A"), ord("Z") + 1), "X"),
    **dict.fromkeys(range(ord("0"), ord("9") + 1), "0"),
}


class Placeholders:
    """Equal values get equal placeholders, different ones different placeholders where their length
    leaves room.
    """

    def __init__(self) -> None:
        self._known: dict[str, dict[str, str]] = defaultdict(dict)  # by kind

    def of(self, kind: str, value: str) -> str:
        """The placeholder of a value. `kind`: "number", "uuid", "email", or the word it begins
        with.
        """
        known = self._known[kind]
        if value not in known:
            make = _MAKERS.get(kind, _word_placeholder)
            known[value] = _fitted(make(kind, len(known) + 1, value), value)
        return known[value]


def shape(text: str) -> str:
    """Replace letters and digits by x, X and 0, other characters by one of as many bytes; white
    space and signs stay.
    """
    return _NOT_ASCII.sub(_as_wide, text.translate(_SHAPES))


def _as_wide(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xD800 <= code < 0xE000:  # half of a pair, or a byte that is no UTF-8: kept as what it is
        return found[0]
    return "é" if code < 0x800 else "字" if code < 0x10000 else "😀"


def _fitted(placeholder: str, value: str) -> str:
    """Fit a placeholder to the bytes of `value`, character for character."""
    pairs = zip(placeholder.ljust(len(value), "x"), value, strict=False)
    return "".join(new if old.isascii() else shape(old) for new, old in pairs)


def _word_placeholder(kind: str, index: int, value: str) -> str:
    return f"{kind}-{index}-".ljust(len(value), "x")


def _digits(_kind: str, index: int, value: str) -> str:
    return f"1{index:0{max(len(value) - 1, 1)}d}"


def _uuid(_kind: str, index: int, _value: str) -> str:
    return f"00000000-0000-4000-8000-{index:012d}"


def _email(_kind: str, index: int, value: str) -> str:
    name, _, domain = value.partition("@")
    shape = "".join(c if c == "." else "x" for c in domain)
    return f"{f'u{index}'.ljust(len(name), 'x')[: len(name)]}@{shape}"


_MAKERS: dict[str, Callable[[str, int, str], str]] = {
    "number": _digits,
    "uuid": _uuid,
    "email": _email,
}
