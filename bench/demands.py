"""The demands on gbproxy's speed, checked against the rows of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.figures import (
    BARE,
    DIRECT,
    NGINX,
    OWN,
    Who,
    find,
    memory_per_thousand,
    over_rounds,
    ratio,
)
from bench.loads import (
    BURST,
    CONTINUED,
    CONTROL,
    FIVE_HUNDRED,
    HELD,
    HUNDRED,
    ONE,
    PACED,
    SHORT,
    Load,
)
from bench.measure import Row
from bench.texts import number

# (load, at most so many times the bare recipe)
_OF_BARE: tuple[tuple[Load, float], ...] = (
    (SHORT, 2.8),
    (CONTINUED, 2.0),
    (BURST, 1.9),
    (PACED, 1.3),
)
# (load, p50 ms, p99 ms)
_TTFT: tuple[tuple[Load, float, float], ...] = ((ONE, 2.0, 4), (HUNDRED, 2.4, 6))
# (load, peer, what it is called, at least so many times the work for the same CPU)
_OF_PEERS: tuple[tuple[Load, Who, str, float], ...] = (
    (BURST, Who("fastapi+httpx"), "FastAPI + httpx, one call", 3),
    (PACED, Who("fastapi+httpx", 3), "FastAPI + httpx, three calls", 3),
    (BURST, Who("fastapi+httpx", 3), "FastAPI + httpx, three calls", 3),
    (SHORT, Who("fastapi+httpx", 3), "FastAPI + httpx, three calls", 1.5),
    (PACED, Who("fastapi+aiohttp", 3), "FastAPI + aiohttp, three calls", 0.8),
    (BURST, Who("fastapi+aiohttp", 3), "FastAPI + aiohttp, three calls", 0.7),
    (PACED, NGINX, "nginx", 0.3),
    (BURST, NGINX, "nginx", 0.12),
)
_FORWARD_MS = 0.6
_HELD_MB = 70


@dataclass(frozen=True, slots=True)
class Finding:
    """One demand and what was measured."""

    measure: str
    demand: str
    measured: str
    met: bool


def check(rows: Sequence[Row]) -> list[Finding]:
    """Every demand that these rows can speak to; rows that failed do not count."""
    return [
        *_of_bare(rows),
        *_times(rows),
        *_memory(rows),
        *_of_peers(rows),
        *_events(rows),
        *_calls(rows),
        *_start(rows),
    ]


def _of_bare(rows: Sequence[Row]) -> Iterator[Finding]:
    for load, most in _OF_BARE:
        unit = load.unit or "request"
        found = ratio(rows, load.name, unit, OWN, BARE)
        own, bare = find(rows, load.name, OWN), find(rows, load.name, BARE)
        if found and own and bare:
            yield Finding(
                f"{load.name}, CPU per {unit}",
                f"≤ {most:g} × bare",
                f"{found:.2f} × ({number(own.cost(unit))} : {number(bare.cost(unit))} µs)",
                found <= most,
            )


def _times(rows: Sequence[Row]) -> Iterator[Finding]:
    for load, p50, p99 in _TTFT:
        row = find(rows, load.name, OWN)
        if row and "p50" in row.ttft_ms:
            own50, own99 = row.ttft_ms["p50"], row.ttft_ms["p99"]
            yield Finding(
                f"TTFT, {_streams(load)}",
                f"p50 ≤ {p50} ms, p99 ≤ {p99:g} ms",
                f"p50 {own50:.2f}, p99 {own99:.2f}",
                own50 <= p50 and own99 <= p99,
            )
    hundred = find(rows, HUNDRED.name, OWN)
    if hundred and "p50" in hundred.forward_ms:
        forward = hundred.forward_ms["p50"]
        yield Finding(
            f"forwarding a chunk, {_streams(HUNDRED)}",
            f"p50 ≤ {_FORWARD_MS} ms",
            f"{forward:.2f} ms",
            forward <= _FORWARD_MS,
        )
    own, base = find(rows, FIVE_HUNDRED.name, OWN), find(rows, FIVE_HUNDRED.name, DIRECT)
    if own and base and "p50" in own.ttft_ms and "p50" in base.ttft_ms:
        added50, added99 = (own.ttft_ms[p] - base.ttft_ms[p] for p in ("p50", "p99"))
        yield Finding(
            f"added TTFT, {_streams(FIVE_HUNDRED)}",
            "p50 ≤ 5 ms, p99 ≤ 30 ms",
            f"p50 {added50:.2f}, p99 {added99:.2f}",
            added50 <= 5 and added99 <= 30,
        )
    found = over_rounds(
        rows, ONE.name, OWN, Who("fastapi+aiohttp"), lambda row: row.ttft_ms.get("p50")
    )
    if found:
        yield Finding(
            "TTFT p50, 1 stream, against FastAPI + aiohttp, one call",
            "≤ 1.5 ×",
            f"{found:.2f} ×",
            found <= 1.5,
        )


def _memory(rows: Sequence[Row]) -> Iterator[Finding]:
    row = find(rows, HELD.name, OWN)
    if row is None or row.rss_idle_mb is None or row.pss_idle_mb is None:
        return
    held = memory_per_thousand(row, HELD.slots)
    if held is not None:
        yield Finding(
            "memory of 1,000 idle streams", f"≤ {_HELD_MB} MB", f"{held:.0f} MB", held <= _HELD_MB
        )
    yield Finding(
        "memory of an idle worker",
        "RSS ≤ 110, PSS ≤ 60 MB",
        f"RSS {row.rss_idle_mb:.0f}, PSS {row.pss_idle_mb:.0f} MB",
        row.rss_idle_mb <= 110 and row.pss_idle_mb <= 60,
    )


def _of_peers(rows: Sequence[Row]) -> Iterator[Finding]:
    for load, peer, called, least in _OF_PEERS:
        unit = load.unit or "request"
        found = ratio(rows, load.name, unit, peer, OWN)
        if found:
            measure = f"{load.name}, {unit}s per CPU second against {called}"
            yield Finding(measure, f"≥ {least:g} ×", f"{found:.3g} ×", found >= least)


def _events(rows: Sequence[Row]) -> Iterator[Finding]:
    """The same for the upstream's server-sent events, which are the lesser way."""
    own, peer = Who("gbproxy", framing="sse"), Who("fastapi+httpx", 3, "sse")
    for load in (PACED, BURST):
        found = ratio(rows, load.name, "chunk", peer, own)
        if found:
            measure = f"{load.name}, chunks per CPU second against FastAPI + httpx, SSE"
            yield Finding(measure, "≥ 3 ×", f"{found:.3g} ×", found >= 3)


def _calls(rows: Sequence[Row]) -> Iterator[Finding]:
    row = find(rows, CONTINUED.name, OWN)
    if row and row.calls_per_request is not None:
        calls = row.calls_per_request
        yield Finding("upstream calls of a continued request", "1", f"{calls:.2f}", calls < 1.05)
    row = find(rows, CONTROL.name, OWN)
    if row and "p50" in row.ttft_ms:
        trips = int(row.ttft_ms["p50"] / CONTROL.control_delay_ms)
        yield Finding("control round trips on a steady request's path", "0", f"{trips}", trips == 0)


def _start(rows: Sequence[Row]) -> Iterator[Finding]:
    times = [row.ready_s for row in rows if row.subject == OWN.subject and row.ready_s]
    if times:
        yield Finding("start to ready", "< 2 s", f"{max(times):.2f} s", max(times) < 2)


def _streams(load: Load) -> str:
    return "1 stream" if load.slots == 1 else f"{load.slots:,} streams"
