"""Errors as responses: each in the format that its client reads.

The format is found by path and headers, not by route: a 404, a 405, a full gateway and bytes that
are no HTTP have no route.
"""

from __future__ import annotations

import logging
import math
import re
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Flask, Response, request
from pydantic import BaseModel
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as MethodUnknown

from gbproxy.errors import (
    BadRequest,
    ClientGone,
    GatewayError,
    MethodNotAllowed,
    NotFound,
    RequestTimeout,
    UnsupportedMediaType,
)
from gbproxy.observability import request_context
from gbproxy.web.body import too_large

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorFormat:
    """How one format writes an error, and the requests that get it.

    `status` is the HTTP status of an error that this gateway has raised; `body` gets the status
    that is sent, which for the framework's own errors is theirs. `paths` are prefixes of whole
    segments; `path_pattern` fits whole paths that no prefix tells from those of other formats;
    `header_names` are headers that only clients of this format send. `schema` describes
    the body. `methods`: fits paths that end with the name of a method, which is posted to: of one
    that is not known the answer is that there is nothing, as for a path.
    """

    body: Callable[[GatewayError, int], bytes]
    headers: Callable[[GatewayError], dict[str, str]]
    schema: type[BaseModel] | None = None
    content_type: str = "application/json"
    paths: tuple[str, ...] = ()
    path_pattern: re.Pattern[str] | None = None
    header_names: tuple[str, ...] = ()
    methods: re.Pattern[str] | None = None
    status: Callable[[GatewayError], int] = lambda error: error.status


class ErrorFormats:
    """Finds the format of an error: the longest path that fits, else a pattern, else a header, else
    the first.
    """

    def __init__(self, formats: Sequence[ErrorFormat]) -> None:
        self._default = formats[0]
        self._by_path = sorted(
            ((path, each) for each in formats for path in each.paths),
            key=lambda pair: len(pair[0]),
            reverse=True,
        )
        self._by_pattern = [
            (each.path_pattern, each) for each in formats if each.path_pattern is not None
        ]
        self._by_header = [(name, each) for each in formats for name in each.header_names]

    def find(self, path: str, has_header: Callable[[str], bool]) -> ErrorFormat:
        """`path` without its query; `has_header` is asked with the names as formats write them."""
        found = self._of_path(path)
        if found is not None:
            return found
        return next((each for name, each in self._by_header if has_header(name)), self._default)

    def schemas(self, path: str) -> tuple[type[BaseModel], ...]:
        """Of all that an error at this path may be told in."""
        found = self._of_path(path)
        formats = [self._default, *(each for _, each in self._by_header)] if not found else [found]
        return tuple(dict.fromkeys(each.schema for each in formats if each.schema is not None))

    def _of_path(self, path: str) -> ErrorFormat | None:
        path = normalized_path(path)
        for prefix, found in self._by_path:
            if f"{path}/".startswith(f"{prefix}/"):
                return found
        for pattern, found in self._by_pattern:
            if pattern.fullmatch(path):
                return found
        return None

    def of(self, environ: WSGIEnvironment) -> ErrorFormat:
        """The format for a request that has come as far as WSGI."""
        return self.find(
            environ.get("PATH_INFO", ""),
            lambda name: f"HTTP_{name.upper().replace('-', '_')}" in environ,
        )


def normalized_path(path: str) -> str:
    """`//` and a trailing `/` taken for what was meant."""
    return re.sub("/{2,}", "/", path).rstrip("/") or "/"


def install(app: Flask, formats: ErrorFormats) -> None:
    """Let the app answer every exception in its client's format."""

    def render(error: GatewayError, http: HTTPException | None = None) -> Response:
        return _render(formats.of(request.environ), error, http)

    def refused(error: HTTPException) -> Response:
        methods = formats.of(request.environ).methods
        if (
            isinstance(error, MethodUnknown)
            and "POST" not in (error.valid_methods or ())
            and request.method == "POST"
            and methods is not None
            and methods.fullmatch(normalized_path(request.path))
        ):
            return render(_nothing_here())
        return render(_translated(error), error)

    def crashed(error: Exception) -> Response:
        log.error("request.crashed", exc_info=error)
        return render(internal_error())

    app.register_error_handler(GatewayError, render)
    app.register_error_handler(HTTPException, refused)
    app.register_error_handler(Exception, crashed)


def retry_headers(error: GatewayError) -> dict[str, str]:
    """Headers by which an SDK, whatever its format, decides if and when to try again."""
    found: dict[str, str] = {}
    if error.retry_after is not None:
        found["Retry-After"] = str(math.ceil(error.retry_after))
    if error.should_retry is not None:
        found["x-should-retry"] = "true" if error.should_retry else "false"
    if error.status == 401:
        found["WWW-Authenticate"] = "Bearer"
    return found


def internal_error() -> GatewayError:
    """The error that a client gets for a mistake of ours; details go to the log."""
    return GatewayError("the gateway met an error of its own")


def _render(shape: ErrorFormat, error: GatewayError, http: HTTPException | None) -> Response:
    allow = dict(http.get_headers()).get("Allow") if http is not None else None
    if isinstance(error, MethodNotAllowed) and request.method == "HEAD" and http is not None:
        # probes want to know it is there
        return Response(content_type=shape.content_type, headers={"Allow": allow or ""})
    request_context.current().log_fields["code"] = error.code
    if isinstance(error, ClientGone):
        request_context.current().log_fields["client_gone"] = True
    code = http.code if http is not None else None
    status = shape.status(error) if code is None or code < 400 else code
    response = Response(
        shape.body(error, status),
        status,
        content_type=shape.content_type,
        headers=shape.headers(error),
    )
    if allow:
        response.headers["Allow"] = allow
    if isinstance(error, RequestTimeout):
        response.call_on_close(_stop_reading(request.environ.get("gunicorn.socket")))
    return response


def _stop_reading(connection: socket.socket | None) -> Callable[[], None]:
    """A function that stops to read from a client that is still sending, too slowly."""

    def stop() -> None:
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)

    return stop


def _nothing_here() -> NotFound:
    return NotFound(f"there is nothing at {request.method} {request.path[:200]}")


def _translated(error: HTTPException) -> GatewayError:
    """The framework's own refusals, in our words."""
    match error.code:
        case 404:
            return _nothing_here()
        case 405:
            return MethodNotAllowed(f"{request.method} is not possible here")
        case 413:
            return too_large()
        case 415:
            return UnsupportedMediaType("the body must be application/json")
        case int(code) if code < 500:
            return BadRequest(error.description or "the request cannot be understood")
        case _:
            return internal_error()
