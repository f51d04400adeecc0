"""`gbproxy doctor --tools`: how often a model calls a function as it is asked to, by the gateway's
own way from the request to the call.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

from gbproxy.cli.checks import Level
from gbproxy.cli.clients import all_accounts, open_local
from gbproxy.cli.steps import choose_account
from gbproxy.cli.terminal import CannotBegin, echo, printable
from gbproxy.cli.tool_trials import TRIALS, Trial
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.events import Done, FinishReason, TextDelta, ToolCallDelta, ToolCallStarted
from gbproxy.domain.tools import CustomTool
from gbproxy.emulation.request_emulation import RequestEmulation
from gbproxy.emulation.tool_calls.assembly import Fault
from gbproxy.emulation.tool_calls.verdict import Report, Step
from gbproxy.errors import GatewayError, ToolCallMissing
from gbproxy.observability import request_context
from gbproxy.services import Services
from gbproxy.settings import Settings

_AT_ONCE = 4
_MOST_ERRORS = 2  # after so many no more is asked: the rest would fail too
_TITLE_WIDTH = 36


class Kind(Enum):
    """How a call failed."""

    NO_CALL = Fault.NO_CALL.value
    PROSE = Fault.PROSE.value
    NAME = Fault.NAME.value
    JSON = Fault.JSON.value
    TYPES = Fault.TYPES.value
    VALUES = "wrong values"
    CUT = Fault.CUT.value


_ADVICE = {
    Kind.NO_CALL: "It began a call and wrote none. Another model may do better: --model.",
    Kind.PROSE: (
        "It answered in words. Where a call has to come, programs can say so by tool_choice, which"
        " has it asked for once more; another model may do better: --model."
    ),
    Kind.NAME: "It called what was not asked for. Fewer tools, and clearer names, help.",
    Kind.JSON: "Its JSON could not be mended. Another model may do better: --model.",
    Kind.TYPES: "Its arguments do not hold to the schema. Simpler schemas help.",
    Kind.VALUES: "Its arguments are others than those that were named, mostly badly escaped texts.",
    Kind.CUT: "It stopped in the middle of the call. Shorter texts help.",
}


@dataclass(frozen=True, slots=True)
class Result:
    """`kind`: how it failed, None where the call came; `first`: the same of the first answer, where
    it was asked for once more. `error`: why nothing was answered.
    """

    trial: Trial
    kind: Kind | None = None
    first: Kind | None = None
    error: str = ""
    forms: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()

    @property
    def came(self) -> bool:
        return self.kind is None and not self.error


@dataclass(frozen=True, slots=True)
class Rate:
    """Of the calls that were answered, those that came, and those that came at once."""

    answered: int
    came: int
    at_once: int

    @classmethod
    def of(cls, results: Sequence[Result]) -> Rate:
        came = [result for result in results if result.came]
        return cls(
            sum(not result.error for result in results),
            len(came),
            sum(result.first is None for result in came),
        )

    @property
    def level(self) -> Level:
        if self.came == len(TRIALS):
            return "ok"
        return "warn" if self.answered and 2 * self.came >= len(TRIALS) else "fail"


@contextmanager
def measuring(
    settings: Settings, wanted: str | None, model: str | None
) -> Iterator[tuple[str, Iterator[Result]]]:
    """Give the name of the account that is asked, and the results, in the order of TRIALS; fewer
    when the account cannot be asked. `wanted`: the account's name or id, None: the first.

    Raises CannotBegin for an account or a model that is not there.
    """
    watch = _Watch()
    # Limits are for clients.
    settings = settings.model_copy(update={"rate_limit": None, "model_interval_s": 0.0})
    with open_local(settings, emulation=watch) as services:
        account = choose_account(all_accounts(services), wanted)
        try:
            services.models.resolve(model)
        except GatewayError as error:
            raise CannotBegin(error.message) from error
        services.pool.replace([account])  # in this process: it alone is asked
        try:
            yield account.name, _ask_all(services, watch, model)
        finally:
            services.background.run_once()  # delete the sessions now: no later process may


def _ask_all(services: Services, watch: _Watch, model: str | None) -> Iterator[Result]:
    errors: list[str] = []

    def ask(trial: Trial) -> Result | None:
        if len(errors) >= _MOST_ERRORS:
            return None
        result = _ask(services, watch, trial, model)
        if result.error:
            errors.append(result.error)
        return result

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for result in threads.map(ask, TRIALS):
            if result is not None:
                yield result


class _Watch:
    """Keeps the emulation of each request."""

    def __init__(self) -> None:
        self._made: list[tuple[ChatRequest, RequestEmulation]] = []

    def __call__(self, chat: ChatRequest) -> RequestEmulation:
        made = RequestEmulation(chat)
        self._made.append((chat, made))
        return made

    def report_of(self, chat: ChatRequest) -> Report:
        made = next((made for asked, made in self._made if asked is chat), None)
        return (made.tool_report if made is not None else None) or Report()


@dataclass(slots=True)
class _Answer:
    text: str = ""
    name: str | None = None  # of the first call
    payload: str = ""
    finish_reason: FinishReason = "stop"


def _ask(services: Services, watch: _Watch, trial: Trial, model: str | None) -> Result:
    request_context.begin("doctor")
    chat = trial.request(model)
    answer = _Answer()
    try:
        with closing(services.gateway.stream(chat)) as events:
            for event in events:
                match event:
                    case TextDelta(text):
                        answer.text += text
                    case ToolCallStarted(0, _, name):
                        answer.name = name
                    case ToolCallDelta(0, text):
                        answer.payload += text
                    case Done(reason):
                        answer.finish_reason = reason
                    case _:
                        pass
    except ToolCallMissing:
        pass  # the report says why
    except GatewayError as error:
        return Result(trial, error=error.message)
    return _judged(trial, answer, watch.report_of(chat))


def _judged(trial: Trial, answer: _Answer, report: Report) -> Result:
    return Result(
        trial,
        _kind(trial, answer, report),
        Kind(report.faults[0].value) if report.turns > 1 else None,
        forms=tuple(sorted(report.reading.forms)),
        repairs=tuple(sorted(report.reading.repairs)),
    )


def _kind(trial: Trial, answer: _Answer, report: Report) -> Kind | None:
    if answer.name is not None:
        if answer.name != trial.name:
            return Kind.NAME
        return None if _has_expected(trial, answer.payload) else Kind.VALUES
    if report.step in (Step.NOTE, Step.FAIL):
        return Kind(report.faults[-1].value)
    if answer.finish_reason == "length":
        return Kind.CUT
    return Kind.PROSE if answer.text.strip() else Kind.NO_CALL


def _has_expected(trial: Trial, payload: str) -> bool:
    tool = next(tool for tool in trial.tools if tool.name == trial.name)
    found = {"": payload} if isinstance(tool, CustomTool) else json.loads(payload)
    return all(_plain(found.get(name)) == _plain(value) for name, value in trial.expected.items())


def _plain(value: Any) -> Any:
    """A value without the white space around its texts, which nobody asked to keep."""
    match value:
        case str():
            return value.strip()
        case list():
            return [_plain(each) for each in value]
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case _:
            return value


def show_begin(account: str, model: str | None) -> None:
    echo(
        f"{len(TRIALS)} function calls are asked for on the account {printable(account)}"
        f"{f', of {printable(model)}' if model else ''}. Each costs a question of the day's quota,"
        " and one more where it has to be corrected."
    )


def show(result: Result) -> None:
    """Print one result."""
    notes = []
    if result.error:
        notes.append(f"not answered: {printable(result.error)}")
    if result.kind is not None:
        notes.append(result.kind.value)
    if result.first is not None:
        notes.append(f"asked for once more because of: {result.first.value}")
    if result.came and result.repairs:
        notes.append(f"mended: {', '.join(result.repairs)}")
    level = "ok" if result.came else "fail"
    echo(f"{level:<6}{result.trial.title:<{_TITLE_WIDTH}}  {'; '.join(notes)}".rstrip())


def show_end(results: Sequence[Result]) -> None:
    """Print the rate, and what to do about each kind of failure."""
    rate = Rate.of(results)
    if not rate.answered:
        echo("No call was answered: gbproxy doctor --deep says why.")
        return
    share = round(100 * rate.came / rate.answered)
    echo(f"{rate.came} of {rate.answered} calls came ({share} %), {rate.at_once} of them at once.")
    if rate.answered < len(TRIALS):
        echo(f"{len(TRIALS) - rate.answered} were not answered, or not asked for after that.")
    failed = Counter(result.kind for result in results if result.kind is not None)
    for kind, number in failed.most_common():
        echo(f"{number} {kind.value}\n  → {_ADVICE[kind]}")


def as_json(account: str, model: str | None, results: Sequence[Result]) -> dict[str, Any]:
    """The whole result as a JSON object."""
    rate = Rate.of(results)
    return {
        "status": rate.level,
        "account": account,
        "model": model,
        "asked_for": len(TRIALS),
        "answered": rate.answered,
        "came": rate.came,
        "at_once": rate.at_once,
        "rate": round(rate.came / rate.answered, 3) if rate.answered else None,
        "calls": [_call_as_json(result) for result in results],
    }


def _call_as_json(result: Result) -> dict[str, Any]:
    return {
        "call": result.trial.title,
        "came": result.came,
        "kind": result.kind.value if result.kind is not None else None,
        "first": result.first.value if result.first is not None else None,
        "error": result.error or None,
        "forms": result.forms,
        "repairs": result.repairs,
    }
