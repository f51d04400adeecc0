"""The context of one request on its way through the gateway: what is measured and logged of it, its
trace, and its deadline, within which `result_in_time` waits.
"""

from __future__ import annotations

import math
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from gbproxy.errors import AccountStalled, GatewayError, UpstreamTimeout

if TYPE_CHECKING:
    from gbproxy.observability.audit import Actor
    from gbproxy.observability.telemetry import RequestSpans

T = TypeVar("T")

_merging = threading.Lock()
_SUMMED = ("answer_chars", "output_tokens", "uploaded_bytes")  # of all answers to one request
_RECHECK_S = 1.0  # between looks for another account
# A later version may have further fields behind these four.
_FORM = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(-.*)?"
)
_KNOWN_FLAGS = 0x03  # sampled, random


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The trace that a request belongs to: `trace_id` as it came; `header` goes upstream with every
    call that is made for the request.
    """

    trace_id: str
    header: str


class Phase(Enum):
    """The progress of a request; a client that leaves early is counted by it."""

    WAITING = "waiting"  # for an account, or for what comes before that
    CONNECTING = "connecting"  # signing in, opening a session, sending the question
    FIRST_BYTE = "first_byte"  # the question was sent, and no event has come yet
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
    clock; `base_url`: where the client has reached the gateway, "" without a server.
    `has_elsewhere` is True while an account beside the leased one may serve it.
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
    conversation_sent: bool = False  # the response headers are out
    log_fields: dict[str, Any] = field(default_factory=dict)
    until: float = math.inf
    base_url: str = ""
    has_elsewhere: Callable[[], bool] = lambda: False
    spans: RequestSpans | None = None  # while traces are recorded
    actor: Actor | None = None  # the administrator whose request it is
    parent: RequestContext | None = None  # of one of several answers to a request (`n` > 1)
    _waiting_since: float | None = None
    _asks: bool = False

    def note_asking(self) -> None:
        """Record that the next call upstream is the question itself."""
        self._asks = True

    def note_sent(self) -> None:
        """Record that a call upstream was sent whole."""
        if self._asks:
            self._asks, self.phase = False, Phase.FIRST_BYTE

    def note_attempt(self, account_id: str, model_id: str) -> None:
        """Count an attempt; at once for the whole request too, whose headers name the number."""
        self._count_attempt()
        if self.spans is not None:
            self.spans.begin_attempt(account_id, model_id)

    def _count_attempt(self) -> None:
        self.attempts += 1
        if self.parent is not None:
            self.parent._count_attempt()

    def note_failure(self, code: str, status: str) -> None:
        """Record that an attempt has failed; `status`: Google's word, "" without one."""
        self.failures.append((code, status))
        if self.spans is not None:
            self.spans.attempt_failed(code)

    def note_first_token(self) -> None:
        """Record that from now on the client is shown the answer."""
        self.ttft_ms = self.elapsed_ms()
        self.phase = Phase.STREAMING
        if self.spans is not None:
            self.spans.first_token()

    def begin_wait(self) -> None:
        """Begin to count the time as the upstream's."""
        self._waiting_since = time.perf_counter()

    def end_wait(self) -> None:
        if self._waiting_since is not None:
            self.upstream_s += time.perf_counter() - self._waiting_since
            self._waiting_since = None

    def limit_time(self, timeout_s: float) -> None:
        """Set the deadline; a child keeps that of the whole request."""
        if self.parent is None:
            self.until = time.monotonic() + timeout_s

    def is_over(self) -> bool:
        """True once the deadline has passed."""
        return time.monotonic() >= self.until

    def elapsed_ms(self) -> float:
        return (time.perf_counter() - self.started) * 1000

    def overhead_ms(self) -> float:
        """Milliseconds that the gateway took itself."""
        now = time.perf_counter()
        waiting_s = now - self._waiting_since if self._waiting_since is not None else 0.0
        return max(0.0, now - self.started - self.upstream_s - self.queued_s - waiting_s) * 1000

    def merge(self, child: RequestContext) -> None:
        """Add the figures of one of several answers, at its end. Safe for use by many threads at
        once.
        """
        with _merging:
            self._merge(child)

    def _merge(self, child: RequestContext) -> None:
        self.upstream_s += child.upstream_s
        self.queued_s += child.queued_s
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
    """The request's context; outside a request (background, library) a new one that is dropped."""
    return _current.get() or RequestContext()


@contextmanager
def child() -> Iterator[RequestContext]:
    """The context of one of several answers to the current request, for the thread that makes it:
    same id, same deadline; its figures are added to the request's at the end.
    """
    parent = current()
    made = RequestContext(
        parent.request_id,
        parent.trace,
        started=parent.started,
        until=parent.until,
        base_url=parent.base_url,
        spans=None if parent.spans is None else parent.spans.child(),
        parent=parent,
    )
    token = _current.set(made)
    try:
        yield made
    finally:
        _current.reset(token)
        parent.merge(made)


@contextmanager
def part() -> Iterator[RequestContext]:
    """The context of work that is done side by side with other work for the current request. What
    it counts is dropped: the request counts its own waiting.
    """
    whole = current()
    made = RequestContext(
        whole.request_id,
        whole.trace,
        started=whole.started,
        until=whole.until,
        has_elsewhere=whole.has_elsewhere,
    )
    token = _current.set(made)
    try:
        yield made
    finally:
        _current.reset(token)


def result_in_time(
    future: Future[T], what: str, patience_s: float, *, left_s: float | None = None
) -> T:
    """Wait for work of another thread, no longer than the current request may take, and return its
    result. The work goes on when it is no longer waited for.

    Raises what the work raises; AccountStalled after `patience_s`, of which `left_s` may be left,
    when another account may serve the request; UpstreamTimeout when the request's time is over.
    """
    context = current()
    patient_until = time.monotonic() + (patience_s if left_s is None else left_s)
    while True:
        now = time.monotonic()
        if now >= context.until:
            raise _untaken(UpstreamTimeout(f"{what} took longer than the request may"))
        if now < patient_until:
            wait_s = patient_until - now
        elif context.has_elsewhere():
            raise _untaken(AccountStalled(f"{what} took longer than {patience_s:g} s"))
        else:
            wait_s = _RECHECK_S
        try:
            return future.result(min(wait_s, context.until - now))
        except TimeoutError:
            if future.done():  # the work itself has raised it
                raise


def _untaken(error: GatewayError) -> GatewayError:
    error.was_taken = False
    return error


def continue_trace(header: str) -> TraceContext | None:
    """The client's trace by its header `traceparent`, with a span of this request's own in it; None
    when the header is not valid.

    Without a valid one no trace begins: it would serve only who records spans, which the gateway
    does not. Source: https://www.w3.org/TR/trace-context/
    """
    found = _FORM.fullmatch(header.strip())
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    is_zero = not trace_id.strip("0") or not span_id.strip("0")
    if is_zero or version == "ff" or (version == "00" and more is not None):
        return None
    span = secrets.token_hex(7) + f"{secrets.randbelow(255) + 1:02x}"  # never all zero
    return TraceContext(trace_id, f"00-{trace_id}-{span}-{int(flags, 16) & _KNOWN_FLAGS:02x}")
