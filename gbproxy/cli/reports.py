"""How the steps of `gbproxy doctor --deep` are shown, to people and to programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from gbproxy.cli.deep import Call, Report
from gbproxy.cli.terminal import echo, printable

_STEP_WIDTH = 14
_INDENT = " " * (6 + _STEP_WIDTH)
_CLOCK_S = 5  # Date has whole seconds, and the answer was on its way
_GOOD_CHARS = 200  # of the body of an answer that is as it should be


def show(report: Report) -> None:
    """Print one step: its calls, and where it failed what was said, what else was tried, and the
    causes in order.
    """
    body_chars = _GOOD_CHARS if report.level == "ok" else None
    lines = [line for call in report.calls for line in _lines(call, body_chars)] or [
        "no call was made"
    ]
    echo(f"{report.level:<6}{report.step:<{_STEP_WIDTH}}{lines[0]}")
    for line in lines[1:]:
        echo(_INDENT + line)
    if report.level == "ok":
        return
    echo(f"{_INDENT}{printable(report.error)}")
    if report.passed:
        echo(f"{_INDENT}passes with: {', '.join(report.passed)}")
    if report.failed:
        echo(f"{_INDENT}fails as well with: {', '.join(report.failed)}")
    for number, cause in enumerate(report.causes, 1):
        echo(f"{_INDENT}{number}. {cause.meaning[0].upper()}{cause.meaning[1:]}.")
        echo(f"{_INDENT}   → {cause.advice}")


def as_json(report: Report) -> dict[str, Any]:
    """The same as a JSON object."""
    causes = [
        {"cause": cause.name.lower(), "meaning": cause.meaning, "advice": cause.advice}
        for cause in report.causes
    ]
    return {**asdict(report), "causes": causes}


def _lines(call: Call, body_chars: int | None) -> list[str]:
    facts = [
        call.content_type,
        f"→ {call.redirects_to}" if call.redirects_to else "",
        _clock(call.skew_s),
    ]
    told = ", ".join(filter(None, facts))
    shown = [f"{call.method} {call.address}: {call.answer}{f' ({told})' if told else ''}"]
    if call.body:
        shown.append(f"  {' '.join(call.body.split())[:body_chars]}")
    return [printable(line) for line in shown]


def _clock(skew_s: int | None) -> str:
    if skew_s is None:
        return ""
    if abs(skew_s) <= _CLOCK_S:
        return "its clock agrees with ours"
    return f"its clock is {abs(skew_s)} s {'ahead of' if skew_s > 0 else 'behind'} ours"
