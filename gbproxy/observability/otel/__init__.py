"""Traces and metrics by OTLP. Only this package imports OpenTelemetry, and it is imported only if
OTEL_EXPORTER_OTLP_ENDPOINT is set.
"""
