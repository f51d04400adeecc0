"""Answers of other people's servers: whole, or still arriving."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass

import urllib3.exceptions

from gbproxy.errors import UpstreamProtocolError
from gbproxy.observability import request_context
from gbproxy.outbound.answer import Answer
from gbproxy.outbound.body import Body, ObservedBody, body_of
from gbproxy.outbound.errors import reraise
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
    """An answer whose body is still arriving. Of requests' response only the answer is kept: the
    rest (the request, cookies) is 6 KB, for as long as an answer may take.
    """

    def __init__(self, answer: Answer, deadline: Deadline) -> None:
        self.status = answer.status
        self.reason = answer.reason
        self._answer = answer
        self._body: Body = body_of(answer)
        self._reader = answer.reader
        self._limits = deadline
        self._until = deadline.until

    @property
    def headers(self) -> Mapping[str, str]:
        """By their names in any case."""
        return self._answer.headers

    def observe(self, note: Callable[[bytes], None]) -> None:
        """Have `note` called with each piece as it is read, with b"" at the end."""
        self._body = ObservedBody(self._body, note)

    @property
    def header_pairs(self) -> tuple[tuple[str, str], ...]:
        """The headers as they came, those of one name one by one."""
        return self._answer.header_pairs

    @property
    def set_cookies(self) -> tuple[str, ...]:
        return tuple(
            value for name, value in self._answer.header_pairs if name.lower() == "set-cookie"
        )

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
        """Yield the pieces of `read` until the end."""
        while data := self.read():
            yield data

    def give_way(self) -> None:
        """Let other requests run when that is due: for long work on the bytes of one `read`."""
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
        """Read the formal end of a body that is known to be whole, so that the connection is kept;
        waits 50 ms at most.
        """
        self._reader.until = time.monotonic() + _LINGER_S
        try:
            while self._body.read():
                pass
        except (urllib3.exceptions.HTTPError, OSError):
            self._answer.close()

    def close(self) -> None:
        """Release the connection; it is closed if the answer was not read to its end."""
        self._answer.close()
