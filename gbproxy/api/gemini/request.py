"""The body of a request for content, or for the count of its tokens -> ChatRequest.

Source: https://ai.google.dev/api/generate-content. Parameters that the upstream has no field for,
and those that are unknown, are named in `x-gbproxy-ignored`; what would make another answer is
refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from gbproxy.api import unknown_parameters
from gbproxy.api.bounds import MOST_TOOLS, refuse_too_many
from gbproxy.api.format import ParsedChat
from gbproxy.api.gemini import config, pictures
from gbproxy.api.gemini.body import (
    CountTokensBody,
    GeminiFields,
    GenerateContentBody,
    GenerationConfigBody,
    IgnoredConfig,
    IgnoredContent,
    validated,
)
from gbproxy.api.gemini.contents import ContentReader
from gbproxy.api.gemini.files import FileReader
from gbproxy.api.gemini.tools import ToolReader
from gbproxy.domain.chat import ChatRequest, Message, TextPart
from gbproxy.domain.principal import ANONYMOUS, Principal
from gbproxy.domain.slices import Work
from gbproxy.errors import BadRequest

_NO_BOUNDS = GenerationConfigBody()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedContent(ParsedChat):
    """`is_enum`: the answer is a JSON string that the client gets as the text that it says;
    `needs_image`: an answer without a picture is none.
    """

    is_enum: bool = False
    needs_image: bool = False


def parse(
    body: Mapping[str, Any],
    principal: Principal = ANONYMOUS,
    *,
    model: str | None = None,
    is_streamed: bool = False,
    max_file_bytes: int = 0,
    needs_image: bool = False,
) -> ParsedContent:
    """`model`: the name in the path; `max_file_bytes`: of each file; `needs_image`: whatever the
    body says. Raises BadRequest or RequestTooLarge, whose `param` names the field that is wrong.
    """
    refuse_too_many(body, tools=MOST_TOOLS)
    fields = validated(GenerateContentBody, body)
    if fields.cached_content is not None:
        raise BadRequest(
            "cachedContent: this gateway keeps no contents, send them", param="cachedContent"
        )
    bounds = fields.generation_config or _NO_BOUNDS
    config.refuse_what_is_not_offered(bounds)
    image = pictures.read(bounds, is_needed=needs_image)
    tools = ToolReader()
    with Work() as work:
        contents = ContentReader(FileReader(max_file_bytes, work.rest), work.rest)
        instruction = None
        if fields.system_instruction is not None:
            instruction = contents.read_instruction(
                fields.system_instruction.parts, "systemInstruction"
            )
        messages = contents.read(fields.contents)
        chat = ChatRequest(
            messages=(*_instructions(instruction, image.wishes), *messages),
            model=model,
            show_thoughts=_show_thoughts(bounds),
            principal=principal,
            is_streamed=is_streamed,
            stop=config.stop(bounds),
            max_tokens=config.most_tokens(bounds),
            tools=tools.read(fields.tools or (), fields.tool_config),
            response_format=config.response_format(bounds),
            choices=config.candidates(bounds),
            web_search=tools.has_search,
            makes_image=image.is_asked_for,
            media=image.delivery,
        )
    ignored = [*_ignored(fields, bounds), *image.ignored, *tools.ignored]
    if contents.has_passed_over:
        ignored.append("contents.parts")
    ignored += _unknown(body)
    return ParsedContent(
        chat=chat,
        ignored=tuple(ignored),
        is_enum=bounds.response_mime_type == config.ENUM,
        needs_image=image.is_needed,
    )


def parse_count(
    body: Mapping[str, Any],
    principal: Principal = ANONYMOUS,
    *,
    model: str | None = None,
    max_file_bytes: int = 0,
) -> ParsedContent:
    """The body of `countTokens`: a whole request, or contents alone."""
    fields = validated(CountTokensBody, body)
    whole = fields.generate_content_request
    if whole is not None and fields.contents is not None:
        raise BadRequest(
            "contents and generateContentRequest exclude each other",
            param="generateContentRequest",
        )
    parsed = parse(
        body if whole is None else whole, principal, model=model, max_file_bytes=max_file_bytes
    )
    if whole is None:
        return parsed
    beside = unknown_parameters.named(body, _OF_A_COUNT)  # what counts is the whole request
    return replace(parsed, ignored=(*parsed.ignored, *beside))


def _instructions(given: Message | None, wishes: str) -> Iterator[Message]:
    if given is not None:
        yield given
    if wishes:
        yield Message("system", (TextPart(wishes),))


def _show_thoughts(bounds: GenerationConfigBody) -> bool | None:
    """None leaves it to the settings."""
    thinking = bounds.thinking_config
    return None if thinking is None else thinking.include_thoughts


def _ignored(fields: GenerateContentBody, bounds: GenerationConfigBody) -> list[str]:
    names = _given(fields, IgnoredContent)
    names += [f"generationConfig.{name}" for name in _given(bounds, IgnoredConfig)]
    thinking = bounds.thinking_config
    if thinking is not None and thinking.thinking_budget is not None:
        names.append("generationConfig.thinkingConfig.thinkingBudget")
    if thinking is not None and thinking.thinking_level is not None:
        names.append("generationConfig.thinkingConfig.thinkingLevel")
    return names


def _unknown(body: Mapping[str, Any]) -> list[str]:
    names = unknown_parameters.named(body, _PARAMETERS)
    bounds = body.get("generationConfig", body.get("generation_config"))
    if bounds:
        names += unknown_parameters.named(bounds, _BOUNDS, "generationConfig.")
    return names


def _names(fields: type[GeminiFields]) -> frozenset[str]:
    """What a field may be called: it has a name in camelCase, and one in snake_case."""
    return frozenset(
        name for own, field in fields.model_fields.items() for name in (own, field.alias or own)
    )


_PARAMETERS = _names(GenerateContentBody)
_BOUNDS = _names(GenerationConfigBody)
_OF_A_COUNT = _names(CountTokensBody)


def _given(fields: BaseModel, ignored: type[BaseModel]) -> list[str]:
    """The fields of `ignored` that were sent, by their names in the API."""
    return [
        field.alias or name
        for name, field in ignored.model_fields.items()
        if name in fields.model_fields_set and getattr(fields, name) is not None
    ]
