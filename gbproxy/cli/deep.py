"""`gbproxy doctor --deep`: one whole question on one account, step by step, and causes of failures.

Each call is shown with its request and answer; where a step fails, a few variants are tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from time import monotonic, time
from typing import Any, get_args
from urllib.parse import urlsplit

from gbproxy.cli.causes import Cause, likely, may_be_varied
from gbproxy.cli.checks import CLOCK_TOLERANCE_S, Level, clock_offset_s
from gbproxy.cli.steps import Step, Steps, open_recorded
from gbproxy.cli.terminal import echo, printable
from gbproxy.domain.account import Account
from gbproxy.domain.catalogue import BUILT_IN
from gbproxy.domain.models import Model
from gbproxy.domain.redaction import Redactor
from gbproxy.outbound.recording import Exchange
from gbproxy.services import Services
from gbproxy.settings import Settings
from gbproxy.upstreams.widget.credential import EditionName, Location, credential_of, with_values

QUESTION = "Say ok."
_BROWSER = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0"
    " Safari/537.36"
)
_MADE_UP_TOKEN = "CAMSBA=="  # noqa: S105  of the form that the page sends
_AUTO = BUILT_IN[0]
_BODY_CHARS = 1000
_STEP_WIDTH = 14
_INDENT = " " * (6 + _STEP_WIDTH)
_OK_BODY_CHARS = 200  # shown of the body of an answer without error


@dataclass(frozen=True, slots=True)
class Call:
    """One call without its secrets. `skew_s`: seconds that the service's clock is ahead of ours."""

    method: str
    address: str
    answer: str
    content_type: str
    skew_s: int | None
    redirects_to: str
    body: str


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one step. `passed` and `failed` name the variants that were tried; `causes`
    begins with the likeliest.
    """

    account: str
    step: str
    level: Level
    calls: tuple[Call, ...]
    error: str = ""
    passed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True, slots=True)
class _Variant:
    """Another try of a failed step, and the cause that it proves when it passes."""

    name: str
    proves: Cause
    account: Account
    settings: Settings
    model: Model = _AUTO


def examine(services: Services, account: Account) -> Iterator[Report]:
    """Yield the report of each step when it is known."""
    redactor = Redactor(credential_of(account).private(), phrases=services.settings.status_lines)
    has_failed = False
    with open_recorded(services) as upstream:
        for step in Steps(upstream, account, _AUTO, QUESTION).run():
            calls = tuple(_call(exchange, redactor) for exchange in step.exchanges)
            report = Report(account.name, step.name, "ok", calls)
            if step.error is None:
                yield report
                continue
            if step.name == "configuration":
                # The built-in models stand in for a configuration that cannot be read.
                error = f"{step.error.message}; the built-in models hold"
                yield replace(report, level="warn", error=error)
                continue
            report = replace(report, level="fail", error=step.error.message)
            # Later steps fail because the first did: they have no causes of their own.
            yield report if has_failed else _explain(report, services, account, step)
            has_failed = True


def _explain(report: Report, services: Services, account: Account, step: Step) -> Report:
    """Add the variants and causes of the first failure."""
    # Listing and deleting say nothing about the question, so that no variant of it helps there.
    is_varied = step.name in ("sign in", "session", "question")
    passed, failed = _vary(services, account, step) if is_varied else ([], [])
    return replace(
        report,
        passed=tuple(variant.name for variant in passed),
        failed=tuple(variant.name for variant in failed),
        causes=tuple(likely(step, (variant.proves for variant in passed))),
    )


def _vary(
    services: Services, account: Account, step: Step
) -> tuple[list[_Variant], list[_Variant]]:
    """The variants that get beyond the failed step, and those that do not."""
    passed: list[_Variant] = []
    failed: list[_Variant] = []
    for each in _variants(services.settings, account, step) if may_be_varied(step) else ():
        with open_recorded(services, each.settings) as upstream:
            tried = list(Steps(upstream, each.account, each.model, QUESTION).run(until="question"))
        (passed if _is_better(tried, step) else failed).append(each)
    return passed, failed


def _is_better(tried: Sequence[Step], failed: Step) -> bool:
    names = [step.name for step in tried if step.error is None]
    return failed.name in names if failed.name != "session" else "question" in names


def _variants(settings: Settings, account: Account, step: Step) -> Iterator[_Variant]:
    """A small matrix: a browser's user agent, a server token, edition, location, forms of sessions,
    each tool off.
    """
    credential = credential_of(account)
    if not credential.user_agent:
        browser = with_values(account, user_agent=_BROWSER)
        yield _Variant("a browser's user agent", Cause.USER_AGENT, browser, settings)
    if step.name == "question":
        for tool in _AUTO.tools:
            tools = tuple(other for other in _AUTO.tools if other != tool)
            yield _Variant(
                f"without {tool}",
                Cause.TOOLS,
                account,
                settings,
                replace(_AUTO, tools=tools),
            )
        yield _Variant("without any tool", Cause.TOOLS, account, settings, replace(_AUTO, tools=()))
    else:
        for edition in get_args(EditionName):
            if edition != credential.edition:
                yield _Variant(
                    f"edition {edition}",
                    Cause.EDITION,
                    with_values(account, edition=edition),
                    settings,
                )
    if step.name == "sign in":
        return
    token = None if credential.server_token else _MADE_UP_TOKEN
    name = "a server token" if token else "without the server token"
    yield _Variant(name, Cause.SERVER_TOKEN, with_values(account, server_token=token), settings)
    if step.name == "session":
        for location in get_args(Location):
            if location != credential.location:
                elsewhere = with_values(account, location=location)
                yield _Variant(f"location {location}", Cause.LOCATION, elsewhere, settings)
        for form in ("dash", "own"):
            if form != settings.upstream_session:
                other = settings.model_copy(update={"upstream_session": form})
                yield _Variant(f"UPSTREAM_SESSION={form}", Cause.SESSION_FORM, account, other)


def _call(exchange: Exchange, redactor: Redactor) -> Call:
    target = urlsplit(exchange.url)
    path = f"{target.path}?{target.query}" if target.query else target.path
    answer = (
        f"{exchange.status} {exchange.reason}".strip()
        if exchange.status is not None
        else "no answer"
    )
    answered_at = time() - (monotonic() - exchange.answered_at)
    offset_s = clock_offset_s(exchange.header("Date"), answered_at)
    shown = redactor.body(exchange.reply_body).decode(errors="replace")
    return Call(
        exchange.method,
        f"{target.netloc.rpartition('@')[2]}{redactor.address(path)}",
        answer,
        exchange.header("Content-Type"),
        None if offset_s is None else round(offset_s),
        redactor.address(exchange.header("Location")),
        shown[:_BODY_CHARS],
    )


def show(report: Report) -> None:
    """Print one step: its calls, and of a failure the error, the variants and the causes."""
    body_chars = _OK_BODY_CHARS if report.level == "ok" else None
    lines = [line for call in report.calls for line in _call_lines(call, body_chars)] or [
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
    """A report as a JSON object."""
    causes = [
        {"cause": cause.name.lower(), "meaning": cause.meaning, "advice": cause.advice}
        for cause in report.causes
    ]
    return {**asdict(report), "causes": causes}


def _call_lines(call: Call, body_chars: int | None) -> list[str]:
    facts = [
        call.content_type,
        f"→ {call.redirects_to}" if call.redirects_to else "",
        _clock_text(call.skew_s),
    ]
    details = ", ".join(filter(None, facts))
    shown = [f"{call.method} {call.address}: {call.answer}{f' ({details})' if details else ''}"]
    if call.body:
        shown.append(f"  {' '.join(call.body.split())[:body_chars]}")
    return [printable(line) for line in shown]


def _clock_text(skew_s: int | None) -> str:
    if skew_s is None:
        return ""
    if abs(skew_s) <= CLOCK_TOLERANCE_S:
        return "its clock agrees with ours"
    return f"its clock is {abs(skew_s)} s {'ahead of' if skew_s > 0 else 'behind'} ours"
