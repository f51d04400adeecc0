"""What is measured and noted about one request on its way through the house."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Trace:
    """Filled by every room that the request passes; read by the access line and the response headers.

    `upstream_s` is the time spent waiting on the upstream, `queued_s` on a free account: what remains of the elapsed time
    is the gateway's own. `conversation` is the id under which the answer's conversation can be continued.
    `facts` become fields of the `request.done` event.
    """

    request_id: str = "-"
    started: float = field(default_factory=time.perf_counter)
    upstream_s: float = 0.0
    queued_s: float = 0.0
    attempts: int = 0
    ttft_ms: float | None = None
    conversation: str | None = None
    has_told_conversation: bool = False  # the response headers are out
    facts: dict[str, Any] = field(default_factory=dict)
    _waiting_since: float | None = None

    def wait_begins(self) -> None:
        """From now on the upstream has the word."""
        self._waiting_since = time.perf_counter()

    def wait_ends(self) -> None:
        if self._waiting_since is not None:
            self.upstream_s += time.perf_counter() - self._waiting_since
            self._waiting_since = None

    def elapsed_ms(self) -> float:
        return (time.perf_counter() - self.started) * 1000

    def overhead_ms(self) -> float:
        now = time.perf_counter()
        waiting_s = now - self._waiting_since if self._waiting_since is not None else 0.0
        return max(0.0, now - self.started - self.upstream_s - self.queued_s - waiting_s) * 1000


_current: ContextVar[Trace | None] = ContextVar("gbproxy_trace", default=None)


def begin(request_id: str) -> Trace:
    """Start a new trace in this context. A keep-alive connection's next request replaces it."""
    trace = Trace(request_id)
    _current.set(trace)
    return trace


def current() -> Trace:
    """The request's trace, or a fresh one that nobody reads (background work, use as a library)."""
    return _current.get() or Trace()
