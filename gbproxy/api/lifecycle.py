"""What every request passes: its id, its access line, its body's limits, and the rendering of every error."""

from __future__ import annotations

import logging
import math
import re
import secrets
from collections.abc import Callable, Iterable
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, jsonify, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected, HTTPException

from gbproxy.api import openai_errors
from gbproxy.domain import jsontext
from gbproxy.errors import (
    BadRequest,
    GatewayError,
    MethodNotAllowed,
    NotFound,
    RequestTooLarge,
    UnsupportedMediaType,
)
from gbproxy.observability import trace

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_QUIET = frozenset({"/health", "/livez", "/readyz"})  # probes come every few seconds


def install(app: Flask, *, max_body_bytes: int) -> None:
    """Give the app its outer layer."""
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # they would be redirects, which lose a POST's body
    app.wsgi_app = _Entry(app.wsgi_app)  # type: ignore[method-assign]
    app.after_request(_finish)
    app.register_error_handler(GatewayError, _render)
    app.register_error_handler(HTTPException, lambda error: _render(_translated(error), error))
    app.register_error_handler(Exception, _crashed)


def json_body() -> dict[str, Any]:
    """The request's body as a JSON object. Raises BadRequest, RequestTooLarge or UnsupportedMediaType."""
    if request.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise UnsupportedMediaType("compressed bodies are not taken: send the body without Content-Encoding")
    if not (request.mimetype in ("", "application/json") or request.mimetype.endswith("+json")):
        raise UnsupportedMediaType(f"the body must be application/json, not {request.mimetype[:80]}")
    try:
        body = jsontext.decode(_raw_body().decode().strip(" \t\r\n"))
    except UnicodeDecodeError as error:
        raise BadRequest("the body is not UTF-8") from error
    except ValueError as error:
        raise BadRequest(f"the body {error}{_position(error)}") from error
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    return body


def _position(error: ValueError) -> str:
    cause = error.__cause__
    return f" (line {cause.lineno}, column {cause.colno})" if isinstance(cause, JSONDecodeError) else ""


def _raw_body() -> bytes:
    try:
        body = request.get_data(cache=False)
        if len(body) < (request.content_length or 0):
            raise ClientDisconnected
    except (ClientDisconnected, OSError, ParseException) as error:  # a bad chunk, or the end before its time
        raise BadRequest("the body could not be read to its end") from error
    if request.content_length is None and len(body) >= (request.max_content_length or math.inf):
        raise _too_large()  # chunks are cut at the limit without a word
    trace.current().facts["request_bytes"] = len(body)
    return body


class _Entry:
    """The outermost WSGI layer: starts the trace, and takes `//` and a trailing `/` for what was meant."""

    def __init__(self, inner: WSGIApplication) -> None:
        self._inner = inner

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        trace.begin(given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(12))
        environ["PATH_INFO"] = re.sub("/{2,}", "/", environ.get("PATH_INFO", "")).rstrip("/") or "/"
        return self._inner(environ, start_response)


def _finish(response: Response) -> Response:
    measured = trace.current()
    response.headers["x-request-id"] = measured.request_id
    if measured.attempts:
        response.headers["x-gbproxy-attempts"] = str(measured.attempts)
        response.headers["x-gbproxy-overhead-ms"] = f"{measured.overhead_ms():.1f}"
    if measured.facts.get("ignored"):
        response.headers["x-gbproxy-ignored"] = ", ".join(measured.facts["ignored"])
    if "response_bytes" not in measured.facts and not response.is_streamed:
        measured.facts["response_bytes"] = response.calculate_content_length()
    response.call_on_close(_access_line(measured, response.status_code))
    return response


def _access_line(measured: trace.Trace, status: int) -> Callable[[], None]:
    """Log the request once it is over, in the words known now: the request itself is gone by then."""
    route = request.url_rule.rule if request.url_rule is not None else "-"
    method = request.method if request.method.isalpha() and len(request.method) < 20 else "-"

    def done() -> None:
        level = logging.DEBUG if route in _QUIET and status < 400 else logging.INFO
        facts = {
            "method": method,
            "route": route,
            "status": status,
            "elapsed_ms": round(measured.elapsed_ms(), 1),
            "overhead_ms": round(measured.overhead_ms(), 1),
            "attempts": measured.attempts,
            "ttft_ms": round(measured.ttft_ms, 1) if measured.ttft_ms is not None else None,
            **measured.facts,
        }
        log.log(level, "request.done", extra=facts)

    return done


def _render(error: GatewayError, http: HTTPException | None = None) -> Response:
    trace.current().facts["code"] = error.code
    response = jsonify(openai_errors.body(error))
    response.status_code = error.status if http is None or http.code is None or http.code < 400 else http.code
    response.headers.update(openai_errors.headers(error))
    allow = dict(http.get_headers()).get("Allow") if http is not None else None
    if allow:
        response.headers["Allow"] = allow
    return response


def _translated(error: HTTPException) -> GatewayError:
    """The framework's own refusals, in our words."""
    match error.code:
        case 404:
            return NotFound(f"there is nothing at {request.method} {request.path[:200]}")
        case 405:
            return MethodNotAllowed(f"{request.method} is not possible here")
        case 413:
            return _too_large()
        case 415:
            return UnsupportedMediaType("the body must be application/json")
        case int(code) if code < 500:
            return BadRequest(error.description or "the request cannot be understood")
        case _:
            return GatewayError("the gateway met an error of its own")


def _too_large() -> RequestTooLarge:
    return RequestTooLarge("the body is larger than MAX_BODY_MB allows")


def _crashed(error: Exception) -> Response:
    log.error("request.crashed", exc_info=error)
    return _render(GatewayError("the gateway met an error of its own"))
