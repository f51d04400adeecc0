"""Layouts of a streamed body: elements as one JSON array, or as server-sent events.

The separator comes with the following element: a reader must not wait for it to use the one before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol


class Layout(Protocol):
    """Frames one body; `close` is empty when no element was framed."""

    content_type: str

    def frame(self, element: Mapping[str, Any]) -> bytes: ...

    def close(self) -> bytes: ...


class ArrayLayout:
    """One JSON array, written element by element, in one of the ways of `_ARRAYS`."""

    content_type = "application/json; charset=UTF-8"

    def __init__(self, name: str = "compact", *, ascii_escapes: bool = False) -> None:
        self._opening, self._separator, self._closing = _ARRAYS[name]
        self._name = name
        self._ascii_escapes = ascii_escapes
        self._framed = 0

    def frame(self, element: Mapping[str, Any]) -> bytes:
        before = self._separator if self._framed else self._opening
        self._framed += 1
        return (before + self._json(element)).encode()

    def close(self) -> bytes:
        return self._closing.encode() if self._framed else b""

    def _json(self, element: Mapping[str, Any]) -> str:
        if self._name in ("pretty", "crlf"):
            return json.dumps(element, ensure_ascii=self._ascii_escapes, indent=2)
        separators = (" ,\t", "\r\n : ") if self._name == "padded" else (",", ":")
        return json.dumps(element, ensure_ascii=self._ascii_escapes, separators=separators)


class EventLayout:
    """Server-sent events, one for each element; nothing closes them."""

    content_type = "text/event-stream"

    def __init__(
        self,
        *,
        line_end: str = "\n",
        comments: bool = False,
        multiline: bool = False,
        ascii_escapes: bool = False,
    ) -> None:
        self._line_end = line_end
        self._comments = comments
        self._indent = 1 if multiline else None
        self._ascii_escapes = ascii_escapes

    def frame(self, element: Mapping[str, Any]) -> bytes:
        text = json.dumps(element, ensure_ascii=self._ascii_escapes, indent=self._indent)
        lines = [f"data: {line}" for line in text.split("\n")]
        if self._comments:
            lines = [": keep-alive", *lines]
        return (self._line_end.join(lines) + self._line_end * 2).encode()

    def close(self) -> bytes:
        return b""


# name: (before the first element, before every other, after the last)
_ARRAYS = {
    "compact": ("[", ",", "]"),
    "pretty": ("[", ",\n", "\n]\n"),
    "crlf": ("[", "\n,\r\n", "\n]"),
    "newline_comma": ("[\n", "\n,\n", "\n]"),
    "padded": (" \r\n\t[ \n", " \t,\r\n\r\n  ", "\t \r\n ] \r\n\n"),
}
