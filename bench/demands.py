"""What is demanded of gbproxy's speed, and whether the rows of a run say so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.loads import BURST, CONTROL, FIVE_HUNDRED, HELD, HUNDRED, ONE, PACED, SHORT
from bench.measure import Row


@dataclass(frozen=True, slots=True)
class Finding:
    """One demand and what was measured."""

    measure: str
    demand: str
    measured: str
    met: bool


def check(rows: Sequence[Row]) -> list[Finding]:
    """Every demand that these rows can speak to; rows that failed do not count."""
    return [*_times(rows), *_ratios(rows), *_control(rows), *_memory(rows), *_start(rows)]


def _times(rows: Sequence[Row]) -> Iterator[Finding]:
    limits = (
        (ONE.name, "1 stream", 3, 10),
        (HUNDRED.name, "100 streams", 4, 20),
        (FIVE_HUNDRED.name, "500 streams", 5, 30),
    )
    for load, about, p50, p99 in limits:
        own, base = find(rows, load, "gbproxy"), find(rows, load, "direct")
        if (
            own
            and base
            and own.ttft_ms.get("p50") is not None
            and base.ttft_ms.get("p50") is not None
        ):
            added50 = own.ttft_ms["p50"] - base.ttft_ms["p50"]
            added99 = own.ttft_ms["p99"] - base.ttft_ms["p99"]
            yield Finding(
                f"added TTFT, {about}",
                f"p50 ≤ {p50} ms, p99 ≤ {p99} ms",
                f"p50 {added50:.2f}, p99 {added99:.2f}",
                added50 <= p50 and added99 <= p99,
            )
    hundred = find(rows, HUNDRED.name, "gbproxy")
    if hundred and "p50" in hundred.forward_ms:
        forward = hundred.forward_ms["p50"]
        yield Finding(
            "forwarding a chunk, 100 streams", "p50 ≤ 0.5 ms", f"{forward:.2f} ms", forward <= 0.5
        )


def _ratios(rows: Sequence[Row]) -> Iterator[Finding]:
    for framing in ("array", "sse"):
        for load, peer, unit, least in (
            (PACED.name, "nginx", "chunk", 0.3),
            (BURST.name, "nginx", "chunk", 0.12),
            (PACED.name, "fastapi+httpx", "chunk", 3.0),
            (BURST.name, "fastapi+httpx", "chunk", 3.0),
            (SHORT.name, "fastapi+httpx", "request", 1.5),
        ):
            own, other = (
                find(rows, load, "gbproxy", framing),
                find(rows, load, peer, framing if "+" in peer else None),
            )
            own_us, other_us = _cost(own, unit), _cost(other, unit)
            if own_us and other_us:
                ratio = other_us / own_us
                about = f"{unit}s per CPU second against {peer}, {load}, {framing}"
                yield Finding(about, f"≥ {least:g} ×", f"{ratio:.3g} ×", ratio >= least)


def _control(rows: Sequence[Row]) -> Iterator[Finding]:
    row = find(rows, CONTROL.name, "gbproxy")
    if row and "p50" in row.ttft_ms:
        trips = int(row.ttft_ms["p50"] / CONTROL.control_delay_ms)
        yield Finding("control round trips on a steady request's path", "0", f"{trips}", trips == 0)


def _memory(rows: Sequence[Row]) -> Iterator[Finding]:
    row = find(rows, HELD.name, "gbproxy")
    if row is None or row.rss_idle_mb is None or row.pss_idle_mb is None or row.rss_peak_mb is None:
        return
    idle = f"RSS {row.rss_idle_mb:.0f}, PSS {row.pss_idle_mb:.0f} MB"
    yield Finding(
        "memory of an idle worker",
        "RSS ≤ 110, PSS ≤ 60 MB",
        idle,
        row.rss_idle_mb <= 110 and row.pss_idle_mb <= 60,
    )
    per_thousand = (row.rss_peak_mb - row.rss_idle_mb) * 1000 / HELD.slots
    yield Finding(
        "memory of 1,000 idle streams", "≤ 85 MB", f"{per_thousand:.0f} MB", per_thousand <= 85
    )


def _start(rows: Sequence[Row]) -> Iterator[Finding]:
    times = [row.ready_s for row in rows if row.subject == "gbproxy" and row.ready_s]
    if times:
        yield Finding("start to ready", "< 2 s", f"{max(times):.2f} s", max(times) < 2)


def find(
    rows: Sequence[Row], load: str, subject: str, framing: str | None = None, *, tls: bool = False
) -> Row | None:
    """The row of a subject under a load, with the array framing unless said otherwise; None when it
    failed or is missing.
    """
    for row in rows:
        wanted = framing or (row.framing if subject in ("direct", "nginx") else "array")
        if (row.load, row.subject, row.framing, row.tls) == (
            load,
            subject,
            wanted,
            tls,
        ) and not row.failed:
            return row
    return None


def _cost(row: Row | None, unit: str) -> float | None:
    if row is None:
        return None
    return row.cpu_us_per_chunk if unit == "chunk" else row.cpu_us_per_request
