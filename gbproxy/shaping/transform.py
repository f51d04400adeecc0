"""Transforms one answer by the stages that its request needs, and counts its tokens."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gbproxy.domain import history
from gbproxy.domain.chat import ChatRequest, ToolCallPart
from gbproxy.domain.events import (
    IMAGE_TOKENS,
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
    Usage,
    estimate_quarter_tokens,
    whole_tokens,
)
from gbproxy.domain.media import IN_TEXT, MediaDelivery
from gbproxy.shaping import stages
from gbproxy.shaping.citations import Insertion, place
from gbproxy.shaping.stages import Publish

_STEP_CHARS = 16 * 1024


@dataclass(slots=True)
class AnswerTransform:
    """Transforms the events of one answer, counts what the client gets, and collects its text and
    calls for the digest of the history. Citations follow all text: only then is their place
    certain.

    `stop` and `max_tokens` cut the answer; then `is_whole` is False. `calls`: the tool calls, as
    far as they have come.
    """

    shows_thoughts: bool = True
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    is_whole: bool = True
    characters: int = 0  # of text, without thoughts
    calls: list[ToolCallPart] = field(default_factory=list)
    _text_weight: int = 0  # quarter tokens (domain/events.py)
    _thought_weight: int = 0
    # `_digest` knows all but the latest texts.
    _digest: history.AnswerDigest = field(default_factory=history.AnswerDigest)
    _texts: list[str] = field(default_factory=list)
    _citations: list[Citation] = field(default_factory=list)
    _insertions: list[Insertion] = field(default_factory=list)
    _has_begun: bool = False

    @classmethod
    def of(cls, chat: ChatRequest, *, shows_thoughts: bool) -> AnswerTransform:
        """The transform for a request; `shows_thoughts`: the default where the request has none."""
        shows = shows_thoughts if chat.show_thoughts is None else chat.show_thoughts
        return cls(shows, chat.stop, chat.max_tokens)

    def apply(
        self,
        events: UpstreamStream,
        publish: Publish = lambda file: None,
        delivery: MediaDelivery = IN_TEXT,
    ) -> UpstreamStream:
        """The events as the client gets them; `publish` and `delivery` as for `stages.show_files`.
        Stages without work are left out and cost nothing.

        Applied once more, to a corrected answer, they go on behind what was shown; its citations
        are left out, as they count in a text that is shown in part.
        """
        if self._has_begun:
            events = stages.without_citations(events)
        self._has_begun = True
        if self.stop:
            events = stages.stop_at(events, self.stop, self._note_cut)
        events = stages.show_files(events, publish, delivery, self._note_insertion)
        if self.max_tokens is not None:
            left = max(0, self.max_tokens - self.usage(0).output_tokens)
            events = stages.limit_tokens(events, left, self._note_cut)
        return self._counted(events)  # last: what was cut does not count

    def append(self, text: str) -> None:
        """Count a text that the client gets behind what the stages gave."""
        self.characters += len(text)
        self._texts.append(text)

    @property
    def answer(self) -> str | history.LongText:
        """The answer as the client got it."""
        self._settle()
        return self._digest.result()

    def usage(self, input_quarter_tokens: int) -> Usage:
        """Token counts of a prompt of this weight and of the answer."""
        self._settle()
        reasoning = whole_tokens(self._thought_weight)
        output = whole_tokens(self._text_weight) + reasoning
        if self.max_tokens is not None:
            # Both were rounded up: what keeps to a limit together is not to be counted above it.
            together = whole_tokens(self._text_weight + self._thought_weight)
            output = min(output, max(self.max_tokens, together))
        return Usage(whole_tokens(input_quarter_tokens), output, min(reasoning, output))

    def _counted(self, events: UpstreamStream) -> UpstreamStream:
        """Count texts, calls and thoughts; drop thoughts that are not shown after counting them,
        and hold citations back until the end.
        """
        next_step = _STEP_CHARS
        for event in events:
            if type(event) is TextDelta or type(event) is Refusal:
                # Before this one joins them: those are written by now, and Python keeps the bytes
                # of what was.
                if self.characters > next_step:
                    next_step = self.characters + _STEP_CHARS
                    self._settle()
                self.characters += len(event.text)
                self._texts.append(event.text)
            elif type(event) is Flush:
                pass  # one for each read: spared the checks below
            elif type(event) is ThoughtDelta:
                self._thought_weight += estimate_quarter_tokens(event.text)
                if not self.shows_thoughts:
                    continue
            elif type(event) is Citation:
                self._citations.append(event)
                continue
            elif type(event) is Done:
                yield from place(self._citations, self._insertions, self.characters)
            else:
                self._count_further(event)
            yield event

    def _count_further(self, event: ChatEvent | SessionNamed) -> None:
        if type(event) is ToolCallStarted:
            self._text_weight += estimate_quarter_tokens(event.name)
            self.calls.append(ToolCallPart(event.id, event.name, "", event.is_custom))
        elif type(event) is ToolCallDelta:
            self._text_weight += estimate_quarter_tokens(event.text)
            call = self.calls[event.index]
            self.calls[event.index] = replace(call, arguments=call.arguments + event.text)
        elif type(event) is FileOutput:
            self._text_weight += 4 * IMAGE_TOKENS

    def _note_insertion(self, length: int) -> None:
        self._insertions.append(Insertion(self.characters, length))

    def _note_cut(self) -> None:
        self.is_whole = False

    def _settle(self) -> None:
        """Weigh and digest the latest texts together, which is faster than one by one."""
        if not self._texts:
            return
        text = "".join(self._texts)
        self._texts.clear()
        self._text_weight += estimate_quarter_tokens(text)
        self._digest.add(text)
