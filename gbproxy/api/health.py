"""Liveness, readiness and the index page. None of them needs a key."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from functools import cache
from typing import Literal

from flask import Blueprint, Response, jsonify
from flask.typing import ResponseReturnValue

from gbproxy.version import __version__
from gbproxy.web.operations import AnswerModel, Operation, described


class Index(AnswerModel):
    name: str
    version: str
    description: str
    endpoints: list[str]


class Liveness(AnswerModel):
    status: Literal["healthy"]
    version: str


class Readiness(AnswerModel):
    """`usable_accounts`: those that can be asked now."""

    status: Literal["healthy", "draining"]
    version: str
    usable_accounts: int


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


def blueprint(
    usable_accounts: Callable[[], int], drain: Drain, endpoints: Callable[[], list[str]]
) -> Blueprint:
    """`endpoints` is called once, with the first request: by then every route is there."""
    bp = Blueprint("health", __name__)
    offered = cache(endpoints)

    @bp.get("/")
    @described(Operation(tag="Health", summary="What this is", answers={200: (Index,)}))
    def index() -> Response:
        return jsonify(
            name="gbproxy",
            version=__version__,
            description=(
                "A gateway to the models behind a Gemini Business account, compatible with OpenAI,"
                " Anthropic and Google"
            ),
            endpoints=offered(),
        )

    @bp.get("/health")
    @bp.get("/livez")
    @described(
        Operation(tag="Health", summary="Whether the process serves", answers={200: (Liveness,)})
    )
    def live() -> Response:
        return jsonify(status="healthy", version=__version__)

    @bp.get("/readyz")
    @described(
        Operation(
            tag="Health",
            summary="Whether requests should be sent here",
            answers={200: (Readiness,), 503: (Readiness,)},
        )
    )
    def ready() -> ResponseReturnValue:
        facts = {"version": __version__, "usable_accounts": usable_accounts()}
        if drain.has_begun():
            return jsonify(status="draining", **facts), 503
        return jsonify(status="healthy", **facts)

    return bp
