"""`make bench` and `make bench-check`: which subjects meet which loads, in what order, and what
becomes of the rows.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import certificate, demands, machine, ratios, report, subjects, tools
from bench.loads import (
    ALL,
    BURST,
    CHECKED,
    CONTROL,
    FIVE_HUNDRED,
    HELD,
    HUNDRED,
    ONE,
    PACED,
    SHORT,
    Load,
)
from bench.measure import Lab, Row, measure
from bench.subjects import Site, Variant
from bench.tools import HERE, Unusable

RESULTS = HERE / "results"
BASELINE = HERE / "baseline.json"
PASSES = 3

_PLAIN = (SHORT, BURST, PACED, ONE, HUNDRED, FIVE_HUNDRED)
_GATEWAY = (
    HELD,
    SHORT,
    BURST,
    PACED,
    ONE,
    HUNDRED,
    FIVE_HUNDRED,
    CONTROL,
)  # memory first, while nothing else has grown it
_FRAMING = (BURST, PACED)
_TLS = (SHORT, PACED)

PLAN: tuple[tuple[Variant, Sequence[Load]], ...] = (
    (Variant("direct", "openai"), _PLAIN),
    (Variant("nginx", "openai"), _PLAIN),
    (Variant("nginx", "openai", tls=True), _TLS),
    (Variant("fastapi+httpx", "array"), _GATEWAY),
    (Variant("fastapi+httpx", "sse"), _FRAMING),
    (Variant("fastapi+httpx", "array", tls=True), _TLS),
    (Variant("gbproxy", "array"), _GATEWAY),
    (Variant("gbproxy", "sse"), _FRAMING),
    (Variant("gbproxy", "array", tls=True), _TLS),
)


def bench(only_subjects: Sequence[str] = (), only_loads: Sequence[str] = ()) -> int:
    """Measure everything, print it and keep it. 1 when a row has errors."""
    began = datetime.now(UTC)
    with _lab() as (lab, site):
        known = _facts(lab)
        _say(f"{report.facts(known)}\n")
        rows, skipped, broken = _measure_all(lab, site, only_subjects, only_loads)
    found = demands.check(rows)
    text = f"{report.tables(ALL, rows, skipped)}\n{report.findings(found, rows) if found else ''}"
    _say(f"\n{text}")
    failures = [
        f"{row.subject} under {row.load}: {row.failed} errors, {row.first_error}"
        for row in rows
        if row.failed
    ]
    failures += [f"{what}: {why}" for what, why in broken.items()]
    for failure in failures:
        _say(f"FAILED: {failure}")
    content = {
        "taken": began.isoformat(timespec="seconds"),
        "machine": known,
        "rows": [asdict(row) for row in rows],
        "skipped": skipped,
        "failures": failures,
        "demands": [asdict(finding) for finding in found],
    }
    is_whole = not only_subjects and not only_loads
    _keep(
        began,
        content,
        f"# Benchmark of {began:%Y-%m-%d %H:%M} UTC\n\n{report.facts(known)}\n\n{text}",
        is_latest=is_whole,
    )
    return 1 if failures else 0


def bench_check(*, update: bool) -> int:
    """Hold gbproxy's costs, as multiples of nginx's, against the committed ones. 1: one is more
    than 30 % worse.
    """
    passes: list[dict[str, float]] = []
    others = 0.0
    with (
        _lab() as (lab, site),
        subjects.start(Variant("nginx", "openai"), site) as nginx,
        subjects.start(Variant("gbproxy", "array"), site) as gbproxy,
    ):
        known = _facts(lab)
        for number in range(1, PASSES + 1):
            rows = []
            for load in CHECKED:
                for subject in (nginx, gbproxy):
                    rows.append(_measured(lab, subject, load, f"pass {number} of {PASSES}: "))
            passes.append(ratios.of_pass(rows))
            others = max(others, *(row.others_share for row in rows))
    committed = json.loads(BASELINE.read_text()) if BASELINE.exists() else {"ratios": {}}
    verdicts = ratios.compare(passes, committed["ratios"])
    _say("\nCPU of gbproxy as a multiple of nginx's, the median of three passes:\n")
    for verdict in verdicts:
        _say(_verdict_line(verdict))
    if others > report.BUSY_OTHERS:
        _say(
            f"\nOther programs took up to {others:.0%} of the core: on a quiet machine this may"
            " look different."
        )
    if update:
        content = {
            "taken": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": known,
            "others_on_the_core": round(others, 2),
            "ratios": {verdict.load: round(verdict.ratio, 2) for verdict in verdicts},
        }
        BASELINE.write_text(json.dumps(content, indent=2) + "\n")
        _say(f"\nThese are the new baseline, in {BASELINE.relative_to(HERE.parent)}.")
        return 0
    if any(verdict.baseline is None for verdict in verdicts):
        raise Unusable(
            f"{BASELINE.relative_to(HERE.parent)} has no such ratios: write them with --update, and"
            " commit them"
        )
    return 1 if any(verdict.is_worse for verdict in verdicts) else 0


@contextmanager
def _lab() -> Iterator[tuple[Lab, Site]]:
    """The instruments, ready, and the site for subjects. We ourselves work on the tools' core."""
    cores = tools.choose_cores()
    os.sched_setaffinity(0, {cores.load})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    built = tools.build(tools.compiler())
    made = certificate.make(tools.BUILD) if built.has_tls else None
    with tools.upstream(built, cores.mock, (made.chain, made.key) if made else None) as upstream:
        yield Lab(built, cores, upstream), Site(cores.subject, upstream, made.ca if made else None)


def _measure_all(
    lab: Lab, site: Site, only_subjects: Sequence[str], only_loads: Sequence[str]
) -> tuple[list[Row], dict[str, str], dict[str, str]]:
    """The rows; what was left out, and what would not run, each with the reason."""
    rows: list[Row] = []
    skipped: dict[str, str] = {}
    broken: dict[str, str] = {}
    for variant, loads in PLAN:
        wanted = [load for load in loads if not only_loads or load.name in only_loads]
        if not wanted or (only_subjects and variant.subject not in only_subjects):
            continue
        if variant.tls and site.ca is None:
            skipped[str(variant)] = (
                "the mock was compiled without TLS: OpenSSL's headers are missing (libssl-dev)"
            )
            continue
        if variant.subject == "nginx" and subjects.find_nginx() is None:
            skipped[str(variant)] = "nginx is not installed: `make ci-deps` installs it"
            continue
        try:
            with subjects.start(variant, site) as subject:
                for load in wanted:
                    rows.append(_measured(lab, subject, load))
        except Unusable as error:
            broken[str(variant)] = str(error)
    return rows, skipped, broken


def _measured(lab: Lab, subject: subjects.Subject, load: Load, prefix: str = "") -> Row:
    row = measure(lab, subject, load)
    cost = (
        "" if row.cpu_us_per_request is None else f", {row.cpu_us_per_request:,.0f} µs of CPU each"
    )
    _say(
        f"{prefix}{subject.variant}: {load.name}: {row.requests:,} requests{cost}",
        *report.remarks(row),
    )
    return row


def _facts(lab: Lab) -> dict[str, Any]:
    layout = "shared" if lab.cores.mock == lab.cores.load else "one each"
    tls = "OpenSSL in the mock" if lab.tools.has_tls else "none"
    return {
        **machine.facts(),
        "load_average_before": machine.load_average(),
        "cores_of_the_tools": layout,
        "tls": tls,
    }


def _verdict_line(verdict: ratios.Verdict) -> str:
    passes = ", ".join(f"{value:.1f}" for value in verdict.passes)
    change = (
        "no baseline"
        if verdict.change is None
        else f"baseline {verdict.baseline:.1f}, {verdict.change:+.0%}"
    )
    mark = "  WORSE than 30 % allow" if verdict.is_worse else ""
    return (
        f"  {verdict.load:6} per {verdict.unit:8} {verdict.ratio:6.1f} ×   ({passes})  "
        f" {change}{mark}"
    )


def _keep(began: datetime, content: dict[str, Any], markdown: str, *, is_latest: bool) -> None:
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    names = [f"{began:%Y%m%dT%H%M%SZ}", *(["latest"] if is_latest else [])]
    for name in names:
        Path(RESULTS / f"{name}.json").write_text(text)
        Path(RESULTS / f"{name}.md").write_text(markdown)
    _say(f"Kept as {', '.join(f'bench/results/{name}.json' for name in names)}, and as .md.")


def _say(*parts: str) -> None:
    sys.stdout.write("  ".join(parts) + "\n")
    sys.stdout.flush()
