"""Structured output as a stage: what one request's messages become, and what its answer does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum

from gbproxy.domain.chat import Message, TextPart
from gbproxy.domain.events import (
    ChatEvent,
    Citation,
    Done,
    FileOutput,
    Flush,
    Refusal,
    SessionNamed,
    TextDelta,
    ThoughtDelta,
    ToolCallDelta,
    ToolCallStarted,
    UpstreamStream,
)
from gbproxy.domain.response_format import ResponseFormat
from gbproxy.emulation.messages import instructed, reminded
from gbproxy.emulation.pipeline import CorrectionNeeded, Messages, Stage
from gbproxy.emulation.structured_output import wording
from gbproxy.emulation.structured_output.checks import FormatChecks
from gbproxy.emulation.structured_output.expectation import expected
from gbproxy.emulation.structured_output.reader import JsonReader
from gbproxy.errors import StructuredOutputInvalid

REFUSAL = "The model did not give its answer in the form that was asked for."


class Step(Enum):
    JSON = "json"  # it is what was asked for
    OTHER = "other"  # tool calls, a refusal, or an answer that was cut short
    CORRECT = "corrected"  # ask once more, in the same session
    REFUSE = "refused"  # say that there is no such answer
    FAIL = "failed"  # the same, where some of it was sent


@dataclass(slots=True)
class Report:
    """Of one request, for the log: how often it was asked, and what was mended."""

    turns: int = 1
    step: Step | None = None  # None: no answer came to its end
    repairs: set[str] = field(default_factory=set)


class StructuredOutput:
    """Emulates the format of one request, over all its attempts; for one thread at a time.

    `is_streamed`: JSON is passed on as it arrives, and can no longer be corrected then; else the
    answer is held back until it is known to be valid. Thoughts that were shown are in nobody's way.
    Its stage stands before that of the tools, so that it reads what those have left.
    """

    def __init__(
        self,
        form: ResponseFormat,
        *,
        is_streamed: bool,
        has_tools: bool = False,
    ) -> None:
        self.report = Report()
        self._form = form
        self._expectation = expected(form)
        self._checks = FormatChecks(form)
        self._is_streamed = is_streamed
        self._has_tools = has_tools
        self._is_told = True  # the session to be resumed was told of this format
        self._is_correcting = False  # the next messages are a corrective turn

    def enter(self, *, is_told: bool) -> None:
        """`is_told`: a session that is resumed now was told of this format."""
        self._is_told = is_told

    def stage(self) -> Stage:
        return Stage(self.write, self.read)

    def write(self, messages: Messages, is_resumed: bool) -> Messages:
        """The messages, with what the model is to know of the format."""
        is_correcting, self._is_correcting = self._is_correcting, False
        if not is_resumed or not (self._is_told or is_correcting):
            told = wording.instruction(self._form, has_tools=self._has_tools)
            return instructed(messages, told)
        if is_correcting:  # it says itself what is to be written
            return messages
        return reminded(messages, wording.reminder(self._form, has_tools=self._has_tools))

    def read(self, events: UpstreamStream, may_correct: bool) -> UpstreamStream:
        """The JSON alone, or the tool calls of an answer that has some.

        Raises CorrectionNeeded, once for a request, and StructuredOutputInvalid for a stream.
        """
        reader = JsonReader(self._expectation, self._checks)
        answer = _Answer(self._is_streamed)
        for event in events:
            match event:
                case TextDelta(text):
                    yield from answer.text(reader.feed(text))
                case Done():
                    yield from self._end(answer, reader, event, may_correct=may_correct)
                    return
                case FileOutput():
                    pass  # a line that names it would not be JSON
                case Citation():
                    answer.citations.append(event)
                case ToolCallStarted() | ToolCallDelta() | Refusal():
                    answer.is_other = True
                    yield from answer.release()
                    yield event
                case _:
                    yield from answer.other(event)

    def _end(
        self, answer: _Answer, reader: JsonReader, done: Done, *, may_correct: bool
    ) -> Iterator[ChatEvent | SessionNamed]:
        is_whole = done.finish_reason == "stop" and not answer.is_other
        yield from answer.text(reader.finish(is_whole=is_whole))
        self.report.repairs |= reader.repairs
        can_correct = may_correct and self.report.turns == 1 and not answer.has_shown
        self.report.step = step = self._decide(
            is_whole=is_whole, problem=reader.problem, can_correct=can_correct
        )
        match step:
            case Step.JSON | Step.OTHER:
                yield from answer.release()
                yield from answer.cited(reader.begin)
                yield done
            case Step.CORRECT:
                self.report.turns += 1
                self._is_correcting = True
                words = wording.ask_again(reader.problem or "", self._form)
                turn = Message("user", (TextPart(words),))
                raise CorrectionNeeded(reader.answer, (turn,), follows_shown=answer.has_thoughts)
            case Step.REFUSE:
                yield Refusal(REFUSAL, is_content=False)
                yield Done()
            case Step.FAIL:
                raise StructuredOutputInvalid(REFUSAL, param="response_format")

    def _decide(self, *, is_whole: bool, problem: str | None, can_correct: bool) -> Step:
        if not is_whole:
            return Step.OTHER
        if problem is None:
            return Step.JSON
        if can_correct:
            return Step.CORRECT
        return Step.FAIL if self._is_streamed else Step.REFUSE


@dataclass(slots=True)
class _Answer:
    """One attempt's answer, as far as it came. Without streaming all but calls is `held`."""

    is_streamed: bool
    held: list[ChatEvent | SessionNamed] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    chars: int = 0
    is_other: bool = False  # than JSON: a call, or a refusal
    has_shown: bool = False  # anything but thoughts
    has_thoughts: bool = False  # passed on

    def text(self, text: str) -> Iterator[ChatEvent | SessionNamed]:
        # Calls win: what follows them is no answer.
        if text and not self.is_other:
            self.chars += len(text)
            yield from self.other(TextDelta(text))

    def other(self, event: ChatEvent | SessionNamed) -> Iterator[ChatEvent | SessionNamed]:
        is_output = not isinstance(event, Flush | SessionNamed)
        if is_output and not self.is_streamed:
            self.held.append(event)
            return
        if isinstance(event, ThoughtDelta):
            self.has_thoughts = True
        else:
            self.has_shown = self.has_shown or is_output
        yield event

    def release(self) -> Iterator[ChatEvent | SessionNamed]:
        """What was held back; more is not."""
        yield from self.held
        self.held.clear()

    def cited(self, begin: int | None) -> Iterator[Citation]:
        """The sources of the JSON, by their places in it; none where it was mended."""
        for each in self.citations if begin is not None else ():
            start, end = each.start - (begin or 0), each.end - (begin or 0)
            if 0 <= start <= end <= self.chars:
                yield replace(each, start=start, end=end)
