"""Base64 of large files, decoded and encoded piece by piece: no second copy is made of either form.

Source: RFC 4648, 4.
"""

from __future__ import annotations

import binascii
import io
from collections.abc import Callable, Iterator

_PIECE_CHARS = 256 * 1024
_PIECE_BYTES = _PIECE_CHARS // 4 * 3


def go_on() -> None:
    """Short work needs no rest."""


def decode(text: str, start: int = 0, rest: Callable[[], None] = go_on) -> bytes:
    """Decode `text` from `start` to its end, strictly: the standard alphabet, padded, nothing else.

    `rest` is called every few milliseconds of long work. Raises ValueError.
    """
    content = io.BytesIO()
    for at in range(start, len(text), _PIECE_CHARS):
        piece = text[at : at + _PIECE_CHARS]
        part = binascii.a2b_base64(piece, strict_mode=True)
        # Of padding too much, or inside, the system's decoder takes some.
        if len(part) != decoded_size(piece) or (
            at + _PIECE_CHARS < len(text) and len(part) != _PIECE_BYTES
        ):
            raise ValueError("is padded where it does not end, or too far")
        content.write(part)
        rest()
    return content.getvalue()  # which is no copy


def decoded_size(text: str, start: int = 0) -> int:
    """The bytes that valid base64 decodes to, before it is decoded."""
    chars = len(text) - start
    padding = 2 if text.endswith("==") else int(text.endswith("="))
    return max(0, chars // 4 * 3 - padding)


def encoded(content: bytes) -> Iterator[bytes]:
    """Base64 of `content`, one piece at a time."""
    view = memoryview(content)
    for at in range(0, len(content), _PIECE_BYTES):
        yield binascii.b2a_base64(view[at : at + _PIECE_BYTES], newline=False)


def encoded_size(content: bytes) -> int:
    return (len(content) + 2) // 3 * 4
