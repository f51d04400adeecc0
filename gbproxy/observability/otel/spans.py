"""The spans of one request: one of the request itself, and below it one for each try upstream."""

from __future__ import annotations

from collections.abc import Iterator

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from gbproxy.observability import names
from gbproxy.observability.request_context import RequestContext, TraceContext

_ROOT = Context()  # no span of another request is a parent
_MAX_CHARS = 100  # of a model's name, which a client has written


class Spans:
    """What `RequestSpans` says, on OpenTelemetry's spans."""

    __slots__ = ("_attempt", "_children", "_tracer", "request")

    def __init__(self, tracer: Tracer, request: Span) -> None:
        self._tracer = tracer
        self.request = request
        self._attempt: Span | None = None
        self._children: list[Spans] = []

    def begin_attempt(self, account_id: str, model_id: str) -> None:
        self.end_attempt()
        model = model_id[:_MAX_CHARS]
        self._attempt = self._tracer.start_span(
            f"{names.CHAT} {model}",
            set_span_in_context(self.request, _ROOT),
            SpanKind.CLIENT,
            {
                names.OPERATION: names.CHAT,
                names.PROVIDER: names.GOOGLE,
                names.REQUEST_MODEL: model,
                names.ACCOUNT: account_id,
            },
        )

    def first_token(self) -> None:
        self.request.add_event(names.FIRST_TOKEN)
        if self._attempt is not None:
            self._attempt.add_event(names.FIRST_TOKEN)

    def attempt_failed(self, code: str) -> None:
        self.end_attempt(code)

    def child(self) -> Spans:
        made = Spans(self._tracer, self.request)
        self._children.append(made)
        return made

    def end_attempt(self, code: str = "") -> None:
        """End the try that runs, and those of children."""
        if self._attempt is not None:
            _fail(self._attempt, code)
            self._attempt.end()
            self._attempt = None
        for child in self._children:
            child.end_attempt(code)


def start(tracer: Tracer, context: RequestContext, traceparent: str) -> Span:
    """Start the span of a request below the client's, and give the request its trace."""
    parent, trace = _ROOT, context.trace
    if trace is not None:
        _, trace_id, span_id, flags = traceparent.strip()[:55].split("-")
        remote = SpanContext(
            int(trace_id, 16),
            int(span_id, 16),
            is_remote=True,
            trace_flags=TraceFlags(int(flags, 16)),
        )
        parent = set_span_in_context(NonRecordingSpan(remote), _ROOT)
    span = tracer.start_span("request", parent, SpanKind.SERVER)
    found = span.get_span_context()
    if not found.is_valid:  # OTEL_SDK_DISABLED
        return span
    trace_id = f"{found.trace_id:032x}"
    context.trace = TraceContext(
        trace_id, f"00-{trace_id}-{found.span_id:016x}-{int(found.trace_flags):02x}"
    )
    return span


def end(
    spans: Spans, context: RequestContext, method: str, route: str, surface: str, status: int
) -> None:
    """End the span of a request, and those of tries that were not."""
    facts = context.log_fields
    code = str(facts.get("code") or ("client_gone" if "client_gone" in facts else ""))
    spans.end_attempt(code)
    span = spans.request
    span.update_name(f"{method} {route}" if route != "-" else method)
    span.set_attributes(
        {
            names.METHOD: method,
            names.ROUTE: route,
            names.STATUS: status,
            names.REQUEST_ID: context.request_id,
            **dict(_facts(context)),
        }
    )
    _fail(span, code)
    span.end()


def _facts(context: RequestContext) -> Iterator[tuple[str, str | int | bool]]:
    facts = context.log_fields
    if "key" in facts:
        yield names.KEY, facts["key"]
    if context.attempts:
        yield names.ATTEMPTS, context.attempts
        yield names.OPERATION, names.CHAT
        yield names.PROVIDER, names.GOOGLE
    for field, name in _FACTS.items():
        if facts.get(field) is not None:
            value = facts[field]
            yield name, value[:_MAX_CHARS] if isinstance(value, str) else value


_FACTS = {
    "model": names.REQUEST_MODEL,
    "account": names.ACCOUNT,
    "stream": names.STREAM,
    "input_tokens": names.INPUT_TOKENS,
    "output_tokens": names.OUTPUT_TOKENS,
}


def _fail(span: Span, code: str) -> None:
    if code:
        span.set_attribute(names.ERROR_TYPE, code)
        span.set_status(Status(StatusCode.ERROR))
