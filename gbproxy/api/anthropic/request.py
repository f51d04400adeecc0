"""The body of a request for a message, or for the count of its tokens -> ChatRequest.

Source: https://platform.claude.com/docs/en/api/messages/create. Parameters that the upstream has no
field for, and those that are unknown, are named in `x-gbproxy-ignored`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gbproxy.api import unknown_parameters
from gbproxy.api.anthropic.content import ContentReader
from gbproxy.api.anthropic.errors import ThreadUnsupported
from gbproxy.api.anthropic.messages import Content, MessageBody, MessageReader
from gbproxy.api.anthropic.sources import SourceReader
from gbproxy.api.anthropic.tools import ToolReader
from gbproxy.api.bounds import MOST_MESSAGES, MOST_TOOLS, refuse_too_many
from gbproxy.api.format import ParsedChat
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.media import IN_TEXT_ALONE
from gbproxy.domain.principal import ANONYMOUS, Principal
from gbproxy.domain.response_format import ResponseFormat
from gbproxy.domain.slices import Work
from gbproxy.emulation import schema_form
from gbproxy.errors import BadRequest

MOST_STOPS = 64
MOST_STOP_CHARS = 256
NO_LIMIT = -1  # some programs send it

_NOT_SHOWN = (None, "disabled", "between_tools")  # types of `thinking`


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedMessage(ParsedChat):
    """`shows_search`: the client has declared a web search, so it reads the blocks of one."""

    shows_search: bool = False


def parse(
    body: dict[str, Any], principal: Principal = ANONYMOUS, *, max_file_bytes: int = 0
) -> ParsedMessage:
    """`max_file_bytes`: of each file. Raises BadRequest or RequestTooLarge, whose `param` names the
    field that is wrong.
    """
    refuse_too_many(body, messages=MOST_MESSAGES, tools=MOST_TOOLS, stop_sequences=MOST_STOPS)
    try:
        fields = MessagesBody.model_validate(body)
    except ValidationError as error:
        raise _bad_request(error) from error
    if fields.thread is not None:
        raise ThreadUnsupported
    tools = ToolReader()
    with Work() as work:
        content = ContentReader(SourceReader(max_file_bytes, work.rest))
        messages = MessageReader(content, work.rest)
        chat = ChatRequest(
            messages=messages.read(fields.system, fields.messages),
            model=fields.model,
            show_thoughts=_show_thoughts(fields.thinking),
            principal=principal,
            is_streamed=bool(fields.stream),
            stop=_stop(fields.stop_sequences),
            max_tokens=_max_tokens(fields.max_tokens),
            tools=tools.read(fields.tools or (), fields.tool_choice),
            response_format=_response_format(fields),
            web_search=tools.has_search,
            media=IN_TEXT_ALONE,
        )
    ignored = _ignored(fields, tools)
    if content.has_passed_over:
        ignored.append("messages.content")
    if messages.has_billing:
        ignored.append("system.x-anthropic-billing-header")
    ignored += unknown_parameters.named(body, _PARAMETERS)
    return ParsedMessage(chat=chat, ignored=tuple(ignored), shows_search=tools.has_search)


# A list ends at its first mistake: an error for each of a million items would take seconds and
# gigabytes.
_Texts = Annotated[list[str], Field(fail_fast=True)]
_Objects = Annotated[list[dict[str, Any]], Field(fail_fast=True)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Ignored(_Strict):
    """Parameters that are accepted and have no effect. What is `Any` is no reason to refuse a
    request, whatever it holds.
    """

    temperature: Any = None
    top_p: Any = None
    top_k: Any = None
    metadata: Any = None
    cache_control: Any = None
    service_tier: Any = None
    speed: Any = None
    inference_geo: Any = None
    container: Any = None
    context_management: Any = None
    compaction: Any = None
    mcp_servers: Any = None
    diagnostics: Any = None
    user_profile_id: Any = None
    workspace_id: Any = None
    betas: Any = None
    billing_policy: Any = None
    fallbacks: Any = None
    fallback_credit_token: Any = None


class Thinking(_Strict):
    type: str | None = None
    display: str | None = None
    budget_tokens: Any = None


class OutputConfig(_Strict):
    effort: Any = None
    format: dict[str, Any] | None = None


class MessagesBody(_Ignored):
    """What is read of a request; `max_tokens` may be left out, unlike in the API itself."""

    messages: list[MessageBody] = Field(min_length=1, fail_fast=True)
    model: str | None = None
    max_tokens: int | None = None
    system: Content = None
    stream: bool | None = None
    stop_sequences: _Texts | None = None
    tools: _Objects | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: dict[str, Any] | None = None  # the earlier name of output_config.format
    thread: Any = None  # a history that the server keeps: refused


_IGNORED = frozenset(_Ignored.model_fields)
_PARAMETERS = frozenset(MessagesBody.model_fields)
IGNORED_PARAMETERS = (*_Ignored.model_fields, "thinking.budget_tokens", "output_config.effort")
"""The names of parameters without effect."""


def _show_thoughts(thinking: Thinking | None) -> bool:
    """Only where they are asked for: clients take the first block for the answer's text."""
    if thinking is None or thinking.type in _NOT_SHOWN:
        return False
    return thinking.display != "omitted"


def _max_tokens(limit: int | None) -> int | None:
    """0 asks for no answer at all, None for one of any length."""
    if limit is not None and limit < 0 and limit != NO_LIMIT:
        raise BadRequest(
            f"max_tokens must be 0 or more, or {NO_LIMIT} for no limit", param="max_tokens"
        )
    return None if limit == NO_LIMIT else limit


def _stop(sequences: Sequence[str] | None) -> tuple[str, ...]:
    found = sequences or ()
    for i, each in enumerate(found):
        if len(each) > MOST_STOP_CHARS:
            place = f"stop_sequences.{i}"
            raise BadRequest(f"{place} may have {MOST_STOP_CHARS} characters at most", param=place)
    # an empty one would end every answer before it begins
    return tuple(dict.fromkeys(each for each in found if each))


def _response_format(fields: MessagesBody) -> ResponseFormat | None:
    """None for plain text."""
    form, place = fields.output_format, "output_format"
    if fields.output_config is not None and fields.output_config.format is not None:
        form, place = fields.output_config.format, "output_config.format"
    if form is None:
        return None
    if form.get("type") != "json_schema":
        raise BadRequest(f"{place}.type must be json_schema", param=f"{place}.type")
    schema, place = form.get("schema"), f"{place}.schema"
    if not isinstance(schema, dict):
        raise BadRequest(f"{place} must be a JSON schema", param=place)
    problem = schema_form.problem_of(schema)
    if problem is not None:
        raise BadRequest(f"{place} {problem}", param=place)
    return ResponseFormat(schema, strict=True)


def _ignored(fields: MessagesBody, tools: ToolReader) -> list[str]:
    names: list[str] = []
    if not _IGNORED.isdisjoint(fields.model_fields_set):
        names += [name for name in _Ignored.model_fields if getattr(fields, name) is not None]
    if fields.thinking is not None and fields.thinking.budget_tokens is not None:
        names.append("thinking.budget_tokens")
    if fields.output_config is not None and fields.output_config.effort is not None:
        names.append("output_config.effort")
    if fields.tool_choice is not None and not fields.tools:
        names.append("tool_choice")
    return names + tools.ignored


def _bad_request(error: ValidationError) -> BadRequest:
    """The first thing that is wrong, in the API's way of naming places: `messages.0.role`."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    places = [_place(each["loc"]) for each in found]
    # of a text or a list, the list's mistake is the one inside it
    place = max((each for each in places if each.startswith(places[0])), key=len)
    wrong = found[places.index(place)]
    # its words name our own classes
    what = "must be an object" if wrong["type"] == "model_type" else wrong["msg"]
    return BadRequest(f"{place or 'body'}: {what}", param=place or None)


def _place(location: Sequence[int | str]) -> str:
    # unions put the names of their branches into a location
    return ".".join(str(each) for each in location if isinstance(each, int) or each in _FIELD_NAMES)


_FIELD_NAMES = frozenset(
    name
    for model in (MessagesBody, MessageBody, Thinking, OutputConfig)
    for name in model.model_fields
)
