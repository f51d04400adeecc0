"""Answers: whole, or still arriving."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass

import requests
import urllib3.exceptions

from gbproxy.errors import UpstreamProtocolError, UpstreamTimeout
from gbproxy.observability import trace
from gbproxy.outbound.body import Body, ObservedBody, body_of
from gbproxy.outbound.faults import Timeouts, reraise, what_took_too_long

MAX_BODY_BYTES = 4 * 1024 * 1024
_LINGER_S = 0.05  # how long the end of a body that is already whole may take


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer; header names are matched in any case."""

    status: int
    headers: Mapping[str, str]
    set_cookies: tuple[str, ...]
    body: bytes


class StreamedReply:
    """An answer whose body is still arriving."""

    def __init__(self, response: requests.Response, timeouts: Timeouts, started: float) -> None:
        self.status = response.status_code
        self.reason = response.reason or ""
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._raw = response.raw
        self._body: Body = body_of(response.raw)
        self._timeouts = timeouts
        self._begun = started
        self._silence_s = timeouts.read_s

    def observe(self, note: Callable[[bytes], None]) -> None:
        """Have `note` called with each piece as it is read, with b"" at the end."""
        self._body = ObservedBody(self._body, note)

    @property
    def header_pairs(self) -> tuple[tuple[str, str], ...]:
        """As they came, those of one name one by one."""
        return tuple(self._raw.headers.iteritems())

    @property
    def set_cookies(self) -> tuple[str, ...]:
        return tuple(self._raw.headers.getlist("Set-Cookie"))

    def read(self) -> bytes:
        """Wait for the next piece of the decoded body, as it arrives; b"" at the end.

        Raises UpstreamTimeout on silence or when the whole answer takes too long, UpstreamError when the connection breaks.
        """
        measured = trace.current()
        left_s = self._begun + self._timeouts.request_s - time.perf_counter()
        if left_s <= 0:
            raise UpstreamTimeout(what_took_too_long(self._timeouts, self._timeouts.request_s))
        if left_s < self._silence_s:
            self._set_timeout(left_s)
        measured.wait_begins()
        try:
            return self._body.read()
        except Exception as error:  # noqa: BLE001  raised again, in our words
            reraise(error, self._timeouts, self._begun)
        finally:
            measured.wait_ends()

    def reads(self) -> Generator[bytes]:
        """What `read` gives, until the end."""
        while data := self.read():
            yield data

    def read_body(self, limit: int = MAX_BODY_BYTES) -> bytes:
        """Read what is left. Raises UpstreamProtocolError beyond `limit` bytes."""
        pieces: list[bytes] = []
        size = 0
        for piece in self.reads():
            size += len(piece)
            if size > limit:
                raise UpstreamProtocolError(f"the upstream's answer is larger than {limit} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    def limit_silence(self, seconds: float) -> None:
        """From now on let the upstream be silent for so long only."""
        self._silence_s = seconds
        self._set_timeout(seconds)

    def finish(self) -> None:
        """The body is known to be whole: read its formal end, so that the connection is kept, but hardly wait for it."""
        self.limit_silence(_LINGER_S)
        try:
            while self._body.read():
                pass
        except (urllib3.exceptions.HTTPError, OSError):
            self._raw.close()

    def close(self) -> None:
        """Let go of the answer; of a connection whose answer was not read to its end, too."""
        self._body.close()
        self._response.close()

    def _set_timeout(self, seconds: float) -> None:
        sock = getattr(self._raw.connection, "sock", None)
        if sock is None:  # a connection that ends with its answer has left its socket to the file that reads it
            sock = getattr(getattr(getattr(self._raw, "_fp", None), "fp", None), "raw", None)
            sock = getattr(sock, "_sock", None)
        if sock is not None:
            sock.settimeout(seconds)
