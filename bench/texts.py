"""Figures and tables as people read them."""

from __future__ import annotations

from collections.abc import Sequence


def table(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    widths = [max(len(title), *(len(row[i]) for row in cells)) for i, title in enumerate(titles)]
    is_text = [not _is_numeric(cells, i) for i in range(len(titles))]
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
    return any(row[column] for row in cells) and all(
        not row[column] or row[column][0] in "0123456789–" for row in cells
    )


def number(value: float | None) -> str:
    """Three digits that mean something."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
