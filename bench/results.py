"""Writes the results of a run: JSON, Markdown and a chart in results/, and on demand a part of the
documentation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench import demands, report
from bench.chart import chart
from bench.demands import Finding
from bench.figures import medians
from bench.loads import ALL
from bench.measure import Row
from bench.summary import summary

_PAGE_PART = re.compile(r"(?<=<!-- the last run -->\n).*?(?=<!-- until here -->)", re.DOTALL)
_ON_THE_PAGE = ("cpu", "cores", "memory_gb", "kernel", "python", "nginx", "commit")


class NoPlace(Exception):
    """A page has no place for the last run."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has ended. Failures: what keeps it from being believed."""

    began: datetime
    machine: Mapping[str, object]
    rows: Sequence[Row]  # of each round
    skipped: Mapping[str, str]
    failures: Sequence[str]
    is_whole: bool

    @property
    def findings(self) -> list[Finding]:
        return demands.check(self.rows)

    @property
    def is_good(self) -> bool:
        return self.is_whole and not self.failures


def text(run: Run) -> str:
    """All of it, for people."""
    found = run.findings
    parts = [report.tables(ALL, medians(run.rows), run.skipped)]
    if in_short := summary(run.rows):
        parts.append(f"### In short\n\n{in_short}")
    if found:
        parts.append(report.findings(found, run.rows))
    return "\n".join(parts)


def content(run: Run) -> dict[str, Any]:
    """All of it, for programs."""
    return {
        "taken": run.began.isoformat(timespec="seconds"),
        "machine": run.machine,
        "medians": [asdict(row) for row in medians(run.rows)],
        "rounds": [asdict(row) for row in run.rows],
        "skipped": run.skipped,
        "failures": run.failures,
        "demands": [asdict(finding) for finding in run.findings],
    }


def keep(run: Run, folder: Path) -> list[Path]:
    """Write the run under its date, and a good one also as the latest. Returns what was written."""
    folder.mkdir(exist_ok=True)
    names = [f"{run.began:%Y%m%dT%H%M%SZ}", *(["latest"] if run.is_good else [])]
    return [path for name in names for path in _write(run, folder, name)]


def document(run: Run, folder: Path, page: Path) -> list[Path]:
    """Write a good run beside the documentation, and into it. Raises NoPlace."""
    updated = with_run(page.read_text("utf-8"), run)
    page.write_text(updated, "utf-8")
    return [*_write(run, folder, "documented"), page]


def with_run(page: str, run: Run) -> str:
    """The page with this run in place of the one before. Raises NoPlace where it has no marks."""
    if not _PAGE_PART.search(page):
        raise NoPlace("the page has no marks between which the last run is to stand")
    known = {name: run.machine.get(name) for name in _ON_THE_PAGE}
    parts = [
        f"{run.began:%Y-%m-%d %H:%M} UTC: {report.facts(known)}.",
        "![gbproxy beside nginx, the bare recipe and two FastAPI gateways](results/documented.svg)",
        summary(run.rows),
        report.findings(run.findings, run.rows),
    ]
    part = "\n\n".join(each.strip() for each in parts)
    return _PAGE_PART.sub(lambda _: f"\n{part}\n\n", page, count=1)


def _write(run: Run, folder: Path, name: str) -> list[Path]:
    head = f"# Benchmark of {run.began:%Y-%m-%d %H:%M} UTC\n\n{report.facts(run.machine)}\n\n"
    texts = {
        "json": json.dumps(content(run), indent=1, ensure_ascii=False) + "\n",
        "md": head + text(run),
        "svg": _picture(run),
    }
    for suffix, each in texts.items():
        (folder / f"{name}.{suffix}").write_text(each, "utf-8")
    return [folder / f"{name}.{suffix}" for suffix in texts]


def _picture(run: Run) -> str:
    return chart(run.rows, f"{run.began:%Y-%m-%d}, {run.machine.get('cpu')}")
