"""What the first bytes of a picture say of it: its format and its size.

Sources: https://www.w3.org/TR/png/#11IHDR; GIF89a, 18; ITU-T T.81, B.2.2 (JPEG);
https://developers.google.com/speed/webp/docs/riff_container
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from struct import unpack_from

_PNG, _GIF, _JPEG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", b"GIF8", b"\xff\xd8\xff"
_MOST_SEGMENTS = 1_000
_NO_FRAMES = (0xC4, 0xC8, 0xCC)  # tables and extensions, of the numbers that frames have


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """`format`: as media types call it; the size is in pixels."""

    format: str
    width: int
    height: int


def read(content: bytes) -> PictureHeader | None:
    """None for what is no PNG, GIF, JPEG or WebP, or is cut off."""
    found = _size_of(content)
    if found is None:
        return None
    format_, size = found
    try:
        width, height = size(content)
    except struct.error:
        return None
    return PictureHeader(format_, width, height)


def _size_of(content: bytes) -> tuple[str, Callable[[bytes], tuple[int, int]]] | None:
    if content.startswith(_PNG):
        return "png", lambda png: unpack_from(">II", png, 16)
    if content.startswith(_GIF):
        return "gif", lambda gif: unpack_from("<HH", gif, 6)
    if content.startswith(_JPEG):
        return "jpeg", _jpeg
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "webp", _webp
    return None


def _jpeg(content: bytes) -> tuple[int, int]:
    """Of the first frame, behind segments that each tell their length. Raises struct.error."""
    at = 2
    for _ in range(_MOST_SEGMENTS):
        begin, marker, length = unpack_from(">BBH", content, at)
        if begin != 0xFF:
            break
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAMES:
            height, width = unpack_from(">HH", content, at + 5)
            return width, height
        at += 2 + length
    raise struct.error("no frame")


def _webp(content: bytes) -> tuple[int, int]:
    kind = content[12:16]
    if kind == b"VP8X":
        low_width, high_width, low_height, high_height = unpack_from("<HBHB", content, 24)
        return (high_width << 16 | low_width) + 1, (high_height << 16 | low_height) + 1
    if kind == b"VP8L":
        (bits,) = unpack_from("<I", content, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = unpack_from("<HH", content, 26)
    return width & 0x3FFF, height & 0x3FFF
