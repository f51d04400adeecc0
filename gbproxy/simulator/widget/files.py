"""Files of a session: upload, listing and download, and the small media that the fake model makes.

Source: docs/upstream.md, files.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from gbproxy.simulator.http.actions import (
    End,
    Head,
    HoldHeaders,
    LazyWrites,
    html_reply,
    json_reply,
)
from gbproxy.simulator.scripting.actions import FileReply, Script
from gbproxy.simulator.scripting.google_errors import RefusedError, invalid
from gbproxy.simulator.widget.sessions import Session, Sessions, StoredFile, rfc3339
from gbproxy.simulator.widget.switches import WidgetSwitches

QUOTA_TOKENS = 800_000
_USERS = "USER_PROVIDED"
_MB = 1024 * 1024
_READABLE = re.compile(
    r"image/(png|jpeg|webp|gif|bmp|tiff|svg\+xml|heic|heif|avif)|application/(pdf|json|xml|rtf|msword)"
    r"|application/vnd\.(openxmlformats|ms-|oasis).*|text/.*|audio/(?!x-wav).*|video/.*"
)
_BY_ALL_READ = re.compile(
    r"image/(png|jpeg|webp)|application/(pdf|json|msword|vnd\..*)"
    r"|text/(plain|markdown|csv|tab-separated-values)|audio/(mpeg|wav)|video/mp4"
)
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_ORIGIN_FILTER = re.compile(r'\s*file_origin_type\s*=\s*"?(\w+)"?\s*')


def upload(
    sessions: Sessions, session: Session, wanted: Mapping[str, Any], switches: WidgetSwitches
) -> Script:
    """Answer widgetAddContextFile."""
    if switches.file_session_name == "short" and wanted.get("name") != session.short_name:
        raise invalid(f"Invalid resource name: {wanted.get('name')!r}.")
    mime_type = wanted.get("mimeType")
    if "fileUri" in wanted:
        if switches.file_uri == "refused":
            raise invalid(
                'Unknown name "fileUri" at "add_context_file_request": Cannot find field.'
            )
        mime_type, content = mime_type or "text/html", b"fetched by the server"
    else:
        content = _contents(wanted)
    readable = _READABLE if switches.upload_types == "many" else _BY_ALL_READ
    if not isinstance(mime_type, str) or not readable.fullmatch(mime_type):
        raise invalid(f"Unsupported file type: {mime_type}")
    if len(content) > switches.max_file_mb * _MB * (4 if mime_type == "audio/mpeg" else 1):
        if switches.file_too_large == "413":
            return html_reply(413, "Error 413 (Request Entity Too Large)!!1")
        raise invalid(f"File size exceeds the limit of {switches.max_file_mb} MB.")
    if switches.model_armor:
        message = "The file was blocked by Model Armor."
        raise RefusedError(400, "INVALID_ARGUMENT", message, reason="MODEL_ARMOR_VIOLATION")
    name = str(wanted.get("fileName") or "file")
    stored = sessions.add_file(session, name, mime_type, content, _USERS)
    answer: dict[str, Any] = {"session": session.full_name, "tokenCount": str(stored.token_count)}
    if switches.added_file == "context_file":
        answer["contextFile"] = {"fileId": stored.file_id}
    else:
        answer["fileId"] = stored.file_id
    delay = (HoldHeaders(switches.upload_delay_s),) if switches.upload_delay_s else ()
    if switches.added_file == "bare":
        return (*delay, *json_reply(200, answer))
    return (*delay, *json_reply(200, {"addContextFileResponse": answer}))


def listing(session: Session, origin_filter: str, switches: WidgetSwitches) -> Script:
    """Answer widgetListSessionFileMetadata. Raises RefusedError for an unreadable filter."""
    files = list(session.files.values())
    if origin_filter.strip():
        match = _ORIGIN_FILTER.fullmatch(origin_filter)
        if match is None:
            raise invalid(f"Invalid filter: {origin_filter}")
        files = [file for file in files if _origin(file, switches) == match[1]]
    answer = {
        "fileMetadata": [_metadata(session, file, switches) for file in files],
        "totalQuotaPercentage": sum(f.token_count for f in files) * 100 / QUOTA_TOKENS,
    }
    return json_reply(200, {"listSessionFileMetadataResponse": answer})


def download(session: Session, file_id: str, switches: WidgetSwitches, wanted: str = "") -> Script:
    """Answer downloadFile: the bytes, or base64 text with or without the headers that say so.
    `wanted`: the header Range.
    """
    file = session.files.get(file_id)
    if file is None:
        raise RefusedError(404, "NOT_FOUND", f"File {file_id} not found.")
    if switches.download_body == "raw":
        return _raw(file, wanted if switches.download_ranges else "")
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    if switches.download_body == "base64_headers":
        headers["x-goog-safety-encoding"] = "base64"
        headers["x-goog-safety-content-type"] = file.mime_type
    return (Head(200, headers), LazyWrites(lambda: _encoded(file)), End())


def _raw(file: StoredFile, wanted: str) -> Script:
    # Of an answer with a length of its own the connection ends.
    headers = {"Content-Type": file.mime_type, "Connection": "close"}
    headers["Content-Length"] = str(file.size)
    part = _RANGE.fullmatch(wanted)
    if part is None:
        return (Head(200, headers), LazyWrites(lambda: file.pieces(0, file.size)), End())
    start, end = int(part[1]), min(int(part[2] or file.size - 1) + 1, file.size)
    if start >= end:
        whole = {"Content-Range": f"bytes */{file.size}"}
        return (Head(416, {**headers, **whole, "Content-Length": "0"}), End())
    headers |= {
        "Content-Length": str(end - start),
        "Content-Range": f"bytes {start}-{end - 1}/{file.size}",
    }
    return (Head(206, headers), LazyWrites(lambda: file.pieces(start, end)), End())


def _encoded(file: StoredFile) -> Iterator[bytes]:
    held = b""
    for piece in file.pieces(0, file.size):
        whole = len(held + piece) // 3 * 3
        yield base64.b64encode((held + piece)[:whole])
        held = (held + piece)[whole:]
    yield base64.b64encode(held)


def generate(sessions: Sessions, session: Session, reply: FileReply) -> StoredFile:
    """Keep a file that the model made; what the script left out is made up."""
    video = reply.mime_type.startswith("video/")
    content = reply.content or (clip() if video else picture(seed=reply.name or session.id))
    number = len(session.files) + 1
    name = reply.name or f"generated_{number}.{reply.mime_type.partition('/')[2]}"
    return sessions.add_file(session, name, reply.mime_type, content, "AI_GENERATED", reply.size)


def picture(seed: str = "", side: int = 64) -> bytes:
    """A small PNG: a gradient whose colours follow from the seed."""
    red, green, blue = (zlib.crc32(seed.encode()) >> shift & 0x7F for shift in (0, 8, 16))
    rows = []
    for y in range(side):
        row = b"".join(
            bytes((red + 128 * x // side, green + 128 * y // side, blue + 64)) for x in range(side)
        )
        rows.append(b"\x00" + row)
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = zlib.compress(b"".join(rows))
    chunks = [(b"IHDR", header), (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, data) for kind, data in chunks)


def clip() -> bytes:
    """Bytes that begin as an MP4 file does."""
    return b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + b"\x00\x00\x00\x08free"


def _contents(wanted: Mapping[str, Any]) -> bytes:
    encoded = wanted.get("fileContents")
    if not isinstance(encoded, str) or not encoded:
        raise invalid("add_context_file_request.file_contents is required.")
    try:
        return base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error) as error:
        raise invalid("Invalid value at 'file_contents' (TYPE_BYTES), Base64 decoding.") from error


def _origin(file: StoredFile, switches: WidgetSwitches) -> str:
    return switches.user_file_origin if file.origin == _USERS else file.origin


def _metadata(session: Session, file: StoredFile, switches: WidgetSwitches) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "fileId": file.file_id,
        "name": file.name,
        "mimeType": file.mime_type,
        "byteSize": str(file.size),
        "tokenCount": str(file.token_count),
        "quotaPercentage": file.token_count * 100 / QUOTA_TOKENS,
        "downloadUri": (
            f"https://discoveryengine.googleapis.com/v1/{session.full_name}"
            f":downloadFile?file_id={file.file_id}"
        ),
        "uploadTime": rfc3339(file.uploaded_at),
        "fileOriginType": _origin(file, switches),
        "session": session.full_name,
        "selected": True,
    }
    if file.mime_type.startswith("image/"):
        size = {"width": 256, "height": 256}
        thumbnail = {"viewId": "thumbnail_256x256", "imageCharacteristics": size}
        metadata["views"] = {"thumbnail_256x256": thumbnail}
    return metadata


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum
