"""Sums over the last hour and day: percentiles, bars, and what is read again."""

from __future__ import annotations

from collections.abc import Sequence

from gbproxy.request_log.overview import SLICE_S, Figures, Overview
from gbproxy.storage.database import Database
from gbproxy.storage.request_log import RequestLogRows, Total
from tests.support.clock import Clock

HOUR_S = 3600.0


class Rows(RequestLogRows):
    """One request at each of these moments, of one model, key and account; counts its reads."""

    def __init__(self, clock: Clock, *moments: float) -> None:
        super().__init__(Database("sqlite://"), clock)
        self.moments = list(moments)
        self.reads = 0

    def totals(self, since: float, until: float) -> Sequence[Total]:
        self.reads += 1
        count = sum(since <= moment < until for moment in self.moments)
        of = (("model", "m", None), ("key", "k", "laptop"), ("account", None, None))
        return [Total(*each, None, 400, count, 10, 20) for each in of] if count else []  # type: ignore[arg-type]


def test_percentiles_are_the_times_within_which_so_many_began() -> None:
    figures = Figures()
    for ms in (100, 200, 300, 400, 9000):
        figures.first_ms[ms] += 20

    assert [figures.first_token_ms(part) for part in (0.2, 0.21, 0.5, 0.8, 0.95)] == [
        100,
        200,
        300,
        400,
        9000,
    ]
    assert Figures().first_token_ms(0.5) is None


def test_a_client_that_left_is_no_error() -> None:
    figures, sum_ = Figures(), Figures()
    figures.count(Total("model", "m", None, "overloaded", None, 2, 10, 20))
    figures.count(Total("model", "m", None, "client_gone", 400, 3, 10, 20))
    sum_.add(figures)
    sum_.add(figures)

    assert (figures.requests, figures.failed, figures.left) == (5, 2, 3)
    assert (sum_.requests, sum_.failed, sum_.left) == (10, 4, 6)


def test_an_hour_and_a_day_have_their_bars() -> None:
    clock = Clock()
    rows = Rows(clock, clock.now, clock.now - 0.5 * HOUR_S, clock.now - 20 * HOUR_S)
    overview = Overview(rows, 7, clock)

    hour, day = overview.report("hour"), overview.report("day")

    assert [each.figures.requests for each in hour.bars] == [0] * 5 + [1] + [0] * 5 + [1]
    assert len(day.bars) == 24
    assert (hour.summary.all.requests, day.summary.all.requests) == (2, 3)
    assert day.summary.models["m"].tokens == 90
    assert day.summary.keys["k", "laptop"].requests == 3
    assert day.summary.accounts == {}


def test_what_is_over_is_read_once_an_hour_and_the_rest_each_time() -> None:
    clock = Clock()
    rows = Rows(clock, clock.now - 0.5 * HOUR_S)
    overview = Overview(rows, 7, clock)
    overview.report("day")
    first = rows.reads

    overview.report("day")
    again = rows.reads - first
    rows.moments += [clock.now, clock.now - HOUR_S]  # the second one after an outage
    soon = overview.report("day").summary.all.requests
    clock.now += HOUR_S + SLICE_S
    later = overview.report("day").summary.all.requests

    assert first == 24 * HOUR_S / SLICE_S
    assert again <= 2
    assert (soon, later) == (2, 3)
