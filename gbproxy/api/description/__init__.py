"""What this app serves: for machines at `/openapi.json`, for people at `/docs`, both without a key
and with nothing that is loaded from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, render_template
from pydantic import BaseModel, ConfigDict

from gbproxy.api.description import page
from gbproxy.domain import jsontext
from gbproxy.web.operations import Operation, described

_STYLE = (Path(__file__).parent / "templates" / "docs.css").read_text("utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HTML = "text/html; charset=utf-8"
# The page has no script, and no form; it may load nothing, and no other page may frame it.
_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class OpenApi(BaseModel):
    """An OpenAPI document."""

    model_config = ConfigDict(extra="allow")

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
    components: dict[str, Any]


def blueprint(document: Callable[[], Mapping[str, Any]]) -> Blueprint:
    """`document` is called once, with the first request: by then every route is there."""
    bp = Blueprint("description", __name__, template_folder="templates")

    @cache
    def made() -> Mapping[str, Any]:
        return document()

    @cache
    def encoded() -> bytes:
        return jsontext.encode_bytes(made())

    @cache
    def rendered() -> str:
        return render_template("docs.html", page=page.of(made()), style=_STYLE)

    @bp.get("/openapi.json")
    @described(Operation(tag="Description", summary="This document", answers={200: (OpenApi,)}))
    def openapi() -> Response:
        return Response(encoded(), content_type="application/json")

    @bp.get("/docs")
    @described(
        Operation(
            tag="Description",
            summary="This document, for people",
            answers={200: ()},
            content_type=_HTML,
        )
    )
    def docs() -> Response:
        return Response(rendered(), headers=_HEADERS, content_type=_HTML)

    return bp
