"""`GET /v1/models`, one path of several APIs: each client gets the list in the form that it reads.

A client that says nothing of its format gets that of the first.
"""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, Response, request

from gbproxy.api.format import Format, ModelViews, Surface
from gbproxy.web.errors import ErrorFormats


def blueprint(surface: Surface, formats: Sequence[Format], errors: ErrorFormats) -> Blueprint:
    """The first of the formats has to have views."""
    bp = Blueprint("openai_models", __name__)  # a label, by which dashboards know the routes
    bp.before_request(surface.check_key)
    views = {id(each.errors): each.models(surface) for each in formats if each.models is not None}
    default = views[id(formats[0].errors)]

    def wanted() -> ModelViews:
        return views.get(id(errors.of(request.environ)), default)

    @bp.get("/v1/models")
    @bp.get("/models")
    def list_all() -> Response:
        return wanted().list_all()

    @bp.get("/v1/models/<path:name>")
    @bp.get("/models/<path:name>")
    def retrieve(name: str) -> Response:
        return wanted().retrieve(name)

    return bp
