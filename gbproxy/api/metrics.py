"""GET /metrics, for Prometheus: with the METRICS_KEY or the admin key; while neither is set, there
is nothing here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

import gevent
from flask import Blueprint, Response, request

from gbproxy.admin import auth
from gbproxy.errors import NotFound
from gbproxy.observability.meter import Meter

PATH = "/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def blueprint(
    meter: Meter,
    keys: Collection[str],
    find_client: Callable[[str], object],
    clock: Callable[[], float] = time.monotonic,
) -> Blueprint:
    """`find_client` as for `gbproxy.admin.auth.required`."""
    bp = Blueprint("metrics", __name__)
    names = "METRICS_KEY, or the ADMIN_KEY"
    bp.before_request(auth.required(keys, find_client, clock, names=names) if keys else _hidden)

    @bp.get(PATH)
    def page() -> Response:
        make = meter.collect()
        # Hundreds of lines for each worker: not while others wait for the event loop.
        text = gevent.get_hub().threadpool.apply(make)
        return Response(text, content_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})

    return bp


def _hidden() -> None:
    raise NotFound(f"there is nothing at {request.method} {request.path}")
