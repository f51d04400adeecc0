"""`contents` and `systemInstruction` -> messages.

Source: https://ai.google.dev/api/caching#Content. A model's turn comes back in as many contents as
its answer was streamed in: together they are one message. What of it has no place here is passed
over; what a user or a function says never is: an answer that disregards it would be a wrong one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gbproxy.api.bounds import MOST_MESSAGES, MOST_PARTS
from gbproxy.api.gemini.body import (
    ContentBody,
    FunctionCallBody,
    FunctionResponseBody,
    PartBody,
    listed,
    validated,
)
from gbproxy.api.gemini.calls import OpenCalls
from gbproxy.api.gemini.files import FileReader
from gbproxy.domain import jsontext
from gbproxy.domain.base64_pieces import go_on
from gbproxy.domain.chat import Message, Part, TextPart, ToolCallPart, ToolResultPart
from gbproxy.domain.media import is_image
from gbproxy.errors import BadRequest

# By these names alone a response is what the function gives, and not an object that holds it.
_PLAIN_RESULTS = ("output", "result")


@dataclass(slots=True)
class _ModelTurn:
    """The turn that is being read. The pieces of a streamed answer are one text."""

    texts: list[str] = field(default_factory=list)  # behind the parts
    pictures: list[Part] = field(default_factory=list)
    has_begun: bool = False
    _parts: list[Part] = field(default_factory=list)

    def add(self, call: ToolCallPart) -> None:
        self._end_text()
        self._parts.append(call)

    def end(self) -> tuple[Part, ...]:
        """All its parts; the next one begins."""
        self._end_text()
        parts = (*self._parts, *self.pictures)
        self._parts.clear()
        self.pictures.clear()
        self.has_begun = False
        return parts

    def _end_text(self) -> None:
        text = "".join(self.texts)
        self.texts.clear()
        if text:
            self._parts.append(TextPart(text))


@dataclass(slots=True)
class ContentReader:
    """Reads the contents of one request. `has_passed_over`: something was left out; `rest` is
    called between the parts. Raises BadRequest or RequestTooLarge, whose `param` names the place.
    """

    files: FileReader
    rest: Callable[[], None] = go_on
    has_passed_over: bool = False
    _messages: list[Message] = field(default_factory=list)
    _turn: _ModelTurn = field(default_factory=_ModelTurn)
    _calls: OpenCalls = field(default_factory=OpenCalls)
    _parts_left: int = MOST_PARTS

    def read(self, contents: object, place: str = "contents") -> tuple[Message, ...]:
        items = _items(contents, place)
        if not items:
            raise BadRequest(f"{place} must hold a content at least", param=place)
        if len(items) > MOST_MESSAGES:
            raise BadRequest(
                f"{place}: at most {MOST_MESSAGES} are taken, and these are {len(items)}",
                param=place,
            )
        for i, item in enumerate(items):
            self._content(item, f"{place}[{i}]")
        self._end_turn()
        return tuple(self._messages)

    def read_instruction(self, parts: object, place: str) -> Message | None:
        """The message of a system instruction; None for an empty one."""
        texts: list[Part] = []
        for part, where in self._parts(parts, f"{place}.parts"):
            if part.text is None:
                raise BadRequest(f"{where}: only text is taken here", param=where)
            texts.append(TextPart(part.text))
        return Message("system", tuple(texts)) if texts else None

    def _content(self, item: object, place: str) -> None:
        content = validated(ContentBody, item, place)
        parts = self._parts(content.parts, f"{place}.parts")
        is_models = content.role == "model" or (
            content.role is None and any(part.function_call is not None for part, _ in parts)
        )
        if is_models:
            self._of_model(parts)
        elif not parts:
            raise BadRequest(f"{place}.parts must not be empty", param=f"{place}.parts")
        else:
            self._end_turn()
            self._of_user(parts)

    def _parts(self, parts: object, place: str) -> list[tuple[PartBody, str]]:
        """Each part with its place."""
        items = _items(parts, place) if parts is not None else []
        self._parts_left -= len(items)
        if self._parts_left < 0:
            raise BadRequest(
                f"{place}: the contents have more than {MOST_PARTS} parts in all", param=place
            )
        found: list[tuple[PartBody, str]] = []
        for i, item in enumerate(items):
            where = f"{place}[{i}]"
            found.append((validated(PartBody, item, where), where))
            self.rest()
        return found

    def _of_model(self, parts: Iterable[tuple[PartBody, str]]) -> None:
        """A content of the model, which goes on with the one before it."""
        turn = self._turn
        if not turn.has_begun:
            turn.has_begun = True
            self._calls.begin_turn()
        for part, place in parts:
            if part.thought:
                pass  # it was shown to be read, and is no part of the answer
            elif part.text is not None:
                turn.texts.append(part.text)
            elif part.function_call is not None:
                turn.add(self._call(part.function_call, f"{place}.functionCall"))
            elif part.inline_data is not None and is_image(part.inline_data.mime_type or ""):
                # for a session that has not made it itself
                turn.pictures.append(self.files.inline(part.inline_data, f"{place}.inlineData"))
            elif part.model_fields_set - {"thought", "thought_signature"}:
                self.has_passed_over = True  # code that was run: what other models make

    def _end_turn(self) -> None:
        found = self._turn.end()
        if found:
            self._messages.append(Message("assistant", found))

    def _of_user(self, parts: Iterable[tuple[PartBody, str]]) -> None:
        """Results of functions are messages of their own."""
        found: list[Part] = []
        for part, place in parts:
            if part.function_response is None:
                found.append(self._said(part, place))
                continue
            if found:
                self._messages.append(Message("user", tuple(found)))
                found = []
            self._messages.append(self._result(part.function_response, f"{place}.functionResponse"))
        if found:
            self._messages.append(Message("user", tuple(found)))

    def _said(self, part: PartBody, place: str) -> Part:
        if part.text is not None:
            return TextPart(part.text)
        if part.inline_data is not None:
            return self.files.inline(part.inline_data, f"{place}.inlineData")
        if part.file_data is not None:
            return self.files.linked(part.file_data, f"{place}.fileData")
        if part.function_call is not None:
            raise BadRequest(
                f"{place}.functionCall stands in a content of the role model",
                param=f"{place}.functionCall",
            )
        raise BadRequest(
            f"{place} must hold text, inlineData, fileData or functionResponse", param=place
        )

    def _call(self, call: FunctionCallBody, place: str) -> ToolCallPart:
        call_id = self._calls.add(call.name, call.id)
        return ToolCallPart(call_id, call.name, _json(call.args or {}, f"{place}.args"))

    def _result(self, response: FunctionResponseBody, place: str) -> Message:
        call_id = self._calls.answer(response.name, response.id)
        found: list[Part] = [
            ToolResultPart(call_id, _result_text(response.response or {}, f"{place}.response"))
        ]
        for i, part in enumerate(response.parts or ()):
            where = f"{place}.parts[{i}]"
            if part.inline_data is not None:
                found.append(self.files.inline(part.inline_data, f"{where}.inlineData"))
            elif part.file_data is not None:
                found.append(self.files.linked(part.file_data, f"{where}.fileData"))
            else:
                raise BadRequest(f"{where} must hold inlineData or fileData", param=where)
        return Message("tool", tuple(found))


def _items(value: object, place: str) -> list[Any]:
    items = listed(value)
    if not isinstance(items, list):
        raise BadRequest(f"{place} must be an array", param=place)
    return items


def _result_text(response: Mapping[str, Any], place: str) -> str:
    value: Any = response
    if len(response) == 1 and next(iter(response)) in _PLAIN_RESULTS:
        [value] = response.values()
    return value if isinstance(value, str) else _json(value, place)


def _json(value: object, place: str) -> str:
    try:
        return jsontext.encode(value)
    except ValueError as error:
        raise BadRequest(f"{place} {error}", param=place) from error
