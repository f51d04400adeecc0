"""The elements of one streamed answer -> events.

Sans I/O: `read` takes the elements as they arrive, `finish` says how the answer ended. Source:
docs/upstream.md, elements.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gbproxy.domain.events import ChatEvent, Done, FileOutput, Refusal, TextDelta, ThoughtDelta
from gbproxy.errors import (
    AnswerEmpty,
    AnswerTooLarge,
    TokenRefused,
    UpstreamProtocolError,
    UpstreamUnclear,
)
from gbproxy.upstreams.decoding.objects import as_mapping, as_text
from gbproxy.upstreams.stream_assist import google_errors
from gbproxy.upstreams.stream_assist.answer_text import AnswerText, normalized
from gbproxy.upstreams.stream_assist.elements import (
    MOST,
    RUNNING,
    file_of,
    is_response,
    listed,
    plain_text,
    planned_text,
)
from gbproxy.upstreams.stream_assist.grounding import citations
from gbproxy.upstreams.stream_assist.refusals import Connectors, Policy

_WHOLE = ("SUCCEEDED", "SKIPPED")
_MEDIA_FIELDS = frozenset({"file", "inlineData", "generatedImages", "attachments"})
_HELD_CHARS = 64 * 1024  # of white space before any text; what is more is dropped


class AssistReader:
    """Reads the elements of one answer, in order."""

    def __init__(
        self, hidden_headlines: frozenset[str] = frozenset(), max_bytes: float = math.inf
    ) -> None:
        self._hidden_headlines = hidden_headlines  # normalized
        self._bytes_left = max_bytes  # of text, hidden or shown
        self._sources_left = MOST
        self._said = AnswerText()
        # white space before any text: part of the answer, or of a status line
        self._held: list[str] = []
        self._held_chars = 0
        self._files: set[str | int] = set()  # ids of kept ones, hashes of what was sent along
        self._thoughts = False
        self.replies = 0
        self._responses = 0
        self._tokens_only = False
        self._state: str | None = None
        self._refused = False
        self.session = ""  # its name, once the upstream has sent it
        self._policy = Policy()
        self._connectors = Connectors()

    @property
    def complete(self) -> bool:
        """The upstream has said that the answer is whole; nothing after it belongs to the
        answer.
        """
        return self._refused or self._state in _WHOLE

    def read(self, elements: Iterable[Mapping[str, Any]], events: list[ChatEvent]) -> None:
        """Append the events of elements that came together. Raises the error that an element may
        be, behind the events of those ahead of it.

        Texts behind the first that follow each other are one event, as nearly all elements bring
        nothing else.
        """
        texts: list[str] = []
        is_running = self._is_running
        try:
            for element in elements:
                if is_running and (text := plain_text(element)):
                    texts.append(text)
                    continue
                if texts:
                    ahead, texts = texts, []
                    self._further_texts(ahead, events)
                events += self._read(element)
                is_running = self._is_running
        finally:  # also of those ahead of what cannot be decoded
            if texts:
                self._further_texts(texts, events)

    def finish(self, *, closed: bool) -> list[ChatEvent]:
        """The answer's last events, once the stream has ended. Raises when it ended too early or
        said nothing.

        `closed`: the framing itself has marked the end, which is all there is where no element
        carries a state.
        """
        if self._refused:
            return [Done("content_filter")]
        if self._state == "FAILED":
            raise self._unclear("the upstream failed to answer")
        if self._tokens_only and not self._responses:
            raise TokenRefused("the upstream sent a token in place of an answer")
        if not self.complete and (self._state is not None or not closed):
            raise UpstreamProtocolError("the upstream's answer was cut off before its end")
        if not self._said and not self._files:
            thought = self._thoughts
            raise self._unclear(
                "the model thought, but gave no answer"
                if thought
                else "the upstream sent an empty answer",
                AnswerEmpty,
            )
        return [Done("stop")]

    @property
    def _is_running(self) -> bool:
        """True between the answer's first text and its end."""
        return bool(self._said) and not self.complete

    def _read(self, element: Mapping[str, Any]) -> list[ChatEvent]:
        """The events of one element."""
        if not self.complete:
            error = google_errors.in_stream(element)
            if error is not None:
                raise google_errors.from_error(error)
        response = as_mapping(element.get("streamAssistResponse")) or (
            element if is_response(element) else {}
        )
        if not response:
            self._tokens_only = self._tokens_only or "uToken" in element
            return []
        self._responses += 1
        self.session = (
            as_text(as_mapping(response.get("sessionInfo")).get("session")) or self.session
        )
        self._connectors.read(response)
        return [] if self.complete else self._answer(as_mapping(response.get("answer")))

    def _unclear(
        self, outcome: str, kind: type[UpstreamUnclear] = UpstreamUnclear
    ) -> UpstreamUnclear:
        """The error of an answer without content, with possible causes that the answer names."""
        return kind("; ".join([outcome, *self._policy.doubts(), *self._connectors.doubts()]))

    def _answer(self, answer: Mapping[str, Any]) -> list[ChatEvent]:
        state = answer.get("state")
        self._policy.read(answer)
        is_blocked = self._policy.blocks
        if state == "CANCELLED" and not is_blocked:
            raise self._unclear("the upstream cancelled the answer")
        replies = [as_mapping(reply) for reply in listed(answer.get("replies"))]
        is_repeat = state in _WHOLE and self._repeats(replies, answer)
        events: list[ChatEvent] = []
        self.replies += len(replies)
        for reply in replies:
            self._reply(reply, events, is_repeat=is_repeat)
        if isinstance(state, str) and state:
            self._state = state  # only now: an element that cannot be read makes no answer whole
        if self._state == "SKIPPED" or is_blocked:
            self._refused = True
            events.append(Refusal(self._policy.refusal(listed(answer.get("assistSkippedReasons")))))
        return events

    def _reply(self, reply: Mapping[str, Any], events: list[ChatEvent], *, is_repeat: bool) -> None:
        """Add the events of one reply. A repeat adds no text; files and sources that come with it
        count.
        """
        grounded = as_mapping(reply.get("groundedContent"))
        content = as_mapping(grounded.get("content"))
        text = content.get("text")
        is_thought = content.get("thought") is True
        fragments = self._said.fragments
        if isinstance(text, str) and text and (is_thought or not is_repeat):
            self._text(text, events, is_thought=is_thought)
        if not (
            _MEDIA_FIELDS.isdisjoint(content)
            and _MEDIA_FIELDS.isdisjoint(reply)
            and _MEDIA_FIELDS.isdisjoint(grounded)
        ):
            events += self._media(reply, grounded, content)
        metadata = grounded.get("textGroundingMetadata")
        if isinstance(metadata, dict) and not is_thought:
            fragment = str(text) if self._said.fragments > fragments else ""
            sources = citations(
                metadata, fragment=fragment, said=self._said, at_most=self._sources_left
            )
            self._sources_left -= len(sources)
            events += sources

    def _text(self, text: str, events: list[ChatEvent], *, is_thought: bool) -> None:
        if self._said and not is_thought:
            events.append(self._further(text))
            return
        self._charge(text)
        if is_thought or normalized(text) in self._hidden_headlines:
            self._thoughts = True
            self._held.clear()
            self._held_chars = 0
            events.append(ThoughtDelta(text))
            return
        if not text.strip():
            if self._held_chars < _HELD_CHARS:
                self._held.append(text)
                self._held_chars += len(text)
            return
        for part in (*self._held, text):
            self._said.add(part)
            events.append(TextDelta(part))
        self._held.clear()

    def _further_texts(self, texts: list[str], events: list[ChatEvent]) -> None:
        """Append the event of elements that bring a text alone. At the limit, those that it lets
        through, before it raises AnswerTooLarge.
        """
        self._responses += len(texts)
        self.replies += len(texts)
        self._state = RUNNING
        joined = "".join(texts)
        if _size(joined) <= self._bytes_left:
            events.append(self._further(joined, joined_of=len(texts)))
        else:
            events.extend(map(self._further, texts))

    def _further(self, text: str, *, joined_of: int = 1) -> TextDelta:
        """The event of a text behind the first, which is part of the answer whatever it is."""
        self._charge(text)
        self._said.add(text, joined_of=joined_of)
        return TextDelta(text)

    def _charge(self, text: str) -> None:
        self._bytes_left -= _size(text)
        if self._bytes_left < 0:
            raise AnswerTooLarge("the upstream's answer has more text than MAX_ANSWER_MB allows")

    def _media(
        self, reply: Mapping[str, Any], grounded: Mapping[str, Any], content: Mapping[str, Any]
    ) -> Iterator[FileOutput]:
        images = [
            as_mapping(as_mapping(image).get("image"))
            for image in listed(reply.get("generatedImages"))
        ]
        attachments = [as_mapping(item) for item in listed(grounded.get("attachments"))]
        for found in (
            as_mapping(content.get("file")),
            as_mapping(content.get("inlineData")),
            *images,
            *attachments,
        ):
            file = file_of(found)
            if file is None:
                continue
            known_as = file.file_id or hash(file.data)
            if known_as not in self._files:
                if len(self._files) >= MOST:
                    raise AnswerTooLarge(f"the upstream's answer has more than {MOST} files")
                self._files.add(known_as)
                yield file

    def _repeats(self, replies: list[Mapping[str, Any]], answer: Mapping[str, Any]) -> bool:
        """True if the last element repeats the whole answer."""
        contents = [
            as_mapping(as_mapping(reply.get("groundedContent")).get("content")) for reply in replies
        ]
        last = "".join(
            as_text(content.get("text"))
            for content in contents
            if content.get("thought") is not True
        )
        if not last.strip() or not self._said.is_again(last):
            return False
        return self._said.is_repeat(last, planned_text(answer).strip())


def _size(text: str) -> int:
    """Bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())
