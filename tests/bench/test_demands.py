"""What a run's rows say about the demands on gbproxy's speed."""

from __future__ import annotations

from bench import demands, report
from bench.demands import Finding
from bench.measure import Row
from tests.bench.rows import row


def finding(rows: list[Row], measure: str) -> Finding:
    return next(found for found in demands.check(rows) if found.measure == measure)


def test_added_ttft_is_what_the_direct_way_does_not_take() -> None:
    direct = row("one", "direct", ttft_ms={"p50": 0.5, "p99": 1.0})
    own = row("one", ttft_ms={"p50": 3.25, "p99": 9.0})

    assert finding([direct, own], "added TTFT, 1 stream") == Finding(
        "added TTFT, 1 stream", "p50 ≤ 3 ms, p99 ≤ 10 ms", "p50 2.75, p99 8.00", met=True
    )


def test_both_percentiles_must_hold() -> None:
    direct = row("hundred", "direct", ttft_ms={"p50": 0.5, "p99": 1.0})
    own = row("hundred", ttft_ms={"p50": 2.0, "p99": 30.0})

    assert not finding([direct, own], "added TTFT, 100 streams").met


def test_the_speed_against_a_peer_is_the_quotient_of_the_costs() -> None:
    rows = [row("burst", "nginx", cpu_us_per_chunk=2.0), row("burst", cpu_us_per_chunk=10.0)]

    found = finding(rows, "chunks per CPU second against nginx, burst, array")

    assert (found.measured, found.met) == ("0.2 ×", True)


def test_each_framing_is_held_against_the_peer_with_the_same() -> None:
    rows = [
        row("paced", "fastapi+httpx", framing="sse", cpu_us_per_chunk=200.0),
        row("paced", "fastapi+httpx", cpu_us_per_chunk=240.0),
        row("paced", framing="sse", cpu_us_per_chunk=100.0),
        row("paced", cpu_us_per_chunk=60.0),
    ]

    array = finding(rows, "chunks per CPU second against fastapi+httpx, paced, array")
    events = finding(rows, "chunks per CPU second against fastapi+httpx, paced, sse")

    assert [(array.measured, array.met), (events.measured, events.met)] == [
        ("4 ×", True),
        ("2 ×", False),
    ]


def test_control_calls_on_the_path_show_in_the_time_to_the_first_token() -> None:
    trips = "control round trips on a steady request's path"

    assert finding([row("control", ttft_ms={"p50": 158.0})], trips).measured == "1"
    assert finding([row("control", ttft_ms={"p50": 3.0})], trips).met


def test_memory_of_held_streams_is_counted_from_the_idle_worker() -> None:
    found = finding(
        [row("held", rss_idle_mb=50.0, rss_peak_mb=140.0)], "memory of 1,000 idle streams"
    )

    assert (found.measured, found.met) == ("90 MB", False)


def test_rows_that_failed_say_nothing() -> None:
    assert [
        found.measure for found in demands.check([row("control", failed=1, ready_s=None)])
    ] == []


def test_findings_are_printed_with_their_verdict() -> None:
    found = [
        Finding("start to ready", "< 2 s", "0.61 s", met=True),
        Finding("x", "0", "1", met=False),
    ]

    text = report.findings(found, [row()])

    assert [line.split("|")[-2].strip() for line in text.splitlines()[4:]] == ["met", "MISSED"]


def test_findings_of_a_busy_machine_say_so() -> None:
    text = report.findings(
        [Finding("x", "0", "1", met=False)],
        [row("one", "nginx", others_share=0.9), row(others_share=0.4)],
    )

    assert text.endswith(
        "\nOther programs took up to 40% of gbproxy's core: its times are partly theirs.\n"
    )
