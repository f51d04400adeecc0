"""The worker: gunicorn's for gevent, with responses of ours to what it refuses, a stop that ends
answers in time, and probes that overtake a rush.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import socket
import time
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Any

import gevent
import gevent.socket
from gevent.hub import Waiter
from gunicorn.http import wsgi
from gunicorn.http.errors import ParseException
from gunicorn.workers.ggevent import GeventWorker

from gbproxy.observability import request_context
from gbproxy.server import refusals
from gbproxy.server.connection import Connection, Incoming, allow_little_unsent, is_in, is_unread
from gbproxy.server.listener import Listener, ListeningAddress
from gbproxy.server.response import Response
from gbproxy.web.body import IS_IN
from gbproxy.web.disconnect import has_input
from gbproxy.web.middleware import PROBES

log = logging.getLogger(__name__)

STOP_MARGIN_S = 3  # gunicorn's own timer, behind ours

# Connections taken in at once: one that waits unseen behind others may be a probe; several workers
# are to share them.
_ACCEPTED_ALONE = 100
_ACCEPTED_TOGETHER = 50

_REQUESTS_AT_ONCE = 3  # each takes 2 to 3 ms in all
# more than load balancers need; a flood of probes leaves time for requests
_PROBES_AT_ONCE = 10
_IDLE_S = 0.5
_QUIET_WITHIN_S = 4.0  # a stop waits no longer for connections that are in use to be quiet


class Worker(GeventWorker):  # type: ignore[misc]
    """A gevent worker whose own refusals are JSON like all others, and whose log lines quote
    nothing of a request.

    When it stops, connections without a request do not hold it up, and answers are ended in time.
    """

    alive: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cfg: Any = SettledConfig(self.cfg)
        self.server_class = self._listener
        self._keeps_connections = bool(self.cfg.keepalive)
        self._idle_since: dict[socket.socket, float] = {}  # connections that wait for a request
        self._last_request_at = 0.0  # known while the worker stops

    def run(self) -> None:
        self.request_pacer = RequestPacer()  # now that there is the event loop of this process
        self.probe_pacer = RequestPacer(_PROBES_AT_ONCE)
        self.max_body_bytes = self.wsgi.config["MAX_CONTENT_LENGTH"]
        super().run()

    def _listener(
        self, listener: Any, *, spawn: Any, ssl_context: Any = None, **_: Any
    ) -> Listener:
        """The server that accepts connections: many in each round of the loop, where gunicorn's own
        accepts one as soon as there are several workers.
        """
        tls = {} if ssl_context is None else {"ssl_context": ssl_context}
        allow_little_unsent(listener)
        at = ListeningAddress(listener.getsockname())
        server = Listener(listener, handle=partial(self.handle, at), spawn=spawn, **tls)
        server.max_accept = _ACCEPTED_ALONE if self.cfg.workers == 1 else _ACCEPTED_TOGETHER
        return server

    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        if type(client) is gevent.socket.socket:
            client = Connection(fileno=client.detach())
        self._idle_since[client] = time.monotonic()
        try:
            super().handle(listener, client, addr)
        finally:
            self._idle_since.pop(client, None)

    def handle_request(self, listener_name: Any, req: Any, sock: socket.socket, addr: Any) -> Any:
        """Handle a request whose head is in: from here on neither gunicorn's time for a head nor
        our stop ends its wait.
        """
        self._idle_since.pop(sock, None)
        incoming = Incoming(sock, self.max_body_bytes)
        incoming.read_through(req)
        try:
            is_probe = req.method in ("GET", "HEAD") and req.path in PROBES
            (self.probe_pacer if is_probe else self.request_pacer).wait_turn()
            self._answer(listener_name, req, sock, addr)
            if not incoming.discard(req.body):  # left to itself, gunicorn would read it to its end
                raise StopIteration
        except StopIteration:  # the connection ends with this answer
            if is_unread(req.body):
                incoming.linger()
            raise
        finally:
            req.unreader.sock = sock
            self._idle_since[sock] = time.monotonic()

    def _answer(self, listener_name: Any, req: Any, sock: socket.socket, addr: Any) -> None:
        """Let the app answer. Raises StopIteration when the connection ends with this answer.

        As gunicorn's own, without its hooks, its access line and files sent by the system, which
        nobody here asks for: saves 40 µs of a request.
        """
        response, environ = wsgi.create(
            req, sock, addr, listener_name, self.cfg, response_class=Response
        )
        environ["wsgi.multithread"] = True
        environ[IS_IN] = is_in(req)
        self._count_request()
        if not self.alive:
            self._last_request_at = time.monotonic()
        if not self.alive or not self._keeps_connections:
            response.force_close()
        try:
            _write(self.wsgi(environ, response.start_response), response)
        except OSError:  # of the connection
            raise
        except Exception:
            if not response.headers_sent:
                raise
            # another answer would be taken for a part of this one
            log.exception("request.crashed")
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            raise StopIteration from None
        except (gevent.GreenletExit, SystemExit):  # the worker ends
            raise StopIteration from None
        if response.should_close():
            raise StopIteration

    def _count_request(self) -> None:
        """Stop after as many requests as gunicorn was told to serve."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False

    def handle_exit(self, sig: int, frame: Any) -> None:
        """On SIGTERM: gunicorn stops to accept; idle connections and late answers end here."""
        if self.alive:
            gevent.spawn(self.end_idle)
            gevent.spawn_later(max(0.0, self.cfg.graceful_timeout - STOP_MARGIN_S), self._expire)
        super().handle_exit(sig, frame)

    def end_idle(self) -> None:
        """End connections that wait for a request; one that has come in is still answered.

        gunicorn goes on accepting for up to a second: so until the worker ends, and not before a
        request had time to come. A proxy that goes on using its kept connections may be sending on
        any of them: each ends with its next answer, and those left when that is over end here.
        """
        patient_until = time.monotonic() + _QUIET_WITHIN_S
        while True:
            gevent.sleep(_IDLE_S)
            now = time.monotonic()
            if now < patient_until and now - self._last_request_at < _IDLE_S:
                continue
            for client, since in list(self._idle_since.items()):
                # The look and the end are one right after the other: what comes between is lost.
                if now - since >= _IDLE_S and not has_input(client):
                    with contextlib.suppress(OSError):
                        client.shutdown(socket.SHUT_RDWR)

    def _expire(self) -> None:
        expired = self.wsgi.extensions["gbproxy"].responder.expire()
        if expired:
            log.warning("answers.expired", extra={"answers": expired})

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer a request that failed before the app got it."""
        context = request_context.begin(secrets.token_hex(12))
        status, error = refusals.status_and_error(exc)
        if isinstance(exc, ParseException):
            log.warning("request.refused", extra={"status": status, "reason": type(exc).__name__})
        else:
            log.error("request.crashed", exc_info=exc)
        shape = refusals.error_format(self.wsgi.extensions["gbproxy"].error_formats, req, exc)
        with contextlib.suppress(OSError):
            client.sendall(refusals.response(shape, status, error, context.request_id))
            Incoming(client, 0).linger()


def _write(chunks: Iterable[bytes], response: Response) -> None:
    try:
        for chunk in chunks:
            response.write(chunk)
        response.close()
    finally:
        if hasattr(chunks, "close"):
            chunks.close()


class SettledConfig:
    """gunicorn's settings, each looked up once: a worker's never change, and each request asks for
    some thirty. Saves 40 µs of a request.
    """

    def __init__(self, config: Any) -> None:
        self._config = config

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._config, name)
        setattr(self, name, value)
        return value


class RequestPacer:
    """Lets the greenlets of one event loop through in the order in which they came, so many in each
    round of the loop.

    A request costs milliseconds before it waits for anything. Without this, a thousand that arrive
    together are all worked on in one round, and nothing else is: no connection is taken in, no
    probe answered, no chunk passed on.
    """

    def __init__(self, at_once: int = _REQUESTS_AT_ONCE) -> None:
        self._at_once = at_once
        self._left = at_once  # in this round
        self._waiting: deque[Waiter] = deque()
        self._round = gevent.get_hub().loop.timer(0)

    def wait_turn(self) -> None:
        """Return when it is the caller's turn: at once, unless there is a rush."""
        if not self._round.active:
            self._round.start(self._next_round)
        if self._left and not self._waiting:
            self._left -= 1
            return
        turn = Waiter()
        self._waiting.append(turn)
        try:
            turn.get()
        except BaseException:  # its greenlet was ended while it waited
            self._waiting.remove(turn)
            raise

    def _next_round(self) -> None:
        self._round.stop()
        if self._waiting:
            self._round.start(self._next_round)
        self._left = self._at_once
        while self._left and self._waiting:
            self._left -= 1
            self._waiting.popleft().switch(None)
