"""What is measured and logged of one request on its way through the gateway."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from gbproxy.observability.traceparent import TraceContext

_merging = threading.Lock()
_SUMMED = ("answer_chars", "output_tokens")  # of all answers to one request


class Phase(Enum):
    """How far a request is; a client that leaves is counted by it."""

    WAITING = "waiting"  # for an account, or for what comes before that
    CONNECTING = "connecting"  # signing in, opening a session, up to the question's last byte
    FIRST_BYTE = "first_byte"  # asked, and nothing to show yet
    STREAMING = "streaming"


@dataclass(slots=True)
class RequestContext:
    """Filled by every module that the request passes; read by the log line and the response
    headers.

    `upstream_s` is the time spent waiting on the upstream, `queued_s` on a free account: what
    remains of the elapsed time is the gateway's own. `conversation` is the id by which the answer's
    conversation can be continued. `accounts` counts those that were leased, `failures` are the
    codes of attempts that failed, each with Google's status word, "" without one. `log_fields`
    become fields of the `request.done` event. `until` is the request's deadline on the monotonic
    clock; `has_elsewhere` is True while an account beside the leased one may serve it.
    """

    request_id: str = "-"
    trace: TraceContext | None = None
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
    log_fields: dict[str, Any] = field(default_factory=dict)
    until: float = math.inf
    has_elsewhere: Callable[[], bool] = lambda: False
    is_child: bool = False  # one of several answers to a request
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
        """From now on the gateway waits for the upstream."""
        self._waiting_since = time.perf_counter()

    def wait_ends(self) -> None:
        if self._waiting_since is not None:
            self.upstream_s += time.perf_counter() - self._waiting_since
            self._waiting_since = None

    def limit_time(self, timeout_s: float) -> None:
        """Set the deadline, unless that of the whole request holds."""
        if not self.is_child:
            self.until = time.monotonic() + timeout_s

    def is_over(self) -> bool:
        """True once the request has taken all the time that it may."""
        return time.monotonic() >= self.until

    def elapsed_ms(self) -> float:
        return (time.perf_counter() - self.started) * 1000

    def overhead_ms(self) -> float:
        """The gateway's own part of the time, in milliseconds."""
        now = time.perf_counter()
        waiting_s = now - self._waiting_since if self._waiting_since is not None else 0.0
        return max(0.0, now - self.started - self.upstream_s - self.queued_s - waiting_s) * 1000

    def merge(self, child: RequestContext) -> None:
        """Add what one of several answers to this request took, at its end. Safe for use by many
        threads at once.
        """
        with _merging:
            self._merge(child)

    def _merge(self, child: RequestContext) -> None:
        self.upstream_s += child.upstream_s
        self.queued_s += child.queued_s
        self.attempts += child.attempts
        self.accounts += child.accounts
        self.failures += child.failures
        first_ms = [ms for ms in (self.ttft_ms, child.ttft_ms) if ms is not None]
        self.ttft_ms = min(first_ms, default=None)
        sums = {
            name: self.log_fields.get(name, 0) + child.log_fields[name]
            for name in _SUMMED
            if name in child.log_fields
        }
        self.log_fields |= child.log_fields | sums


_current: ContextVar[RequestContext | None] = ContextVar("gbproxy_request", default=None)


def begin(request_id: str, trace: TraceContext | None = None) -> RequestContext:
    """Start a new request context in this context. A keep-alive connection's next request replaces
    it.
    """
    started = RequestContext(request_id, trace)
    _current.set(started)
    return started


def current() -> RequestContext:
    """The request context, or a fresh one that is not read (background work, use as a library)."""
    return _current.get() or RequestContext()


@contextmanager
def child() -> Iterator[RequestContext]:
    """One of several answers to the current request: it goes by the same id, ends at the same
    deadline, and what it took is added to the request's log line.

    For the thread that makes this answer; the request's own context is current again behind it.
    """
    parent = current()
    made = RequestContext(
        parent.request_id,
        parent.trace,
        started=parent.started,
        until=parent.until,
        is_child=True,
    )
    token = _current.set(made)
    try:
        yield made
    finally:
        _current.reset(token)
        parent.merge(made)
