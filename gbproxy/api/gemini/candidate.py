"""One answer -> a candidate: its parts as they come, what its end says, and all of it in one.

Source: https://ai.google.dev/api/generate-content#candidate.
"""

from __future__ import annotations

from typing import Any

from gbproxy.api.format import encode_line, quote
from gbproxy.api.gemini import grounding
from gbproxy.api.gemini.request import ParsedContent
from gbproxy.domain import jsontext
from gbproxy.domain.base64_pieces import encoded
from gbproxy.domain.chat import ToolCallPart
from gbproxy.domain.events import (
    Answer,
    ChatEvent,
    Citation,
    Done,
    FileOutput,
    FinishReason,
    Flush,
    Refusal,
    Started,
    TextDelta,
    ThoughtDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
)
from gbproxy.domain.media import is_image

# Clients hand it back with the part, and expect one: it means nothing here.
SIGNATURE = "Z2Jwcm94eQ=="

_REASONS = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
}
_NO_IMAGE = "NO_IMAGE"
_NO_IMAGE_TOLD = "The model has made no image."
_NO_ANSWER = "OTHER"  # a refusal that is no block by a policy
_CALL_UNREADABLE = "MALFORMED_FUNCTION_CALL"


class Candidate:
    """One candidate. `is_enum`: its text is a JSON string, whose value the client gets in one
    piece; `needs_image`: its end says so where it is no picture.
    """

    def __init__(self, parsed: ParsedContent, index: int = 0) -> None:
        self._index = index
        self._is_enum = parsed.is_enum
        self._needs_image = parsed.needs_image
        self._delivery = parsed.chat.media
        self._text = grounding.KeptText()
        self._citations: list[Citation] = []
        self._call: ToolCallStarted | None = None  # the one whose arguments arrive
        self._arguments: list[str] = []
        self._calls = 0
        self._has_thoughts = self._has_bad_call = False
        self._refusal: str | None = None
        self._after = b'],"role":"model"},"index":%d}' % index

    def feed(self, event: ChatEvent) -> bytes:
        """The candidate, as JSON, with the part that an event completes; b"" for none. `Done` is
        for `end`.
        """
        match event:
            case TextDelta(text):
                self._text.add(text)
                return b"" if self._is_enum else self._holding(b'{"text":%b}' % quote(text))
            case ThoughtDelta(text):
                self._has_thoughts = True
                return self._holding(b'{"text":%b,"thought":true}' % quote(text))
            case ToolCallStarted():
                ended = self._end_call()
                self._call = event
                return ended
            case ToolCallDelta(_, text):
                self._arguments.append(text)
            case Refusal(sentence, is_content):
                self._refusal = sentence
                return self._holding(b'{"text":%b}' % quote(sentence)) if is_content else b""
            case Citation():
                self._citations.append(event)
            case FileOutput():
                part = self._file_part(event)
                return self._holding(encode_line(part)) if part is not None else b""
            case Started() | Usage() | Flush() | Done():
                pass
        return b""

    def end(self, reason: FinishReason) -> tuple[bytes, bytes]:
        """The candidate with the part that was still held, b"" for none; and the one that says how
        the answer has ended.
        """
        held = self._end_call(may_be_cut=reason == "length")
        text = self._text.result()
        if self._is_enum:
            held = self._holding(b'{"text":%b}' % quote(value_of(text or "")))
        last: dict[str, Any] = {"text": ""}
        if self._has_thoughts and not self._calls:
            last["thoughtSignature"] = SIGNATURE
        content = {"parts": [last], "role": "model"}
        return held, encode_line(
            {"content": content, **self._ending(reason, self._citations, text)}
        )

    def whole(self, answer: Answer) -> dict[str, Any]:
        """A whole answer as this candidate."""
        parts: list[dict[str, Any]] = []
        if answer.thoughts:
            parts.append({"text": answer.thoughts, "thought": True})
        if text := value_of(answer.text) if self._is_enum else answer.text:
            parts.append({"text": text})
        parts += filter(None, map(self._file_part, answer.files))
        is_cut = answer.finish_reason == "length"
        for call in answer.tool_calls:
            if (part := self._call_part(call, may_be_cut=is_cut)) is not None:
                parts.append(part)
        if answer.thoughts and not self._calls:
            parts[-1]["thoughtSignature"] = SIGNATURE
        self._refusal = answer.refusal
        return {
            "content": {"parts": parts, "role": "model"},
            **self._ending(answer.finish_reason, answer.citations, answer.text),
        }

    def _holding(self, part: bytes) -> bytes:
        return b'{"content":{"parts":[%b%b' % (part, self._after)

    def _end_call(self, *, may_be_cut: bool = False) -> bytes:
        call, self._call = self._call, None
        arguments = "".join(self._arguments)
        self._arguments.clear()
        if call is None:
            return b""
        part = self._call_part(ToolCallPart(call.id, call.name, arguments), may_be_cut=may_be_cut)
        return self._holding(encode_line(part)) if part is not None else b""

    def _file_part(self, file: FileOutput) -> dict[str, Any] | None:
        """None for a file whose link stands in the text."""
        if is_image(file.mime_type):
            self._needs_image = False
        if file.data is not None:
            data = b"".join(encoded(file.data)).decode()
            return {"inlineData": {"mimeType": file.mime_type, "data": data}}
        if self._delivery.is_in_text(file.mime_type):
            return None
        return {"fileData": {"mimeType": file.mime_type, "fileUri": file.url}}

    def _call_part(self, call: ToolCallPart, *, may_be_cut: bool = False) -> dict[str, Any] | None:
        """None for a call whose arguments are no JSON object, which has no place here; that is the
        model's mistake unless it `may_be_cut`.
        """
        try:
            arguments = jsontext.decode(call.arguments.strip() or "{}")
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            self._has_bad_call = self._has_bad_call or not may_be_cut
            return None
        part: dict[str, Any] = {
            "functionCall": {"id": call.id, "name": call.name, "args": arguments}
        }
        if self._calls == 0:  # Google signs the first of a turn
            part["thoughtSignature"] = SIGNATURE
        self._calls += 1
        return part

    def _ending(
        self, reason: FinishReason, citations: list[Citation], text: str | None
    ) -> dict[str, Any]:
        """All but the content."""
        found: dict[str, Any] = {"finishReason": _REASONS[reason], "index": self._index}
        if self._refusal is not None:
            found["finishMessage"] = self._refusal
            if reason == "stop":
                found["finishReason"] = _NO_ANSWER
        elif self._has_bad_call:
            found["finishReason"] = _CALL_UNREADABLE
        elif self._needs_image and reason == "stop":
            found |= {"finishReason": _NO_IMAGE, "finishMessage": _NO_IMAGE_TOLD}
        metadata = grounding.render(citations, text)
        if metadata is not None:
            found["groundingMetadata"] = metadata
        return found


def value_of(text: str) -> str:
    """The text that a JSON string says; what is none stays as it is."""
    try:
        value = jsontext.decode(text.strip())
    except ValueError:
        return text
    return value if isinstance(value, str) else text
