"""How the responses of a stream stand one behind the other.

Source: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent. With
`alt=sse` each is an event, else each is an element of one array. In both a heartbeat is white space
alone: Google's SDKs take an event's comment for a broken response, and know no `[DONE]`.
"""

from __future__ import annotations

from typing import Protocol

HEARTBEAT = b"\n"


class Framing(Protocol):
    """Made for one stream. `end` follows the last response."""

    content_type: str

    def frame(self, response: bytes) -> bytes: ...

    def end(self) -> bytes: ...


class Events:
    content_type = "text/event-stream; charset=utf-8"

    def frame(self, response: bytes) -> bytes:
        return b"data: %b\n\n" % response

    def end(self) -> bytes:
        return b""


class Array:
    """Valid JSON once `end` was written, whatever came before it."""

    content_type = "application/json"

    def __init__(self) -> None:
        self._before = b"["

    def frame(self, response: bytes) -> bytes:
        before, self._before = self._before, b",\n"
        return before + response

    def end(self) -> bytes:
        return b"[]\n" if self._before == b"[" else b"]\n"
