"""The spans of one request, without a receiver."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracer, SpanKind, Tracer

from gbproxy.observability import names, request_context
from gbproxy.observability.otel import spans
from gbproxy.observability.otel.spans import Spans
from gbproxy.observability.request_context import RequestContext

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Recorded:
    def __init__(self) -> None:
        provider = TracerProvider(shutdown_on_exit=False)
        self._exporter = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer: Tracer = provider.get_tracer("tests")

    def begun(self) -> tuple[RequestContext, Spans]:
        context = request_context.begin("r", request_context.continue_trace(TRACEPARENT))
        made = Spans(self.tracer, spans.start(self.tracer, context, TRACEPARENT))
        context.spans = made
        return context, made

    def of(self, kind: SpanKind) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.kind is kind]


def ended(made: Spans, context: RequestContext, status: int = 200) -> None:
    spans.end(made, context, "POST", "/v1/chat/completions", "openai_chat", status)


def test_answers_that_are_made_side_by_side_have_tries_of_their_own() -> None:
    recorded = Recorded()
    context, made = recorded.begun()

    with request_context.child() as first:
        first.note_attempt("anna", "m")
        first.note_failure("upstream_timeout", "")
    with request_context.child() as second:
        second.note_attempt("ben", "m")
    ended(made, context)

    (server,) = recorded.of(SpanKind.SERVER)
    tries = recorded.of(SpanKind.CLIENT)
    assert {(t.attributes or {})[names.ACCOUNT] for t in tries} == {"anna", "ben"}
    assert {t.parent and t.parent.span_id for t in tries} == {server.context.span_id}
    failed = [t for t in tries if names.ERROR_TYPE in (t.attributes or {})]
    assert [(t.attributes or {})[names.ACCOUNT] for t in failed] == ["anna"]
    assert context.attempts == 2


def test_a_try_that_a_leaving_client_ends_says_so() -> None:
    recorded = Recorded()
    context, made = recorded.begun()
    context.note_attempt("anna", "m" * 500)
    context.log_fields["client_gone"] = True

    ended(made, context, 499)

    (tried,) = recorded.of(SpanKind.CLIENT)
    attributes = tried.attributes or {}
    assert attributes[names.ERROR_TYPE] == "client_gone"
    assert attributes[names.REQUEST_MODEL] == "m" * 100


def test_an_sdk_that_is_disabled_leaves_the_clients_trace_as_it_is() -> None:
    context = request_context.begin("r")

    span = spans.start(NoOpTracer(), context, "")

    assert not span.is_recording()
    assert context.trace is None
