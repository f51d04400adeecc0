"""A client's connection: cheap writes, heartbeats between two of them, an end for stalled clients;
and the reading of a request's body, in turns with other connections and within limits.
"""

from __future__ import annotations

import errno
import math
import socket
import time
from contextlib import suppress
from typing import Any

import gevent
import gevent.socket
from gunicorn.http.body import Body, ChunkedReader
from gunicorn.http.errors import ParseException

from gbproxy.errors import GatewayError
from gbproxy.outbound.gevent_reader import give_way
from gbproxy.web.body import cut_off, too_large

_UNSENT_BYTES = 128 * 1024
_STALLED_S = 120.0  # a client that has read nothing for so long is taken for gone

REST_BYTES = 1024 * 1024  # of a body that the app did not read so much is taken in at most,
REST_S = 0.5  # for so long at most
_READ_BYTES = 64 * 1024
# when it looks for the size of a chunk, and copies all of it for each chunk that is in it:
_GUNICORN_READS = 8192
_STEP_BYTES = 2048  # so much at once costs half a millisecond at most


class Connection(gevent.socket.socket):  # type: ignore[misc]
    """A client's connection: sends at once what fits, as nearly all does, and is reset
    when the client reads nothing for long.

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
        """Send something short between two calls of `sendall`, without waiting; nothing when the
        client is not reading.
        """
        if not self._held:
            sent = self._send_now(data)
            self._held = data[sent:] if sent else b""

    def _send_now(self, data: bytes) -> int:
        try:
            return int(self._sock.send(data))
        except BlockingIOError:
            return 0


def allow_little_unsent(listener: socket.socket) -> None:
    """Limit the bytes that the system buffers for each client of this socket.

    By default it buffers megabytes for a client that does not read, and as much more of the answer
    is made and held in memory.
    """
    with suppress(OSError, AttributeError):  # not every system has this
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)


class Incoming:
    """The connection as gunicorn's reader of one request sees it: it gives way to others, and ends
    at its limits.

    The limits are on the bytes as they come: a chunk of one byte may bring kilobytes of extensions,
    and trailers bring none.
    """

    def __init__(self, sock: Any, max_body_bytes: int) -> None:
        self._sock = sock
        self._max_body_bytes = max_body_bytes
        self._left = max_body_bytes + REST_BYTES  # with room for chunks' sizes and the like
        self._until = math.inf

    def recv(self, size: int) -> bytes:
        """Receive bytes, for gunicorn. Raises RequestTooLarge beyond the limits, and OSError."""
        if self._left <= 0 or time.monotonic() > self._until:
            raise too_large()
        give_way()
        data: bytes = self._sock.recv(
            min(_STEP_BYTES if size <= _GUNICORN_READS else size, self._left)
        )
        self._left -= len(data)
        return data

    def read_through(self, req: Any) -> None:
        """Let gunicorn read this request's body here, and close the connection when too much of it
        is left.
        """
        req.unreader.sock = self
        if isinstance(req.body.reader, ChunkedReader):
            req.body = Body(_Chunks(req, req.unreader, self._max_body_bytes))
        asked, body = req.should_close, req.body
        # Asked when the answer's head is written: a client that knows stops sending.
        req.should_close = lambda: (
            asked()
            or _names_close(req)
            or body.failed
            or getattr(body.reader, "length", 0) > REST_BYTES
        )

    def discard(self, body: Any) -> bool:
        """The answer is out: take in what is left of the body, if that is little; False when not
        all of it is in.
        """
        if not body.failed and is_unread(body):
            self._limit_rest()
            with suppress(GatewayError, ParseException, OSError), gevent.Timeout(REST_S, False):
                while body.read(_READ_BYTES):
                    pass
        return not body.failed and not is_unread(body)

    def linger(self) -> None:
        """Take in a little of what the client is still sending: closing at once would reset what it
        is to read.
        """
        self._limit_rest()
        with suppress(OSError), gevent.Timeout(max(0.001, self._until - time.monotonic()), False):
            self._sock.shutdown(socket.SHUT_WR)
            with suppress(GatewayError):
                while self.recv(_READ_BYTES):
                    pass
                return
            gevent.sleep(REST_S)  # nothing more is read, but the client may still read

    def _limit_rest(self) -> None:
        if self._until == math.inf:
            self._left, self._until = REST_BYTES, time.monotonic() + REST_S


class _Chunks(ChunkedReader):  # type: ignore[misc]
    """gunicorn's reader of chunks; a chunk with which the body becomes too large is refused when it
    announces that.
    """

    def __init__(self, req: Any, unreader: Any, max_body_bytes: int) -> None:
        super().__init__(req, unreader)
        self._left = max_body_bytes

    def read(self, size: int) -> bytes:
        """Raises BadRequest in place of gunicorn's own errors, which the app does not know."""
        try:
            data: bytes = super().read(size)
        except ParseException as error:
            raise cut_off() from error
        return data

    def parse_chunk_size(
        self, unreader: Any, data: bytes | None = None
    ) -> tuple[int, bytes | None]:
        size, rest = super().parse_chunk_size(unreader, data)
        self._left -= size
        if self._left < 0:
            raise too_large()
        return size, rest


def _names_close(req: Any) -> bool:
    """True if one of several words about the connection is to close it: gunicorn knows single ones.
    Source: RFC 9110, 7.6.1.
    """
    return any(
        name == "CONNECTION"
        and "," in value
        and "close" in (word.strip(" \t").lower() for word in value.split(","))
        for name, value in req.headers
    )


def is_in(req: Any) -> bool:
    """True if the whole body of a request, of a known length, has come with its head."""
    held = req.unreader.take_buffered()
    req.unreader.unread(held)
    return 0 < getattr(req.body.reader, "length", 0) <= len(held)


def is_unread(body: Any) -> bool:
    """True if more of a body may come: some of its length, or the last chunk, is missing."""
    return getattr(body.reader, "length", 0) > 0 or getattr(body.reader, "parser", None) is not None
