"""What every request passes: its id, its access line, its body's limits, and the rendering of every
error.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from gbproxy.api.openai import errors as openai_errors
from gbproxy.errors import (
    BadRequest,
    ClientGone,
    GatewayError,
    MethodNotAllowed,
    NotFound,
    RequestTimeout,
    UnsupportedMediaType,
)
from gbproxy.observability import request_context, traceparent
from gbproxy.observability.meter import SILENT, Meter
from gbproxy.web.body import too_large
from gbproxy.web.cors import Cors

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
PROBES = frozenset({"/health", "/livez", "/readyz", "/metrics"})  # asked for every few seconds
_NO_SURFACE = "none"


def install(
    app: Flask,
    *,
    max_body_bytes: int,
    cors: Cors,
    trusted_proxies: int = 0,
    refusal: Callable[[], GatewayError | None] = lambda: None,
    meter: Meter = SILENT,
) -> None:
    """Give the app its outer layer.

    `trusted_proxies`: how many in front of it set `X-Forwarded-*`. While there is a `refusal`, a
    request that would take a place gets it before anything is made of it: thousands at once must
    not keep a probe waiting.
    """
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # they would be redirects, which lose a POST's body
    app.wsgi_app = _Entry(app.wsgi_app, cors, refusal, meter)  # type: ignore[method-assign]
    if trusted_proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=trusted_proxies, x_proto=trusted_proxies, x_host=trusted_proxies
        )
    app.after_request(lambda response: _finish(response, cors, meter))
    app.register_error_handler(GatewayError, _render)
    app.register_error_handler(HTTPException, lambda error: _render(_translated(error), error))
    app.register_error_handler(Exception, _crashed)


class _Entry:
    """The outermost WSGI layer: starts the trace, takes `//` and a trailing `/` for what was meant,
    answers OPTIONS.
    """

    def __init__(
        self,
        inner: WSGIApplication,
        cors: Cors,
        refusal: Callable[[], GatewayError | None],
        meter: Meter,
    ) -> None:
        self._inner = inner
        self._cors = cors
        self._refusal = refusal
        self._meter = meter

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        parent = (
            traceparent.continued(environ["HTTP_TRACEPARENT"])
            if "HTTP_TRACEPARENT" in environ
            else None
        )
        context = request_context.begin(
            given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(12), parent
        )
        environ["PATH_INFO"] = re.sub("/{2,}", "/", environ.get("PATH_INFO", "")).rstrip("/") or "/"
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
        body = json.dumps(openai_errors.body(error)).encode()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "x-request-id": context.request_id,
            **openai_errors.headers(error),
            **self._cors.headers(environ["PATH_INFO"], environ.get("HTTP_ORIGIN")),
        }
        start_response("503 Service Unavailable", [*headers.items()])
        facts = {"method": "POST", "route": "-", "status": error.status, "code": error.code}
        context.log_fields["code"] = error.code
        self._meter.request_done(context, _NO_SURFACE, error.status)
        log.info("request.done", extra={**facts, "elapsed_ms": round(context.elapsed_ms(), 1)})
        return [body]


def _finish(response: Response, cors: Cors, meter: Meter) -> Response:
    context = request_context.current()
    response.headers["x-request-id"] = context.request_id
    response.headers.update(cors.headers(request.path, request.headers.get("Origin")))
    if context.attempts:
        response.headers["x-gbproxy-attempts"] = str(context.attempts)
        response.headers["x-gbproxy-overhead-ms"] = f"{context.overhead_ms():.1f}"
    context.has_told_conversation = True
    if context.conversation is not None and response.status_code < 400:
        response.headers["X-Conversation-Id"] = context.conversation
    if context.log_fields.get("ignored"):
        response.headers["x-gbproxy-ignored"] = ", ".join(context.log_fields["ignored"])
    if "response_bytes" not in context.log_fields and not response.is_streamed:
        context.log_fields["response_bytes"] = response.calculate_content_length()
    response.call_on_close(_access_line(context, response.status_code, meter))
    return response


def _access_line(
    context: request_context.RequestContext, status: int, meter: Meter
) -> Callable[[], None]:
    """Log and count the request once it is over, in the words known now: the request itself is gone
    by then.
    """
    surface = request.blueprint or _NO_SURFACE
    route = request.url_rule.rule if request.url_rule is not None else "-"
    method = request.method if request.method.isalpha() and len(request.method) < 20 else "-"

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
        log.log(level, "request.done", extra=facts)

    return done


def _render(error: GatewayError, http: HTTPException | None = None) -> Response:
    if isinstance(error, MethodNotAllowed) and request.method == "HEAD" and http is not None:
        return Response(
            mimetype="application/json",
            headers={"Allow": dict(http.get_headers()).get("Allow", "")},
        )  # probes want to know it is there
    request_context.current().log_fields["code"] = error.code
    if isinstance(error, ClientGone):
        request_context.current().log_fields["client_gone"] = True
    response = jsonify(openai_errors.body(error))
    response.status_code = (
        error.status if http is None or http.code is None or http.code < 400 else http.code
    )
    response.headers.update(openai_errors.headers(error))
    allow = dict(http.get_headers()).get("Allow") if http is not None else None
    if allow:
        response.headers["Allow"] = allow
    if isinstance(error, RequestTimeout):
        response.call_on_close(_stop_reading(request.environ.get("gunicorn.socket")))
    return response


def _stop_reading(connection: socket.socket | None) -> Callable[[], None]:
    """What lets a connection go whose client is still sending, too slowly."""

    def stop() -> None:
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)

    return stop


def _translated(error: HTTPException) -> GatewayError:
    """The framework's own refusals, in our words."""
    match error.code:
        case 404:
            return NotFound(f"there is nothing at {request.method} {request.path[:200]}")
        case 405:
            return MethodNotAllowed(f"{request.method} is not possible here")
        case 413:
            return too_large()
        case 415:
            return UnsupportedMediaType("the body must be application/json")
        case int(code) if code < 500:
            return BadRequest(error.description or "the request cannot be understood")
        case _:
            return GatewayError("the gateway met an error of its own")


def _crashed(error: Exception) -> Response:
    log.error("request.crashed", exc_info=error)
    return _render(GatewayError("the gateway met an error of its own"))
