"""GET /metrics, for Prometheus: with the METRICS_KEY or the admin key; while neither is set, there is nothing here."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterable

import gevent
from flask import Blueprint, Response, request

from gbproxy.admin.auth import Guesses
from gbproxy.errors import NotFound, Unauthenticated
from gbproxy.observability.meter import Meter
from gbproxy.web.keys import bearer_key, digest

PATH = "/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def blueprint(meter: Meter, keys: Iterable[str], clock: Callable[[], float] = time.monotonic) -> Blueprint:
    bp = Blueprint("metrics", __name__)
    bp.before_request(_required([digest(key) for key in keys], Guesses(clock)))

    @bp.get(PATH)
    def page() -> Response:
        make = meter.collect()
        # Hundreds of lines for each worker: not while others wait for the event loop.
        text = gevent.get_hub().threadpool.apply(make)
        return Response(text, content_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})

    return bp


def _required(wanted: list[bytes], guesses: Guesses) -> Callable[[], None]:
    def check() -> None:
        if not wanted:
            raise NotFound(f"there is nothing at {request.method} {request.path}")
        address = request.remote_addr or ""
        guesses.check(address)
        given = bearer_key()
        if given is None:
            raise Unauthenticated("a key is required: Authorization: Bearer METRICS_KEY, or the ADMIN_KEY")
        presented = digest(given)
        if not any([hmac.compare_digest(presented, key) for key in wanted]):  # noqa: C419  all of them, always
            guesses.note(address)
            raise Unauthenticated("this is neither the metrics key nor the admin key")

    return check
