"""Files as responses: byte ranges, and headers under which a browser takes a stranger's bytes for
nothing but a picture or a film.

Source: RFC 9110, 13 and 14; https://fetch.spec.whatwg.org, nosniff.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

from flask import Response, request

from gbproxy.domain.media_type_names import OCTET_STREAM, file_name
from gbproxy.domain.media_types import sniffed
from gbproxy.upstreams.base import ByteRange, FileMetadata, OpenFile
from gbproxy.web.streaming import AnswerResponse, StreamResponder

# What browsers show and never run. SVG is none: it is a document, with scripts.
_SHOWN = frozenset({
    "image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp",
    "video/mp4", "video/webm", "video/quicktime", "video/ogg",
})  # fmt: skip
_SAFETY = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class Download:
    """A file to answer with. `tag`: the same for the same bytes; `max_age_s`: how long a browser
    may keep them.
    """

    metadata: Callable[[], FileMetadata]
    open: Callable[[ByteRange], OpenFile]
    tag: str
    max_age_s: int


def answer(responder: StreamResponder, download: Download) -> Response:
    """Answer the request that Flask is handling, a GET or HEAD, with a file or a part of it.

    Raises what the download raises, and Overloaded when the worker is full.
    """
    delivery = _Delivery(download)
    if delivery.is_known:
        return AnswerResponse([], HTTPStatus.NOT_MODIFIED, delivery.headers)
    return responder.file(delivery.chunks(), lambda: (delivery.status, delivery.headers))


class _Delivery:
    """One response: its status and headers, which are known with the first chunk, and its bytes."""

    def __init__(self, download: Download) -> None:
        self._download = download
        etag = f'"{hashlib.sha256(download.tag.encode()).hexdigest()[:32]}"'
        self.status = HTTPStatus.OK
        self.headers = {
            **_SAFETY,
            "Content-Type": OCTET_STREAM,
            "ETag": etag,
            "Cache-Control": f"private, max-age={download.max_age_s}",
        }
        self.is_known = request.if_none_match.contains(etag.strip('"'))
        self._asked = request.range if request.headers.get("If-Range", etag) == etag else None

    def chunks(self) -> Generator[bytes]:
        """Yield b"" once status and headers are there, then the bytes. Raises GatewayErrors."""
        wanted = self._wanted()
        if self.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            self.headers["Content-Length"] = "0"
            yield b""
            return
        with closing(self._download.open(wanted)) as opened:
            self._describe(opened, wanted)
            yield b""
            yield from opened.pieces

    def _wanted(self) -> ByteRange:
        """The range that is answered with: the one that is asked for, or the whole where that is
        not understood. Several at once, which no player asks for, are not.
        """
        asked = self._asked
        if asked is None or asked.units != "bytes" or len(asked.ranges) != 1:
            return ByteRange()
        size = self._download.metadata().size
        start, end = asked.ranges[0]
        if size is None:
            # Without an end the answer could not say what it is a part of.
            if start < 0 or end is None:
                return ByteRange()
        else:
            start = max(0, size + start) if start < 0 else start
            end = size if end is None else min(end, size)
            if start >= end:
                self.status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
                self.headers["Content-Range"] = f"bytes */{size}"
                return ByteRange()
        self.status = HTTPStatus.PARTIAL_CONTENT
        return ByteRange(start, end)

    def _describe(self, opened: OpenFile, wanted: ByteRange) -> None:
        size = opened.metadata.size
        end = size if wanted.end is None else wanted.end
        self.headers |= {"Accept-Ranges": "bytes", **_shown_as(opened)}
        if end is not None:
            self.headers["Content-Length"] = str(end - wanted.start)
        if self.status == HTTPStatus.PARTIAL_CONTENT and end is not None:
            total = "*" if size is None else size
            self.headers["Content-Range"] = f"bytes {wanted.start}-{end - 1}/{total}"


def _shown_as(opened: OpenFile) -> dict[str, str]:
    """What the bytes are, whatever they are called; what browsers might run is saved instead."""
    named = opened.metadata.media_type
    kind = sniffed(opened.head) if opened.head else named
    disposition = "inline" if kind in _SHOWN else "attachment"
    name = quote(file_name(opened.metadata.name, kind or named), safe="")
    return {
        "Content-Type": kind if kind in _SHOWN else OCTET_STREAM,
        "Content-Disposition": f"{disposition}; filename*=UTF-8''{name}",
    }
