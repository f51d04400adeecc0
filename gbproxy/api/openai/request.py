"""The body of a chat completion request -> ChatRequest.

Source: https://platform.openai.com/docs/api-reference/chat/create. Parameters that the upstream has
no field for, and those that are unknown, are named in `x-gbproxy-ignored`. What would make another
answer is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from gbproxy.api import unknown_parameters
from gbproxy.api.bounds import MOST_MESSAGES, MOST_TOOLS, refuse_too_many
from gbproxy.api.format import ParsedChat
from gbproxy.api.openai import answer_limits, web_search
from gbproxy.api.openai.attachments import AttachmentReader
from gbproxy.api.openai.messages import MessageBody, Reader
from gbproxy.api.openai.tools import ToolReader
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.media import IN_TEXT, MediaDelivery
from gbproxy.domain.principal import ANONYMOUS, Principal
from gbproxy.domain.slices import Work
from gbproxy.domain.tools import NO_TOOLS, Tools
from gbproxy.errors import BadRequest
from gbproxy.web.validation import validated


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedCompletion(ParsedChat):
    """`include_usage`: the stream ends with a chunk of token counts. `has_functions`: the client
    has declared `functions`, so it reads a `function_call`, not `tool_calls`.
    """

    include_usage: bool = False
    has_functions: bool = False


def parse(
    body: dict[str, Any],
    principal: Principal = ANONYMOUS,
    *,
    max_file_bytes: int = 0,
    media: MediaDelivery = IN_TEXT,
) -> ParsedCompletion:
    """`max_file_bytes`: of each file; `media`: how pictures are delivered. Raises BadRequest or
    RequestTooLarge, whose `param` names the field that is wrong.
    """
    refuse_too_many(body, messages=MOST_MESSAGES, tools=MOST_TOOLS, functions=MOST_TOOLS)
    fields = validated(CompletionBody, body, _FIELD_NAMES)
    _refuse_what_is_not_offered(fields)
    tools = ToolReader()
    with Work() as work:
        messages = Reader(AttachmentReader(max_file_bytes, work.rest))
        read = messages.read(fields.messages)
    chat = ChatRequest(
        messages=read,
        model=fields.model,
        show_thoughts=_show_thoughts(fields),
        principal=principal,
        is_streamed=bool(fields.stream),
        web_search=web_search.is_wanted(_web_search(fields), fields.tools, fields.tool_choice),
        media=media,
    )
    if not _SHAPING.isdisjoint(fields.model_fields_set):  # most requests have none of them
        chat = _shaped(chat, fields, tools)
    return ParsedCompletion(
        chat=chat,
        include_usage=bool(fields.stream_options and fields.stream_options.include_usage),
        has_functions=not fields.tools and bool(fields.functions),
        ignored=(
            *_ignored(fields, messages, tools),
            *unknown_parameters.named(body, _PARAMETERS),
        ),
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


class StreamOptions(_Strict):
    include_usage: bool | None = None
    include_obfuscation: Any = None


class Reasoning(_Strict):
    exclude: bool | None = None
    effort: Any = None


class CompletionBody(_Ignored):
    messages: list[MessageBody] = Field(min_length=1, fail_fast=True)
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | _Texts | None = None
    tools: _Objects | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    functions: _Objects | None = None
    function_call: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    modalities: _Texts | None = None
    include_reasoning: bool | None = None
    reasoning: Reasoning | None = None
    # Of any type: chat programs send them to servers that know nothing of them.
    web_search_options: Any = None
    enable_search: Any = None
    web_search: Any = None


_TOOLS = ("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call")
SUPPORTED_PARAMETERS = tuple(
    name
    for name in CompletionBody.model_fields
    if name not in (*_Ignored.model_fields, "modalities", "messages", "model")
)
"""The parameters that have an effect, for those who choose a model by them."""


def _refuse_what_is_not_offered(fields: CompletionBody) -> None:
    if fields.modalities is not None and set(fields.modalities) - {"text"}:
        raise BadRequest("modalities: only text is offered", param="modalities")
    if fields.logprobs is True:
        raise BadRequest(
            "logprobs are not offered: the upstream tells no probabilities", param="logprobs"
        )


def _shaped(chat: ChatRequest, fields: CompletionBody, tools: ToolReader) -> ChatRequest:
    """The request with what it says of its answers."""
    return replace(
        chat,
        stop=answer_limits.stop(fields.stop),
        max_tokens=answer_limits.most_tokens(
            max_tokens=fields.max_tokens, max_completion_tokens=fields.max_completion_tokens
        ),
        tools=_tools(fields, tools),
        response_format=answer_limits.response_format(fields.response_format),
        choices=answer_limits.choices(fields.n),
    )


def _tools(fields: CompletionBody, reader: ToolReader) -> Tools:
    if fields.functions and not fields.tools:
        return reader.read_functions(fields.functions, fields.function_call)
    is_parallel = fields.parallel_tool_calls is not False
    tools = reader.read(fields.tools or (), fields.tool_choice, is_parallel=is_parallel)
    return tools if tools.declared else NO_TOOLS


def _ignored(fields: CompletionBody, messages: Reader, tools: ToolReader) -> list[str]:
    names: list[str] = []
    if not _IGNORED.isdisjoint(fields.model_fields_set):
        names += [name for name in _Ignored.model_fields if getattr(fields, name) is not None]
    if fields.stream_options is not None and fields.stream_options.include_obfuscation:
        names.append("stream_options.include_obfuscation")
    if fields.reasoning is not None and fields.reasoning.effort is not None:
        names.append("reasoning.effort")
    names += web_search.ignored(_web_search(fields))
    if tools.has_passed_over:
        names.append("tools.type")
    if not (fields.tools or fields.functions):
        names += [name for name in _OF_TOOLS if getattr(fields, name) is not None]
    if messages.has_passed_over:
        names.append("messages.content")
    if messages.has_cache_breakpoint:
        names.append("messages.content.prompt_cache_breakpoint")
    return names


_OF_TOOLS = ("tool_choice", "parallel_tool_calls", "function_call")  # without effect alone
_SHAPING = frozenset(
    (*_TOOLS, "n", "response_format", "stop", "max_tokens", "max_completion_tokens")
)
_IGNORED = frozenset(_Ignored.model_fields)
_PARAMETERS = frozenset(CompletionBody.model_fields)


def _web_search(fields: CompletionBody) -> dict[str, Any]:
    return {name: getattr(fields, name) for name in web_search.PARAMETERS}


def _show_thoughts(fields: CompletionBody) -> bool | None:
    if fields.include_reasoning is not None:
        return fields.include_reasoning
    if fields.reasoning is not None and fields.reasoning.exclude is not None:
        return not fields.reasoning.exclude
    return None


_FIELD_NAMES = frozenset(
    name
    for body in (CompletionBody, MessageBody, StreamOptions, Reasoning)
    for name in body.model_fields
)
