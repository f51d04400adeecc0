"""Names of media types, and of the files that are of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

OCTET_STREAM = "application/octet-stream"
PLAIN_TEXT = "text/plain"
ZIP = "application/zip"
_MP4 = "video/mp4"
_OOXML = "application/vnd.openxmlformats-officedocument"
WORD = f"{_OOXML}.wordprocessingml.document"
EXCEL = f"{_OOXML}.spreadsheetml.sheet"
POWERPOINT = f"{_OOXML}.presentationml.presentation"

# A type, and the extensions of its files: the first is the one that it is given.
_TABLE = f"""
image/png png
image/jpeg jpg jpeg
image/gif gif
image/webp webp
image/bmp bmp
image/tiff tiff tif
image/heic heic
image/heif heif
image/avif avif
image/svg+xml svg
application/pdf pdf
application/rtf rtf
{WORD} docx
{EXCEL} xlsx
{POWERPOINT} pptx
application/msword doc
application/vnd.ms-excel xls
application/vnd.ms-powerpoint ppt
application/vnd.oasis.opendocument.text odt
application/vnd.oasis.opendocument.spreadsheet ods
application/vnd.oasis.opendocument.presentation odp
application/epub+zip epub
audio/mpeg mp3
audio/wav wav
audio/mp4 m4a
audio/ogg ogg oga opus
audio/flac flac
audio/aac aac
audio/aiff aiff aif
audio/amr amr
audio/midi mid midi
{_MP4} mp4 m4v
video/webm webm
video/quicktime mov
video/x-matroska mkv
video/x-msvideo avi
video/mpeg mpeg mpg
video/ogg ogv
video/3gpp 3gp
video/x-flv flv
video/x-ms-wmv wmv
{ZIP} zip
application/gzip gz
application/x-7z-compressed 7z
application/vnd.rar rar
{PLAIN_TEXT} txt text log
text/markdown md markdown
text/csv csv
text/tab-separated-values tsv
application/json json
text/html html htm
application/xml xml
text/yaml yaml yml
text/css css
text/javascript js mjs
text/x-typescript ts tsx
text/x-python py
text/x-java java
text/x-c c h
text/x-c++ cpp hpp cc
text/x-csharp cs
text/x-go go
text/x-kotlin kt
text/x-rust rs
text/x-ruby rb
text/x-php php
text/x-swift swift
text/x-sh sh bash
text/x-sql sql
"""
_ROWS = tuple(line.split() for line in _TABLE.split("\n") if line)
_FIRST_EXTENSION = {kind: extensions[0] for kind, *extensions in _ROWS}
_EXTENSIONS = {extension: kind for kind, *extensions in _ROWS for extension in extensions}

_OTHER_NAMES: Mapping[str, str] = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "audio/x-wav": "audio/wav",  # which the upstream refuses under this name
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-pn-wav": "audio/wav",
    "audio/mp3": "audio/mpeg",
    "audio/x-mp3": "audio/mpeg",
    "audio/mpeg3": "audio/mpeg",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "audio/x-flac": "audio/flac",
    "audio/x-aiff": "audio/aiff",
    "audio/opus": "audio/ogg",
    "video/mov": "video/quicktime",
    "video/avi": "video/x-msvideo",
    "application/x-pdf": "application/pdf",
    "application/x-zip-compressed": ZIP,
    "application/x-gzip": "application/gzip",
    "text/rtf": "application/rtf",
    "text/json": "application/json",
    "application/x-json": "application/json",
    "text/xml": "application/xml",
    "application/csv": "text/csv",
    "text/x-markdown": "text/markdown",
    "application/xhtml+xml": "text/html",
    "application/x-javascript": "text/javascript",
    "application/javascript": "text/javascript",
    "application/x-python": "text/x-python",
    "application/x-python-code": "text/x-python",
    "application/x-sh": "text/x-sh",
    "application/x-yaml": "text/yaml",
    "application/yaml": "text/yaml",
}
_TEXTS = re.compile(r"text/.*|application/(json|xml|.*\+(json|xml))|image/svg\+xml")
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,99}")
_NAME_SIGNS = re.compile(r"[\x00-\x1f\x7f\"<>|*?:\ud800-\udfff]")
_NO_TYPES = (OCTET_STREAM, "binary/octet-stream")
_MOST_NAME_CHARS = 120
_MOST_LOOKED_AT = 4096  # of a name that a client gives


def normalized(label: str) -> str:
    """A label without parameters, in lower case, by its usual name; "" for none and for "any"."""
    kind = label.partition(";")[0].strip().lower()
    kind = _OTHER_NAMES.get(kind, kind)
    return kind if _TYPE.fullmatch(kind) and kind not in _NO_TYPES else ""


def is_textual(kind: str) -> bool:
    """True if files of this type are texts."""
    return _TEXTS.fullmatch(kind) is not None


def plainer(kind: str) -> str:
    """A type that says less of such a file and is taken more often; "" if there is none."""
    if is_textual(kind):
        return PLAIN_TEXT if kind != PLAIN_TEXT else ""
    return _MP4 if kind.startswith("video/") and kind != _MP4 else ""


def by_extension(name: str) -> str:
    """The type that a file's name tells, "" if none."""
    return _EXTENSIONS.get(name.rpartition(".")[2].lower(), "")


def file_name(given: str, kind: str) -> str:
    """A name to send a file of this type by: no path, printable, with an extension that fits."""
    base = re.split(r"[/\\]", given[-_MOST_LOOKED_AT:])[-1]
    base = "".join(sign for sign in _NAME_SIGNS.sub("", base) if sign.isprintable()).strip(" .")
    stem, dot, extension = base.rpartition(".")
    if not dot:
        stem, extension = base, ""
    fitting = _FIRST_EXTENSION.get(kind, "")
    if _keeps(extension, kind, fitting):
        fitting = extension
    elif extension and extension.lower() not in _EXTENSIONS:
        stem = base  # behind a dot stands no extension
    stem = stem.strip(" .")[: _MOST_NAME_CHARS - len(fitting) - 1] or "file"
    return f"{stem}.{fitting}" if fitting else stem


def distinct_name(name: str, taken: Collection[str]) -> str:
    """The name, with a number in it where it is taken: `fox-2.png`."""
    stem, dot, extension = name.rpartition(".")
    if not dot:
        stem, extension = name, ""
    number = 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}{dot}{extension}"
    return name


def _keeps(extension: str, kind: str, fitting: str) -> bool:
    """True if a name's extension says nothing wrong; of texts, any may be right."""
    if not re.fullmatch(r"\w{1,10}", extension):
        return False
    known = _EXTENSIONS.get(extension.lower())
    if known is None or not fitting:
        return not fitting or is_textual(kind)
    return known == kind or (is_textual(known) and is_textual(kind))
