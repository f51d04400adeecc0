"""One connection: requests are read from it, bytes written to it.

A hand-written HTTP/1.1, because a framework cannot hold back headers, break a chunk or reset. Only
the connection's own thread reads and writes, and notices at once that the peer left; `interrupt`
may be called from any other.
"""

from __future__ import annotations

import contextlib
import math
import socket
import ssl
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

HEAD_LIMIT_BYTES = 65_536
BODY_LIMIT_BYTES = 256 * 1024 * 1024
_LONGEST_WAIT_S = 3600.0
_TLS_HANDSHAKE = b"\x16"


class PeerLeftError(Exception):
    """The other side closed or reset the connection, or the simulator is being closed."""


class BadRequestError(Exception):
    """The peer does not speak HTTP; the connection cannot be used any further."""


class Headers(Mapping[str, str]):
    """Header fields by name, whatever their case; repeated ones are joined."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = tuple(pairs)
        self._values: dict[str, str] = {}
        for name, value in pairs:
            key = name.lower()
            glue = "; " if key == "cookie" else ", "
            self._values[key] = self._values[key] + glue + value if key in self._values else value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Headers({list(self.pairs)!r})"


@dataclass(frozen=True)
class Request:
    """One request; `path` is percent-decoded, `query` keeps the last of repeated names."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Headers
    body: bytes
    keep_alive: bool

    @property
    def cookies(self) -> dict[str, str]:
        pairs = (part.strip().partition("=") for part in self.headers.get("cookie", "").split(";"))
        return {name: value for name, equals, value in pairs if equals}

    def accepts_gzip(self) -> bool:
        return "gzip" in self.headers.get("accept-encoding", "")


class Connection:
    """An accepted socket. Every failure to read or write is a PeerLeftError."""

    def __init__(self, sock: socket.socket, number: int, peer_host: str) -> None:
        self.number = number
        self.peer_host = peer_host
        self._socket = sock
        self._buffer = bytearray()

    def handshake(self, context: ssl.SSLContext, timeout_s: float = 10.0) -> None:
        """Put TLS on the connection; a client that refuses the certificate has left."""
        self._socket.settimeout(timeout_s)
        try:
            self._socket = context.wrap_socket(
                self._socket, server_side=True, do_handshake_on_connect=False
            )
            assert isinstance(self._socket, ssl.SSLSocket)  # noqa: S101  for the type checker
            self._socket.do_handshake()
        except (OSError, ValueError) as error:
            raise PeerLeftError from error

    def begins_tls(self, timeout_s: float = 10.0) -> bool:
        """True if the first byte, which is left unread, opens TLS. Raises PeerLeftError."""
        try:
            self._socket.settimeout(timeout_s)
            return self._socket.recv(1, socket.MSG_PEEK) == _TLS_HANDSHAKE
        except OSError as error:
            raise PeerLeftError from error

    def read_request(self) -> Request | None:
        """The next request, or None when the peer ended the connection between two requests."""
        try:
            head = self._read_head()
        except PeerLeftError:
            if self._buffer:
                raise
            return None
        lines = head.decode("latin-1").split("\r\n")
        try:
            method, target, version = lines[0].split(" ")
        except ValueError as error:
            raise BadRequestError("no request line") from error
        headers = Headers([_field(line) for line in lines[1:] if line])
        if headers.get("expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        parts = urlsplit(target)
        return Request(
            method=method,
            path=unquote(parts.path),
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers=headers,
            body=self._read_body(headers),
            keep_alive=version == "HTTP/1.1" and headers.get("connection", "").lower() != "close",
        )

    def send(self, data: bytes) -> None:
        """Write all of `data` at once. Raises PeerLeftError."""
        try:
            self._socket.settimeout(None)
            self._socket.sendall(data)
        except (OSError, ValueError) as error:
            raise PeerLeftError from error

    def wait(self, seconds: float = math.inf) -> None:
        """Stay silent for so many seconds. Raises PeerLeftError as soon as the peer leaves.

        What the peer sends meanwhile is kept for the next request.
        """
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                self._receive(min(left, _LONGEST_WAIT_S))

    def finish(self) -> None:
        """End the connection with FIN; under TLS without an alert, as when a proxy gives up."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_WR)
        self._close()

    def shut_down(self) -> None:
        """End the connection in good order: with TLS the closing alert comes first."""
        if isinstance(self._socket, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):
                self._socket.settimeout(0.0)
                self._socket.unwrap()
        self.finish()

    def reset(self) -> None:
        """End the connection with RST."""
        with contextlib.suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._close()

    def interrupt(self) -> None:
        """Make the connection's own thread, waiting or writing, see a peer that left."""
        # Not SSLSocket.shutdown: that takes the TLS object away from under the reading thread.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()

    def _receive(self, timeout_s: float | None = None) -> None:
        """Take what comes next into the buffer. Raises TimeoutError or PeerLeftError."""
        try:
            self._socket.settimeout(timeout_s)
            data = self._socket.recv(65_536)
        except TimeoutError:
            raise
        except (OSError, ValueError) as error:
            raise PeerLeftError from error
        if not data:
            raise PeerLeftError
        self._buffer += data

    def _read_head(self) -> bytes:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > HEAD_LIMIT_BYTES:
                raise BadRequestError("head too large")
            self._receive()
        return self._take(end + 4)[:end]

    def _read_body(self, headers: Headers) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return b"".join(self._read_chunks())
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > BODY_LIMIT_BYTES:
            raise BadRequestError("bad Content-Length")
        return self._read_exactly(int(length))

    def _read_chunks(self) -> Iterator[bytes]:
        while True:
            line = self._read_line().partition(b";")[0].strip()
            try:
                size = int(line, 16)
            except ValueError as error:
                raise BadRequestError("bad chunk size") from error
            if size == 0:
                while self._read_line():
                    pass  # trailers
                return
            yield self._read_exactly(size)
            self._read_line()

    def _read_line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._receive()
        return self._take(end + 2)[:end]

    def _read_exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._receive()
        return self._take(size)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name.strip():
        raise BadRequestError("bad header line")
    return name.strip(), value.strip()
