"""The bodies of requests, checked for their form.

Source: https://ai.google.dev/api/generate-content, and the newest of Google's SDKs. Each field is
taken under its name in camelCase and in snake_case: programs mix both in one body. Where a list
belongs one object is taken too, as Google takes it. Unknown fields are let through.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SkipValidation,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from gbproxy.errors import BadRequest

Item = TypeVar("Item")


def listed(value: object) -> object:
    return [value] if isinstance(value, dict) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


# A list ends at its first mistake: an error for each of a million items would take seconds and
# gigabytes.
Listed = Annotated[list[Item], Field(fail_fast=True), BeforeValidator(listed)]
Texts = Annotated[list[str], Field(fail_fast=True)]
Role = Annotated[Literal["user", "model", "function", "tool"], BeforeValidator(_lower)]
Mode = Annotated[
    Literal["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"], BeforeValidator(_upper)
]


class GeminiFields(BaseModel):
    """Fields under both their names."""

    model_config = ConfigDict(
        strict=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
    )


class BlobBody(GeminiFields):
    mime_type: str | None = None
    data: str
    display_name: str | None = None


class FileDataBody(GeminiFields):
    mime_type: str | None = None
    file_uri: str
    display_name: str | None = None


class FunctionCallBody(GeminiFields):
    id: str | None = None
    name: str
    args: dict[str, Any] | None = None


class FunctionResponsePartBody(GeminiFields):
    inline_data: BlobBody | None = None
    file_data: FileDataBody | None = None


class FunctionResponseBody(GeminiFields):
    id: str | None = None
    name: str
    response: dict[str, Any] | None = None
    parts: Listed[FunctionResponsePartBody] | None = None


class PartBody(GeminiFields):
    """`thought`: the part is no answer; `thought_signature` has no meaning here. What else stands
    beside the content says how Google is to look at it.
    """

    text: str | None = None
    inline_data: BlobBody | None = None
    file_data: FileDataBody | None = None
    function_call: FunctionCallBody | None = None
    function_response: FunctionResponseBody | None = None
    executable_code: Any = None
    code_execution_result: Any = None
    tool_call: Any = None
    tool_response: Any = None
    thought: bool | None = None
    thought_signature: Any = None


# Contents and parts are validated one by one where they are read (contents.py), with rests between
# them: there may be ten thousands.
Parts = SkipValidation[Listed[PartBody] | None]


class ContentBody(GeminiFields):
    role: Role | None = None
    parts: Parts = None


class SystemInstructionBody(GeminiFields):
    role: str | None = None
    parts: Parts = None


Contents = SkipValidation[Listed[ContentBody]]


class FunctionDeclarationBody(GeminiFields):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    parameters_json_schema: dict[str, Any] | None = None


class FunctionCallingConfigBody(GeminiFields):
    mode: Mode | None = None
    allowed_function_names: Texts | None = None
    stream_function_call_arguments: Any = None


class ToolConfigBody(GeminiFields):
    function_calling_config: FunctionCallingConfigBody | None = None
    retrieval_config: Any = None
    include_server_side_tool_invocations: Any = None


class ThinkingConfigBody(GeminiFields):
    include_thoughts: bool | None = None
    thinking_budget: Any = None
    thinking_level: Any = None


class ImageConfigBody(GeminiFields):
    aspect_ratio: str | None = None
    image_size: str | None = None
    person_generation: str | None = None
    prominent_people: Any = None
    output_mime_type: Any = None
    output_compression_quality: Any = None
    image_output_options: Any = None


class IgnoredConfig(GeminiFields):
    """Parameters without effect: the upstream has no such fields (docs/upstream.md). What is `Any`
    is no reason to refuse a request, whatever it holds.
    """

    temperature: Any = None
    top_p: Any = None
    top_k: Any = None
    seed: Any = None
    presence_penalty: Any = None
    frequency_penalty: Any = None
    logprobs: Any = None
    media_resolution: Any = None
    speech_config: Any = None
    audio_timestamp: Any = None
    audio_transcription_config: Any = None
    enable_enhanced_civic_answers: Any = None
    enable_affective_dialog: Any = None
    routing_config: Any = None
    model_config_: Any = Field(default=None, alias="modelConfig")
    model_selection_config: Any = None
    generation_output_config: Any = None


class GenerationConfigBody(IgnoredConfig):
    candidate_count: int | None = None
    max_output_tokens: int | None = None
    stop_sequences: Texts | None = None
    response_mime_type: str | None = None
    response_schema: dict[str, Any] | None = None
    response_json_schema: dict[str, Any] | None = None
    response_modalities: Texts | None = None
    image_config: ImageConfigBody | None = None
    response_logprobs: bool | None = None
    thinking_config: ThinkingConfigBody | None = None


class IgnoredContent(GeminiFields):
    """As IgnoredConfig."""

    safety_settings: Any = None
    labels: Any = None
    service_tier: Any = None
    store: Any = None
    continuation_token: Any = None
    automatic_continuation: Any = None
    model_armor_config: Any = None


class GenerateContentBody(IgnoredContent):
    """What `generateContent` and its like are sent. The tools are objects that say by the name of
    a field what they are.
    """

    contents: Contents
    system_instruction: SystemInstructionBody | None = None
    tools: Listed[dict[str, Any]] | None = None
    tool_config: ToolConfigBody | None = None
    generation_config: GenerationConfigBody | None = None
    cached_content: str | None = None


class CountTokensBody(GeminiFields):
    """Contents alone, or a whole request."""

    contents: SkipValidation[Listed[ContentBody] | None] = None
    generate_content_request: dict[str, Any] | None = None


class FunctionsBody(GeminiFields):
    """The functions of a tool."""

    function_declarations: Listed[FunctionDeclarationBody] | None = None


Body = TypeVar("Body", bound=GeminiFields)


def validated(model: type[Body], body: object, place: str = "") -> Body:
    """`place`: of the body in the request. Raises BadRequest, which names the first field that is
    wrong: `contents[0].parts[1].inlineData.data`.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise _bad_request(error, place) from error


def _bad_request(error: ValidationError, place: str) -> BadRequest:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    for step in first["loc"]:
        place += f"[{step}]" if isinstance(step, int) else f".{step}"
    place = place.lstrip(".")
    # its words name our own classes
    what = "must be an object" if first["type"] == "model_type" else first["msg"]
    return BadRequest(f"{place or 'body'}: {what}", param=place or None)
