"""Base64 of large files, decoded and encoded piece by piece: no second copy is made of either form.

Source: RFC 4648, 4.
"""

from __future__ import annotations

import binascii
import io
from collections.abc import Callable, Iterator

_PIECE_CHARS = 256 * 1024
_PIECE_BYTES = _PIECE_CHARS // 4 * 3
_STANDARD = str.maketrans("-_", "+/")


def go_on() -> None:
    """Short work needs no rest."""


def decode(
    text: str, start: int = 0, rest: Callable[[], None] = go_on, *, is_lax: bool = False
) -> bytes:
    """Decode `text` from `start` to its end, strictly: the standard alphabet, padded, nothing else.

    `is_lax`: also the alphabet for URLs, and no padding. `rest` is called every few milliseconds of
    long work. Raises ValueError.
    """
    content = io.BytesIO()
    for at in range(start, len(text), _PIECE_CHARS):
        piece = text[at : at + _PIECE_CHARS]
        if is_lax:
            piece = piece.translate(_STANDARD) + "=" * (-len(piece) % 4)
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
    """The bytes that valid base64, padded or not, decodes to, before it is decoded."""
    fours, rest = divmod(len(text) - start, 4)
    padding = 2 if text.endswith("==") else int(text.endswith("="))
    return max(0, fours * 3 + max(0, rest - 1) - padding)


def encoded(content: bytes) -> Iterator[bytes]:
    """Base64 of `content`, one piece at a time."""
    view = memoryview(content)
    for at in range(0, len(content), _PIECE_BYTES):
        yield binascii.b2a_base64(view[at : at + _PIECE_BYTES], newline=False)


def encoded_size(content: bytes) -> int:
    return (len(content) + 2) // 3 * 4
