"""Answers: whole, or still arriving."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

import requests
import urllib3.exceptions

from gbproxy.errors import UpstreamProtocolError
from gbproxy.observability import request_context
from gbproxy.outbound.body import Body, ObservedBody, body_of
from gbproxy.outbound.errors import reraise
from gbproxy.outbound.reader import SocketReader
from gbproxy.outbound.timeouts import Deadline

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

    def __init__(self, response: requests.Response, deadline: Deadline) -> None:
        self.status = response.status_code
        self.reason = response.reason or ""
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._raw: Any = response.raw
        self._body: Body = body_of(response.raw)
        self._reader: SocketReader = response.raw._fp.reader  # type: ignore[union-attr]  # our own class (connections.py)
        self._limits = deadline
        self._until = deadline.until

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

        Raises UpstreamTimeout when nothing of the body came for too long, whatever else did, or
        when the whole answer takes too long; UpstreamError when the connection breaks.
        """
        context = request_context.current()
        now = time.monotonic()
        if now >= self._until:
            raise self._limits.overrun()
        self._reader.until = min(now + self._limits.timeouts.read_s, self._until)
        context.begin_wait()
        try:
            return self._body.read()
        except Exception as error:  # noqa: BLE001  raised again, in our words
            reraise(error, self._limits)
        finally:
            context.end_wait()

    def reads(self) -> Generator[bytes]:
        """What `read` gives, until the end."""
        while data := self.read():
            yield data

    def give_way(self) -> None:
        """Let others have their turn when that is due: for whoever works for long on what one
        `read` gave.
        """
        self._reader.give_way()

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

    def limit_rest(self, seconds: float) -> None:
        """From now on all that is still to come may take so long only."""
        self._until = min(self._until, time.monotonic() + seconds)

    def finish(self) -> None:
        """The body is known to be whole: read its formal end, so that the connection is kept, but
        hardly wait for it.
        """
        self._reader.until = time.monotonic() + _LINGER_S
        try:
            while self._body.read():
                pass
        except (urllib3.exceptions.HTTPError, OSError):
            self._raw.close()

    def close(self) -> None:
        """Let go of the answer; of a connection whose answer was not read to its end, too."""
        self._response.close()
