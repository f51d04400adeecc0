"""Compares gbproxy's cost, as a multiple of the bare recipe's in the same pass, with the committed
multiples.

Times depend on the machine and on who else uses it; multiples of the same libraries' cost, taken
side by side, depend on it far less.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.figures import BARE, OWN, Who
from bench.loads import CHECKED, Unit
from bench.measure import Row

PASSES = 3
TOLERANCE = 0.30

UNITS: Mapping[str, Unit] = {load.name: load.unit or "request" for load in CHECKED}


class NoRatio(Exception):
    """A pass has not measured what a ratio needs."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One load's ratio beside the committed one; `change` 0.1 means a tenth dearer. No baseline:
    nothing to compare.
    """

    load: str
    unit: Unit
    passes: tuple[float, ...]
    ratio: float
    baseline: float | None

    @property
    def change(self) -> float | None:
        return None if self.baseline is None else self.ratio / self.baseline - 1

    @property
    def is_worse(self) -> bool:
        return self.change is not None and self.change > TOLERANCE


def compare(rows: Sequence[Row], baseline: Mapping[str, float]) -> list[Verdict]:
    """The median of the passes' ratios, held against the baseline. Raises NoRatio when a row
    failed, is missing or measured nothing.
    """
    verdicts = []
    for load, unit in UNITS.items():
        values = tuple(
            _cost(rows, load, OWN, number, unit) / _cost(rows, load, BARE, number, unit)
            for number in range(PASSES)
        )
        verdicts.append(Verdict(load, unit, values, statistics.median(values), baseline.get(load)))
    return verdicts


def _cost(rows: Sequence[Row], load: str, who: Who, number: int, unit: Unit) -> float:
    for row in rows:
        if (row.load, row.round) == (load, number) and who.is_of(row):
            if row.failed:
                raise NoRatio(
                    f"{who.subject} under {load}: {row.failed} errors ({row.first_error})"
                )
            if cost := row.cost(unit):
                return cost
    raise NoRatio(f"{who.subject} under {load}: nothing was measured")
