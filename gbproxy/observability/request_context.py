"""What is measured and noted about one request on its way through the house."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from gbproxy.observability.traceparent import TraceContext


class Phase(Enum):
    """How far a request has come; where a client leaves is told by it."""

    WAITING = "waiting"  # for an account, or for what comes before that
    CONNECTING = "connecting"  # signing in, opening a session, up to the question's last byte
    FIRST_BYTE = "first_byte"  # asked, and nothing to show yet
    STREAMING = "streaming"


@dataclass(slots=True)
class RequestContext:
    """Filled by every room that the request passes; read by the access line and the response
    headers.

    `upstream_s` is the time spent waiting on the upstream, `queued_s` on a free account: what
    remains of the elapsed time is the gateway's own. `conversation` is the id under which the
    answer's conversation can be continued. `accounts` counts those that were lent, `failures` are
    the codes of attempts that failed, each with Google's status word, "" where it said none.
    `facts` become fields of the `request.done` event. `until` is the request's deadline on the
    monotonic clock; `has_elsewhere` says whether an account beside the one that is lent may serve
    it.
    """

    request_id: str = "-"
    context: TraceContext | None = None
    started: float = field(default_factory=time.perf_counter)
    upstream_s: float = 0.0
    queued_s: float = 0.0
    phase: Phase = Phase.WAITING
    attempts: int = 0
    accounts: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    ttft_ms: float | None = None
    conversation: str | None = None
    has_told_conversation: bool = False  # the response headers are out
    facts: dict[str, Any] = field(default_factory=dict)
    until: float = math.inf
    has_elsewhere: Callable[[], bool] = lambda: False
    _waiting_since: float | None = None
    _asks: bool = False

    def asks(self) -> None:
        """The next request that goes out is the question itself."""
        self._asks = True

    def has_sent(self) -> None:
        """A request has gone out as a whole."""
        if self._asks:
            self._asks, self.phase = False, Phase.FIRST_BYTE

    def wait_begins(self) -> None:
        """From now on the upstream has the word."""
        self._waiting_since = time.perf_counter()

    def wait_ends(self) -> None:
        if self._waiting_since is not None:
            self.upstream_s += time.perf_counter() - self._waiting_since
            self._waiting_since = None

    def is_over(self) -> bool:
        """Whether the request has taken all the time that it may."""
        return time.monotonic() >= self.until

    def elapsed_ms(self) -> float:
        return (time.perf_counter() - self.started) * 1000

    def overhead_ms(self) -> float:
        now = time.perf_counter()
        waiting_s = now - self._waiting_since if self._waiting_since is not None else 0.0
        return max(0.0, now - self.started - self.upstream_s - self.queued_s - waiting_s) * 1000


_current: ContextVar[RequestContext | None] = ContextVar("gbproxy_trace", default=None)


def begin(request_id: str, context: TraceContext | None = None) -> RequestContext:
    """Start a new request context in this context. A keep-alive connection's next request replaces it."""
    started = RequestContext(request_id, context)
    _current.set(started)
    return started


def current() -> RequestContext:
    """The request context, or a fresh one that nobody reads (background work, use as a library)."""
    return _current.get() or RequestContext()
