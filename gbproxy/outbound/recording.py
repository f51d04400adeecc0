"""Records the exchanges of an `HttpClient`, to the byte and with their times, for a capture."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gbproxy.errors import GatewayError
from gbproxy.outbound.client import HttpClient, Outgoing, Send
from gbproxy.outbound.reply import StreamedReply
from gbproxy.outbound.timeouts import DEFAULT_TIMEOUTS, Timeouts


@dataclass(slots=True)
class Exchange:
    """One request and what came back. Times are on the monotonic clock, in seconds; pieces are of
    the decoded body.

    `status` is None when no answer came, and `error` says why; `is_complete` when the body was read
    to its end.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    sent_at: float
    answered_at: float = 0.0
    status: int | None = None
    reason: str = ""
    reply_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    pieces: list[tuple[float, bytes]] = field(default_factory=list, repr=False)
    ended_at: float = 0.0
    is_complete: bool = False
    error: str = ""

    def note(self, piece: bytes) -> None:
        """A piece was read; b"" is the end."""
        now = time.monotonic()
        if piece:
            self.pieces.append((now, piece))
        else:
            self.ended_at, self.is_complete = now, True

    def header(self, name: str) -> str:
        """A header of the answer, by its name in any case; "" for none."""
        return next(
            (value for known, value in self.reply_headers if known.lower() == name.lower()), ""
        )

    @property
    def reply_body(self) -> bytes:
        return b"".join(piece for _, piece in self.pieces)


class RecordingHttpClient(HttpClient):
    """An `HttpClient` that keeps every exchange, in the order in which they began."""

    def __init__(self, timeouts: Timeouts = DEFAULT_TIMEOUTS, **options: Any) -> None:
        super().__init__(timeouts, **options)
        self.exchanges: list[Exchange] = []

    @contextmanager
    def _stream(self, send: Send, asked: Outgoing, timeouts: Timeouts) -> Iterator[StreamedReply]:
        sent = asked.body if isinstance(asked.body, bytes) else b"".join(asked.body or ())
        exchange = Exchange(asked.method, asked.url, dict(asked.headers), sent, time.monotonic())
        self.exchanges.append(exchange)
        try:
            with super()._stream(send, asked, timeouts) as reply:
                exchange.answered_at = time.monotonic()
                exchange.status, exchange.reason = reply.status, reply.reason
                exchange.reply_headers = reply.header_pairs
                reply.observe(exchange.note)
                yield reply
        except GatewayError as error:
            if exchange.status is None or not exchange.is_complete:
                exchange.error = error.message
            raise
        finally:
            exchange.ended_at = exchange.ended_at or time.monotonic()
