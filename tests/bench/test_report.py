"""What is printed about a run: readable, and with everything that casts doubt on a figure beside
it.
"""

from __future__ import annotations

from bench import report
from bench.loads import BURST, SHORT
from tests.bench.rows import row


def test_a_table_for_each_load_that_was_run_reads_well_as_plain_text() -> None:
    direct = row(
        subject="direct",
        requests_per_s=98765.4,
        cpu_us_per_request=None,
        cpu_us_per_chunk=None,
        rss_idle_mb=None,
    )

    text = report.tables((SHORT, BURST), [direct, row()], {})

    title, _, head, rule, *body = text.splitlines()
    assert title == f"### short: {SHORT.about}"
    assert len({len(line) for line in (head, rule, *body)}) == 1
    assert [[cell.strip() for cell in line.split("|")[1:8]] for line in (head, *body)] == [
        ["subject", "reads", "calls", "req/s", "chunks/s", "µs/req", "µs/chunk"],
        ["direct", "openai", "2.00", "98,765", "500", "–", "–"],
        ["gbproxy", "array", "2.00", "500", "500", "1,500", "1,500"],
    ]


def test_what_was_left_out_is_named_with_the_reason() -> None:
    text = report.tables((SHORT,), [row()], {"nginx, openai": "nginx is not installed"})

    assert text.endswith("Not measured:\n\n- nginx, openai: nginx is not installed\n")


def test_a_good_row_has_no_remarks() -> None:
    assert report.remarks(row()) == []


def test_errors_busy_tools_other_programs_and_work_left_over_are_remarked() -> None:
    doubtful = row(
        failed=3, first_error="status 503 busy", tools_share=0.93, others_share=0.25, settled=False
    )

    assert report.remarks(doubtful) == [
        "FAILED: 3 errors (status 503 busy)",
        "tools at 93%: its rates and times are theirs too",
        "others took 25% of the core",
        "still at work 3 s later",
    ]


def test_the_direct_row_may_use_the_tools_up_for_it_shows_their_ceiling() -> None:
    assert (
        report.remarks(
            row(subject="direct", cpu_us_per_request=None, tools_share=1.0, others_share=0.9)
        )
        == []
    )


def test_facts_that_are_not_known_are_left_out() -> None:
    assert report.facts({"cores": 2, "nginx": None, "python": "3.12.1"}) == "cores 2, python 3.12.1"
