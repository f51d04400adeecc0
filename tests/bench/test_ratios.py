"""When `make bench-check` says that gbproxy has become dearer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench import ratios
from bench.measure import Row
from tests.bench.rows import row

BASELINE = {"short": 4.0, "continued": 3.0, "burst": 2.0, "paced": 1.5}


def rows(**of_gbproxy: tuple[float, ...]) -> list[Row]:
    """Three passes in which the bare recipe costs 10 µs a request and 2 µs a chunk, and gbproxy
    what the baseline says or what is given.
    """
    measured: list[Row] = []
    for load, usual in BASELINE.items():
        unit = ratios.UNITS[load]
        bare_us = 10.0 if unit == "request" else 2.0
        for number, times in enumerate(of_gbproxy.get(load, (usual,) * 3)):
            measured.append(
                row(load, "bare", round=number, cpu_us_per_request=10.0, cpu_us_per_chunk=2.0)
            )
            own = row(load, round=number, cpu_us_per_request=999.0, cpu_us_per_chunk=999.0)
            measured.append(replace(own, **{f"cpu_us_per_{unit}": bare_us * times}))
    return measured


def test_short_answers_are_compared_by_the_request_and_the_others_by_the_chunk() -> None:
    assert {verdict.load: verdict.ratio for verdict in ratios.compare(rows(), {})} == BASELINE


def test_one_bad_pass_of_three_does_not_count() -> None:
    verdicts = ratios.compare(rows(burst=(2.1, 8.0, 1.9)), BASELINE)

    burst = next(verdict for verdict in verdicts if verdict.load == "burst")

    assert (burst.ratio, burst.is_worse) == (2.1, False)


@pytest.mark.parametrize(
    ("ratio", "is_worse"), [(0.4, False), (2.0, False), (2.58, False), (2.62, True)]
)
def test_more_than_thirty_percent_above_the_baseline_is_worse_and_cheaper_never_is(
    ratio: float, is_worse: bool
) -> None:
    verdicts = ratios.compare(rows(burst=(ratio,) * 3), BASELINE)

    assert {verdict.load: verdict.is_worse for verdict in verdicts} == {
        "short": False,
        "continued": False,
        "burst": is_worse,
        "paced": False,
    }


def test_without_a_baseline_nothing_is_worse_and_nothing_is_claimed() -> None:
    verdicts = ratios.compare(rows(), {})

    assert [(verdict.change, verdict.is_worse) for verdict in verdicts] == [(None, False)] * 4


def test_a_row_with_errors_gives_no_ratio() -> None:
    broken = [row("burst", failed=2, first_error="status 503"), *rows()]

    with pytest.raises(ratios.NoRatio, match=r"gbproxy under burst: 2 errors \(status 503\)"):
        ratios.compare(broken, BASELINE)


def test_rows_over_tls_and_missing_ones_give_no_ratio() -> None:
    over_tls = [replace(each, tls=each.load == "paced") for each in rows()]

    with pytest.raises(ratios.NoRatio, match="under paced: nothing was measured"):
        ratios.compare(over_tls, BASELINE)
