"""Which type a file is of: by its first bytes, and by its label or name where those do not tell.

A table of our own: the types that models take are few, and a wrong guess is refused upstream.
Source: WHATWG MIME Sniffing; the formats' own specifications.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping

from gbproxy.domain import zip_names
from gbproxy.domain.media_type_names import (
    EXCEL,
    OCTET_STREAM,
    PLAIN_TEXT,
    POWERPOINT,
    WORD,
    ZIP,
    by_extension,
    is_textual,
    normalized,
)

HEAD_BYTES = 4096  # that are looked at; of archives, the list of their files too

# The first bytes; "?" stands for any byte.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"RIFF????WEBP", "image/webp"),
    (b"RIFF????WAVE", "audio/wav"),
    (b"RIFF????AVI ", "video/x-msvideo"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"{\\rtf", "application/rtf"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (b"ID3", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"FORM????AIFF", "audio/aiff"),
    (b"FORM????AIFC", "audio/aiff"),
    (b"#!AMR", "audio/amr"),
    (b"MThd", "audio/midi"),
    (b"\x00\x00\x01\xba", "video/mpeg"),
    (b"\x00\x00\x01\xb3", "video/mpeg"),
    (b"FLV\x01", "video/x-flv"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-wmv"),
    (b"PK\x03\x04", ZIP),
    (b"PK\x05\x06", ZIP),
    (b"\x1f\x8b", "application/gzip"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
)
_PATTERNS = tuple(
    (re.compile(re.escape(sign).replace(rb"\?", b"."), re.DOTALL), kind)
    for sign, kind in _SIGNATURES
)
_BMP = re.compile(rb"BM.{4}\x00{4}.{4}[\x0c\x28\x38\x40\x6c\x7c]\x00\x00\x00", re.DOTALL)
_EBML = b"\x1a\x45\xdf\xa3"
# Sync, MPEG version, layer III, and a bit rate and a sampling rate that there are; then ADTS.
_MP3_FRAME = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xeb]")
_AAC_FRAME = re.compile(rb"\xff[\xf0\xf1\xf8\xf9][\x40-\xbf]")
# By the major brand of an ISO media file; any other is a film.
_BRANDS: Mapping[bytes, str] = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "image/heic"),
    **dict.fromkeys((b"mif1", b"msf1"), "image/heif"),
    **dict.fromkeys((b"avif", b"avis"), "image/avif"),
    **dict.fromkeys((b"M4A ", b"M4B ", b"M4P "), "audio/mp4"),
    b"qt  ": "video/quicktime",
    **dict.fromkeys((b"3gp4", b"3gp5", b"3gp6", b"3g2a"), "video/3gpp"),
}

# By a folder that such an archive holds.
_OFFICE_FOLDERS = {"word": WORD, "xl": EXCEL, "ppt": POWERPOINT}
_MIMETYPE_ENTRY = re.compile(rb"PK\x03\x04.{26}mimetype([\w.+/-]{1,100}?)PK", re.DOTALL)
_OLE_TYPES = ("application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint")
# What the first bytes leave open, and a label or name may say.
_NARROWER: Mapping[str, tuple[str, ...]] = {
    "application/x-ole-storage": _OLE_TYPES,
    "video/mp4": ("audio/mp4",),
    "video/webm": ("audio/webm",),
    "video/3gpp": ("audio/3gpp",),
    "image/heif": ("image/heic", "image/avif"),
}

_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")  # in no text; escape begins colours
# A file that does not begin so is none of these; the first bytes of others vary, or are unknown.
_MUST_BEGIN_SO = frozenset(kind for _, kind in _SIGNATURES) - {"audio/mpeg", "video/mpeg"} | {
    *_BRANDS.values(),
    "video/webm",
    "video/x-matroska",
    *_OFFICE_FOLDERS.values(),
}


def media_type(content: bytes, label: str = "", name: str = "") -> str:
    """The type that a file has. Its bytes count more than its label, and that more than its name.

    `content` may be the first HEAD_BYTES alone, by which an archive's kind is not always told.
    """
    label = normalized(label)
    by_name = by_extension(name)
    found = sniffed(content)
    if found:
        narrower = _NARROWER.get(found, ())
        return next((kind for kind in (label, by_name) if kind in narrower), found)
    if is_text(content):
        named = (kind for kind in (label, by_name) if kind != PLAIN_TEXT and is_textual(kind))
        return next(named, _markup(content))
    named = (kind for kind in (label, by_name) if kind and not is_textual(kind))
    return next((kind for kind in named if kind not in _MUST_BEGIN_SO), OCTET_STREAM)


def sniffed(content: bytes) -> str:
    """The type that the first bytes tell, "" if none. Texts have no such bytes."""
    head = content[:HEAD_BYTES]
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if head.startswith(_EBML):
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if _BMP.match(head):
        return "image/bmp"
    if _MP3_FRAME.match(head):
        return "audio/mpeg"
    if _AAC_FRAME.match(head):
        return "audio/aac"
    found = next((kind for pattern, kind in _PATTERNS if pattern.match(head)), "")
    if found == "audio/ogg" and b"\x80theora" in head:
        return "video/ogg"
    return _archive(content) if found == ZIP else found


def is_text(content: bytes) -> bool:
    """True if the first bytes are those of a text in UTF-8, or in UTF-16 with its mark."""
    head = content[:HEAD_BYTES]
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    if _CONTROLS.search(head):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(content) < HEAD_BYTES)
    except UnicodeDecodeError:
        # An older encoding: hardly any of its bytes are other than ASCII.
        return sum(byte > 0x7F for byte in head) * 4 < len(head)
    return True


def _archive(content: bytes) -> str:
    """The kind of a zip: office documents have folders of their own, others name their type."""
    told = _MIMETYPE_ENTRY.match(content[:HEAD_BYTES])
    if told:
        return told[1].decode()
    names = zip_names.of(content)
    if "[Content_Types].xml" not in names:
        return ZIP
    folders = {name.partition("/")[0] for name in names}
    return next((kind for folder, kind in _OFFICE_FOLDERS.items() if folder in folders), ZIP)


def _markup(content: bytes) -> str:
    """The type of a text that nobody has named."""
    head = content[:HEAD_BYTES].removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return "text/html"
    if head.startswith(b"<svg") or (head.startswith(b"<?xml") and b"<svg" in head):
        return "image/svg+xml"
    return "application/xml" if head.startswith(b"<?xml") else PLAIN_TEXT
