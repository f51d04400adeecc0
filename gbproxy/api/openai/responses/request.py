"""The body of a request for a response -> ChatRequest.

Parameters without effect, and unknown ones, are named in `x-gbproxy-ignored`; what would make
another answer is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from gbproxy.api import unknown_parameters
from gbproxy.api.format import ParsedChat
from gbproxy.api.openai import answer_limits
from gbproxy.api.openai.attachments import AttachmentReader
from gbproxy.api.openai.responses import compaction
from gbproxy.api.openai.responses import tools as response_tools
from gbproxy.api.openai.responses.body import IgnoredParameters, Item, ResponseBody, validate
from gbproxy.api.openai.responses.content import ContentReader
from gbproxy.api.openai.responses.image_tool import AS_ITEMS, ImageTool
from gbproxy.api.openai.responses.items import ItemReader
from gbproxy.api.openai.responses.search_item import SOURCES
from gbproxy.api.openai.responses.stored import History
from gbproxy.api.openai.responses.tools import CalledTool, ToolSet
from gbproxy.domain.chat import ChatRequest, Message, TextPart
from gbproxy.domain.media import IN_TEXT
from gbproxy.domain.principal import Principal
from gbproxy.domain.response_format import JSON_OBJECT, ResponseFormat
from gbproxy.domain.slices import Work
from gbproxy.errors import BadRequest

_ENCRYPTED = "reasoning.encrypted_content"
_INCLUDED = re.compile(r"[a-z_.]{1,60}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedResponse(ParsedChat):
    """`items`: those that the request has sent; `earlier`: those of the responses before it.
    `called`: how calls are told, by the name that the model uses; `image`: how pictures are.
    `wants_compaction`: a summary is to take the place of all items.
    """

    body: ResponseBody
    items: list[Item]
    earlier: list[Item]
    called: Mapping[str, CalledTool]
    image: ImageTool
    wants_compaction: bool = False

    @property
    def seals_thoughts(self) -> bool:
        """The client wants to send the thoughts back."""
        return _ENCRYPTED in (self.body.include or ())

    @property
    def tells_sources(self) -> bool:
        """The client wants the pages of a search in its item, beside the text's annotations."""
        return SOURCES in (self.body.include or ())

    @property
    def seals_untold_thoughts(self) -> bool:
        """It wants so without seeing them: agents send them back all the same."""
        reasoning = self.body.reasoning
        return self.seals_thoughts and not (reasoning and reasoning.summary)


def parse(
    body: dict[str, Any], principal: Principal, *, max_file_bytes: int, history: History
) -> ParsedResponse:
    """`max_file_bytes`: of each file. Raises BadRequest, RequestTooLarge or NotFound, whose `param`
    names the field that is wrong.
    """
    fields = validate(body)
    earlier: list[Item] = []
    if fields.previous_response_id is not None:
        earlier = history.items(principal, fields.previous_response_id)
    with Work() as work:
        content = ContentReader(AttachmentReader(max_file_bytes, work.rest))
        find = partial(history.item, principal)
        reader = ItemReader(content, find, work.rest)
        reader.read(earlier, "previous_response_id")
        reader.read(fields.items, "input")
    tools = response_tools.read([*_declared(fields), *reader.tools])
    declared = tools.tools(fields.tool_choice, is_parallel=fields.parallel_tool_calls is not False)
    image = tools.image or ImageTool()
    chat = ChatRequest(
        messages=(*_instructions(fields, image), *reader.messages()),
        model=fields.model,
        show_thoughts=True if fields.reasoning and fields.reasoning.summary else None,
        principal=principal,
        is_streamed=bool(fields.stream),
        max_tokens=answer_limits.most_tokens(max_output_tokens=fields.max_output_tokens),
        tools=declared,
        response_format=_format(fields, makes_image=tools.makes_image),
        web_search=tools.wants_search,
        makes_image=tools.makes_image,
        media=IN_TEXT if tools.image is None else AS_ITEMS,
    )
    return ParsedResponse(
        chat=compaction.asking(chat) if reader.wants_compaction else chat,
        ignored=(
            *_ignored(fields, content, reader, tools),
            *unknown_parameters.named(body, _PARAMETERS),
        ),
        body=fields,
        items=fields.items,
        earlier=earlier,
        called=tools.called,
        image=image,
        wants_compaction=reader.wants_compaction,
    )


def _declared(fields: ResponseBody) -> Iterable[tuple[Item, str]]:
    return ((tool, f"tools[{i}]") for i, tool in enumerate(fields.tools or ()))


def _instructions(fields: ResponseBody, image: ImageTool) -> Iterable[Message]:
    """Those of an earlier response do not count any more. What is wished of pictures is one of
    them: the turns of a conversation stay as they were sent.
    """
    for text in (fields.instructions, *image.wishes):
        if text:
            yield Message("system", (TextPart(text),))


def _format(fields: ResponseBody, *, makes_image: bool) -> ResponseFormat | None:
    form = fields.text.format if fields.text is not None else None
    match form.get("type") if form is not None else None:
        case None | "text":
            return None
        case "json_object" | "json_schema" if makes_image:
            place = "text.format"
            raise BadRequest(f"{place}: tool_choice asks for a picture, not for JSON", param=place)
        case "json_object":
            return JSON_OBJECT
        case "json_schema":
            return answer_limits.of_schema(form or {}, "text.format")
        case _:
            place = "text.format.type"
            raise BadRequest(f"{place} must be text, json_object or json_schema", param=place)


def _ignored(
    fields: ResponseBody, content: ContentReader, items: ItemReader, tools: ToolSet
) -> Iterable[str]:
    given = fields.model_fields_set & _IGNORED
    yield from (name for name in _IGNORED_IN_ORDER if name in given and _is_set(fields, name))
    options = fields.stream_options
    if isinstance(options, dict) and options.get("include_obfuscation"):
        yield "stream_options.include_obfuscation"
    if fields.reasoning is not None and fields.reasoning.effort is not None:
        yield "reasoning.effort"
    if fields.text is not None and fields.text.verbosity is not None:
        yield "text.verbosity"
    for wanted in dict.fromkeys(fields.include or ()):
        if wanted not in (_ENCRYPTED, SOURCES):
            yield f"include.{wanted}" if _INCLUDED.fullmatch(wanted) else "include"
    yield from tools.ignored
    yield from items.ignored
    if content.has_cache_breakpoint:
        yield "input.content.prompt_cache_breakpoint"


def _is_set(fields: ResponseBody, name: str) -> bool:
    return getattr(fields, name) is not None


_IGNORED_IN_ORDER = tuple(IgnoredParameters.model_fields)
_IGNORED = frozenset(_IGNORED_IN_ORDER)
_PARAMETERS = frozenset(ResponseBody.model_fields)
