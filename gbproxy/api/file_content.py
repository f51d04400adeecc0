"""The bytes of an uploaded file, at whatever path a client asks for them."""

from __future__ import annotations

from functools import partial

from flask import Response

from gbproxy.api.format import Surface
from gbproxy.upstreams.base import FileMetadata
from gbproxy.web import auth, downloads
from gbproxy.web.downloads import Download


def answer(surface: Surface, file_id: str) -> Response:
    """Answer the request that Flask is handling. Raises NotFound."""
    file = surface.uploads.get(auth.principal().key_digest, file_id)
    metadata = FileMetadata(file.name, file.media_type, file.size)
    opened = partial(surface.uploads.open, file)
    return downloads.answer(
        surface.responder, Download(lambda: metadata, opened, tag=file.digest, max_age_s=0)
    )
