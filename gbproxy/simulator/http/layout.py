"""How elements become body bytes: a JSON array in several layouts, or server-sent events.

The separator comes with the following element: a reader must not wait for it to use the one before.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

from gbproxy.simulator.switches import Switches

JsonObject = dict[str, Any]


class Layout(Protocol):
    """Frames one body; `close` is empty when no element was framed."""

    content_type: str

    def frame(self, element: JsonObject) -> bytes: ...

    def close(self) -> bytes: ...


def layout_for(switches: Switches, *, sse: bool) -> Layout:
    """The layout in force; `sse` says whether the request asked for `alt=sse`."""
    if sse and switches.honours_alt_sse:
        return EventLayout(switches)
    return ArrayLayout(switches.layout, ascii_escapes=switches.ascii_escapes)


class ArrayLayout:
    """One JSON array, written element by element."""

    content_type = "application/json; charset=UTF-8"

    def __init__(self, name: str = "compact", *, ascii_escapes: bool = False) -> None:
        self._opening, self._separator, self._closing = _ARRAYS[name]
        self._name = name
        self._ascii_escapes = ascii_escapes
        self._framed = 0

    def frame(self, element: JsonObject) -> bytes:
        before = self._separator if self._framed else self._opening
        self._framed += 1
        return (before + self._json(element)).encode()

    def close(self) -> bytes:
        return self._closing.encode() if self._framed else b""

    def _json(self, element: JsonObject) -> str:
        if self._name in ("pretty", "crlf"):
            return json.dumps(element, ensure_ascii=self._ascii_escapes, indent=2)
        separators = (" ,\t", "\r\n : ") if self._name == "padded" else (",", ":")
        return json.dumps(element, ensure_ascii=self._ascii_escapes, separators=separators)


class EventLayout:
    """Server-sent events, one element each; nothing closes them."""

    content_type = "text/event-stream"

    def __init__(self, switches: Switches) -> None:
        self._line_end = "\r\n" if switches.sse_lines == "crlf" else "\n"
        self._comments = switches.sse_comments
        self._multiline = switches.sse_multiline
        self._ascii_escapes = switches.ascii_escapes

    def frame(self, element: JsonObject) -> bytes:
        indent = 1 if self._multiline else None
        text = json.dumps(element, ensure_ascii=self._ascii_escapes, indent=indent)
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
