"""What gunicorn needs of us: its worker and its log, both in this program's own words. Used by gunicorn.conf.py."""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import socket
from http import HTTPStatus
from typing import Any

from gunicorn.glogging import Logger
from gunicorn.http import errors
from gunicorn.workers.ggevent import GeventWorker

from gbproxy.api import openai_errors
from gbproxy.errors import BadRequest, GatewayError
from gbproxy.observability import trace

log = logging.getLogger(__name__)

_LINGER_S = 0.5
_LINGER_BYTES = 1024 * 1024
_STATUSES: dict[type[Exception], int] = {
    errors.LimitRequestLine: 414,
    errors.LimitRequestHeaders: 431,
    errors.UnsupportedTransferCoding: 501,
    errors.ExpectationFailed: 417,
    errors.ForbiddenProxyRequest: 403,
}


class Worker(GeventWorker):  # type: ignore[misc]
    """A gevent worker whose own refusals are JSON like all others, and whose log lines quote nothing of a request."""

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer what the app never got to see."""
        measured = trace.begin(secrets.token_hex(12))
        if isinstance(exc, errors.ParseException):
            status = next((code for kind, code in _STATUSES.items() if isinstance(exc, kind)), 400)
            log.warning("request.refused", extra={"status": status, "reason": type(exc).__name__})
            error: GatewayError = BadRequest("the request is not valid HTTP, or its head is too large")
        else:
            status, error = 500, GatewayError("the gateway met an error of its own")
            log.error("request.crashed", exc_info=exc)
        with contextlib.suppress(OSError):
            client.sendall(_response(status, error, measured.request_id))
            _linger(client)


class Log(Logger):  # type: ignore[misc]
    """gunicorn's log through ours; access lines are written by the app itself."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self._access_log_enabled = False
        self.error_log.propagate = True
        self.error_log.setLevel(logging.WARNING)


def _response(status: int, error: GatewayError, request_id: str) -> bytes:
    body = json.dumps(openai_errors.body(error)).encode()
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"x-request-id: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _linger(client: socket.socket) -> None:
    """Take in what the client is still sending, within limits: closing at once would reset what it is to read."""
    client.shutdown(socket.SHUT_WR)
    client.settimeout(_LINGER_S)
    taken = 0
    while taken < _LINGER_BYTES and (data := client.recv(64 * 1024)):
        taken += len(data)
