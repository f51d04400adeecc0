"""`/media/…`: the pictures, videos and other files of answers, by the links that the answers have.

A link needs no key, as browsers send none with a picture's address.
"""

from __future__ import annotations

import time

from flask import Blueprint, Response

from gbproxy.domain.principal import key_digest
from gbproxy.media.files import LinkedFiles
from gbproxy.web import downloads
from gbproxy.web.auth import presented_key
from gbproxy.web.downloads import Download
from gbproxy.web.operations import Operation, described
from gbproxy.web.streaming import StreamResponder


def blueprint(files: LinkedFiles, responder: StreamResponder) -> Blueprint:
    bp = Blueprint("media", __name__)

    @bp.get("/media/<token>")
    @described(
        Operation(
            tag="Media",
            summary="A picture, video or other file of an answer, by its link",
            answers={200: (), 206: ()},
            content_type="*/*",
        )
    )
    def download(token: str) -> Response:
        key = presented_key()
        found = files.find(token, None if key is None else key_digest(key))
        link = found.link
        return downloads.answer(
            responder,
            Download(
                found.metadata,
                found.open,
                tag=f"{link.session_id} {link.file_id}",
                max_age_s=max(0, link.expires_at - int(time.time())),
            ),
        )

    return bp
