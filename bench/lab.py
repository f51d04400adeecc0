"""The instruments, made ready, and what is said while they work."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench import certificate, machine, report, tools
from bench.loads import Load
from bench.measure import Lab, Row, measure
from bench.subjects import Site, Subject
from bench.texts import number


@contextmanager
def lab() -> Iterator[tuple[Lab, Site]]:
    """The instruments, ready, and the site for subjects. We ourselves work on the tools' core."""
    cores = tools.choose_cores()
    os.sched_setaffinity(0, {cores.load})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    built = tools.build(tools.compiler())
    made = certificate.make(tools.BUILD) if built.has_tls else None
    with tools.upstream(built, cores.mock, (made.chain, made.key) if made else None) as upstream:
        yield Lab(built, cores, upstream), Site(cores.subject, upstream, made.ca if made else None)


def measured(lab: Lab, subject: Subject, load: Load, turn: int) -> Row:
    """One row, and a line about it."""
    row = measure(lab, subject, load, turn)
    unit = load.unit or "request"
    cost = row.cost(unit)
    of_it = "" if cost is None else f", {number(cost)} µs of CPU per {unit}"
    say(
        f"{load.name} {turn + 1}/{load.rounds}: {subject.variant}: {row.requests:,}"
        f" requests{of_it}",
        *report.remarks(row),
    )
    return row


def facts(lab: Lab) -> dict[str, Any]:
    layout = "shared" if lab.cores.mock == lab.cores.load else "one each"
    tls = "OpenSSL in the mock" if lab.tools.has_tls else "none"
    return {
        **machine.facts(),
        "load_average_before": machine.load_average(),
        "cores_of_the_tools": layout,
        "tls": tls,
    }


def say(*parts: str) -> None:
    sys.stdout.write("  ".join(parts) + "\n")
    sys.stdout.flush()
