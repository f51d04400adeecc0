"""GET /v1/models and /v1/models/{id}. Source:
https://platform.openai.com/docs/api-reference/models
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify

from gbproxy.api.format import Surface
from gbproxy.domain.models import Model, no_such
from gbproxy.web import auth

# the upstream tells no dates; clients only want a number that stays the same
_CREATED = 1_764_201_600


def blueprint(surface: Surface) -> Blueprint:
    bp = Blueprint("openai_models", __name__)
    bp.before_request(surface.check_key)
    models = surface.models

    @bp.get("/v1/models")
    @bp.get("/models")
    def list_all() -> Response:
        return jsonify(
            object="list",
            data=[_entry(model) for model in models.all() if auth.principal().may_use(model.id)],
        )

    @bp.get("/v1/models/<path:name>")
    @bp.get("/models/<path:name>")
    def retrieve(name: str) -> Response:
        model = models.get(name)
        if not auth.principal().may_use(model.id):
            raise no_such(name)
        return jsonify(_entry(model))

    return bp


def _entry(model: Model) -> dict[str, Any]:
    return {"id": model.id, "object": "model", "created": _CREATED, "owned_by": "google"}
