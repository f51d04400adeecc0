"""Rows as a run would give them, with the figures that a test is about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bench.measure import Row

_ROW = Row(
    load="short",
    subject="gbproxy",
    framing="array",
    tls=False,
    calls=1,
    round=0,
    requests=1000,
    failed=0,
    first_error="",
    elapsed_s=2.0,
    requests_per_s=500.0,
    chunks_per_s=500.0,
    cpu_us_per_request=1500.0,
    cpu_us_per_chunk=1500.0,
    calls_per_request=2.0,
    ttft_ms={"samples": 1000, "p50": 2.0, "p90": 3.0, "p99": 8.0, "max": 9.0},
    forward_ms={"samples": 1000, "p50": 0.4, "p90": 0.6, "p99": 2.0, "max": 3.0},
    rss_idle_mb=50.0,
    pss_idle_mb=25.0,
    rss_peak_mb=60.0,
    rss_after_mb=58.0,
    ready_s=0.6,
    subject_share=0.75,
    tools_share=0.10,
    others_share=0.01,
    settled=True,
)


def row(load: str = "short", subject: str = "gbproxy", **figures: Any) -> Row:
    framing = "openai" if subject in ("direct", "nginx") else "array"
    return replace(_ROW, **{"load": load, "subject": subject, "framing": framing, **figures})
