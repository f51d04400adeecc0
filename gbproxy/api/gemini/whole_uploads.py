"""Uploads of one request to Google's path: a form, metadata and bytes in parts, or bytes alone.

Source: https://ai.google.dev/api/files; https://developers.google.com/drive/api/guides/manage-uploads
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flask import request

from gbproxy.api import file_forms
from gbproxy.api.format import Surface
from gbproxy.api.gemini import upload_metadata
from gbproxy.api.gemini.upload_metadata import UploadedFileBody
from gbproxy.errors import GatewayError, UnsupportedMediaType
from gbproxy.media.uploads import Upload
from gbproxy.storage.files import StoredFile
from gbproxy.web import auth
from gbproxy.web.body import body_pieces
from gbproxy.web.form import is_form
from gbproxy.web.related import is_related, read_related

TTL_S = 48 * 3_600.0  # as Google has it
PURPOSE = "user_data"  # by which OpenAI's clients find these files
_RAW, _IN_PARTS = ("raw", "media"), "multipart"
_OF_NO_FILE = "application/x-www-form-urlencoded"  # what curl says of any body


def received(surface: Surface) -> StoredFile | None:
    """The file of the request; None where its body is the begin of a resumable upload. Raises
    BadRequest, RequestTooLarge, RequestTimeout, UnsupportedMediaType or StorageUnavailable.
    """
    protocol = _protocol()
    if protocol in _RAW:
        return _of_bytes(surface)
    if is_form():
        return of_form(surface)
    if is_related():
        return _of_parts(surface)
    if protocol == _IN_PARTS:
        raise UnsupportedMediaType("the body must be multipart/related or multipart/form-data")
    return None


def of_form(surface: Surface) -> StoredFile:
    """The file of a form, which may have a field `metadata`. Raises the same."""
    return file_forms.receive(surface, _finished, field=None)


def _protocol() -> str:
    query = request.args
    found = request.headers.get("X-Goog-Upload-Protocol") or query.get("upload_protocol")
    return (found or query.get("uploadType") or query.get("upload_type") or "").strip().lower()


def _finished(upload: Upload, fields: Mapping[str, str]) -> StoredFile:
    about = upload_metadata.decoded(fields.get("metadata", "{}").encode())
    return upload.finish(purpose=PURPOSE, ttl_s=TTL_S, name=about.display_name)


def _of_bytes(surface: Surface) -> StoredFile:
    headers = request.headers
    said = "" if request.mimetype == _OF_NO_FILE else headers.get("Content-Type", "")
    about = UploadedFileBody(
        display_name=headers.get("X-Goog-Upload-File-Name", "")[:512],
        mime_type=(headers.get("X-Goog-Upload-Header-Content-Type") or said)[:256],
    )
    return _stored(surface, about, body_pieces())


def _of_parts(surface: Surface) -> StoredFile:
    parts = read_related()
    about = upload_metadata.decoded(parts.metadata.strip() or b"{}")
    if not about.mime_type:
        about.mime_type = parts.media_type[:256]
    return _stored(surface, about, parts.pieces)


def _stored(surface: Surface, about: UploadedFileBody, pieces: Iterator[bytes]) -> StoredFile:
    """The pieces as a file. None is left where they end too early, or never."""
    name, label = about.display_name or "", about.mime_type or ""
    upload = Upload(surface.uploads, auth.principal().key_digest, name=name, label=label)
    try:
        for piece in pieces:
            upload.write(piece)
        return upload.finish(purpose=PURPOSE, ttl_s=TTL_S)
    except GatewayError:
        upload.abandon()
        raise
