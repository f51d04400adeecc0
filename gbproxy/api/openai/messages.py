"""The messages of a chat completion request -> Message.

Source: https://platform.openai.com/docs/api-reference/chat/create, messages. Agents keep histories
that other models have made: what of an assistant's turn has no place here is passed over. What a
user or a tool says is never: an answer that disregards it would be a wrong one. Files are taken
where these two put them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gbproxy.api.bounds import MOST_PARTS
from gbproxy.api.openai.attachments import FILE_PARTS, AttachmentReader
from gbproxy.domain import jsontext
from gbproxy.domain.attachment import Attachment, LinkedAttachment
from gbproxy.domain.chat import Message, Part, Role, TextPart, ToolCallPart, ToolResultPart
from gbproxy.errors import BadRequest

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_TEXT_PARTS = ("text", "input_text", "output_text", "refusal")
_CALL_PARTS = ("tool_use", "tool_call", "tool-call", "function_call")


class MessageBody(BaseModel):
    """A message as it was sent, checked as far as all roles are alike."""

    model_config = ConfigDict(strict=True, extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Any = None  # a text, parts, or null
    name: str | None = None
    # A list ends at its first mistake: an error for each of a million items would take seconds and
    # gigabytes.
    tool_calls: Annotated[list[dict[str, Any]], Field(fail_fast=True)] | None = None
    function_call: dict[str, Any] | None = None
    tool_call_id: str | None = None
    refusal: Any = None


class Reader:
    """Reads the messages of one request. `has_passed_over` is True once something was left out,
    `has_cache_breakpoint` once a part has said up to where OpenAI is to cache the prompt.
    """

    def __init__(self, files: AttachmentReader) -> None:
        self.has_passed_over = False
        self.has_cache_breakpoint = False
        self._files = files
        self._parts_left = MOST_PARTS

    def read(self, messages: Iterable[MessageBody]) -> tuple[Message, ...]:
        """Raises BadRequest, whose `param` names the place that is wrong."""
        return tuple(self._message(message, f"messages[{i}]") for i, message in enumerate(messages))

    def _message(self, message: MessageBody, place: str) -> Message:
        self._count(message.content, f"{place}.content")
        self._count(message.tool_calls, f"{place}.tool_calls")
        calls = [
            _tool_call(call, f"{place}.tool_calls[{i}]")
            for i, call in enumerate(message.tool_calls or ())
        ]
        if message.function_call is not None:
            calls.append(_tool_call({"function": message.function_call}, f"{place}.function_call"))
        parts = self._content(message, f"{place}.content")
        if calls:  # some clients send a call twice: in its own field, and as a part
            known = {(call.id, call.name) for call in calls}
            parts = [
                p for p in parts if not (isinstance(p, ToolCallPart) and (p.id, p.name) in known)
            ]
        if message.role in ("tool", "function"):
            text = "\n".join(
                part.text for part in parts if isinstance(part, TextPart | ToolResultPart)
            )
            files = [part for part in parts if isinstance(part, Attachment | LinkedAttachment)]
            parts = [ToolResultPart(message.tool_call_id or message.name or "", text), *files]
        return Message(_ROLES[message.role], (*parts, *calls), message.name)

    def _count(self, items: object, place: str) -> None:
        self._parts_left -= len(items) if isinstance(items, list) else 0
        if self._parts_left < 0:
            raise BadRequest(
                f"{place}: the messages have more than {MOST_PARTS} parts in all", param=place
            )

    def _content(self, message: MessageBody, place: str) -> list[Part]:
        content = message.content
        if not content and message.role == "assistant" and isinstance(message.refusal, str):
            content = message.refusal
        if isinstance(content, str):
            return [TextPart(content)]
        if isinstance(content, list):
            self.has_cache_breakpoint |= has_cache_breakpoint(content)
            if message.role == "assistant":
                return list(self._of_assistant(content, place))
            takes_files = _ROLES[message.role] != "system"
            return list(self._parts(content, place, takes_files=takes_files))
        if content is None and message.role in ("assistant", "tool", "function"):
            return []
        if message.role in ("tool", "function"):  # a result that was not made a text of
            return [TextPart(json_of(content, place))]
        raise BadRequest(f"{place} must be a text or an array of parts", param=place)

    def _of_assistant(self, parts: list[object], place: str) -> Iterator[Part]:
        for i, part in enumerate(parts):
            kind = _kind(part, f"{place}[{i}]")
            if kind in _TEXT_PARTS and _text_of(part, kind) is not None:
                yield _text(part, kind, f"{place}[{i}]")
            elif kind in _CALL_PARTS and (call := _call_of(part, f"{place}[{i}]")) is not None:
                yield call
            # thinking, redacted_thinking, reasoning, server_tool_use, pictures: what other models
            # make
            else:
                self.has_passed_over = True

    def _parts(self, parts: list[object], place: str, *, takes_files: bool) -> Iterator[Part]:
        """Of a user, a tool, or the system."""
        for i, part in enumerate(parts):
            yield from self._part(part, f"{place}[{i}]", takes_files=takes_files)

    def _part(self, part: Any, place: str, *, takes_files: bool) -> Iterator[Part]:
        kind = _kind(part, place)
        if kind in _TEXT_PARTS:
            yield _text(part, kind, place)
        elif kind in FILE_PARTS and takes_files:
            yield self._files.read(part, place)
        elif kind == "tool_result":
            yield from self._result(part, f"{place}.content")
        elif kind in FILE_PARTS:
            raise BadRequest(f"{place}: only text is taken here, no {kind}", param=place)
        else:
            message = f"{place}.type is unknown: only texts and files are taken"
            raise BadRequest(message, param=f"{place}.type")

    def _result(self, part: Any, place: str) -> Iterator[Part]:
        """A tool's result as other APIs have it, a part of a user's message; its files behind
        it.
        """
        call_id, content = part.get("tool_use_id"), part.get("content")
        texts, files = [], []
        for i, inner in enumerate(content) if isinstance(content, list) else ():
            kind = _kind(inner, f"{place}[{i}]")
            if kind in _TEXT_PARTS:
                texts.append(_text(inner, kind, f"{place}[{i}]").text)
            elif kind in FILE_PARTS:
                files.append(self._files.read(inner, f"{place}[{i}]"))
            else:
                message = f"{place}[{i}]: only texts and files are taken"
                raise BadRequest(message, param=f"{place}[{i}]")
        text = "\n".join(texts) if isinstance(content, list) else json_of(content, place)
        yield ToolResultPart(call_id if isinstance(call_id, str) else "", text)
        yield from files


def has_cache_breakpoint(parts: Iterable[object]) -> bool:
    """True if OpenAI would cache a prompt up to one of these parts."""
    return any(
        isinstance(part, dict) and part.get("prompt_cache_breakpoint") is not None for part in parts
    )


def _kind(part: object, place: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        raise BadRequest(f"{place} must be an object with a type", param=place)
    return kind


def _text_of(part: Any, kind: str) -> object:
    return part.get("refusal" if kind == "refusal" else "text")


def _text(part: Any, kind: str, place: str) -> TextPart:
    text = _text_of(part, kind)
    if not isinstance(text, str):
        field = "refusal" if kind == "refusal" else "text"
        raise BadRequest(f"{place}.{field} must be a text", param=f"{place}.{field}")
    return TextPart(text)


def _call_of(part: Any, place: str) -> ToolCallPart | None:
    """A call that stands among the parts of a content; None for what names no tool."""
    name = part.get("name") or part.get("toolName")
    call_id = next(
        (part[key] for key in ("id", "call_id", "toolCallId") if isinstance(part.get(key), str)), ""
    )
    arguments = next(
        (part[key] for key in ("input", "arguments", "args") if part.get(key) is not None), None
    )
    return ToolCallPart(call_id, name, json_of(arguments, place)) if isinstance(name, str) else None


def _tool_call(call: dict[str, Any], place: str) -> ToolCallPart:
    function = call.get("function") or call.get("custom")
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str):
        raise BadRequest(
            f"{place}.function must be an object with a name", param=f"{place}.function"
        )
    call_id = call.get("id")
    if not isinstance(call_id, str | None):
        raise BadRequest(f"{place}.id must be a text", param=f"{place}.id")
    arguments = function.get("arguments", function.get("input"))
    text = json_of(arguments, f"{place}.function.arguments")
    return ToolCallPart(call_id or "", name, text, is_custom=not call.get("function"))


def json_of(value: object, place: str) -> str:
    """A text as it is, nothing for null, and JSON for what a client has decoded."""
    if isinstance(value, str | None):
        return value or ""
    try:
        return jsontext.encode(value)
    except ValueError as error:
        raise BadRequest(f"{place} {error}", param=place) from error
