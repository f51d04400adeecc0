"""`make bench-check`: gbproxy's costs, as multiples of the bare recipe's, against the committed
ones.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

from bench import ratios, report, subjects
from bench.figures import BARE, OWN
from bench.lab import facts, lab, measured, say
from bench.loads import CHECKED
from bench.subjects import Variant
from bench.tools import HERE, Unusable

BASELINE = HERE / "baseline.json"


def check(*, update: bool) -> int:
    """1: a cost is more than 30 % above its baseline. With `update` they are the new baseline."""
    rows = []
    with (
        lab() as (instruments, site),
        subjects.start(Variant(BARE.subject, "array"), site) as bare,
        subjects.start(Variant(OWN.subject, "array"), site) as own,
    ):
        known = facts(instruments)
        for number in range(ratios.PASSES):
            for load in CHECKED:
                for subject in (bare, own) if number % 2 == 0 else (own, bare):
                    rows.append(measured(instruments, subject, load, number))
    others = max(row.others_share for row in rows)
    committed = json.loads(BASELINE.read_text()) if BASELINE.exists() else {"ratios": {}}
    verdicts = ratios.compare(rows, committed["ratios"])
    say("\nCPU of gbproxy as a multiple of the bare recipe's, the median of three passes:\n")
    for verdict in verdicts:
        say(_line(verdict))
    if others > report.BUSY_OTHERS:
        say(
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
        say(f"\nThese are the new baseline, in {BASELINE.relative_to(HERE.parent)}.")
        return 0
    if any(verdict.baseline is None for verdict in verdicts):
        raise Unusable(
            f"{BASELINE.relative_to(HERE.parent)} has no such ratios: write them with --update, and"
            " commit them"
        )
    return 1 if any(verdict.is_worse for verdict in verdicts) else 0


def _line(verdict: ratios.Verdict) -> str:
    passes = ", ".join(f"{value:.2f}" for value in verdict.passes)
    change = (
        "no baseline"
        if verdict.change is None
        else f"baseline {verdict.baseline:.2f}, {verdict.change:+.0%}"
    )
    mark = "  WORSE than 30 % allow" if verdict.is_worse else ""
    return (
        f"  {verdict.load:9} per {verdict.unit:8} {verdict.ratio:6.2f} ×   ({passes})  "
        f" {change}{mark}"
    )
