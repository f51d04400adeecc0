"""Rows -> tables that are read by people: Markdown, aligned so that it reads well as it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from bench.demands import Finding
from bench.loads import Load
from bench.measure import Row
from bench.texts import number, table

BUSY_TOOLS = 0.80  # from here on the tools may be what limits a row
BUSY_OTHERS = 0.10  # so much of the subject's core went to processes that are not ours

_COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("subject", lambda row: row.subject),
    ("reads", lambda row: f"{row.framing}{' TLS' if row.tls else ''}"),
    ("calls", lambda row: number(row.calls_per_request)),
    ("req/s", lambda row: number(row.requests_per_s)),
    ("chunks/s", lambda row: number(row.chunks_per_s)),
    ("µs/req", lambda row: number(row.cpu_us_per_request)),
    ("µs/chunk", lambda row: number(row.cpu_us_per_chunk)),
    ("TTFT ms p50", lambda row: number(row.ttft_ms.get("p50"))),
    ("p90", lambda row: number(row.ttft_ms.get("p90"))),
    ("p99", lambda row: number(row.ttft_ms.get("p99"))),
    ("forward ms p50", lambda row: number(row.forward_ms.get("p50"))),
    ("p99", lambda row: number(row.forward_ms.get("p99"))),
    ("RSS MB idle", lambda row: number(row.rss_idle_mb)),
    ("peak", lambda row: number(row.rss_peak_mb)),
    ("after", lambda row: number(row.rss_after_mb)),
    ("CPU %", lambda row: "–" if row.cpu_us_per_request is None else f"{row.subject_share:.0%}"),
    ("tools %", lambda row: f"{row.tools_share:.0%}"),
    ("remarks", lambda row: "; ".join(remarks(row))),
)


def remarks(row: Row) -> list[str]:
    """The reasons to doubt a row's figures, in words."""
    found = []
    if row.failed:
        found.append(f"FAILED: {row.failed} errors ({row.first_error[:80]})")
    is_ceiling = row.cpu_us_per_request is None
    if row.tools_share > BUSY_TOOLS and not is_ceiling:
        found.append(f"tools at {row.tools_share:.0%}: its rates and times are theirs too")
    if row.others_share > BUSY_OTHERS and not is_ceiling:
        found.append(f"others took {row.others_share:.0%} of the core")
    if not row.settled:
        found.append("still at work 3 s later")
    return found


def tables(loads: Iterable[Load], rows: Sequence[Row], skipped: Mapping[str, str]) -> str:
    """One table for each load, and what could not be measured."""
    parts = []
    for load in loads:
        own = [row for row in rows if row.load == load.name]
        if own:
            cells = [[text(row) for _, text in _COLUMNS] for row in own]
            parts.append(
                f"### {load.name}: {load.about}\n\n{table([title for title, _ in _COLUMNS], cells)}"
            )
    if skipped:
        parts.append(
            "Not measured:\n\n" + "\n".join(f"- {what}: {why}" for what, why in skipped.items())
        )
    return "\n\n".join(parts) + "\n"


def findings(found: Sequence[Finding], rows: Sequence[Row]) -> str:
    """The demands, with a warning where other programs had a hand in gbproxy's figures."""
    cells = [[f.measure, f.demand, f.measured, "PASS" if f.met else "FAIL"] for f in found]
    text = (
        "### gbproxy beside what is demanded of"
        f" it\n\n{table(['measure', 'demand', 'measured', ''], cells)}\n"
    )
    others = max((row.others_share for row in rows if row.subject == "gbproxy"), default=0.0)
    if others > BUSY_OTHERS:
        text += (
            f"\nOther programs took up to {others:.0%} of gbproxy's core: its times are partly"
            " theirs.\n"
        )
    return text


def facts(machine: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in machine.items() if value is not None)
