"""Files as responses: byte ranges, and headers under which a browser takes a stranger's bytes for
nothing but a picture or a film.

Source: RFC 9110, 13 and 14; https://fetch.spec.whatwg.org, nosniff.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

from flask import Response, request
from werkzeug.datastructures import Range

from gbproxy.domain.media_type_names import OCTET_STREAM, file_name
from gbproxy.domain.media_types import sniffed
from gbproxy.upstreams.base import ByteRange, FileMetadata, OpenFile
from gbproxy.web.answer_response import AnswerResponse
from gbproxy.web.streaming import StreamResponder

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
        self.is_known = request.if_none_match.contains_weak(etag.strip('"'))
        self._asked = request.range if request.headers.get("If-Range", etag) == etag else None

    def chunks(self) -> Generator[bytes]:
        """Yield b"" once status and headers are there, then the bytes. Raises GatewayErrors."""
        download, asked = self._download, self._asked
        listed = None if asked is None else download.metadata().size
        wanted = _range(asked, listed)
        with ExitStack() as stack:
            opened = stack.enter_context(closing(download.open(wanted or ByteRange())))
            size = opened.metadata.size
            if asked is not None and size != listed:
                # Lists may be wrong: what comes with the file is what the range is counted in.
                first = wanted or ByteRange()
                wanted = ByteRange() if size is None else _range(asked, size)
                if wanted is not None and not _are_the_same(first, wanted, size):
                    stack.close()
                    opened = stack.enter_context(closing(download.open(wanted)))
            if wanted is None:
                self._refuse(size)
                yield b""
                return
            self._describe(opened, wanted)
            yield b""
            yield from opened.pieces

    def _refuse(self, size: int | None) -> None:
        self.status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        self.headers |= {
            "Content-Length": "0",
            "Content-Range": f"bytes */{size}",
            "Cache-Control": "no-store",  # it says nothing of the file itself
        }

    def _describe(self, opened: OpenFile, wanted: ByteRange) -> None:
        size = opened.metadata.size
        end = size if wanted.end is None else wanted.end
        self.headers |= {"Accept-Ranges": "bytes", **_shown_as(opened)}
        if end is not None:
            self.headers["Content-Length"] = str(end - wanted.start)
        if wanted.end is not None:
            self.status = HTTPStatus.PARTIAL_CONTENT
            total = "*" if size is None else size
            self.headers["Content-Range"] = f"bytes {wanted.start}-{wanted.end - 1}/{total}"


def _range(asked: Range | None, size: int | None) -> ByteRange | None:
    """The range that is answered with: the one that is asked for, or the whole where that is not
    understood, without an end. None: the file has no such bytes. Several at once, which no player
    asks for, are not understood.
    """
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1:
        return ByteRange()
    start, end = asked.ranges[0]
    if size is None:
        # Without an end the answer could not say what it is a part of.
        return ByteRange() if start < 0 or end is None else ByteRange(start, end)
    start = max(0, size + start) if start < 0 else start
    end = size if end is None else min(end, size)
    return ByteRange(start, end) if start < end else None


def _are_the_same(one: ByteRange, other: ByteRange, size: int | None) -> bool:
    """True if both are the same bytes of a file."""
    ends = [
        min((end for end in (each.end, size) if end is not None), default=None)
        for each in (one, other)
    ]
    return one.start == other.start and ends[0] == ends[1]


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
