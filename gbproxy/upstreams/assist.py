"""The elements of one streamed answer -> events.

Sans I/O: `read` takes each element as it arrives, `finish` says how the answer ended. Source: docs/upstream.md, elements.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from gbproxy.domain.events import ChatEvent, Done, FileOutput, Refusal, TextDelta, ThoughtDelta
from gbproxy.errors import TokenRefused, UpstreamError, UpstreamProtocolError
from gbproxy.settings import status_line
from gbproxy.upstreams import failures
from gbproxy.upstreams.grounding import citations

_MEDIA = ("image/", "video/", "audio/")
_REPEATED_CHARS = 16  # a shorter text may stand twice in an answer by itself

_BLOCKED = "The answer was blocked by the policy in force for this Gemini Business account."
_IGNORED = "The upstream took the message for no question and did not answer it."


class AssistReader:
    """Reads the elements of one answer, in order."""

    def __init__(self, status_lines: frozenset[str] = frozenset()) -> None:
        self._status_lines = status_lines
        self._texts: list[str] = []
        self._held: list[str] = []  # white space before any text: part of the answer, or of a status line
        self._file_ids: set[str] = set()
        self._files = 0
        self._thoughts = False
        self._responses = 0
        self._tokens_only = False
        self._state: str | None = None
        self._refused = False
        self.session: str | None = None

    @property
    def complete(self) -> bool:
        """The upstream has said that the answer is whole; nothing after it belongs to the answer."""
        return self._state in ("SUCCEEDED", "SKIPPED")

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
        self.session = _dict(response.get("sessionInfo")).get("session") or self.session
        return [] if self.complete else self._answer(_dict(response.get("answer")))

    def finish(self, *, closed: bool) -> list[ChatEvent]:
        """The answer's last events, once the stream has ended. Raises when it ended too early or said nothing.

        `closed`: the framing itself has marked the end, which is all there is where no element carries a state.
        """
        if self._state == "FAILED":
            raise UpstreamError("the upstream failed to answer")
        if self._refused:
            return [Done("content_filter")]
        if self._tokens_only and not self._responses:
            raise TokenRefused("the upstream sent a token in place of an answer")
        if not self.complete and (self._state is not None or not closed):
            raise UpstreamProtocolError("the upstream's answer was cut off before its end")
        if not self._texts and not self._files:
            raise UpstreamError(
                "the model thought, but gave no answer" if self._thoughts else "the upstream sent an empty answer"
            )
        return [Done("stop")]

    def _answer(self, answer: Mapping[str, Any]) -> list[ChatEvent]:
        state = answer.get("state")
        if state == "CANCELLED":
            raise UpstreamError("the upstream cancelled the answer")
        if isinstance(state, str):
            self._state = state
        replies = [_dict(reply) for reply in _list(answer.get("replies"))]
        if self.complete and self._repeats(replies):
            replies = []
        events = [event for reply in replies for event in self._reply(reply)]
        if self._state == "SKIPPED" or _is_blocked(answer):
            events += self._refuse(answer)
        return events

    def _reply(self, reply: Mapping[str, Any]) -> Iterator[ChatEvent]:
        grounded = _dict(reply.get("groundedContent"))
        content = _dict(grounded.get("content"))
        text = content.get("text")
        before = self._texts
        if isinstance(text, str) and text:
            yield from self._text(text, is_thought=content.get("thought") is True)
        yield from self._media(reply, grounded, content)
        metadata = grounded.get("textGroundingMetadata")
        if isinstance(metadata, dict) and content.get("thought") is not True:
            yield from citations(metadata, fragment=text if isinstance(text, str) else "", texts=before)

    def _text(self, text: str, *, is_thought: bool) -> Iterator[ChatEvent]:
        if is_thought or (not self._texts and status_line(text) in self._status_lines):
            self._thoughts = True
            self._held.clear()
            yield ThoughtDelta(text)
            return
        if not self._texts and not text.strip():
            self._held.append(text)
            return
        for part in (*self._held, text):
            self._texts.append(part)
            yield TextDelta(part)
        self._held.clear()

    def _media(
        self, reply: Mapping[str, Any], grounded: Mapping[str, Any], content: Mapping[str, Any]
    ) -> Iterator[FileOutput]:
        images = [_dict(_dict(image).get("image")) for image in _list(reply.get("generatedImages"))]
        attachments = [_dict(item) for item in _list(grounded.get("attachments"))]
        for found in (_dict(content.get("file")), _dict(content.get("inlineData")), *images, *attachments):
            file = _file(found)
            if file is None or (file.file_id is not None and file.file_id in self._file_ids):
                continue
            self._files += 1
            self._file_ids.add(file.file_id or "")
            yield file

    def _repeats(self, replies: list[Mapping[str, Any]]) -> bool:
        """Whether the last element says the whole answer once more."""
        contents = [_dict(_dict(reply.get("groundedContent")).get("content")) for reply in replies]
        last = "".join(str(c.get("text") or "") for c in contents if c.get("thought") is not True)
        long_enough = len(last) >= _REPEATED_CHARS or len(self._texts) > 1
        return bool(last) and long_enough and last == "".join(self._texts)

    def _refuse(self, answer: Mapping[str, Any]) -> list[ChatEvent]:
        if self._refused:
            return []
        self._refused = True
        ignored = "NON_ASSIST_SEEKING_QUERY_IGNORED" in _list(answer.get("assistSkippedReasons"))
        return [Refusal(_IGNORED if ignored and not _is_blocked(answer) else _BLOCKED)]


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
    return value if isinstance(value, list) else []
