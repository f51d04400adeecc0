"""Reads a socket up to a deadline, by the cheapest way that its kind allows."""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from urllib3.util.ssltransport import SSLTransport
from urllib3.util.wait import wait_for_read


class SocketReader:
    """Gives what has come to a socket, and waits for it until `until` (seconds of the monotonic
    clock).

    The socket is not blocking while it is read: left to themselves, TLS and gevent begin their
    timeout anew with each byte of a record that arrives in parts. `close` makes it as it was. For
    one reader at a time.
    """

    def __init__(self, sock: Any, until: float) -> None:
        self.until = until
        self._sock = sock
        self._timeout_s = sock.gettimeout()
        sock.settimeout(0)
        self._has_buffered = _buffer_check(type(sock).__mro__)
        self._may_have_more = self._has_buffered(sock)

    def read1(self, size: int) -> bytes:
        """Wait for bytes and return at most `size` of them; b"" at the end. Raises TimeoutError and
        OSError.
        """
        while True:
            if not self._may_have_more:
                self._wait_for_bytes()
            else:
                self.give_way()
                if time.monotonic() >= self.until:
                    raise TimeoutError("timed out")
            try:
                data: bytes = self._sock.recv(size)
            except (BlockingIOError, ssl.SSLWantReadError):  # a part of a TLS record, or a ticket
                self._may_have_more = False
                continue
            # Behind a full read and inside a TLS record there may be more that no poll shows.
            self._may_have_more = len(data) == size or self._has_buffered(self._sock)
            return data

    def give_way(self) -> None:
        """Let other greenlets run when that is due; nothing where threads read."""

    def close(self) -> None:
        """Make the socket blocking again, as it was."""
        self._sock.settimeout(self._timeout_s)

    def _wait_for_bytes(self) -> None:
        left_s = self.until - time.monotonic()
        if left_s <= 0 or not wait_for_read(self._sock, None if left_s == math.inf else left_s):
            raise TimeoutError("timed out")


def has_buffered(sock: Any) -> bool:
    """True if TLS holds bytes that were not read yet, which no poll of the socket shows."""
    return _buffer_check(type(sock).__mro__)(sock)


@cache
def _buffer_check(kinds: tuple[type, ...]) -> Callable[[Any], bool]:
    """The check for this class of socket. Cached: a look for an attribute that is missing costs as
    much as a small read.
    """
    if SSLTransport in kinds:
        return _has_transport_buffered
    return _has_pending if any("pending" in vars(kind) for kind in kinds) else _has_nothing


def _has_pending(sock: Any) -> bool:
    return sock.pending() > 0  # type: ignore[no-any-return]


def _has_transport_buffered(sock: Any) -> bool:
    return bool(sock.incoming.pending or sock.sslobj.pending()) or has_buffered(sock.socket)


def _has_nothing(sock: Any) -> bool:
    return False
