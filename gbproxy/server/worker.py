"""What gunicorn needs of us: its worker, its log, and how it stops. Used by gunicorn.conf.py.

At SIGTERM the master first lets readiness fail for DRAIN_DELAY_S, so that whoever spreads the load looks elsewhere; then
the workers take nothing new and let running answers finish; what is left when GRACEFUL_TIMEOUT_S is over is ended by us,
with an error that says why, before gunicorn would cut it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import resource
import secrets
import socket
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import gevent
import gevent.socket
from gunicorn.glogging import Logger
from gunicorn.http import errors
from gunicorn.workers.ggevent import GeventWorker

from gbproxy.api import openai_errors
from gbproxy.errors import BadRequest, GatewayError
from gbproxy.observability import trace

log = logging.getLogger(__name__)

SPARE_CONNECTIONS = 10_000  # beyond the answers that are admitted: to refuse more, and to answer health, at once
STOP_MARGIN_S = 3  # gunicorn's own timer, behind ours

_FILES = 65_536
_IDLE_S = 0.5
_STALLED_S = 120.0  # a client that has read nothing for so long is taken for gone
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
    """A gevent worker whose own refusals are JSON like all others, and whose log lines quote nothing of a request.

    When it stops, connections without a request do not hold it up, and answers are ended in time.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle_since: dict[socket.socket, float] = {}  # connections that wait for a request

    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        if type(client) is gevent.socket.socket:
            client = _Connection(fileno=client.detach())
        self._idle_since[client] = time.monotonic()
        try:
            super().handle(listener, client, addr)
        finally:
            self._idle_since.pop(client, None)

    def handle_request(self, listener_name: Any, req: Any, sock: socket.socket, addr: Any) -> Any:
        self._idle_since.pop(sock, None)
        try:
            return super().handle_request(listener_name, req, sock, addr)
        finally:
            self._idle_since[sock] = time.monotonic()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: gunicorn stops to accept; we see to what is already there."""
        if self.alive:
            gevent.spawn(self._end_idle)
            gevent.spawn_later(max(0.0, self.cfg.graceful_timeout - STOP_MARGIN_S), self._expire)
        super().handle_exit(sig, frame)

    def _end_idle(self) -> None:
        """Read no further requests from connections that wait for one; one that has come in is still answered.

        gunicorn goes on accepting for up to a second: so until the worker ends, and not before a request had time to come.
        """
        while True:
            gevent.sleep(_IDLE_S)
            for client, since in list(self._idle_since.items()):
                if time.monotonic() - since >= _IDLE_S:
                    with contextlib.suppress(OSError):
                        client.shutdown(socket.SHUT_RD)

    def _expire(self) -> None:
        expired = self.wsgi.extensions["gbproxy"].responder.expire()
        if expired:
            log.warning("answers.expired", extra={"answers": expired})

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


class _Connection(gevent.socket.socket):  # type: ignore[misc]
    """A client's connection: sends at once what fits, as nearly all does, and ends when nothing is taken for long.

    gevent's own asks for the size of the system's buffer before each write, and waits for ever.
    """

    _held = b""  # the rest of what was inserted

    def sendall(self, data: bytes, flags: int = 0) -> None:
        if self._held:
            data, self._held = self._held + data, b""
        sent = self._send_now(data)
        if sent == len(data):
            return
        view = memoryview(data)[sent:]
        while view:
            try:
                view = view[self.send(view, flags, timeout=_STALLED_S) :]
            except TimeoutError:
                raise ConnectionResetError(errno.ECONNRESET, "the client reads nothing") from None

    def insert(self, data: bytes) -> None:
        """Send something short between two calls of `sendall`, without waiting; nothing when the client is not reading."""
        if not self._held:
            sent = self._send_now(data)
            self._held = data[sent:] if sent else b""

    def _send_now(self, data: bytes) -> int:
        try:
            return int(self._sock.send(data))
        except BlockingIOError:
            return 0


class Log(Logger):  # type: ignore[misc]
    """gunicorn's log through ours; access lines are written by the app itself."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self._access_log_enabled = False
        self.error_log.propagate = True
        self.error_log.setLevel(logging.WARNING)


def allow_many_files() -> None:
    """Each answer holds two connections: use what the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def drain_first(arbiter: Any, delay_s: float, begin: Callable[[], None]) -> None:
    """At SIGTERM let `begin` make readiness fail, and stop only after `delay_s`."""
    stop = arbiter.handle_term

    def handle_term() -> None:
        begin()
        log.info("server.draining", extra={"delay_s": delay_s})
        time.sleep(delay_s)
        stop()

    arbiter.handle_term = handle_term


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
    taken = 0
    with gevent.Timeout(_LINGER_S, False):  # for all of it: one that drips must not hold its place
        while taken < _LINGER_BYTES and (data := client.recv(64 * 1024)):
            taken += len(data)
