"""Replaces strings and numbers in JSON text, and leaves everything else as it was written.

White space, separators, the order of keys, escapes, duplicate keys and a missing end all stay,
which no parser keeps.
"""

from __future__ import annotations

import re
from collections.abc import Callable

# also of event streams
_BEGINNINGS = ("{", "[", '"', ")]}'", "data:", "event:", "id:", "retry:", ":")
_TOKEN = re.compile(
    r'"(?P<raw>(?:[^"\\]++|\\.)*+)(?P<end>"?)'
    r"|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
    r"|(?P<mark>[{}\[\]:,])"
    r"|(?P<bare>[^\W\d]\w*)",
    re.DOTALL,
)
_UNIT = re.compile(r"\\u[0-9a-fA-F]{4}|\\.|.", re.DOTALL)
_BARE = frozenset(("true", "false", "null", "data", "event", "id", "retry"))
_SHORT_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def looks_like_json(text: str) -> bool:
    """True if the text begins as JSON, with or without Google's prefix, or as an event stream."""
    return text.lstrip("\ufeff \t\r\n").startswith(_BEGINNINGS)


def replaced(
    text: str,
    name: Callable[[str], str],
    string: Callable[[str, str], str],
    number: Callable[[str], str],
) -> str:
    """Replace each key, string and number by the result of a function, of as many characters.

    `string` is called with the key that the value belongs to, directly or as an element of an
    array ("" for none), and the value.
    """
    walk = _Walk(name, string, number)
    return _TOKEN.sub(walk.token, text)


class _Walk:
    """Tracks, from token to token, the key that the next value belongs to."""

    def __init__(
        self,
        name: Callable[[str], str],
        string: Callable[[str, str], str],
        number: Callable[[str], str],
    ) -> None:
        self._name = name
        self._string = string
        self._number = number
        self._open: list[tuple[str, str]] = []  # each container with its key
        self._key = ""
        self._expects_key = False

    def token(self, found: re.Match[str]) -> str:
        if found["raw"] is not None:
            return f'"{self._literal(found["raw"])}{found["end"]}'
        if found["number"] is not None:
            return self._number(found["number"])
        if found["bare"] is not None:
            return found["bare"] if found["bare"] in _BARE else self._string("", found["bare"])
        return self._mark(found["mark"])

    def _literal(self, raw: str) -> str:
        units = _UNIT.findall(raw)
        value = "".join(map(_decoded, units))
        if self._expects_key:
            self._key = value
            shown = self._name(value)
        else:
            shown = self._string(self._key, value)
        return "".join(map(_encoded, shown, units))

    def _mark(self, mark: str) -> str:
        if mark in "{[":
            self._open.append((mark, self._key))
            self._expects_key = mark == "{"
        elif mark in "}]" and self._open:
            _, self._key = self._open.pop()
            self._expects_key = False
        elif mark == ":":
            self._expects_key = False
        elif mark == ",":
            self._expects_key = bool(self._open) and self._open[-1][0] == "{"
        if mark == "," and self._open and self._open[-1][0] == "[":
            self._key = self._open[-1][1]
        return mark


def _decoded(unit: str) -> str:
    """One character; half of a surrogate pair stays half."""
    if not unit.startswith("\\"):
        return unit
    if len(unit) == 6:
        return chr(int(unit[2:], 16))
    return _SHORT_ESCAPES.get(unit[1:], unit[1:])


def _encoded(char: str, unit: str) -> str:
    """The character, written as `unit` was: in as many bytes."""
    if not unit.startswith("\\"):
        return char
    if len(unit) == 6:
        return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else unit
    return unit  # a sign or white space, which needs no replacement
