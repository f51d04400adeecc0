"""Function calling as a stage: what one request's messages become, and what its answer does."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from gbproxy.domain.chat import Message, TextPart
from gbproxy.domain.events import (
    ChatEvent,
    Done,
    Flush,
    SessionNamed,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UpstreamStream,
)
from gbproxy.domain.tools import Tools
from gbproxy.emulation.messages import instructed, reminded
from gbproxy.emulation.pipeline import CorrectionNeeded, Messages, Stage
from gbproxy.emulation.tool_calls import verdict, wire, wording
from gbproxy.emulation.tool_calls.assembly import ReadCall, Unreadable
from gbproxy.emulation.tool_calls.mark import Mark
from gbproxy.emulation.tool_calls.reader import CallReader, Piece
from gbproxy.emulation.tool_calls.schemas import Checks
from gbproxy.emulation.tool_calls.verdict import Report, Step


def new_call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


class ToolEmulation:
    """Emulates the tools of one request, over all its attempts; for one thread at a time.

    `nonce`: the conversation's, as far as it is known. `past`: all messages that the client sent.
    `corrects_shown`: who reads takes a CorrectionNeeded also when text was shown before; it stays,
    and what the corrected answer says before its call is left out.
    """

    def __init__(
        self,
        tools: Tools,
        nonce: str,
        past: Sequence[Message] = (),
        *,
        corrects_shown: bool = False,
        make_id: Callable[[], str] = new_call_id,
    ) -> None:
        self.report = Report()
        self._tools = tools
        self._mark = Mark(nonce)
        self._names = wire.names_of_calls(past)
        self._checks = Checks(tools.offered)
        self._corrects_shown = corrects_shown
        self._make_id = make_id
        self._is_told = True  # the session to be resumed was told of these tools
        self._is_correcting = False  # the next messages are a corrective turn
        self._has_text = False  # was shown in the answer that is corrected

    def enter(self, nonce: str, *, is_told: bool) -> None:
        """The next messages go into a session of the conversation with this nonce; `is_told`: a
        session that is resumed was told of these tools.
        """
        if nonce != self._mark.nonce:
            self._mark = Mark(nonce)
        self._is_told = is_told

    def stage(self) -> Stage:
        return Stage(self.write, self.read)

    def write(self, messages: Messages, is_resumed: bool) -> Messages:
        """Messages of texts alone, with what the model is to know of the tools."""
        written = wire.render(messages, self._mark, self._names)
        is_correcting, self._is_correcting = self._is_correcting, False
        if not is_resumed or not (self._is_told or is_correcting):
            return instructed(written, wording.instruction(self._tools, self._mark))
        if is_correcting:  # it says itself how a call is written
            return written
        return reminded(written, wording.reminder(self._tools, self._mark))

    def read(self, events: UpstreamStream, may_correct: bool) -> UpstreamStream:
        """Text and calls. Ends where the last call does, whatever the upstream says behind it.

        Raises CorrectionNeeded, once for a request, and ToolCallMissing for an answer without the
        call that is required.
        """
        reader = CallReader(self._mark, self._checks, is_parallel=self._tools.is_parallel)
        self.report.reading = reader.reading
        answer = _Answer(
            self._make_id,
            holds_text=self._tools.is_required or self._has_text,
            is_further=self._has_text,
        )
        for event in events:
            if type(event) is TextDelta:
                answer.written.append(event.text)
                yield from answer.pass_on(reader.feed(event.text))
                if reader.is_over:
                    yield from self._end(answer, Done(), may_correct=may_correct)
                    return
            elif type(event) is Done:
                is_whole = event.finish_reason == "stop"
                yield from answer.pass_on(reader.finish(is_whole=is_whole))
                yield from self._end(answer, event, may_correct=may_correct)
                return
            else:
                answer.has_shown = answer.has_shown or not isinstance(event, Flush | SessionNamed)
                yield event

    def _end(self, answer: _Answer, done: Done, *, may_correct: bool) -> Iterator[ChatEvent]:
        can_correct = may_correct and self.report.turns == 1 and done.finish_reason == "stop"
        if answer.has_shown and not self._corrects_shown:
            can_correct = False
        outcome = verdict.Outcome(answer.calls, answer.problem, done.finish_reason)
        step = verdict.decide(outcome, self._tools, can_correct=can_correct)
        self.report.step = step
        if step in (Step.CORRECT, Step.NOTE, Step.FAIL):
            self.report.faults.append(verdict.fault(outcome, "".join(answer.written)))
        match step:
            case Step.CALLS:
                yield Done("tool_calls")
            case Step.TEXT:
                yield from answer.release()
                yield done
            case Step.NOTE:
                yield answer.following(verdict.NOTE)
                yield done
            case Step.CORRECT:
                self.report.turns += 1
                self._is_correcting = True
                self._has_text = answer.has_text
                words = verdict.correction(outcome, self._tools, self._mark)
                turn = Message("user", (TextPart(words),))
                raise CorrectionNeeded(
                    "".join(answer.written), (turn,), follows_shown=answer.has_shown
                )
            case Step.FAIL:
                raise verdict.failure(outcome)


@dataclass(slots=True)
class _Answer:
    """One attempt's answer, as far as it came. `holds_text`: until it is known what it is worth.
    `is_further`: it follows a text that was shown.
    """

    make_id: Callable[[], str]
    holds_text: bool
    is_further: bool
    written: list[str] = field(default_factory=list)  # by the model
    held: list[str] = field(default_factory=list)
    calls: int = 0
    has_shown: bool = False  # anything
    has_text: bool = False  # was shown
    problem: Unreadable | None = None  # what is wrong with its call

    def pass_on(self, pieces: Iterable[Piece]) -> Iterator[ChatEvent]:
        for piece in pieces:
            match piece:
                case str() if self.holds_text:
                    self.held.append(piece)
                case str():
                    self.has_shown = self.has_text = True
                    yield TextDelta(piece)
                case ReadCall():
                    yield from self._call(piece)
                case Unreadable():
                    self.problem = piece

    def release(self) -> Iterator[ChatEvent]:
        """The text that was held back."""
        text = "".join(self.held)
        self.held.clear()
        if text.strip():
            yield self.following(text)

    def following(self, text: str) -> TextDelta:
        """A text in a paragraph of its own."""
        return TextDelta(f"\n\n{text}" if self.has_text or self.is_further else text)

    def _call(self, call: ReadCall) -> Iterator[ChatEvent]:
        if not self.is_further:
            yield from self.release()
        index = self.calls
        self.calls += 1
        yield ToolCallStarted(index, self.make_id(), call.name, call.is_custom)
        yield ToolCallDelta(index, call.text)
