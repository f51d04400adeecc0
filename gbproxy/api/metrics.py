"""GET /metrics, for Prometheus: with the METRICS_KEY or the ADMIN_KEY; 404 while neither is set."""

from __future__ import annotations

from flask import Blueprint, Response, request

from gbproxy.errors import NotFound
from gbproxy.observability.meter import Meter
from gbproxy.web.body import run_in_thread
from gbproxy.web.operations import Operation, described
from gbproxy.web.secret_guard import SecretGuard

PATH = "/metrics"
KEY_NAMES = "METRICS_KEY, or the ADMIN_KEY"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def blueprint(meter: Meter, guard: SecretGuard | None) -> Blueprint:
    """Without a `guard` there is nothing to see."""
    bp = Blueprint("metrics", __name__)
    bp.before_request(_hidden if guard is None else guard.check)

    @bp.get(PATH)
    @described(
        Operation(
            tag="Health", summary="Figures for Prometheus", answers={200: ()},
            content_type=CONTENT_TYPE,
        )
    )  # fmt: skip
    def page() -> Response:
        text = run_in_thread(meter.collect())  # hundreds of lines for each worker
        return Response(text, content_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})

    return bp


def _hidden() -> None:
    raise NotFound(f"there is nothing at {request.method} {request.path}")
