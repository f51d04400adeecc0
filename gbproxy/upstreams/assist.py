"""The elements of one streamed answer -> events.

Sans I/O: `read` takes each element as it arrives, `finish` says how the answer ended. Source: docs/upstream.md, elements.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator, Mapping
from typing import Any

from gbproxy.domain.events import ChatEvent, Done, FileOutput, Refusal, TextDelta, ThoughtDelta
from gbproxy.errors import AnswerTooLarge, TokenRefused, UpstreamProtocolError, UpstreamUnclear
from gbproxy.settings import status_line
from gbproxy.upstreams import failures
from gbproxy.upstreams.grounding import citations
from gbproxy.upstreams.said import Said

_WHOLE = ("SUCCEEDED", "SKIPPED")
_MEDIA_FIELDS = frozenset({"file", "inlineData", "generatedImages", "attachments"})
_MEDIA = ("image/", "video/", "audio/")
_MOST = 1000  # files, sources, and whatever an element may list
_HELD_CHARS = 64 * 1024  # of white space before any text; what is more is dropped
_REPEATED_CHARS = 16  # a shorter text may stand twice in an answer by itself

_BLOCKED = "The answer was blocked by the policy in force for this Gemini Business account."
_IGNORED = "The upstream took the message for no question and did not answer it."


class AssistReader:
    """Reads the elements of one answer, in order."""

    def __init__(self, status_lines: frozenset[str] = frozenset(), max_bytes: float = math.inf) -> None:
        self._status_lines = status_lines
        self._bytes_left = max_bytes  # of text, hidden or shown
        self._sources_left = _MOST
        self._said = Said()
        self._held: list[str] = []  # white space before any text: part of the answer, or of a status line
        self._held_chars = 0
        self._files: set[str | int] = set()  # ids of kept ones, hashes of what was sent along
        self._thoughts = False
        self.replies = 0
        self._responses = 0
        self._tokens_only = False
        self._state: str | None = None
        self._refused = False

    @property
    def complete(self) -> bool:
        """The upstream has said that the answer is whole; nothing after it belongs to the answer."""
        return self._refused or self._state in _WHOLE

    def read(self, element: Mapping[str, Any]) -> list[ChatEvent]:
        """The events of one element. Raises the error that an element may be."""
        if not self.complete:
            error = failures.in_stream(element)
            if error is not None:
                raise failures.from_error(error)
        response = _dict(element.get("streamAssistResponse")) or (element if _is_response(element) else {})
        if not response:
            self._tokens_only = self._tokens_only or "uToken" in element
            return []
        self._responses += 1
        return [] if self.complete else self._answer(_dict(response.get("answer")))

    def finish(self, *, closed: bool) -> list[ChatEvent]:
        """The answer's last events, once the stream has ended. Raises when it ended too early or said nothing.

        `closed`: the framing itself has marked the end, which is all there is where no element carries a state.
        """
        if self._refused:
            return [Done("content_filter")]
        if self._state == "FAILED":
            raise UpstreamUnclear("the upstream failed to answer")
        if self._tokens_only and not self._responses:
            raise TokenRefused("the upstream sent a token in place of an answer")
        if not self.complete and (self._state is not None or not closed):
            raise UpstreamProtocolError("the upstream's answer was cut off before its end")
        if not self._said and not self._files:
            raise UpstreamUnclear(
                "the model thought, but gave no answer" if self._thoughts else "the upstream sent an empty answer"
            )
        return [Done("stop")]

    def _answer(self, answer: Mapping[str, Any]) -> list[ChatEvent]:
        state = answer.get("state")
        is_blocked = _is_blocked(answer)
        if state == "CANCELLED" and not is_blocked:
            raise UpstreamUnclear("the upstream cancelled the answer")
        replies = [_dict(reply) for reply in _list(answer.get("replies"))]
        is_repeat = state in _WHOLE and self._repeats(replies, answer)
        events: list[ChatEvent] = []
        self.replies += len(replies)
        for reply in replies:
            self._reply(reply, events, is_repeat=is_repeat)
        if isinstance(state, str) and state:
            self._state = state  # only now: an element that cannot be read makes no answer whole
        if self._state == "SKIPPED" or is_blocked:
            self._refused = True
            ignored = "NON_ASSIST_SEEKING_QUERY_IGNORED" in _list(answer.get("assistSkippedReasons"))
            events.append(Refusal(_IGNORED if ignored and not is_blocked else _BLOCKED))
        return events

    def _reply(self, reply: Mapping[str, Any], events: list[ChatEvent], *, is_repeat: bool) -> None:
        """Add the events of one reply. A repeat adds no text; files and sources that come with it count."""
        grounded = _dict(reply.get("groundedContent"))
        content = _dict(grounded.get("content"))
        text = content.get("text")
        is_thought = content.get("thought") is True
        fragments = self._said.fragments
        if isinstance(text, str) and text and (is_thought or not is_repeat):
            self._text(text, events, is_thought=is_thought)
        if not (
            _MEDIA_FIELDS.isdisjoint(content) and _MEDIA_FIELDS.isdisjoint(reply) and _MEDIA_FIELDS.isdisjoint(grounded)
        ):
            events += self._media(reply, grounded, content)
        metadata = grounded.get("textGroundingMetadata")
        if isinstance(metadata, dict) and not is_thought:
            fragment = str(text) if self._said.fragments > fragments else ""
            sources = citations(metadata, fragment=fragment, said=self._said, at_most=self._sources_left)
            self._sources_left -= len(sources)
            events += sources

    def _text(self, text: str, events: list[ChatEvent], *, is_thought: bool) -> None:
        self._bytes_left -= len(text) if text.isascii() else len(text.encode())
        if self._bytes_left < 0:
            raise AnswerTooLarge("the upstream's answer has more text than MAX_ANSWER_MB allows")
        if is_thought or (not self._said and status_line(text) in self._status_lines):
            self._thoughts = True
            self._held.clear()
            self._held_chars = 0
            events.append(ThoughtDelta(text))
            return
        if not self._said and not text.strip():
            if self._held_chars < _HELD_CHARS:
                self._held.append(text)
                self._held_chars += len(text)
            return
        for part in (*self._held, text) if self._held else (text,):
            self._said.add(part)
            events.append(TextDelta(part))
        self._held.clear()

    def _media(
        self, reply: Mapping[str, Any], grounded: Mapping[str, Any], content: Mapping[str, Any]
    ) -> Iterator[FileOutput]:
        images = [_dict(_dict(image).get("image")) for image in _list(reply.get("generatedImages"))]
        attachments = [_dict(item) for item in _list(grounded.get("attachments"))]
        for found in (_dict(content.get("file")), _dict(content.get("inlineData")), *images, *attachments):
            file = _file(found)
            if file is None:
                continue
            known_as = file.file_id or hash(file.data)
            if known_as not in self._files:
                if len(self._files) >= _MOST:
                    raise AnswerTooLarge(f"the upstream's answer has more than {_MOST} files")
                self._files.add(known_as)
                yield file

    def _repeats(self, replies: list[Mapping[str, Any]], answer: Mapping[str, Any]) -> bool:
        """Whether the last element says the whole answer once more. "Ha" behind "Ha" may be either: see what was planned."""
        contents = [_dict(_dict(reply.get("groundedContent")).get("content")) for reply in replies]
        last = "".join(str(c.get("text") or "") for c in contents if c.get("thought") is not True).strip()
        if not last or not self._said.is_again(last):
            return False
        return len(last) >= _REPEATED_CHARS or self._said.fragments > 1 or _planned(answer).strip() == last


def _planned(answer: Mapping[str, Any]) -> str:
    """The last text of the model's plan steps: never part of the answer, but it tells what the answer is."""
    steps = [
        _dict(_dict(step).get("planStep")) for step in _list(_dict(answer.get("diagnosticInfo")).get("plannerSteps"))
    ]
    texts = ["".join(str(_dict(part).get("text") or "") for part in _list(step.get("parts"))) for step in steps]
    return next((text for text in reversed(texts) if text), "")


def _is_response(element: Mapping[str, Any]) -> bool:
    """The official API sends the response without the widget's wrapper."""
    return any(key in element for key in ("answer", "sessionInfo", "assistToken"))


def _is_blocked(answer: Mapping[str, Any]) -> bool:
    return _dict(answer.get("customerPolicyEnforcementResult")).get("verdict") == "BLOCK"


def _file(found: Mapping[str, Any]) -> FileOutput | None:
    """A file kept upstream, or image, video or audio data sent along; other inline data (suggestions) is none."""
    mime_type = str(found.get("mimeType") or "")
    file_id = found.get("fileId")
    name = found.get("name")
    if isinstance(file_id, str) and file_id:
        return FileOutput(mime_type or "application/octet-stream", file_id, name if isinstance(name, str) else None)
    data = found.get("data") or found.get("bytesBase64Encoded")
    if not isinstance(data, str) or not mime_type.startswith(_MEDIA):
        return None
    try:
        return FileOutput(mime_type, data=base64.b64decode(data))
    except (binascii.Error, ValueError):
        raise UpstreamProtocolError("the upstream sent a file that cannot be decoded") from None


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    """Raises AnswerTooLarge when it is a list of more than any element has use for."""
    if not isinstance(value, list):
        return []
    if len(value) > _MOST:
        raise AnswerTooLarge(f"an element of the upstream's answer lists more than {_MOST}")
    return value
