"""`make bench`: the whole plan, and what becomes of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from bench import report, results, subjects
from bench.lab import facts, lab, measured, say
from bench.measure import Lab, Row
from bench.plan import Stage, stages
from bench.results import Run
from bench.subjects import Site, Subject, Variant
from bench.tools import HERE, Unusable

RESULTS = HERE / "results"
PAGE = HERE / "README.md"


def bench(
    only_subjects: Sequence[str] = (), only_loads: Sequence[str] = (), *, document: bool = False
) -> int:
    """Measure everything, print it and keep it; a good run also in the documentation, when asked
    to. 1 when a row has errors.
    """
    began = datetime.now(UTC)
    rows: list[Row] = []
    skipped: dict[str, str] = {}
    broken: dict[str, str] = {}
    with lab() as (instruments, site):
        known = facts(instruments)
        say(f"{report.facts(known)}\n")
        for stage in stages(only_subjects, only_loads):
            with _started(stage, site, skipped, broken) as started:
                rows += _measured(stage, instruments, started, broken)
    failures = [
        f"{row.subject} under {row.load}: {row.failed} errors, {row.first_error}"
        for row in rows
        if row.failed
    ]
    failures += [f"{what}: {why}" for what, why in broken.items()]
    is_whole = not (only_subjects or only_loads or skipped)
    run = Run(began, known, rows, skipped, failures, is_whole)
    say(f"\n{results.text(run)}")
    for failure in failures:
        say(f"FAILED: {failure}")
    written = results.keep(run, RESULTS)
    if document and run.is_good:
        written += results.document(run, RESULTS, PAGE)
    elif document:
        say("The documentation stays as it was: not all was measured, or not without errors.")
    say(f"Kept as {', '.join(str(path.relative_to(HERE.parent)) for path in written)}.")
    return 1 if failures else 0


@contextmanager
def _started(
    stage: Stage, site: Site, skipped: dict[str, str], broken: dict[str, str]
) -> Iterator[dict[Variant, Subject]]:
    """The stage's subjects, running; those that cannot run here are noted with the reason."""
    with ExitStack() as stack:
        started = {}
        for variant in stage.variants:
            if variant.tls and site.ca is None:
                skipped[str(variant)] = (
                    "the mock was compiled without TLS: OpenSSL's headers are missing (libssl-dev)"
                )
            elif variant.subject == "nginx" and subjects.find_nginx() is None:
                skipped[str(variant)] = "nginx is not installed: `make ci-deps` installs it"
            else:
                try:
                    started[variant] = stack.enter_context(subjects.start(variant, site))
                except Unusable as error:
                    broken[str(variant)] = str(error)
        yield started


def _measured(
    stage: Stage, lab: Lab, started: dict[Variant, Subject], broken: dict[str, str]
) -> Iterator[Row]:
    for number, load, variant in stage.steps():
        if variant in started and str(variant) not in broken:
            try:
                yield measured(lab, started[variant], load, number)
            except Unusable as error:
                broken[str(variant)] = str(error)
