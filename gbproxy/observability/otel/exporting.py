"""How spans and metrics leave: in the background, from a queue that drops what it cannot hold."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

log = logging.getLogger(__name__)


class Reach:
    """Logs once when the receiver cannot be reached, and once when it can again."""

    def __init__(self, signal: str) -> None:
        self._signal = signal
        self._is_away = False

    def note(self, *, succeeded: bool) -> None:
        if succeeded != self._is_away:
            return
        self._is_away = not succeeded
        if succeeded:
            log.info("telemetry.available", extra={"signal": self._signal})
        else:
            log.warning("telemetry.unavailable", extra={"signal": self._signal})


class SpanExporter(OTLPSpanExporter):
    def __init__(self) -> None:
        super().__init__()
        self._reach = Reach("traces")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        self._reach.note(succeeded=result is SpanExportResult.SUCCESS)
        return result


class MetricExporter(OTLPMetricExporter):
    def __init__(self) -> None:
        super().__init__()
        self._reach = Reach("metrics")

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        result = super().export(metrics_data, timeout_millis, **kwargs)
        self._reach.note(succeeded=result is MetricExportResult.SUCCESS)
        return result
