"""The body of a chat completion request -> ChatRequest.

Source: https://platform.openai.com/docs/api-reference/chat/create. Unknown fields are let through without effect; known
parameters that the upstream has no field for are checked for their type and named in `x-gbproxy-ignored`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gbproxy.domain.chat import ChatRequest, Message, Part, Role, TextPart, ToolCallPart, ToolResultPart
from gbproxy.domain.principal import NOBODY, Principal
from gbproxy.errors import BadRequest

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_FILE_PARTS = ("image_url", "input_image", "input_audio", "input_file", "file", "video_url")


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A request as the surface needs it: what to ask, and how to answer."""

    chat: ChatRequest
    include_usage: bool
    ignored: tuple[str, ...]


def parse(
    body: dict[str, Any],
    principal: Principal = NOBODY,
    conversation: str | None = None,
) -> ChatCall:
    """`conversation` is the request's X-Conversation-Id. Raises BadRequest, whose `param` names the field that is wrong."""
    try:
        fields = _Body.model_validate(body)
    except ValidationError as error:
        raise _bad_request(error) from error
    _refuse_what_is_not_built(fields)
    chat = ChatRequest(
        messages=tuple(_message(message, f"messages[{i}]") for i, message in enumerate(fields.messages)),
        model=fields.model,
        show_thoughts=_show_thoughts(fields),
        principal=principal,
        conversation=conversation,
        is_streamed=bool(fields.stream),
    )
    return ChatCall(
        chat=chat,
        include_usage=bool(fields.stream_options and fields.stream_options.include_usage),
        ignored=tuple(name for name in _Ignored.model_fields if getattr(fields, name) is not None),
    )


# A list ends at its first mistake: an error for each of a million items would take seconds and gigabytes.
_Texts = Annotated[list[str], Field(fail_fast=True)]
_Objects = Annotated[list[dict[str, Any]], Field(fail_fast=True)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Ignored(_Strict):
    """Parameters that are accepted and have no effect: the widget has no such fields (docs/upstream.md)."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    min_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    logit_bias: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | _Texts | None = None
    tools: _Objects | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    functions: _Objects | None = None
    function_call: str | dict[str, Any] | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    prediction: dict[str, Any] | None = None
    audio: dict[str, Any] | None = None
    web_search_options: dict[str, Any] | None = None
    service_tier: str | None = None
    store: bool | None = None
    metadata: dict[str, Any] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    moderation: Any = None


class _StreamOptions(_Strict):
    include_usage: bool | None = None


class _Reasoning(_Strict):
    exclude: bool | None = None


class _ResponseFormat(_Strict):
    type: str


class _Message(_Strict):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Any = None  # a text, parts, or null: read by _content
    name: str | None = None
    tool_calls: _Objects | None = None
    function_call: dict[str, Any] | None = None
    tool_call_id: str | None = None


class _Body(_Ignored):
    messages: list[_Message] = Field(min_length=1, fail_fast=True)
    model: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = Field(default=None, ge=1)
    response_format: _ResponseFormat | None = None
    modalities: _Texts | None = None
    include_reasoning: bool | None = None
    reasoning: _Reasoning | None = None


def _refuse_what_is_not_built(fields: _Body) -> None:
    if fields.n is not None and fields.n > 1:
        raise BadRequest("only one answer at a time is offered: n must be 1", param="n")
    if fields.response_format is not None and fields.response_format.type != "text":
        raise BadRequest("only response_format text is offered", param="response_format")
    if fields.tool_choice not in (None, "none", "auto"):
        raise BadRequest("tools cannot be required: tool_choice must be auto or none", param="tool_choice")
    if fields.function_call not in (None, "none", "auto"):
        raise BadRequest("functions cannot be required: function_call must be auto or none", param="function_call")
    if fields.modalities is not None and set(fields.modalities) - {"text"}:
        raise BadRequest("only the modality text is offered", param="modalities")


def _show_thoughts(fields: _Body) -> bool | None:
    if fields.include_reasoning is not None:
        return fields.include_reasoning
    if fields.reasoning is not None and fields.reasoning.exclude is not None:
        return not fields.reasoning.exclude
    return None


def _message(message: _Message, place: str) -> Message:
    parts = _content(message, place)
    if message.role in ("tool", "function"):
        text = "\n".join(part.text for part in parts if isinstance(part, TextPart))
        parts = [ToolResultPart(message.tool_call_id or message.name or "", text)]
    calls = [_tool_call(call, f"{place}.tool_calls[{i}]") for i, call in enumerate(message.tool_calls or ())]
    if message.function_call is not None:
        calls.append(_tool_call({"function": message.function_call}, f"{place}.function_call"))
    return Message(_ROLES[message.role], (*parts, *calls), message.name)


def _content(message: _Message, place: str) -> list[Part]:
    content = message.content
    if isinstance(content, str):
        return [TextPart(content)]
    if isinstance(content, list):
        return [_part(part, f"{place}.content[{i}]") for i, part in enumerate(content)]
    if content is None and message.role == "assistant":
        return []
    raise BadRequest(f"{place}.content must be a text or an array of parts", param=f"{place}.content")


def _part(part: object, place: str) -> TextPart:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, dict) or not isinstance(kind, str):
        raise BadRequest(f"{place} must be an object with a type", param=place)
    if kind in _FILE_PARTS:
        raise BadRequest(f"{place}: parts of the type {kind} are not taken yet, only text", param=place)
    if kind not in ("text", "input_text", "output_text", "refusal"):
        raise BadRequest(f"{place}.type is unknown: only text is taken", param=f"{place}.type")
    field = "refusal" if kind == "refusal" else "text"
    text = part.get(field)
    if not isinstance(text, str):
        raise BadRequest(f"{place}.{field} must be a text", param=f"{place}.{field}")
    return TextPart(text)


def _tool_call(call: dict[str, Any], place: str) -> ToolCallPart:
    function = call.get("function") or call.get("custom")
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str):
        raise BadRequest(f"{place}.function must be an object with a name", param=f"{place}.function")
    arguments = function.get("arguments", function.get("input"))
    if not isinstance(arguments, str | None):
        raise BadRequest(f"{place}.function.arguments must be a text", param=f"{place}.function.arguments")
    call_id = call.get("id")
    if not isinstance(call_id, str | None):
        raise BadRequest(f"{place}.id must be a text", param=f"{place}.id")
    return ToolCallPart(call_id or "", name, arguments or "")


def _bad_request(error: ValidationError) -> BadRequest:
    """The first thing that is wrong, in OpenAI's way of naming places: `messages[0].role`."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    names = [step for step in first["loc"] if isinstance(step, int) or step in _FIELD_NAMES]
    param = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in names).lstrip(".")
    what = "must be an object" if first["type"] == "model_type" else first["msg"]  # its words name our own classes
    return BadRequest(f"{param or 'body'}: {what}", param=param or None)


# Unions put the names of their branches into a location; these are the names of fields.
_FIELD_NAMES = frozenset(
    name for body in (_Body, _Message, _StreamOptions, _Reasoning, _ResponseFormat) for name in body.model_fields
)
