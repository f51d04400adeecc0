"""The last hour and the last day in figures and charts, which keep themselves up to date."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from flask import Blueprint, Response, request
from flask_babel import format_decimal, gettext

from gbproxy.console import charts
from gbproxy.console.pages import Pages
from gbproxy.request_log.overview import Bar, Figures, Overview, Report, Span, Summary

_MOST_LINES = 50  # of a table


@dataclass(frozen=True, slots=True)
class Line:
    """`filter`: what finds its requests in the log."""

    name: str
    filter: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class Table:
    """`left_off`: how many lines of fewer requests are not shown."""

    filter: str
    title: str
    lines: list[Line]
    left_off: int


@dataclass(frozen=True, slots=True)
class Section:
    span: Span
    title: str
    report: Report
    requests: charts.Chart
    first_token: charts.Chart
    tokens: charts.Chart
    tables: list[Table]


def add_routes(bp: Blueprint, pages: Pages, over: Overview) -> None:
    bp.add_app_template_filter(_seconds, "seconds")
    bp.add_app_template_filter(format_decimal, "decimal")

    @bp.get("/overview")
    def overview() -> Response:
        reports = _reports(over)
        return pages.page(
            "overview.html", sections=_sections(reports), seen=_digest(reports), days=over.days
        )

    @bp.get("/overview/figures")
    def overview_figures() -> Response:
        """The figures for who has seen others."""
        reports = _reports(over)
        seen = _digest(reports)
        if request.args.get("seen") == seen:
            return pages.unchanged()
        return pages.fragment("_overview_figures.html", sections=_sections(reports), seen=seen)


def _reports(over: Overview) -> dict[Span, Report]:
    return {span: over.report(span) for span in get_args(Span)} if over.days else {}


def _digest(reports: dict[Span, Report]) -> str:
    return hashlib.sha256(repr(reports).encode()).hexdigest()[:16]


def _sections(reports: dict[Span, Report]) -> list[Section]:
    titles = {"hour": gettext("The last hour"), "day": gettext("The last day")}
    return [
        Section(
            span,
            titles[span],
            report,
            charts.stacked(
                [
                    (each.figures.requests - each.figures.failed, each.figures.failed)
                    for each in report.bars
                ],
                ("good", "bad"),
            ),
            charts.behind([_first_ms(each) for each in report.bars], ("half", "most")),
            charts.stacked(
                [(each.figures.input_tokens, each.figures.output_tokens) for each in report.bars],
                ("in", "out"),
            ),
            _tables(report.summary),
        )
        for span, report in reports.items()
    ]


def _first_ms(bar: Bar) -> tuple[int, int]:
    return bar.figures.first_token_ms(0.5) or 0, bar.figures.first_token_ms(0.95) or 0


def _tables(summary: Summary) -> list[Table]:
    return [
        _table("model", gettext("Model"), ((id_, id_, f) for id_, f in summary.models.items())),
        _table(
            "key",
            gettext("Key"),
            ((name or id_, id_, f) for (id_, name), f in summary.keys.items()),
        ),
        _table(
            "account",
            gettext("Account"),
            ((name or id_, id_, f) for (id_, name), f in summary.accounts.items()),
        ),
    ]


def _table(filter_: str, title: str, found: Iterable[tuple[str, str, Figures]]) -> Table:
    lines = sorted((Line(*each) for each in found), key=lambda line: -line.figures.requests)
    return Table(filter_, title, lines[:_MOST_LINES], max(0, len(lines) - _MOST_LINES))


def _seconds(ms: int | None) -> str:
    """Milliseconds as seconds, in the page's language."""
    if ms is None:
        return "–"
    number = format_decimal(round(ms / 1000, 2 if ms < 10_000 else 0))
    return str(gettext("%(n)s s", n=number))
