"""Reads an answer from its socket up to a deadline, and tells if it ended exactly: only then may
its connection serve another request.

http.client reads over `100 Continue` alone, takes the first of two lengths, and never looks at what
is left in its buffer. Source: RFC 9112, 6.3 and 9.2; RFC 9110, 15.2.
"""

from __future__ import annotations

import http.client
import io
import math
import re
import ssl
import time
from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from http.client import HTTPException
from typing import Any

from urllib3.util.ssltransport import SSLTransport
from urllib3.util.wait import wait_for_read

_MAX_HEAD_BYTES = 1024 * 1024  # with all interim answers
_MAX_INTERIM = 100
_BUFFER_BYTES = 2 * 1024  # a head, as a rule with the body's beginning; each running answer has one
_LENGTH = re.compile(r"[0-9]{1,18}")
# Some servers send a body with them all the same, perhaps after the answer was read.
_BODILESS = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


class Answer(http.client.HTTPResponse):
    """An answer that is read until `reader.until`, on the monotonic clock."""

    def __init__(
        self, sock: Any, debuglevel: int = 0, method: str | None = None, *, until: float
    ) -> None:
        super().__init__(sock, debuglevel, method)
        self._is_to_head = method == "HEAD"
        self.reader = reader_of(sock, until)
        self._file = AnswerFile(self.fp.detach(), self.reader)
        self._file.max_bytes = _MAX_HEAD_BYTES
        self.fp = io.BufferedReader(self._file, _BUFFER_BYTES)
        self._is_plain = False  # in where its body ends
        self.ended_exactly = False

    def begin(self) -> None:
        super().begin()
        self._file.max_bytes = None
        self._read_framing()

    def end(self) -> None:
        """Note that the body was read to its end, from `fp` and `reader`."""
        self._close_conn()

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(_MAX_INTERIM):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200:
                return version, status, reason
            if status == HTTPStatus.SWITCHING_PROTOCOLS:  # no request asks for that
                break
            http.client.parse_headers(self.fp)
        raise http.client.BadStatusLine("interim answers without end")

    def _read_framing(self) -> None:
        """Find the body's end as the standard has it. Raises HTTPException if it is not clear."""
        names = {name.lower() for name in self.headers.keys()}  # noqa: SIM118  without what reading the values costs
        codings, lengths = "", set[str]()
        if "transfer-encoding" in names:
            codings = ", ".join(self.headers.get_all("Transfer-Encoding", ())).strip().lower()
        if "content-length" in names:
            values = self.headers.get_all("Content-Length", ())
            lengths = {length.strip() for value in values for length in value.split(",")}
        if codings not in ("", "identity", "chunked"):
            raise http.client.HTTPException("the answer's transfer coding is not known")
        if len(lengths) > 1 or not all(_LENGTH.fullmatch(length) for length in lengths):
            raise http.client.HTTPException("the answer's length cannot be told")
        is_chunked = codings == "chunked"
        # both: a proxy on the way may have understood it otherwise
        self._is_plain = not (is_chunked and lengths)
        if self.status in _BODILESS or self._is_to_head:
            self.chunked = False
        elif is_chunked != self.chunked or (
            lengths and self.length is None and not is_chunked
        ):  # said oddly, or twice alike
            self.chunked, self.chunk_left = is_chunked, None
            self.length = None if is_chunked else int(lengths.pop())
            self.will_close = self._check_close()  # type: ignore[attr-defined]

    def _close_conn(self) -> None:
        is_kept = self.version == 11 and not self._is_to_head and self.status not in _BODILESS
        has_ended = is_kept and self._is_plain and not self.length
        self.ended_exactly = has_ended and not self._file.has_unread(self.fp)
        super()._close_conn()  # type: ignore[misc]


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


class AnswerFile(io.RawIOBase):
    """The file that http.client reads an answer from. `file` keeps the socket open for as long as
    this is.
    """

    def __init__(self, file: io.RawIOBase, reader: SocketReader) -> None:
        self._file = file
        self._reader = reader
        self._is_paused = False
        self._received = 0
        self.max_bytes: int | None = None  # that may be read in all

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._is_paused:
            return None  # io's word for "nothing yet"
        data = self._reader.read1(len(buffer))
        self._received += len(data)
        if self.max_bytes is not None and self._received > self.max_bytes:
            raise HTTPException("the answer's head is too large")
        buffer[: len(data)] = data
        return len(data)

    def has_unread(self, buffered: io.BufferedReader) -> bool:
        """True if the buffer in front of this file holds bytes; nothing is read for it."""
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
    """The cheapest reader for this socket; gevent is loaded for its own sockets alone."""
    return _reader_kind(type(sock).__mro__)(sock, until)


@cache
def _reader_kind(kinds: tuple[type, ...]) -> type[SocketReader]:
    if any(kind.__module__.startswith("gevent.") for kind in kinds):
        from gbproxy.outbound.gevent_reader import GeventReader

        return GeventReader
    return SocketReader


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
