"""A small receiver of OTLP over HTTP on loopback, which can stall and refuse."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from google.protobuf.message import Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Behaviour = Literal["takes", "refuses", "stalls"]


class OtlpReceiver:
    """What has come, parsed. `behaviour` holds for the next requests."""

    def __init__(self) -> None:
        self.behaviour: Behaviour = "takes"
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.stalled = threading.Event()
        self._go_on = threading.Event()
        self._traces: list[ExportTraceServiceRequest] = []
        self._metrics: list[ExportMetricsServiceRequest] = []

    def receive(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """The status to answer with."""
        if self.behaviour == "stalls":
            self.stalled.set()
            self._go_on.wait(60)
        if self.behaviour != "takes":
            return 503
        self.bodies.append(body)
        self.headers.append(headers)
        parsed: Message
        if path == "/v1/traces":
            parsed = ExportTraceServiceRequest()
            self._traces.append(parsed)
        else:
            assert path == "/v1/metrics"
            parsed = ExportMetricsServiceRequest()
            self._metrics.append(parsed)
        parsed.ParseFromString(body)
        return 200

    def release(self) -> None:
        """Let stalled requests end."""
        self._go_on.set()

    def resources(self) -> list[dict[str, Any]]:
        return [
            attributes(each.resource)
            for request in list(self._traces)
            for each in request.resource_spans
        ]

    def spans(self, trace_id: str) -> list[Any]:
        """The spans of one trace, the earliest first."""
        found = [
            span
            for request in list(self._traces)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
            if not trace_id or span.trace_id.hex() == trace_id
        ]
        return sorted(found, key=lambda span: span.start_time_unix_nano)

    def points(self, name: str) -> list[Any]:
        """The newest points of a metric."""
        newest: list[Any] = []
        for request in list(self._metrics):
            for resource in request.resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        if metric.name == name:
                            newest = list(metric.histogram.data_points)
        return newest


def attributes(holder: Any) -> dict[str, Any]:
    """The attributes of a span, an event, a point or a resource."""
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in holder.attributes
    }


@contextmanager
def receiving() -> Iterator[tuple[OtlpReceiver, str]]:
    """A receiver and its address, until the end of the block."""
    receiver = OtlpReceiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.receive(self.path, dict(self.headers), body)
            try:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
            except OSError:
                self.close_connection = True  # whoever has stalled too long is left

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver, f"http://127.0.0.1:{server.server_port}"
    finally:
        receiver.release()
        server.shutdown()
        server.server_close()
        thread.join()
