"""The run on one page: each measure, each subject, and gbproxy beside the bare recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.figures import BARE, NGINX, OWN, Who, find, memory_per_thousand, over_rounds
from bench.loads import (
    BURST,
    CONTINUED,
    HELD,
    HUNDRED,
    IMAGE,
    LARGE_IMAGE,
    ONE,
    PACED,
    SHORT,
    TOOL_CALL,
    Load,
)
from bench.measure import Row
from bench.texts import number, table


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of a load's row; less is better."""

    title: str
    unit: str
    load: Load
    figure: Callable[[Row], float | None]


def _cost(load: Load, title: str) -> Measure:
    unit = load.unit or "request"
    return Measure(f"{title}, per {unit}", "µs", load, lambda row: row.cost(unit))


def _ttft(load: Load, title: str, percentile: str) -> Measure:
    return Measure(
        f"TTFT, {title}, {percentile}", "ms", load, lambda row: row.ttft_ms.get(percentile)
    )


MEASURES = (
    _cost(SHORT, "short answer"),
    _cost(CONTINUED, "continued conversation"),
    _cost(TOOL_CALL, "tool call (peers: its text)"),
    _cost(IMAGE, "image of 200 KB"),
    _cost(LARGE_IMAGE, "image of 2 MB"),
    _cost(BURST, "burst"),
    _cost(PACED, "300 paced streams"),
    _ttft(ONE, "1 stream", "p50"),
    _ttft(ONE, "1 stream", "p99"),
    _ttft(HUNDRED, "100 streams", "p50"),
    _ttft(HUNDRED, "100 streams", "p99"),
    Measure("forwarding, 100 streams, p50", "ms", HUNDRED, lambda row: row.forward_ms.get("p50")),
    Measure("1,000 idle streams", "MB", HELD, lambda row: memory_per_thousand(row, HELD.slots)),
)
COLUMNS = (
    ("nginx", NGINX),
    ("bare", BARE),
    ("three calls", Who("bare", 3)),
    ("FastAPI + aiohttp", Who("fastapi+aiohttp")),
    ("three calls", Who("fastapi+aiohttp", 3)),
    ("FastAPI + httpx", Who("fastapi+httpx")),
    ("three calls", Who("fastapi+httpx", 3)),
    ("gbproxy", OWN),
)


def value(rows: Sequence[Row], measure: Measure, who: Who) -> float | None:
    row = find(rows, measure.load.name, who)
    return None if row is None else measure.figure(row)


def of_bare(rows: Sequence[Row], measure: Measure) -> float | None:
    """How many times the bare recipe's figure gbproxy's is."""
    return over_rounds(rows, measure.load.name, OWN, BARE, measure.figure)


def summary(rows: Sequence[Row]) -> str:
    """The table; measures that nobody met are left out."""
    cells = []
    for measure in MEASURES:
        values = [value(rows, measure, who) for _, who in COLUMNS]
        if any(each is not None for each in values):
            times = of_bare(rows, measure)
            cells.append(
                [
                    f"{measure.title}, {measure.unit}",
                    *map(number, values),
                    "–" if times is None else f"{times:.2f} ×",
                ]
            )
    if not cells:
        return ""
    titles = ["", *(title for title, _ in COLUMNS), "gbproxy : bare"]
    return f"{table(titles, cells)}\n"
