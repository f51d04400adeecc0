"""The body of a download -> the bytes of a file: base64 is decoded, and a range is cut out where
the upstream has sent more. Never more than a piece of it is held.

Source: docs/upstream.md, download.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from gbproxy.domain.media_types import sniffed
from gbproxy.errors import UpstreamProtocolError
from gbproxy.upstreams.base import ByteRange

HEAD_BYTES = 4096
_BASE64 = re.compile(rb"[A-Za-z0-9+/\s]{8,}={0,2}\s*")
_SNIFFED_CHARS = 1024
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")
_WHITE_SPACE = b" \t\r\n"


def is_encoded(headers: Mapping[str, str], head: bytes) -> bool:
    """True if a body that begins so is base64: its headers say so, or it decodes to a file of a
    known type.
    """
    if headers.get("x-goog-safety-encoding", "").strip().lower() == "base64":
        return True
    start = head[:_SNIFFED_CHARS]
    if not _BASE64.fullmatch(start):
        return False
    plain = start.translate(None, _WHITE_SPACE)
    return bool(sniffed(base64.b64decode(plain[: len(plain) // 4 * 4])))


def media_type(headers: Mapping[str, str]) -> str:
    """The type that the upstream names for the file itself; "" for the cover of base64."""
    named = headers.get("x-goog-safety-content-type") or headers.get("content-type", "")
    named = named.partition(";")[0].strip().lower()
    return "" if named.startswith("text/plain") else named


def size(headers: Mapping[str, str], listed: int | None, *, encoded: bool) -> int | None:
    """The size of a file whose download has these headers: what was listed where they agree or say
    nothing. None: it is not known.
    """
    length = headers.get("content-length", "")
    if headers.get("content-encoding") or not re.fullmatch(r"\d{1,18}", length):
        return listed
    if not encoded:
        return int(length)
    # Line ends and padding are not counted out: the one are a thirtieth, the other two bytes.
    most = 3 * int(length) / 4
    return listed if listed is not None and 0.95 * most - 4 <= listed <= most else None


def partial_start(headers: Mapping[str, str]) -> tuple[int, int | None] | None:
    """Where the bytes of a 206 begin, and the size of the whole; None if it does not say."""
    found = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
    if found is None:
        return None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def with_head(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, by which a type is told, and all of the pieces with them."""
    head = b""
    while len(head) < HEAD_BYTES:
        piece = next(pieces, b"")
        if not piece:
            break
        head += piece
    return head, chain([head] if head else [], pieces)


def decoded(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes that base64 in pieces stands for. Raises UpstreamProtocolError."""
    held = b""
    try:
        for piece in pieces:
            text = held + piece.translate(None, _WHITE_SPACE)
            whole = len(text) // 4 * 4
            held = text[whole:]
            if whole:
                yield binascii.a2b_base64(text[:whole])
        if held:  # without its padding
            yield binascii.a2b_base64(held + b"=" * (4 - len(held)))
    except binascii.Error:
        raise UpstreamProtocolError("the upstream sent a file that cannot be decoded") from None


def cut(pieces: Iterable[bytes], wanted: ByteRange, first: int = 0) -> Iterator[bytes]:
    """The wanted bytes out of pieces that begin at `first`: what stands before is thrown away, and
    nothing is read behind the end.
    """
    at = first
    for piece in pieces:
        behind = at + len(piece)
        if behind > wanted.start:
            end = None if wanted.end is None else max(0, wanted.end - at)
            part = piece[max(0, wanted.start - at) : end]
            if part:
                yield part
        at = behind
        if wanted.end is not None and at >= wanted.end:
            return
