"""What is made of several rounds."""

from __future__ import annotations

import pytest

from bench.figures import BARE, OWN, Who, find, medians, memory_per_thousand, ratio
from tests.bench.rows import row


def test_rounds_become_one_row_of_medians() -> None:
    rounds = [
        row(round=number, cpu_us_per_request=us, ttft_ms={"p50": us / 1000}, requests=100)
        for number, us in enumerate((900.0, 5000.0, 1100.0))
    ]

    (merged,) = medians(rounds)

    assert merged.cpu_us_per_request == 1100
    assert merged.ttft_ms == {"p50": 1.1}
    assert merged.requests == 300


def test_one_bad_round_shows_in_the_row_of_all() -> None:
    (merged,) = medians(
        [
            row(rss_peak_mb=60.0, others_share=0.0),
            row(round=1, rss_peak_mb=90.0, failed=2, first_error="status 503", settled=False),
            row(round=2, rss_peak_mb=70.0, others_share=0.3),
        ]
    )

    assert (merged.failed, merged.first_error, merged.settled) == (2, "status 503", False)
    assert (merged.rss_peak_mb, merged.others_share) == (90.0, 0.3)


def test_what_was_set_up_otherwise_stays_apart() -> None:
    rows = [row(subject="bare"), row(subject="bare", calls=3), row("burst", "bare"), row(tls=True)]

    assert medians(rows) == rows


def test_figures_that_nobody_took_stay_unknown() -> None:
    nothing = [row(subject="direct", round=number, cpu_us_per_request=None) for number in (0, 1)]

    assert medians(nothing)[0].cpu_us_per_request is None


def test_a_subject_is_found_by_its_setup_and_not_where_a_round_failed() -> None:
    rows = [
        row(tls=True, requests=1),
        row(framing="sse", requests=2),
        row(requests=3),
        row("burst"),
        row("burst", failed=1, round=1),
    ]

    found = find(rows, "short", OWN)

    assert found is not None
    assert found.requests == 3
    assert find(rows, "burst", OWN) is None
    assert find(rows, "short", Who("bare", 3)) is None


def test_a_machine_that_drifts_does_not_bend_a_ratio() -> None:
    speeds = (1.0, 2.0, 5.0)
    rows = [
        each
        for number, speed in enumerate(speeds)
        for each in (
            row(subject="bare", round=number, cpu_us_per_request=500 * speed),
            row(round=number, cpu_us_per_request=1500 * speed),
        )
    ]

    assert ratio(rows, "short", "request", OWN, BARE) == pytest.approx(3.0)


def test_rounds_that_one_side_has_not_met_do_not_count() -> None:
    rows = [
        row(subject="bare", cpu_us_per_request=500.0),
        row(cpu_us_per_request=1000.0),
        row(round=1, cpu_us_per_request=9000.0),
    ]

    assert ratio(rows, "short", "request", OWN, BARE) == pytest.approx(2.0)
    assert ratio(rows, "short", "request", OWN, Who("bare", 3)) is None


def test_held_memory_is_for_a_thousand_streams_however_many_there_were() -> None:
    assert memory_per_thousand(row(rss_idle_mb=50.0, rss_peak_mb=90.0), 500) == 80.0
    assert memory_per_thousand(row(rss_idle_mb=None), 500) is None
