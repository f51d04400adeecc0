"""What becomes of an answer: it is taken, asked for once more, passed on as text, or a failure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from gbproxy.domain.events import FinishReason
from gbproxy.domain.tools import Tools
from gbproxy.emulation.tool_calls import wording
from gbproxy.emulation.tool_calls.assembly import Fault, Unreadable
from gbproxy.emulation.tool_calls.mark import Mark
from gbproxy.emulation.tool_calls.reader import Reading
from gbproxy.errors import ToolCallMissing

# In place of a call that could not be used: nothing that was written as a call is ever shown.
NOTE = "[The model tried to call a tool, but its call could not be read.]"


class Step(Enum):
    CALLS = "calls"  # they are what was asked for
    TEXT = "text"  # so is the text
    CORRECT = "corrected"  # ask once more, in the same session
    NOTE = "unreadable"  # say that a call could not be used
    FAIL = "failed"  # a text in the place of the call that is required would be a wrong answer


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer up to its end. `problem`: why its call could not be used."""

    calls: int
    problem: Unreadable | None = None
    finish_reason: FinishReason = "stop"


@dataclass(slots=True)
class Report:
    """Of one request, for the log: how its calls were written, what was wrong with each answer that
    could not be taken, and how often it was asked.
    """

    reading: Reading = field(default_factory=Reading)
    faults: list[Fault] = field(default_factory=list)
    turns: int = 1
    step: Step = Step.TEXT

    @property
    def is_plain(self) -> bool:
        """The answer was a text, and nothing had to be done about it."""
        return self.step is Step.TEXT and self.turns == 1


def decide(outcome: Outcome, tools: Tools, *, can_correct: bool) -> Step:
    """The next step of the repair. `can_correct`: the answer may be asked for once more."""
    if outcome.finish_reason == "content_filter":
        return Step.TEXT
    if outcome.calls:
        return Step.CALLS
    is_short = outcome.problem is None and tools.is_required and outcome.finish_reason == "stop"
    if outcome.problem is None and not is_short:
        return Step.TEXT
    if can_correct:
        return Step.CORRECT
    return Step.FAIL if tools.is_required else Step.NOTE


def fault(outcome: Outcome, written: str) -> Fault:
    """What is wrong with an answer that is not taken; `written`: all of it."""
    if outcome.problem is not None:
        return outcome.problem.fault
    return Fault.PROSE if written.strip() else Fault.NO_CALL


def correction(outcome: Outcome, tools: Tools, mark: Mark) -> str:
    """What the model is told of an answer that has to be corrected."""
    if outcome.problem is None:
        return wording.ask_for_call(tools, mark)
    return wording.ask_again(outcome.problem.reason, tools, mark)


def failure(outcome: Outcome) -> ToolCallMissing:
    """The honest failure where tool_choice requires a call."""
    what = (
        "answered without a call" if outcome.problem is None else "wrote no call that can be used"
    )
    return ToolCallMissing(f"tool_choice requires a tool call, and the model {what}")
