"""Google's uploads: resumable ones, as its SDKs make them, and those of one request.

A resumable upload begins with its metadata; then its bytes come to the URL that was answered, in
one request or several, which may reach several workers. Google's SDKs send no key with those: the
URL is as hard to guess, and is told to nobody but the client that began.

Source: https://ai.google.dev/api/files
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request

from gbproxy.api.format import Surface
from gbproxy.api.gemini import stored_files, upload_metadata, whole_uploads
from gbproxy.api.gemini.answers import GoogleFileForm, UploadedGoogleFile
from gbproxy.api.gemini.stored_files import TAG, VERSIONS
from gbproxy.api.gemini.upload_metadata import UploadBody, UploadedFileBody
from gbproxy.api.gemini.whole_uploads import PURPOSE, TTL_S
from gbproxy.domain import attachment
from gbproxy.errors import BadRequest, NotFound
from gbproxy.media.uploads import ChunkWriter, completed
from gbproxy.storage.chunks import CHUNK_BYTES
from gbproxy.storage.files import StoredFile
from gbproxy.web import auth, form, related
from gbproxy.web.body import body_pieces, read_json
from gbproxy.web.operations import Operation, Parameter, described, secures

_PARAMETERS = (
    Parameter(name="upload_id", place="query", description="of the URL answered first"),
    Parameter(
        name="X-Goog-Upload-Command",
        place="header",
        description="start; upload; upload, finalize; query; cancel",
    ),
    Parameter(
        name="X-Goog-Upload-Protocol",
        place="header",
        description="resumable; raw: the body is the file; multipart: it is a part of the body",
    ),
    Parameter(
        name="uploadType", place="query", description="the same: resumable, media, multipart"
    ),
    Parameter(name="X-Goog-Upload-File-Name", place="header", description="the file's name"),
)


def uploading(surface: Surface) -> Blueprint:
    bp = Blueprint("gemini_uploads", __name__)

    @bp.before_request
    @secures("client")
    def check() -> None:
        if "upload_id" not in request.args:
            surface.check_key()

    @described(
        Operation(
            tag=TAG,
            summary="Upload a file: begin, bytes and end of a resumable upload, or all of it",
            request=UploadBody,
            needs_body=False,
            forms={form.CONTENT_TYPE: (GoogleFileForm,), related.CONTENT_TYPE: (), "*/*": ()},
            answers={200: (UploadedGoogleFile,)},
            parameters=_PARAMETERS,
        )
    )
    def upload() -> Response:
        if "upload_id" in request.args:
            return _go_on(surface, request.args["upload_id"])
        if (whole := whole_uploads.received(surface)) is not None:
            return jsonify(file=stored_files.render(surface, whole))
        return _begin(surface)

    for prefix in ("", "/gemini"):
        for version in VERSIONS:
            path = f"{prefix}/upload/{version}/files"
            bp.add_url_rule(path, endpoint=path, view_func=upload, methods=["POST", "PUT"])
    return bp


def _begin(surface: Surface) -> Response:
    """Begin a resumable upload. Raises BadRequest or RequestTooLarge."""
    headers = request.headers
    file = read_json(upload_metadata.read) if request.content_length else UploadedFileBody()
    if headers.get("X-Goog-Upload-Command", "").strip().lower() != "start":
        raise BadRequest("an upload begins with X-Goog-Upload-Command: start, or comes as a whole")
    size = headers.get("X-Goog-Upload-Header-Content-Length", "")
    declared = int(size[:20]) if size.isascii() and size.isdecimal() else None
    if declared is not None and declared > surface.max_file_bytes:
        raise attachment.too_large("file", surface.max_file_bytes)
    id_ = surface.uploads.rows.begin(
        auth.principal().key_digest,
        name=file.display_name or headers.get("X-Goog-Upload-File-Name", "")[:512],
        media_type=file.mime_type or headers.get("X-Goog-Upload-Header-Content-Type", "")[:256],
        purpose=PURPOSE,
        ttl_s=TTL_S,
        declared_size=declared,
    )
    url = surface.address(f"{request.path}?upload_id={id_}&upload_protocol=resumable")
    response = jsonify({})
    response.headers |= {
        "X-Goog-Upload-URL": url,
        "X-Goog-Upload-Control-URL": url,
        "X-Goog-Upload-Chunk-Granularity": str(CHUNK_BYTES),
        "X-Goog-Upload-Status": "active",
    }
    return response


def _go_on(surface: Surface, id_: str) -> Response:
    """Take the bytes of a resumable upload, and end it. Raises NotFound or BadRequest."""
    uploads = surface.uploads
    commands = {
        command.strip().lower()
        for command in request.headers.get("X-Goog-Upload-Command", "upload").split(",")
    }
    begun = uploads.begun(id_)
    if begun is None:
        return _ended(surface, id_, commands)
    if "cancel" in commands:
        uploads.rows.abandon(id_)
        return _told({}, "cancelled")
    size = _taken(surface, begun) if "upload" in commands else begun.size
    if "finalize" in commands:
        return _told(
            {"file": stored_files.render(surface, completed(uploads, begun))}, "final", size
        )
    return _told({}, "active", size)


def _ended(surface: Surface, id_: str, commands: set[str]) -> Response:
    """Tell the file of an upload that is complete, to clients whose last answer was lost. Raises
    NotFound.
    """
    # The id is the file's now, which others may know: it takes the key to be told more of it.
    if commands.isdisjoint({"query", "finalize"}) or auth.presented_key() is None:
        raise NotFound("there is no such upload (any more)")
    surface.check_key()
    file = surface.uploads.get(auth.principal().key_digest, id_)
    return _told({"file": stored_files.render(surface, file)}, "final", file.size)


def _taken(surface: Surface, begun: StoredFile) -> int:
    """Add the request's body to an upload. Returns how many bytes it has then."""
    offset = request.headers.get("X-Goog-Upload-Offset", str(begun.size)).strip()
    if offset != str(begun.size):
        raise BadRequest(f"X-Goog-Upload-Offset must be {begun.size}: so many bytes have come")
    writer = ChunkWriter(surface.uploads, begun.id, begun.size)
    for piece in body_pieces():
        writer.write(piece)
    writer.flush()
    return writer.size


def _told(body: dict[str, Any], status: str, size: int | None = None) -> Response:
    response = jsonify(body)
    response.headers["X-Goog-Upload-Status"] = status
    if size is not None:
        response.headers["X-Goog-Upload-Size-Received"] = str(size)
    return response
