"""The body of a chat completion request -> ChatRequest.

Source: https://platform.openai.com/docs/api-reference/chat/create. Unknown fields are let through
without effect; known parameters that the upstream has no field for are checked for their type and
named in `x-gbproxy-ignored`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gbproxy.api.format import ParsedChat
from gbproxy.api.openai import web_search
from gbproxy.api.openai.messages import MOST_MESSAGES, MessageBody, Reader
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.principal import ANONYMOUS, Principal
from gbproxy.errors import BadRequest

MOST_TOOLS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedCompletion(ParsedChat):
    """`include_usage`: the stream ends with a chunk of token counts."""

    include_usage: bool = False


def parse(body: dict[str, Any], principal: Principal = ANONYMOUS) -> ParsedCompletion:
    """Raises BadRequest, whose `param` names the field that is wrong."""
    _refuse_too_many(body)
    try:
        fields = _Body.model_validate(body)
    except ValidationError as error:
        raise _bad_request(error) from error
    _refuse_what_is_not_built(fields)
    reader = Reader()
    chat = ChatRequest(
        messages=reader.read(fields.messages),
        model=fields.model,
        show_thoughts=_show_thoughts(fields),
        principal=principal,
        is_streamed=bool(fields.stream),
        web_search=web_search.is_wanted(_web_search(fields), fields.tools, fields.tool_choice),
    )
    return ParsedCompletion(
        chat=chat,
        include_usage=bool(fields.stream_options and fields.stream_options.include_usage),
        ignored=_ignored(fields, has_passed_over=reader.has_passed_over),
    )


# A list ends at its first mistake: an error for each of a million items would take seconds and
# gigabytes.
_Texts = Annotated[list[str], Field(fail_fast=True)]
_Objects = Annotated[list[dict[str, Any]], Field(fail_fast=True)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Ignored(_Strict):
    """Parameters that are accepted and have no effect: the widget has no such fields
    (docs/upstream.md).

    What is `Any` is no reason to refuse a request, whatever it holds: clients send `metadata: []`
    and `user: 123`.
    """

    temperature: Any = None
    top_p: Any = None
    top_k: Any = None
    min_p: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None
    repetition_penalty: Any = None
    seed: Any = None
    logit_bias: Any = None
    logprobs: Any = None
    top_logprobs: Any = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | _Texts | None = None
    tools: _Objects | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: Any = None
    functions: _Objects | None = None
    function_call: str | dict[str, Any] | None = None
    reasoning_effort: Any = None
    verbosity: Any = None
    prediction: Any = None
    audio: Any = None
    service_tier: Any = None
    store: Any = None
    metadata: Any = None
    user: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
    moderation: Any = None


class _StreamOptions(_Strict):
    include_usage: bool | None = None


class _Reasoning(_Strict):
    exclude: bool | None = None


class _ResponseFormat(_Strict):
    type: str


class _Body(_Ignored):
    messages: list[MessageBody] = Field(min_length=1, fail_fast=True)
    model: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = Field(default=None, ge=1)
    response_format: _ResponseFormat | None = None
    modalities: _Texts | None = None
    include_reasoning: bool | None = None
    reasoning: _Reasoning | None = None
    # Of any type: chat programs send them to servers that know nothing of them.
    web_search_options: Any = None
    enable_search: Any = None
    web_search: Any = None


# Of these only the value that is the default is taken.
_OF_ONE_VALUE = frozenset({"n", "response_format", "modalities"})
SUPPORTED_PARAMETERS = tuple(
    name
    for name in _Body.model_fields
    if name not in (*_Ignored.model_fields, *_OF_ONE_VALUE, "messages", "model")
)
"""The parameters that have an effect, for those who choose a model by them."""


def _refuse_too_many(body: dict[str, Any]) -> None:
    """Raises BadRequest before the lists are validated, which would take seconds."""
    for name, most in (
        ("messages", MOST_MESSAGES),
        ("tools", MOST_TOOLS),
        ("functions", MOST_TOOLS),
    ):
        items = body.get(name)
        if isinstance(items, list) and len(items) > most:
            raise BadRequest(
                f"{name}: at most {most} are taken, and these are {len(items)}", param=name
            )


def _refuse_what_is_not_built(fields: _Body) -> None:
    if fields.n is not None and fields.n > 1:
        raise BadRequest("only one answer at a time is offered: n must be 1", param="n")
    if fields.response_format is not None and fields.response_format.type != "text":
        raise BadRequest("only response_format text is offered", param="response_format")
    if fields.tool_choice not in (None, "none", "auto"):
        raise BadRequest(
            "tools cannot be required: tool_choice must be auto or none", param="tool_choice"
        )
    if fields.function_call not in (None, "none", "auto"):
        raise BadRequest(
            "functions cannot be required: function_call must be auto or none",
            param="function_call",
        )
    if fields.modalities is not None and set(fields.modalities) - {"text"}:
        raise BadRequest("only the modality text is offered", param="modalities")


def _ignored(fields: _Body, *, has_passed_over: bool) -> tuple[str, ...]:
    names = [name for name in _Ignored.model_fields if getattr(fields, name) is not None]
    if fields.tools and all(map(web_search.is_tool, fields.tools)):
        names.remove("tools")
    names += web_search.ignored(_web_search(fields))
    return (*names, "messages.content") if has_passed_over else tuple(names)


def _web_search(fields: _Body) -> dict[str, Any]:
    return {name: getattr(fields, name) for name in web_search.PARAMETERS}


def _show_thoughts(fields: _Body) -> bool | None:
    if fields.include_reasoning is not None:
        return fields.include_reasoning
    if fields.reasoning is not None and fields.reasoning.exclude is not None:
        return not fields.reasoning.exclude
    return None


def _bad_request(error: ValidationError) -> BadRequest:
    """The first thing that is wrong, in OpenAI's way of naming places: `messages[0].role`."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    names = [step for step in first["loc"] if isinstance(step, int) or step in _FIELD_NAMES]
    param = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in names).lstrip(
        "."
    )
    # its words name our own classes
    what = "must be an object" if first["type"] == "model_type" else first["msg"]
    return BadRequest(f"{param or 'body'}: {what}", param=param or None)


# Unions put the names of their branches into a location; these are the names of fields.
_FIELD_NAMES = frozenset(
    name
    for body in (_Body, MessageBody, _StreamOptions, _Reasoning, _ResponseFormat)
    for name in body.model_fields
)
