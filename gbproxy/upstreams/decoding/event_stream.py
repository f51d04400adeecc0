"""The upstream's other stream: server-sent events with one JSON text each. Source:
docs/upstream.md, framing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from sseclient import SSEClient

from gbproxy.errors import UpstreamProtocolError
from gbproxy.upstreams.decoding.objects import MAX_ELEMENT_BYTES, ObjectDecoder, decode_json

_BLANK_LINE = b"\n\n"
_NOTHING_BEGUN = re.compile(rb"(?:[ \t]*+\n|:[^\n]*+\n)*+[ \t]*+")
_DONE = b"[DONE]"
_DATA = b"data:"
_MANY_LINES = 64
_MANY_OBJECTS = 64  # in one event: a server may wrap an error, but sends no answers so


class EventReader(ObjectDecoder):
    """Reads text/event-stream: each event's data is an object, or an array of objects (how a server
    may wrap an error).

    sseclient parses, but gets whole events only: it would hand out one that was cut off, and copies
    a large one once per piece. Comments, other fields, events without data and `[DONE]` pass
    unseen.
    """

    def __init__(self, max_element_bytes: int = MAX_ELEMENT_BYTES) -> None:
        super().__init__(max_element_bytes)
        self._after_carriage_return = False
        self._is_empty = True
        self._events: list[bytes] = []  # whole ones that wait, the last first

    def feed(self, data: bytes, at_most: float = math.inf) -> list[dict[str, Any]]:
        """Take the next bytes, return every object that they complete, or about so many. Raises
        UpstreamProtocolError.
        """
        return super().feed(self._with_plain_line_ends(data), at_most)

    def _with_plain_line_ends(self, data: bytes) -> bytes:
        """Each of CR LF, CR and LF as one LF. A CR at the end of the data ends the line; its LF may
        come later.
        """
        if self._after_carriage_return and data:
            data = data.removeprefix(b"\n")
            self._after_carriage_return = False
        if b"\r" not in data:
            return data
        self._after_carriage_return = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _read(self, known: int, objects: list[dict[str, Any]], at_most: float) -> None:
        buffer = self._buffer
        end = buffer.rfind(_BLANK_LINE, max(known - 1, 0))
        if end >= 0:
            whole = bytes(buffer[:end])
            del buffer[: end + len(_BLANK_LINE)]
            self._events[:0] = reversed(whole.split(_BLANK_LINE))
        taken = 0
        while self._events and taken < at_most:
            taken += 1
            self.seen += 1
            event = self._events.pop()
            # with its last line's end, which counts too while it is unfinished
            self._check_size(len(event) + 1)
            for data in _data_of(event):
                objects += self._objects_of(data.strip(b" \t\n"))
        self.has_more = bool(self._events)
        self._check_size(len(buffer))

    def _fail(self, error: UpstreamProtocolError) -> None:
        super()._fail(error)
        self._events.clear()

    def _objects_of(self, data: bytes) -> list[dict[str, Any]]:
        if data in (b"", _DONE):
            return []
        value = decode_json(data)
        self._is_empty = False
        if isinstance(value, dict):  # nearly always; saves 0.3 µs of an event
            return [value]
        values = value if isinstance(value, list) else [value]
        if len(values) > _MANY_OBJECTS:
            raise UpstreamProtocolError(
                f"an event of the upstream's answer holds over {_MANY_OBJECTS} objects"
            )
        if not all(isinstance(item, dict) for item in values):
            raise UpstreamProtocolError(
                "an event of the upstream's answer holds something else than objects"
            )
        return values

    def _check_end(self) -> None:
        if not _NOTHING_BEGUN.fullmatch(self._buffer):
            raise UpstreamProtocolError("the upstream's answer ended inside an event")
        if self._is_empty:
            raise UpstreamProtocolError("the upstream's answer was empty")


def _data_of(event: bytes) -> Iterable[bytes]:
    """The data of one whole event. The usual one is a single line of it, which needs no parser."""
    if event.startswith(_DATA) and b"\n" not in event:
        return (event[len(_DATA) :],)
    lines = _on_one_line(event) if event.count(b"\n") > _MANY_LINES else event
    try:
        return [parsed.data.encode() for parsed in SSEClient(iter((lines + _BLANK_LINE,))).events()]
    except UnicodeDecodeError as error:
        raise UpstreamProtocolError("an element of the upstream's answer is not UTF-8") from error


def _on_one_line(event: bytes) -> bytes:
    """The data of an event of very many lines, because sseclient copies all of it again for each
    line.

    A tab joins the lines: like the newline it is JSON's white space, and forbidden inside a string.
    """
    return _DATA + b"\t".join(
        line.removeprefix(_DATA) for line in event.split(b"\n") if line.startswith(_DATA)
    )
