"""The format and size of a picture, as its first bytes tell them."""

from __future__ import annotations

import struct

import pytest

from gbproxy.domain.picture_header import PictureHeader, read
from gbproxy.simulator.widget.files import picture

_JPEG = (
    b"\xff\xd8"
    + b"\xff\xe0\x00\x10JFIF\x00" + bytes(9)
    + b"\xff\xc4\x00\x04\x00\x00"
    + b"\xff\xc2\x00\x0b\x08" + struct.pack(">HH", 30, 40) + bytes(4)
)  # fmt: skip


def webp(kind: bytes, body: bytes) -> bytes:
    return b"RIFF\x00\x00\x00\x00WEBP" + kind + struct.pack("<I", len(body)) + body


WEBP = {
    "lossy": webp(b"VP8 ", b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", 40 | 1 << 14, 30)),
    "lossless": webp(b"VP8L", b"\x2f" + struct.pack("<I", 39 | 29 << 14 | 1 << 28)),
    "extended": webp(b"VP8X", bytes(4) + b"\x27\x00\x00\x1d\x00\x00"),
}


@pytest.mark.parametrize(
    ("content", "header"),
    [
        (picture(side=64), PictureHeader("png", 64, 64)),
        (b"GIF89a" + struct.pack("<HH", 40, 30), PictureHeader("gif", 40, 30)),
        (_JPEG, PictureHeader("jpeg", 40, 30)),
        *((content, PictureHeader("webp", 40, 30)) for content in WEBP.values()),
    ],
)
def test_a_picture_tells_its_format_and_size(content: bytes, header: PictureHeader) -> None:
    assert read(content) == header


@pytest.mark.parametrize("content", [picture(), b"GIF89a\x01\x00\x01\x00", _JPEG, *WEBP.values()])
@pytest.mark.parametrize("size", [4, 9, 23])
def test_a_picture_that_is_cut_off_tells_nothing(content: bytes, size: int) -> None:
    assert read(content[: min(size, len(content) - 1)]) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"png bytes",
        b"<svg/>",
        b"\xff\xd8\xff" + bytes(20),
        b"\xff\xd8" + b"\xff\xfe\x00\x02" * 100_000,
    ],
    ids=["nothing", "text", "svg", "no segments", "no end of segments"],
)
def test_other_bytes_tell_nothing(content: bytes) -> None:
    assert read(content) is None
