"""`GET /v1/models`, one path of several APIs: each client gets the list in the form that it reads.

A client that says nothing of its format gets that of the first.
"""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, Response, request

from gbproxy.api.format import Format, ModelViews, Surface
from gbproxy.web.errors import ErrorFormats
from gbproxy.web.operations import Operation, described


def blueprint(surface: Surface, formats: Sequence[Format], errors: ErrorFormats) -> Blueprint:
    """The first of the formats has to have views."""
    bp = Blueprint("openai_models", __name__)  # a label, by which dashboards know the routes
    bp.before_request(surface.check_key)
    views = {id(each.errors): each.models(surface) for each in formats if each.models is not None}
    default = views[id(formats[0].errors)]

    lists = tuple(each.list_schema for each in views.values() if each.list_schema is not None)
    entries = tuple(each.entry_schema for each in views.values() if each.entry_schema is not None)

    def wanted() -> ModelViews:
        return views.get(id(errors.of(request.environ)), default)

    @bp.get("/v1/models")
    @bp.get("/models")
    @described(
        Operation(
            tag="Models",
            summary="The models that this key may use",
            answers={200: lists},
            parameters=tuple(p for each in views.values() for p in each.list_parameters),
        )
    )
    def list_all() -> Response:
        return wanted().list_all()

    @bp.get("/v1/models/<path:name>")
    @bp.get("/models/<path:name>")
    @described(Operation(tag="Models", summary="One model", answers={200: entries}))
    def retrieve(name: str) -> Response:
        return wanted().retrieve(name)

    return bp
