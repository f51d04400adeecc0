"""`gbproxy doctor --deep`: a whole first question on one account, step by step, and where it fails,
why.

Each call is shown with what was asked and answered; where a step fails, a few other ways are tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from time import time
from typing import get_args
from urllib.parse import urlsplit

from gbproxy.bootstrap import Services, recorded
from gbproxy.cli.causes import Cause, Variant, likely, may_be_varied
from gbproxy.cli.finding import Level
from gbproxy.cli.steps import Step, Steps
from gbproxy.domain.account import Account
from gbproxy.domain.edition import EditionName, Location
from gbproxy.domain.models import BUILT_IN, Model
from gbproxy.domain.redaction import Redactor
from gbproxy.outbound.recording import Exchange
from gbproxy.settings import Settings
from gbproxy.upstreams.widget.credential import credential_of, with_values

QUESTION = "Say ok."
_BROWSER = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0"
    " Safari/537.36"
)
_MADE_UP_TOKEN = "CAMSBA=="  # noqa: S105  of the form that the page sends
_AUTO = BUILT_IN[0]
_BODY_CHARS = 1000


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it is shown: nothing of it is secret. `skew_s`: how far the service's clock is
    ahead of ours.
    """

    method: str
    address: str
    answer: str
    content_type: str
    skew_s: int | None
    redirects_to: str
    body: str


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one step. `passed` and `failed`: the other ways that were tried; `causes`, the
    likeliest first.
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
class _Try:
    """Another way, and all that is different on it."""

    variant: Variant
    account: Account
    settings: Settings
    model: Model = _AUTO


def examine(services: Services, account: Account) -> Iterator[Report]:
    """The report of each step, as soon as it is known."""
    redactor = Redactor(credential_of(account).private(), phrases=services.settings.status_lines)
    has_failed = False
    with recorded(services) as upstream:
        for step in Steps(upstream, account, _AUTO, QUESTION).run():
            calls = tuple(_call(exchange, redactor) for exchange in step.exchanges)
            if step.error is None:
                yield Report(account.name, step.name, "ok", calls)
                continue
            # it helps where it can be read, and nothing depends on it
            if step.name == "configuration":
                yield Report(
                    account.name,
                    step.name,
                    "warn",
                    calls,
                    f"{step.error.message}; the built-in models hold",
                )
                continue
            # What comes after a failure, or beside the question, tells nothing more by being
            # varied.
            is_first = not has_failed and step.name in ("sign in", "session", "question")
            passed, failed = _vary(services, account, step) if is_first else ([], [])
            causes = () if has_failed else tuple(likely(step, passed))
            has_failed = True
            yield Report(
                account.name,
                step.name,
                "fail",
                calls,
                step.error.message,
                tuple(variant.name for variant in passed),
                tuple(variant.name for variant in failed),
                causes,
            )


def _vary(services: Services, account: Account, step: Step) -> tuple[list[Variant], list[Variant]]:
    """Which other ways lead beyond the step that failed, and which do not."""
    passed: list[Variant] = []
    failed: list[Variant] = []
    for each in _tries(services.settings, account, step) if may_be_varied(step) else ():
        with recorded(services, each.settings) as upstream:
            met = list(Steps(upstream, each.account, each.model, QUESTION).run(until="question"))
        (passed if _is_better(met, step) else failed).append(each.variant)
    return passed, failed


def _is_better(met: Sequence[Step], failed: Step) -> bool:
    names = [step.name for step in met if step.error is None]
    return failed.name in names if failed.name != "session" else "question" in names


def _tries(settings: Settings, account: Account, step: Step) -> Iterator[_Try]:
    """A small matrix: the browser's user agent, a server token, edition and location, other
    sessions, each tool off.
    """
    credential = credential_of(account)
    if not credential.user_agent:
        browser = with_values(account, user_agent=_BROWSER)
        yield _Try(Variant("a browser's user agent", Cause.USER_AGENT), browser, settings)
    if step.name == "question":
        for tool in _AUTO.tools:
            tools = tuple(other for other in _AUTO.tools if other != tool)
            yield _Try(
                Variant(f"without {tool}", Cause.TOOLS),
                account,
                settings,
                replace(_AUTO, tools=tools),
            )
        yield _Try(
            Variant("without any tool", Cause.TOOLS), account, settings, replace(_AUTO, tools=())
        )
    else:
        for edition in get_args(EditionName):
            if edition != credential.edition:
                yield _Try(
                    Variant(f"edition {edition}", Cause.EDITION),
                    with_values(account, edition=edition),
                    settings,
                )
    if step.name == "sign in":
        return
    token = None if credential.server_token else _MADE_UP_TOKEN
    name = "a server token" if token else "without the server token"
    yield _Try(
        Variant(name, Cause.SERVER_TOKEN), with_values(account, server_token=token), settings
    )
    if step.name == "session":
        for location in get_args(Location):
            if location != credential.location:
                elsewhere = with_values(account, location=location)
                yield _Try(Variant(f"location {location}", Cause.LOCATION), elsewhere, settings)
        for form in ("dash", "own"):
            if form != settings.upstream_session:
                other = settings.model_copy(update={"upstream_session": form})
                yield _Try(Variant(f"UPSTREAM_SESSION={form}", Cause.SESSION_FORM), account, other)


def _call(exchange: Exchange, redactor: Redactor) -> Call:
    target = urlsplit(exchange.url)
    path = f"{target.path}?{target.query}" if target.query else target.path
    answer = (
        f"{exchange.status} {exchange.reason}".strip()
        if exchange.status is not None
        else "no answer"
    )
    shown = redactor.body(exchange.reply_body).decode(errors="replace")
    return Call(
        exchange.method,
        f"{target.netloc.rpartition('@')[2]}{redactor.address(path)}",
        answer,
        exchange.header("Content-Type"),
        _skew_s(exchange.header("Date")),
        redactor.address(exchange.header("Location")),
        shown[:_BODY_CHARS],
    )


def _skew_s(date: str) -> int | None:
    try:
        return round(parsedate_to_datetime(date).timestamp() - time())
    except (ValueError, TypeError, OverflowError):
        return None
