"""What a run's rows say about the demands on gbproxy's speed."""

from __future__ import annotations

import pytest

from bench import demands, report
from bench.demands import Finding
from bench.measure import Row
from tests.bench.rows import row


def finding(rows: list[Row], measure: str) -> Finding:
    return next(found for found in demands.check(rows) if found.measure == measure)


@pytest.mark.parametrize(
    ("load", "unit", "demand", "most"),
    [
        ("short", "request", "≤ 2.8 × bare", 2.8),
        ("continued", "request", "≤ 2 × bare", 2.0),
        ("burst", "chunk", "≤ 1.9 × bare", 1.9),
        ("paced", "chunk", "≤ 1.3 × bare", 1.3),
    ],
)
@pytest.mark.parametrize(("share", "met"), [(0.99, True), (1.01, False)])
def test_a_cost_may_be_so_many_times_that_of_the_bare_recipe(
    load: str, unit: str, demand: str, most: float, share: float, met: bool
) -> None:
    own = {f"cpu_us_per_{unit}": 100.0 * most * share}
    bare = {f"cpu_us_per_{unit}": 100.0}

    found = finding([row(load, "bare", **bare), row(load, **own)], f"{load}, CPU per {unit}")

    assert (found.demand, found.met) == (demand, met)
    assert found.measured == f"{most * share:.2f} × ({100 * most * share:.0f} : 100 µs)"


def test_the_bare_recipe_with_one_call_is_the_measure_not_that_with_three() -> None:
    rows = [
        row("short", "bare", calls=3, cpu_us_per_request=1500.0),
        row("short", "bare", cpu_us_per_request=500.0),
        row("short", cpu_us_per_request=1500.0),
    ]

    assert finding(rows, "short, CPU per request").measured == "3.00 × (1,500 : 500 µs)"


@pytest.mark.parametrize(
    ("load", "measure", "p50", "p99", "met"),
    [
        ("one", "TTFT, 1 stream", 2.0, 4.0, True),
        ("one", "TTFT, 1 stream", 2.1, 4.0, False),
        ("one", "TTFT, 1 stream", 2.0, 4.1, False),
        ("hundred", "TTFT, 100 streams", 2.4, 6.0, True),
        ("hundred", "TTFT, 100 streams", 2.4, 6.1, False),
    ],
)
def test_both_percentiles_of_the_first_token_must_hold(
    load: str, measure: str, p50: float, p99: float, met: bool
) -> None:
    assert finding([row(load, ttft_ms={"p50": p50, "p99": p99})], measure).met is met


def test_added_ttft_is_what_the_direct_way_does_not_take() -> None:
    direct = row("five-hundred", "direct", ttft_ms={"p50": 0.5, "p99": 1.0})
    own = row("five-hundred", ttft_ms={"p50": 3.25, "p99": 9.0})

    assert finding([direct, own], "added TTFT, 500 streams") == Finding(
        "added TTFT, 500 streams", "p50 ≤ 5 ms, p99 ≤ 30 ms", "p50 2.75, p99 8.00", met=True
    )


def test_the_speed_against_a_peer_is_the_quotient_of_the_costs() -> None:
    rows = [row("burst", "nginx", cpu_us_per_chunk=2.0), row("burst", cpu_us_per_chunk=10.0)]

    found = finding(rows, "burst, chunks per CPU second against nginx")

    assert (found.measured, found.met) == ("0.2 ×", True)


def test_a_peer_is_met_with_one_call_and_with_three_and_in_both_framings() -> None:
    rows = [
        row("burst", "fastapi+httpx", cpu_us_per_chunk=40.0),
        row("burst", "fastapi+httpx", calls=3, cpu_us_per_chunk=80.0),
        row("burst", "fastapi+httpx", calls=3, framing="sse", cpu_us_per_chunk=60.0),
        row("burst", cpu_us_per_chunk=20.0),
        row("burst", framing="sse", cpu_us_per_chunk=10.0),
    ]
    about = "burst, chunks per CPU second against FastAPI + httpx"

    found = [finding(rows, f"{about}, {how}") for how in ("one call", "three calls", "SSE")]

    assert [(each.measured, each.met) for each in found] == [
        ("2 ×", False),
        ("4 ×", True),
        ("6 ×", True),
    ]


def test_control_calls_on_the_path_show_in_the_time_to_the_first_token() -> None:
    trips = "control round trips on a steady request's path"

    assert finding([row("control", ttft_ms={"p50": 158.0})], trips).measured == "1"
    assert finding([row("control", ttft_ms={"p50": 3.0})], trips).met


def test_a_continued_request_makes_one_call() -> None:
    calls = "upstream calls of a continued request"

    assert finding([row("continued", calls_per_request=1.01)], calls).met
    assert not finding([row("continued", calls_per_request=2.0)], calls).met


def test_memory_of_held_streams_is_counted_from_the_idle_worker() -> None:
    found = finding(
        [row("held", rss_idle_mb=50.0, rss_peak_mb=140.0)], "memory of 1,000 idle streams"
    )

    assert (found.measured, found.met) == ("90 MB", False)


def test_rows_that_failed_say_nothing() -> None:
    rows = [
        row("control", failed=1, ready_s=None),
        row("short", "bare"),
        row("short", failed=1, ready_s=None),
    ]

    assert [found.measure for found in demands.check(rows)] == []


def test_findings_are_printed_with_their_verdict() -> None:
    found = [
        Finding("start to ready", "< 2 s", "0.61 s", met=True),
        Finding("x", "0", "1", met=False),
    ]

    text = report.findings(found, [row()])

    assert [line.split("|")[-2].strip() for line in text.splitlines()[4:]] == ["PASS", "FAIL"]


def test_findings_of_a_busy_machine_say_so() -> None:
    text = report.findings(
        [Finding("x", "0", "1", met=False)],
        [row("one", "nginx", others_share=0.9), row(others_share=0.4)],
    )

    assert text.endswith(
        "\nOther programs took up to 40% of gbproxy's core: its times are partly theirs.\n"
    )
