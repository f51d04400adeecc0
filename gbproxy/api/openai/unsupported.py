"""The paths of OpenAI's API that clients try and this gateway does not offer: they are told so,
instead of a 404.
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from gbproxy.api.format import Surface
from gbproxy.errors import NotOffered

_PATHS = (
    "/v1/audio/<path:rest>",
    "/v1/batches",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/files",
    "/v1/fine_tuning/<path:rest>",
    "/v1/images/<path:rest>",
    "/v1/moderations",
    "/v1/responses",
)


def blueprint(surface: Surface) -> Blueprint:
    bp = Blueprint("openai_missing", __name__)  # the label that dashboards know
    bp.before_request(surface.check_key)

    def refuse(**_: str) -> Response:
        raise NotOffered(f"this gateway does not offer {request.path}")

    for path in _PATHS:
        bp.add_url_rule(
            path, endpoint=path.replace(".", "_"), view_func=refuse, methods=["GET", "POST"]
        )
        bare = path.removeprefix("/v1")
        bp.add_url_rule(
            bare, endpoint=bare.replace(".", "_"), view_func=refuse, methods=["GET", "POST"]
        )
    return bp
