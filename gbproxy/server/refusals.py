"""The worker's own answers: to bytes that are no HTTP, and to a mistake below the app."""

from __future__ import annotations

import traceback
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from gunicorn.http import errors
from gunicorn.http.message import Request

from gbproxy.errors import BadRequest, GatewayError
from gbproxy.web.errors import ErrorFormat, ErrorFormats, internal_error

_STATUSES: dict[type[Exception], int] = {
    errors.LimitRequestLine: 414,
    errors.LimitRequestHeaders: 431,
    errors.UnsupportedTransferCoding: 501,
    errors.ExpectationFailed: 417,
    errors.ForbiddenProxyRequest: 403,
}


def status_and_error(exc: BaseException) -> tuple[int, GatewayError]:
    """The status and error of an exception that did not reach the app."""
    if not isinstance(exc, errors.ParseException):
        return 500, internal_error()
    status = next((code for kind, code in _STATUSES.items() if isinstance(exc, kind)), 400)
    return status, BadRequest("the request is not valid HTTP, or its head is too large")


def error_format(formats: ErrorFormats, req: Any, exc: BaseException) -> ErrorFormat:
    """The format that the client reads; `req` is gunicorn's request, None where it made none."""
    if req is not None:
        path, names = req.path, {name.lower() for name, _ in req.headers}
    else:
        path, names = _path_and_headers(_received_head(exc))
    return formats.find(unquote(path, "latin-1"), lambda name: name.lower() in names)


def response(shape: ErrorFormat, status: int, error: GatewayError, request_id: str) -> bytes:
    """The whole response; the connection ends behind it."""
    body = shape.body(error, status)
    headers = {
        "Connection": "close",
        "Content-Type": shape.content_type,
        "x-request-id": request_id,
        "Content-Length": str(len(body)),
        **shape.headers(error),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{lines}\r\n".encode() + body


def _received_head(exc: BaseException) -> bytes:
    """The head that could not be parsed, as far as it came.

    gunicorn drops it with the request that it was parsing, but the exception holds that frame: to
    keep every head for this would cost every request.
    """
    for frame, _ in traceback.walk_tb(exc.__traceback__):
        if frame.f_code is Request.parse.__code__:
            return bytes(frame.f_locals["buf"])
    return b""


def _path_and_headers(head: bytes) -> tuple[str, set[str]]:
    """The path of a head that is not valid, and the names of its headers in lower case."""
    request_line, *lines = head.decode("latin-1").strip("\r\n").split("\n")
    target = next(iter(request_line.split()[1:2]), "")
    return target.partition("?")[0], {line.partition(":")[0].strip().lower() for line in lines}
