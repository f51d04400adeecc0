"""When `make bench-check` says that gbproxy has become dearer."""

from __future__ import annotations

import pytest

from bench import ratios
from bench.loads import CHECKED
from bench.measure import Row
from tests.bench.rows import row

BASELINE = {"short": 100.0, "burst": 10.0, "paced": 5.0}


def rows(**of_gbproxy: float) -> list[Row]:
    """One pass: nginx costs 10 µs a request and 2 µs a chunk."""
    measured: list[Row] = []
    for load in ("short", "burst", "paced"):
        measured.append(row(load, "nginx", cpu_us_per_request=10.0, cpu_us_per_chunk=2.0))
        us = of_gbproxy.get(load, 20.0)
        measured.append(row(load, cpu_us_per_request=us, cpu_us_per_chunk=us))
    return measured


def test_short_answers_are_compared_by_the_request_and_the_others_by_the_chunk() -> None:
    assert ratios.of_pass(rows(short=1000, burst=20, paced=10)) == {
        "short": 100,
        "burst": 10,
        "paced": 5,
    }


def test_every_compared_load_is_one_that_the_check_runs() -> None:
    assert set(ratios.UNITS) == {load.name for load in CHECKED}


def test_one_bad_pass_of_three_does_not_count() -> None:
    passes = [{**BASELINE, "burst": value} for value in (10.5, 40.0, 9.8)]

    burst = next(verdict for verdict in ratios.compare(passes, BASELINE) if verdict.load == "burst")

    assert (burst.ratio, burst.is_worse) == (10.5, False)


@pytest.mark.parametrize(
    ("ratio", "is_worse"), [(2.0, False), (10.0, False), (12.9, False), (13.1, True)]
)
def test_more_than_thirty_percent_above_the_baseline_is_worse_and_cheaper_never_is(
    ratio: float, is_worse: bool
) -> None:
    verdicts = ratios.compare([{**BASELINE, "burst": ratio}] * 3, BASELINE)

    assert {verdict.load: verdict.is_worse for verdict in verdicts} == {
        "short": False,
        "burst": is_worse,
        "paced": False,
    }


def test_without_a_baseline_nothing_is_worse_and_nothing_is_claimed() -> None:
    verdicts = ratios.compare([BASELINE] * 3, {})

    assert [(verdict.change, verdict.is_worse) for verdict in verdicts] == [(None, False)] * 3


def test_a_row_with_errors_gives_no_ratio() -> None:
    broken = [row("burst", failed=2, first_error="status 503"), *rows()]

    with pytest.raises(ratios.NoRatio, match=r"gbproxy under burst: 2 errors \(status 503\)"):
        ratios.of_pass(broken)


def test_rows_over_tls_and_missing_ones_give_no_ratio() -> None:
    over_tls = [
        row(each.load, each.subject, tls=True) if each.load == "paced" else each for each in rows()
    ]

    with pytest.raises(ratios.NoRatio, match="under paced: nothing was measured"):
        ratios.of_pass(over_tls)
