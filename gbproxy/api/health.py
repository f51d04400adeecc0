"""Liveness, readiness and the index page. None of them needs a key."""

from __future__ import annotations

import mmap
from collections.abc import Callable

from flask import Blueprint, Response, jsonify
from flask.typing import ResponseReturnValue

from gbproxy.version import __version__


class Drain:
    """A flag that fails readiness before the server stops: one byte that the arbiter writes and all
    its workers read. Made before the workers are forked, so that they share it.
    """

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 1)

    def begin(self) -> None:
        self._shared[0] = 1

    def has_begun(self) -> bool:
        return self._shared[0] == 1


def blueprint(usable_accounts: Callable[[], int], drain: Drain) -> Blueprint:
    bp = Blueprint("health", __name__)

    @bp.get("/")
    def index() -> Response:
        return jsonify(
            name="gbproxy",
            version=__version__,
            description=(
                "An OpenAI-compatible gateway to the models behind a Gemini Business account"
            ),
            endpoints=["POST /v1/chat/completions", "GET /v1/models", "GET /health"],
        )

    @bp.get("/health")
    @bp.get("/livez")
    def live() -> Response:
        return jsonify(status="healthy", version=__version__)

    @bp.get("/readyz")
    def ready() -> ResponseReturnValue:
        facts = {"version": __version__, "usable_accounts": usable_accounts()}
        if drain.has_begun():
            return jsonify(status="draining", **facts), 503
        return jsonify(status="healthy", **facts)

    return bp
