"""Reads a socket up to a deadline, however slowly its bytes arrive."""

from __future__ import annotations

import io
import math
import ssl
import time
from collections.abc import Callable
from functools import cache
from http.client import HTTPException
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
        self._has_buffered = _look_into(type(sock).__mro__)
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
            # Behind a full read and inside a TLS record there may be more that no poll of the
            # socket tells.
            self._may_have_more = len(data) == size or self._has_buffered(self._sock)
            return data

    def give_way(self) -> None:
        """Let others have their turn when that is due, where one reader holds up all."""

    def close(self) -> None:
        """Nothing is read any more."""
        self._sock.settimeout(self._timeout_s)

    def _wait_for_bytes(self) -> None:
        left_s = self.until - time.monotonic()
        if left_s <= 0 or not wait_for_read(self._sock, None if left_s == math.inf else left_s):
            raise TimeoutError("timed out")


class AnswerFile(io.RawIOBase):
    """What http.client reads an answer from. `file` keeps the socket open for as long as this
    is.
    """

    def __init__(self, file: io.RawIOBase, reader: SocketReader) -> None:
        self._file = file
        self._reader = reader
        self._is_paused = False
        self._received = 0
        self.most_bytes: int | None = None  # that may be read in all

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._is_paused:
            return None  # io's word for "nothing yet"
        data = self._reader.read1(len(buffer))
        self._received += len(data)
        if self.most_bytes is not None and self._received > self.most_bytes:
            raise HTTPException("the answer's head is too large")
        buffer[: len(data)] = data
        return len(data)

    def has_left(self, buffered: io.BufferedReader) -> bool:
        """Whether the buffer in front of this file holds bytes; nothing is read for it."""
        self._is_paused = True
        try:
            return bool(buffered.peek(1))
        finally:
            self._is_paused = False

    def close(self) -> None:
        if not self.closed:
            self._reader.close()
            self._file.close()
        super().close()


def reader_of(sock: Any, until: float) -> SocketReader:
    """The cheapest reader for this socket; nobody but gevent's own sockets loads gevent for it."""
    return _kind_for(type(sock).__mro__)(sock, until)


@cache
def _kind_for(kinds: tuple[type, ...]) -> type[SocketReader]:
    if any(kind.__module__.startswith("gevent.") for kind in kinds):
        from gbproxy.outbound.gevent_reader import GeventReader

        return GeventReader
    return SocketReader


def has_buffered(sock: Any) -> bool:
    """Whether TLS has taken in bytes that were not read yet, which no poll of the socket tells."""
    return _look_into(type(sock).__mro__)(sock)


@cache
def _look_into(kinds: tuple[type, ...]) -> Callable[[Any], bool]:
    """By the socket's kind: to look for an attribute that is not there costs as much as a small
    read.
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
