"""Rows -> tables that are read by people: Markdown, aligned so that it reads well as it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from bench.demands import Finding
from bench.loads import Load
from bench.measure import Row

BUSY_TOOLS = 0.80  # from here on the tools may be what limits a row
BUSY_OTHERS = 0.10  # so much of the subject's core went to processes that are not ours

_COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("subject", lambda row: row.subject),
    ("reads", lambda row: f"{row.framing}{' TLS' if row.tls else ''}"),
    ("req/s", lambda row: _number(row.requests_per_s)),
    ("chunks/s", lambda row: _number(row.chunks_per_s)),
    ("µs/req", lambda row: _number(row.cpu_us_per_request)),
    ("µs/chunk", lambda row: _number(row.cpu_us_per_chunk)),
    ("TTFT ms p50", lambda row: _number(row.ttft_ms.get("p50"))),
    ("p90", lambda row: _number(row.ttft_ms.get("p90"))),
    ("p99", lambda row: _number(row.ttft_ms.get("p99"))),
    ("forward ms p50", lambda row: _number(row.forward_ms.get("p50"))),
    ("p99", lambda row: _number(row.forward_ms.get("p99"))),
    ("RSS MB idle", lambda row: _number(row.rss_idle_mb)),
    ("peak", lambda row: _number(row.rss_peak_mb)),
    ("after", lambda row: _number(row.rss_after_mb)),
    ("CPU %", lambda row: "–" if row.cpu_us_per_request is None else f"{row.subject_share:.0%}"),
    ("tools %", lambda row: f"{row.tools_share:.0%}"),
    ("remarks", lambda row: "; ".join(remarks(row))),
)
_TEXT_COLUMNS = ("subject", "reads", "remarks")


def remarks(row: Row) -> list[str]:
    """What must be known about a row before its figures are believed."""
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
                f"### {load.name}:"
                f" {load.about}\n\n{_table([title for title, _ in _COLUMNS], cells)}"
            )
    if skipped:
        parts.append(
            "Not measured:\n\n" + "\n".join(f"- {what}: {why}" for what, why in skipped.items())
        )
    return "\n\n".join(parts) + "\n"


def findings(found: Sequence[Finding], rows: Sequence[Row]) -> str:
    """The demands, with a warning where other programs had a hand in gbproxy's figures."""
    cells = [[f.measure, f.demand, f.measured, "met" if f.met else "MISSED"] for f in found]
    text = (
        "### gbproxy beside what is demanded of"
        f" it\n\n{_table(['measure', 'demand', 'measured', ''], cells)}\n"
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


def _table(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    widths = [max(len(title), *(len(row[i]) for row in cells)) for i, title in enumerate(titles)]
    is_text = [
        title in _TEXT_COLUMNS or not _is_numeric(cells, i) for i, title in enumerate(titles)
    ]
    lines = [_line(titles, widths, is_text)]
    lines.append(
        "|"
        + "|".join(
            "-" * (w + 1) + ("-" if text else ":") for w, text in zip(widths, is_text, strict=True)
        )
        + "|"
    )
    lines += [_line(row, widths, is_text) for row in cells]
    return "\n".join(lines)


def _line(row: Sequence[str], widths: Sequence[int], is_text: Sequence[bool]) -> str:
    padded = (
        cell.ljust(width) if text else cell.rjust(width)
        for cell, width, text in zip(row, widths, is_text, strict=True)
    )
    return f"| {' | '.join(padded)} |"


def _is_numeric(cells: Sequence[Sequence[str]], column: int) -> bool:
    return all(not row[column] or row[column][0] in "0123456789–" for row in cells)


def _number(value: float | None) -> str:
    """Three digits that mean something."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
