"""A client's connection: cheap writes, heartbeats between two of them, an end for stalled
clients.
"""

from __future__ import annotations

import errno
import socket
from contextlib import suppress

import gevent.socket

_UNSENT_BYTES = 128 * 1024
_STALLED_S = 120.0  # a client that has read nothing for so long is taken for gone


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
    """Let the system take in little of what the clients of this socket have not asked for yet.

    Left to itself it takes megabytes for each that does not read, and as much more of the answer is
    made, and remembered.
    """
    with suppress(OSError, AttributeError):  # not every system has this
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
