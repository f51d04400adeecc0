"""A body of two parts, what is said of a file and its bytes (`multipart/related`), read piece by
piece. A form's parts have names; these have none, and werkzeug's reader takes no part without.

Source: RFC 2387, RFC 2046 5.1
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import BytesHeaderParser

from flask import request
from werkzeug.http import parse_options_header

from gbproxy.errors import BadRequest
from gbproxy.web.body import body_pieces

CONTENT_TYPE = "multipart/related"
_MOST_HELD = 256 * 1024  # of all before the file's bytes
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_SPACES = 64  # at most, behind a boundary
_PLAIN = ("", "binary", "7bit", "8bit")


@dataclass(frozen=True, slots=True)
class Related:
    """`metadata`: the first part; `media_type`: of the second, as its head says, whose bytes are
    `pieces`. These raise what `body_pieces` raises, and BadRequest where their end is missing.
    """

    metadata: bytes
    media_type: str
    pieces: Iterator[bytes]


def is_related() -> bool:
    """True if the request's body says that it is of parts that belong together."""
    return request.mimetype == CONTENT_TYPE


def read_related() -> Related:
    """The request's body. Raises BadRequest, RequestTooLarge or RequestTimeout."""
    _, options = parse_options_header(request.headers.get("Content-Type", ""))
    boundary = options.get("boundary", "").encode("latin-1", "replace")
    if not boundary:
        raise BadRequest("the body is of parts, and its Content-Type names no boundary")
    reader = _Reader(boundary)
    reader.before(reader.between)
    reader.before(_HEAD_END)  # of a part that is JSON, whatever it says
    metadata = reader.before(reader.between)
    head = BytesHeaderParser().parsebytes(reader.before(_HEAD_END).strip())
    coding = str(head.get("Content-Transfer-Encoding", "")).strip().lower()
    if coding not in _PLAIN:
        raise BadRequest(f"the file must be sent as it is, not in {coding[:40]}")
    return Related(metadata, str(head.get("Content-Type", "")).strip(), reader.rest())


class _Reader:
    """Cuts the body at its boundaries. The first may be at its very beginning."""

    def __init__(self, boundary: bytes) -> None:
        # The line's end is left to the head behind it, which may be empty.
        self.between = re.compile(rb"\r?\n--%s(--|[ \t]*(?=\r?\n))" % re.escape(boundary))
        self._kept = len(boundary) + _SPACES
        self._buffer = bytearray(b"\r\n")
        self._pieces = body_pieces()

    def before(self, end: re.Pattern[bytes]) -> bytes:
        """All up to an end, which is taken out."""
        while (found := end.search(self._buffer, 0, _MOST_HELD)) is None:
            if len(self._buffer) > _MOST_HELD:
                raise BadRequest(f"more than {_MOST_HELD} bytes stand before the file's own")
            self._receive()
        part = bytes(self._buffer[: found.start()])
        del self._buffer[: found.end()]
        return part

    def rest(self) -> Iterator[bytes]:
        while (found := self.between.search(self._buffer)) is None:
            if len(self._buffer) > self._kept:
                yield bytes(self._buffer[: -self._kept])
                del self._buffer[: -self._kept]
            self._receive()
        yield bytes(self._buffer[: found.start()])
        for _ in self._pieces:
            pass

    def _receive(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            raise BadRequest("the body has to be two parts, what is said of a file and the file")
        self._buffer += piece
