"""Sums the request log up over the last hour and the last day: in all, over time, and per model,
key and account.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gbproxy.storage.request_log import CLIENT_GONE, RequestLogRows, Total

Span = Literal["hour", "day"]

SLICE_S = 300  # read at a time: a worker of SQLite's does nothing else meanwhile
BARS: Mapping[Span, tuple[int, int]] = {"hour": (12, 300), "day": (24, 3600)}  # how many, seconds

_SETTLED_S = 60.0  # after its end: by then all workers have written what belongs to a slice
_KEPT_S = 3600.0  # an outage may have delayed a worker for longer


@dataclass(slots=True)
class Figures:
    """`left`: how many requests whose client left before the end, which are no errors. `first_ms`:
    how many requests had their first token after about so many milliseconds.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    left: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    first_ms: Counter[int] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        return self.errors.total()

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def first_token_ms(self, part: float) -> int | None:
        """The time within which this part of the requests had its first token."""
        wanted = part * self.first_ms.total()
        for ms in sorted(self.first_ms):
            wanted -= self.first_ms[ms]
            if wanted <= 0:
                return ms
        return None

    def count(self, total: Total) -> None:
        self.requests += total.requests
        self.input_tokens += total.input_tokens
        self.output_tokens += total.output_tokens
        if total.code == CLIENT_GONE:
            self.left += total.requests
        elif total.code is not None:
            self.errors[total.code] += total.requests
        elif total.first_ms is not None:
            self.first_ms[total.first_ms] += total.requests

    def add(self, other: Figures) -> None:
        self.requests += other.requests
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.left += other.left
        self.errors.update(other.errors)
        self.first_ms.update(other.first_ms)


@dataclass(slots=True)
class Summary:
    """`keys` by fingerprint and name, `accounts` by id and name: a name is None where there was
    none.
    """

    all: Figures = field(default_factory=Figures)
    models: dict[str, Figures] = field(default_factory=dict)
    keys: dict[tuple[str, str | None], Figures] = field(default_factory=dict)
    accounts: dict[tuple[str, str | None], Figures] = field(default_factory=dict)

    def count(self, totals: Iterable[Total]) -> None:
        for each in totals:
            match each.dimension:
                case "model":
                    self.all.count(each)  # for each request has one row of each dimension
                    if each.id is not None:
                        self.models.setdefault(each.id, Figures()).count(each)
                case "key" if each.id is not None:
                    self.keys.setdefault((each.id, each.name), Figures()).count(each)
                case "account" if each.id is not None:
                    self.accounts.setdefault((each.id, each.name), Figures()).count(each)

    def add(self, other: Summary) -> None:
        self.all.add(other.all)
        for model, figures in other.models.items():
            self.models.setdefault(model, Figures()).add(figures)
        for key, figures in other.keys.items():
            self.keys.setdefault(key, Figures()).add(figures)
        for account, figures in other.accounts.items():
            self.accounts.setdefault(account, Figures()).add(figures)


@dataclass(frozen=True, slots=True)
class Bar:
    """`since`: Unix seconds."""

    since: float
    figures: Figures


@dataclass(frozen=True, slots=True)
class Report:
    summary: Summary
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class _Slice:
    summary: Summary
    read_at: float


class Overview:
    """`days`: for how long requests are kept, 0: the log is off. `clock`: Unix seconds."""

    def __init__(
        self,
        rows: RequestLogRows,
        days: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.days = days
        self._rows = rows
        self._clock = clock
        self._slices: dict[int, _Slice] = {}

    def report(self, span: Span) -> Report:
        """The requests of the hour or day up to now; its first and last bar are cut to whole slices
        of SLICE_S. Raises StorageUnavailable.
        """
        count, bar_s = BARS[span]
        last = int(self._clock() // SLICE_S)
        per_bar = bar_s // SLICE_S
        first = last - count * per_bar + 1
        summary, bars = Summary(), []
        for start in range(first, last + 1, per_bar):
            figures = Figures()
            for number in range(start, start + per_bar):
                found = self._slice(number)
                summary.add(found)
                figures.add(found.all)
            bars.append(Bar(start * SLICE_S, figures))
        self._forget(last)
        return Report(summary, bars)

    def _slice(self, number: int) -> Summary:
        now, end = self._clock(), (number + 1) * SLICE_S
        known = self._slices.get(number)
        if known and known.read_at >= end + _SETTLED_S and 0 <= now - known.read_at < _KEPT_S:
            return known.summary
        summary = Summary()
        summary.count(self._rows.totals(number * SLICE_S, end))
        self._slices[number] = _Slice(summary, now)
        return summary

    def _forget(self, last: int) -> None:
        count, bar_s = BARS["day"]
        oldest = last - count * bar_s // SLICE_S
        self._slices = {
            number: each for number, each in self._slices.items() if oldest < number <= last
        }
