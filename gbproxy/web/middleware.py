"""The layer around every request of any format: its id, OPTIONS, the refusal of a full gateway, the
headers of every response, and the access line.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from flask import Flask, Response, request
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.middleware.proxy_fix import ProxyFix

from gbproxy.errors import GatewayError
from gbproxy.observability import request_context
from gbproxy.observability.meter import SILENT, Meter
from gbproxy.observability.telemetry import Telemetry
from gbproxy.web import errors
from gbproxy.web.cors import Cors
from gbproxy.web.errors import ErrorFormats, normalized_path

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

# Called with each request that is over: its context, the blueprint that answered it, its status.
Record = Callable[[request_context.RequestContext, str, int], None]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
PROBES = frozenset({"/health", "/livez", "/readyz", "/metrics"})  # asked for every few seconds
_NO_SURFACE = "none"


def install(
    app: Flask,
    *,
    max_body_bytes: int,
    cors: Cors,
    error_formats: ErrorFormats,
    trusted_proxies: int = 0,
    refusal: Callable[[], GatewayError | None] = lambda: None,
    meter: Meter = SILENT,
    record: Record = lambda context, surface, status: None,
    telemetry: Telemetry | None = None,
) -> None:
    """Give the app its outer layer.

    `trusted_proxies`: how many in front of it set `X-Forwarded-*`. While there is a `refusal`, a
    request that would take a place gets it before anything is made of it: thousands at once must
    not keep a probe waiting.
    """
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # they would be redirects, which lose a POST's body
    app.wsgi_app = Middleware(  # type: ignore[method-assign]
        app.wsgi_app, cors, error_formats, refusal, meter, record, telemetry
    )
    if trusted_proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=trusted_proxies, x_proto=trusted_proxies, x_host=trusted_proxies
        )
    app.after_request(lambda response: add_headers(response, cors, meter, record, telemetry))
    errors.install(app, error_formats)


class Middleware:
    """The outermost WSGI layer: begins the request context, normalizes the path, answers OPTIONS,
    refuses what a full gateway cannot take.
    """

    def __init__(
        self,
        inner: WSGIApplication,
        cors: Cors,
        error_formats: ErrorFormats,
        refusal: Callable[[], GatewayError | None],
        meter: Meter,
        record: Record,
        telemetry: Telemetry | None,
    ) -> None:
        self._inner = inner
        self._cors = cors
        self._error_formats = error_formats
        self._refusal = refusal
        self._meter = meter
        self._record = record
        self._telemetry = telemetry

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        parent = (
            request_context.continue_trace(environ["HTTP_TRACEPARENT"])
            if "HTTP_TRACEPARENT" in environ
            else None
        )
        context = request_context.begin(
            given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(12), parent
        )
        if self._telemetry is not None:
            self._telemetry.begin(context, environ.get("HTTP_TRACEPARENT", ""))
        # A proxy in front that is trusted has been asked already.
        context.base_url = f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', '')}"
        environ["PATH_INFO"] = normalized_path(environ.get("PATH_INFO", ""))
        if environ["REQUEST_METHOD"] == "OPTIONS":
            headers = self._cors.preflight(
                environ["PATH_INFO"],
                environ.get("HTTP_ORIGIN"),
                environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS"),
            )
            start_response(
                "204 No Content", [*headers.items(), ("x-request-id", context.request_id)]
            )
            return []
        if environ["REQUEST_METHOD"] == "POST" and not self._cors.is_private(environ["PATH_INFO"]):
            error = self._refusal()
            if error is not None:
                return self._refuse(environ, start_response, context, error)
        return self._inner(environ, start_response)

    def _refuse(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        context: request_context.RequestContext,
        error: GatewayError,
    ) -> Iterable[bytes]:
        shape = self._error_formats.of(environ)
        status = shape.status(error)
        body = shape.body(error, status)
        headers = {
            "Content-Type": shape.content_type,
            "Content-Length": str(len(body)),
            "x-request-id": context.request_id,
            **shape.headers(error),
            **self._cors.headers(environ["PATH_INFO"], environ.get("HTTP_ORIGIN")),
        }
        reason = HTTP_STATUS_CODES.get(status, "Overloaded")
        start_response(f"{status} {reason}", [*headers.items()])
        facts = {"method": "POST", "route": "-", "status": status, "code": error.code}
        context.log_fields["code"] = error.code
        self._meter.request_done(context, _NO_SURFACE, status)
        self._record(context, _NO_SURFACE, status)
        if self._telemetry is not None:
            self._telemetry.request_done(context, "POST", "-", _NO_SURFACE, status)
        log.info("request.done", extra={**facts, "elapsed_ms": round(context.elapsed_ms(), 1)})
        return [body]


def add_headers(
    response: Response, cors: Cors, meter: Meter, record: Record, telemetry: Telemetry | None
) -> Response:
    """An `after_request` function: the headers of every response. The access line follows once the
    response is over.
    """
    context = request_context.current()
    headers = cors.headers(request.path, request.environ.get("HTTP_ORIGIN"))
    headers["x-request-id"] = context.request_id
    if context.attempts:
        headers["x-gbproxy-attempts"] = str(context.attempts)
        headers["x-gbproxy-overhead-ms"] = f"{context.overhead_ms():.1f}"
    context.conversation_sent = True
    if context.conversation is not None and response.status_code < 400:
        headers["X-Conversation-Id"] = context.conversation
    if context.log_fields.get("ignored"):
        headers["x-gbproxy-ignored"] = ", ".join(context.log_fields["ignored"])
    response.headers.update(headers)
    if "response_bytes" not in context.log_fields and not response.is_streamed:
        context.log_fields["response_bytes"] = response.calculate_content_length()
    response.call_on_close(log_request(context, response.status_code, meter, record, telemetry))
    return response


def log_request(
    context: request_context.RequestContext,
    status: int,
    meter: Meter,
    record: Record,
    telemetry: Telemetry | None,
) -> Callable[[], None]:
    """A function that logs and counts the request once it is over. Flask's request is gone by then:
    what is needed of it is read now.
    """
    surface = request.blueprint or _NO_SURFACE
    rule, method = request.url_rule, request.method
    route = rule.rule if rule is not None else "-"
    method = method if method.isalpha() and len(method) < 20 else "-"

    def done() -> None:
        level = logging.DEBUG if route in PROBES and status < 400 else logging.INFO
        facts = {
            "method": method,
            "route": route,
            "status": status,
            "elapsed_ms": round(context.elapsed_ms(), 1),
            "overhead_ms": round(context.overhead_ms(), 1),
            "attempts": context.attempts,
            "ttft_ms": round(context.ttft_ms, 1) if context.ttft_ms is not None else None,
            **context.log_fields,
        }
        meter.request_done(context, surface, status)
        record(context, surface, status)
        if telemetry is not None:
            telemetry.request_done(context, method, route, surface, status)
        log.log(level, "request.done", extra=facts)

    return done
