"""One subject under one load, as one row of figures."""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench.loads import Load, Unit
from bench.processes import Child, core_busy_s, wait_until_quiet
from bench.subjects import Subject
from bench.tools import Cores, Tools, Upstream, run_load


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one measurement. Shares are of one core's time; times of a stream are
    percentiles in ms: p50, p90, p99, max.

    CPU is that of all the subject's processes, background work included, divided by the requests or
    by the chunks: a chunk of a short answer carries its request's cost with it. None: there is
    nothing to measure (direct). `calls` is how a peer was set up, `calls_per_request` what reached
    the upstream.
    """

    load: str
    subject: str
    framing: str
    tls: bool
    calls: int
    round: int
    requests: int
    failed: int
    first_error: str
    elapsed_s: float
    requests_per_s: float
    chunks_per_s: float
    cpu_us_per_request: float | None
    cpu_us_per_chunk: float | None
    calls_per_request: float | None
    ttft_ms: dict[str, float]
    forward_ms: dict[str, float]
    rss_idle_mb: float | None
    pss_idle_mb: float | None
    rss_peak_mb: float | None
    rss_after_mb: float | None
    ready_s: float | None
    subject_share: float
    tools_share: float
    others_share: float
    settled: bool

    def cost(self, unit: Unit) -> float | None:
        """µs of CPU for a request or for a chunk."""
        return self.cpu_us_per_chunk if unit == "chunk" else self.cpu_us_per_request


@dataclass(frozen=True, slots=True)
class Lab:
    """The instruments."""

    tools: Tools
    cores: Cores
    upstream: Upstream


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """CPU seconds used and calls received until `at` (monotonic seconds)."""

    at: float
    subject: float
    mock: float
    core: float
    calls: int

    @classmethod
    def take(cls, lab: Lab, child: Child | None) -> _Snapshot:
        used = child.cpu_s() if child is not None else 0.0
        return cls(
            time.monotonic(),
            used,
            lab.upstream.child.cpu_s(),
            core_busy_s(lab.cores.subject),
            lab.upstream.calls(),
        )


def measure(lab: Lab, subject: Subject, load: Load, number: int = 0) -> Row:
    """Warm up, run, wait for the background work's end, and count."""
    lab.upstream.get(f"/control_delay_ms/{load.control_delay_ms}")
    try:
        run_load(lab.tools, lab.cores.load, load.warm_up(), subject.port, lambda: None)
        if subject.child is not None:
            wait_until_quiet(subject.child)
        return _measured(lab, subject, load, number)
    finally:
        lab.upstream.get("/control_delay_ms/0")


def _measured(lab: Lab, subject: Subject, load: Load, number: int) -> Row:
    child = subject.child
    peak_mb = 0.0

    def watch() -> None:
        nonlocal peak_mb
        if child is not None:
            peak_mb = max(peak_mb, child.quick_rss_mb())

    before = _Snapshot.take(lab, child)
    result = run_load(lab.tools, lab.cores.load, load, subject.port, watch)
    ended = _Snapshot.take(lab, child)
    settled = child is None or wait_until_quiet(child)
    after = _Snapshot.take(lab, child)
    watch()

    done, chunks, elapsed_s = result["done"], result["chunks"], result["elapsed_s"]
    cpu_us = (after.subject - before.subject) * 1e6
    others_s = (after.core - before.core) - (after.subject - before.subject)
    shares = ((ended.mock - before.mock) / elapsed_s, result["cpu_s"] / elapsed_s)
    return Row(
        load=load.name,
        subject=subject.variant.subject,
        framing=subject.variant.framing,
        tls=subject.variant.tls,
        calls=subject.variant.calls,
        round=number,
        requests=done,
        failed=result["errors"] + result["unfinished"],
        first_error=result["first_error"]
        or ("not finished in time" if result["unfinished"] else ""),
        elapsed_s=elapsed_s,
        requests_per_s=done / elapsed_s,
        chunks_per_s=chunks / elapsed_s,
        cpu_us_per_request=cpu_us / done if child is not None and done else None,
        cpu_us_per_chunk=cpu_us / chunks if child is not None and chunks else None,
        calls_per_request=(after.calls - before.calls) / done if done else None,
        ttft_ms=result["ttft_ms"],
        forward_ms=result["forward_ms"],
        rss_idle_mb=subject.rss_idle_mb if child is not None else None,
        pss_idle_mb=subject.pss_idle_mb if child is not None else None,
        rss_peak_mb=peak_mb if child is not None else None,
        rss_after_mb=child.rss_mb() if child is not None else None,
        ready_s=subject.ready_s if child is not None else None,
        subject_share=(ended.subject - before.subject) / elapsed_s,
        tools_share=sum(shares) if lab.cores.mock == lab.cores.load else max(shares),
        others_share=max(0.0, others_s) / (after.at - before.at),
        settled=settled,
    )
