"""What is kept of a run, and when the documentation is touched."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench import results
from bench.results import NoPlace, Run
from bench.run import PAGE
from bench.summary import summary
from tests.bench.rows import row

RUN = Run(
    began=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    machine={"cpu": "a processor", "python": "3.11.7", "flask": "3.1.3"},
    rows=[
        row("short", "bare", cpu_us_per_request=500.0),
        row("short", cpu_us_per_request=1250.0),
        row("short", "bare", round=1, cpu_us_per_request=500.0),
        row("short", round=1, cpu_us_per_request=1250.0),
    ],
    skipped={},
    failures=[],
    is_whole=True,
)
MARKED = "# Page\n\n<!-- the last run -->\nold\n<!-- until here -->\n\nThe rest.\n"


def test_a_run_is_kept_as_json_markdown_and_a_picture(tmp_path: Path) -> None:
    written = results.keep(RUN, tmp_path)

    assert [path.name for path in written] == [
        f"{name}.{suffix}" for name in ("20260102T030405Z", "latest") for suffix in ("json", "md", "svg")
    ]  # fmt: skip
    kept = json.loads((tmp_path / "latest.json").read_text())
    assert (len(kept["rounds"]), len(kept["medians"])) == (4, 2)
    assert kept["demands"][0]["measured"] == "2.50 × (1,250 : 500 µs)"
    assert "| PASS |" in (tmp_path / "latest.md").read_text()
    assert "a processor" in (tmp_path / "latest.svg").read_text()


@pytest.mark.parametrize(
    "run", [replace(RUN, failures=["bare: broke"]), replace(RUN, is_whole=False)]
)
def test_a_run_that_failed_or_was_a_part_is_not_the_latest(run: Run, tmp_path: Path) -> None:
    results.keep(run, tmp_path)

    assert not run.is_good
    assert {path.stem for path in tmp_path.iterdir()} == {"20260102T030405Z"}


def test_the_page_gets_the_run_between_its_marks_and_keeps_the_rest(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(MARKED, "utf-8")

    results.document(RUN, tmp_path, page)

    text = page.read_text("utf-8")
    assert text.startswith(
        "# Page\n\n<!-- the last run -->\n\n2026-01-02 03:04 UTC: cpu a processor,"
    )
    assert text.endswith("\n\n<!-- until here -->\n\nThe rest.\n")
    assert "old" not in text
    assert "2.50 ×" in text
    assert "](results/documented.svg)" in text
    kept = {path.suffix: path.read_text("utf-8") for path in tmp_path.glob("documented.*")}
    assert sorted(kept) == [".json", ".md", ".svg"]
    assert json.loads(kept[".json"])["taken"] == "2026-01-02T03:04:05+00:00"
    assert results.with_run(text, RUN) == text


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n", "utf-8")

    with pytest.raises(NoPlace):
        results.document(RUN, tmp_path, page)

    assert page.read_text("utf-8") == "# Page\n"
    assert list(tmp_path.iterdir()) == [page]


def test_the_benchmarks_own_page_has_a_place_for_it() -> None:
    assert "2.50 ×" in results.with_run(PAGE.read_text("utf-8"), RUN)


def test_the_summary_shows_one_call_beside_three_and_gbproxy_beside_bare() -> None:
    rows = [*RUN.rows, row("short", "bare", calls=3, cpu_us_per_request=900.0)]

    head, _, *lines = summary(rows).splitlines()

    assert [cell.strip() for cell in head.strip("|").split("|")][2:4] == ["bare", "three calls"]
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in lines] == [
        ["short answer, per request, µs", "–", "500", "900", "–", "–", "–", "–", "1,250", "2.50 ×"]
    ]
