"""What gbproxy costs as a multiple of what nginx costs in the same run, held against the committed
multiples.

Times depend on the machine and on who else uses it; multiples taken side by side depend on it far
less.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.loads import BURST, PACED, SHORT
from bench.measure import Row

TOLERANCE = 0.30

UNITS: Mapping[str, Literal["request", "chunk"]] = {
    SHORT.name: "request",
    BURST.name: "chunk",
    PACED.name: "chunk",
}


class NoRatio(Exception):
    """A pass has not measured what a ratio needs."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One load's ratio beside the committed one; `change` 0.1 means a tenth dearer. No baseline:
    nothing to compare.
    """

    load: str
    unit: str
    passes: tuple[float, ...]
    ratio: float
    baseline: float | None

    @property
    def change(self) -> float | None:
        return None if self.baseline is None else self.ratio / self.baseline - 1

    @property
    def is_worse(self) -> bool:
        return self.change is not None and self.change > TOLERANCE


def of_pass(rows: Sequence[Row]) -> dict[str, float]:
    """Each load's CPU of gbproxy over that of nginx. Raises NoRatio when a row failed, is missing
    or measured nothing.
    """
    return {
        load: _cost(rows, load, "gbproxy", unit) / _cost(rows, load, "nginx", unit)
        for load, unit in UNITS.items()
    }


def compare(passes: Sequence[Mapping[str, float]], baseline: Mapping[str, float]) -> list[Verdict]:
    """The median of the passes, held against the baseline."""
    verdicts = []
    for load, unit in UNITS.items():
        values = tuple(each[load] for each in passes)
        verdicts.append(Verdict(load, unit, values, statistics.median(values), baseline.get(load)))
    return verdicts


def _cost(rows: Sequence[Row], load: str, subject: str, unit: Literal["request", "chunk"]) -> float:
    for row in rows:
        if (row.load, row.subject, row.tls) == (load, subject, False):
            if row.failed:
                raise NoRatio(f"{subject} under {load}: {row.failed} errors ({row.first_error})")
            cost = row.cpu_us_per_request if unit == "request" else row.cpu_us_per_chunk
            if cost:
                return cost
    raise NoRatio(f"{subject} under {load}: nothing was measured")
