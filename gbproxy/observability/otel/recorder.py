"""Records requests as spans and metrics, and sends them by OTLP.

What is sent, where to, and how often are the variables of OpenTelemetry's SDK, which reads them
itself.
"""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Iterable

from opentelemetry.metrics import Histogram, Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Tracer

from gbproxy.observability import definitions, names
from gbproxy.observability.otel import spans
from gbproxy.observability.otel.exporting import MetricExporter, SpanExporter
from gbproxy.observability.otel.spans import Spans
from gbproxy.observability.request_context import RequestContext
from gbproxy.version import __version__

_CLOSE_S = 2.0
_BATCH = "128"  # spans: encoding more at once would keep answers waiting for some milliseconds
_SCOPE = "gbproxy"
_UNSEEN = frozenset({"health", "metrics"})  # asked for every few seconds


class Recorder:
    """What `Telemetry` says. `models`: the ids of the catalogue; in metrics every other name counts
    as "other".
    """

    def __init__(self, endpoint: str, models: Iterable[str]) -> None:
        self._endpoint = endpoint
        self._models = frozenset(models)
        self._traces: TracerProvider | None = None
        self._metrics: MeterProvider | None = None
        self._tracer: Tracer | None = None
        self._histograms: _Histograms | None = None

    def start(self) -> None:
        """Each process has a provider of its own: threads do not outlive a fork."""
        # Its sentences quote addresses, and there would be one each few seconds: see `Reach`.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = self._endpoint  # as the settings have read it
        resource = _resource()
        if os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "none":
            self._traces = TracerProvider(resource=resource, shutdown_on_exit=False)
            os.environ.setdefault("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", _BATCH)
            self._traces.add_span_processor(BatchSpanProcessor(SpanExporter()))
            self._tracer = self._traces.get_tracer(_SCOPE, __version__)
        if os.environ.get("OTEL_METRICS_EXPORTER", "otlp") != "none":
            self._metrics = MeterProvider(
                [PeriodicExportingMetricReader(MetricExporter())], resource, shutdown_on_exit=False
            )
            self._histograms = _Histograms(self._metrics.get_meter(_SCOPE, __version__))

    def begin(self, context: RequestContext, traceparent: str) -> None:
        if self._tracer is None:
            return
        span = spans.start(self._tracer, context, traceparent)
        if span.is_recording():
            context.spans = Spans(self._tracer, span)

    def request_done(
        self, context: RequestContext, method: str, route: str, surface: str, status: int
    ) -> None:
        if surface in _UNSEEN:
            return
        if isinstance(context.spans, Spans):
            spans.end(context.spans, context, method, route, surface, status)
        if self._histograms is not None and context.log_fields.get("model") is not None:
            model = context.log_fields["model"]
            self._histograms.record(context, model if model in self._models else "other")

    def close(self) -> None:
        if self._traces is None and self._metrics is None:
            return
        # A receiver that stalls would hold the end of the worker for half a minute.
        closing = threading.Thread(target=self._shut_down, daemon=True)
        closing.start()
        closing.join(_CLOSE_S)

    def _shut_down(self) -> None:
        if self._traces is not None:
            self._traces.shutdown()
        if self._metrics is not None:
            self._metrics.shutdown()


class _Histograms:
    def __init__(self, meter: Meter) -> None:
        self._duration = _histogram(meter, names.OPERATION_DURATION, "s", definitions.DURATION)
        self._first = _histogram(meter, names.TIME_TO_FIRST_TOKEN, "s", definitions.FIRST_TOKEN)
        self._tokens = _histogram(meter, names.TOKEN_USAGE, "{token}", definitions.TOKENS)

    def record(self, context: RequestContext, model: str) -> None:
        facts = context.log_fields
        of = {names.OPERATION: names.CHAT, names.PROVIDER: names.GOOGLE, names.REQUEST_MODEL: model}
        code = facts.get("code") or ("client_gone" if "client_gone" in facts else "")
        failed = {names.ERROR_TYPE: code} if code else {}
        self._duration.record(context.elapsed_ms() / 1000, {**of, **failed})
        if code or context.ttft_ms is None:
            return
        self._first.record(context.ttft_ms / 1000, of)
        for kind in ("input", "output"):
            tokens = facts.get(f"{kind}_tokens", 0)
            self._tokens.record(tokens, {**of, names.TOKEN_TYPE: kind})


def _histogram(meter: Meter, name: str, unit: str, family: definitions.Family) -> Histogram:
    return meter.create_histogram(
        name, unit, family.help, explicit_bucket_boundaries_advisory=family.buckets
    )


def _resource() -> Resource:
    """Of this worker; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win."""
    own = Resource(
        {
            names.SERVICE_NAME: "gbproxy",
            names.SERVICE_VERSION: __version__,
            names.SERVICE_INSTANCE: str(uuid.uuid4()),
        }
    )
    return own.merge(OTELResourceDetector().detect())
