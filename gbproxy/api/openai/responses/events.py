"""The events of a response's stream, numbered in their order. Source:
https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gbproxy.api.format import encode_line, quote


class EventWriter:
    """Writes the events of one stream."""

    def __init__(self) -> None:
        self._number = -1  # of the last event

    @property
    def has_begun(self) -> bool:
        return self._number >= 0

    def write(self, kind: str, fields: Mapping[str, Any]) -> bytes:
        self._number += 1
        data = {"type": kind, "sequence_number": self._number, **fields}
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), encode_line(data))

    def deltas(self, kind: str, fields: Mapping[str, Any]) -> Deltas:
        """Events of one kind that differ in their `delta` alone."""
        return Deltas(self, kind, fields)

    def count(self) -> int:
        """The number of an event that is written elsewhere."""
        self._number += 1
        return self._number


class Deltas:
    """What stays the same from one delta to the next is encoded once."""

    def __init__(self, writer: EventWriter, kind: str, fields: Mapping[str, Any]) -> None:
        self._count = writer.count
        head = encode_line({"type": kind, **fields})[:-1]
        self._head = b"event: %b\ndata: %b," % (kind.encode(), head)

    def write(self, text: str) -> bytes:
        return self._head + b'"sequence_number":%d,"delta":%b}\n\n' % (self._count(), quote(text))
