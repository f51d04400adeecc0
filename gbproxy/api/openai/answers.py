"""The answers of OpenAI's API, as its description tells them; `encoder` and `model_entry` write
them.

Source: https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from gbproxy.api.error_object import ErrorObject
from gbproxy.web.operations import AnswerModel, FormFilePart, FormModel

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class FunctionCall(AnswerModel):
    name: str = ""
    arguments: str


class CustomCall(AnswerModel):
    name: str = ""
    input: str


class ToolCall(AnswerModel):
    """In a stream the first chunk of a call names it, and the others add to its arguments."""

    index: int | None = None
    id: str | None = None
    type: Literal["function", "custom"] | None = None
    function: FunctionCall | None = None
    custom: CustomCall | None = None


class UrlCitation(AnswerModel):
    """Indexes count code points."""

    start_index: int
    end_index: int
    title: str
    url: str


class Annotation(AnswerModel):
    type: Literal["url_citation"]
    url_citation: UrlCitation


class ImageUrl(AnswerModel):
    """A link to the picture, or a data URL with its bytes."""

    url: str


class ChatImage(AnswerModel):
    type: Literal["image_url"]
    image_url: ImageUrl
    index: int


class AnswerMessage(AnswerModel):
    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    reasoning_content: str | None = None
    images: list[ChatImage] | None = None
    annotations: list[Annotation] | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: FunctionCall | None = None


class Choice(AnswerModel):
    index: int
    message: AnswerMessage
    logprobs: None
    finish_reason: FinishReason


class CompletionUsage(AnswerModel):
    """Estimated: the upstream counts nothing."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[Literal["cached_tokens"], int]
    completion_tokens_details: dict[Literal["reasoning_tokens"], int]
    gbproxy_estimated: Literal[True]


class Completion(AnswerModel):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: CompletionUsage


class Delta(AnswerModel):
    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    images: list[ChatImage] | None = None
    annotations: list[Annotation] | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: FunctionCall | None = None


class ChunkChoice(AnswerModel):
    index: int
    delta: Delta
    logprobs: None
    finish_reason: FinishReason | None


class CompletionChunk(AnswerModel):
    """One event of a stream, which ends with `[DONE]`; or the error with which it ends."""

    id: str | None = None
    object: Literal["chat.completion.chunk"] | None = None
    created: int | None = None
    model: str | None = None
    choices: list[ChunkChoice] | None = None
    usage: CompletionUsage | None = None
    error: ErrorObject | None = None


class MadeImage(AnswerModel):
    """One of the two."""

    url: str | None = None
    b64_json: str | None = None


class ImageUsage(AnswerModel):
    """Estimated: a picture counts 1290 tokens, whatever its size."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: dict[Literal["text_tokens", "image_tokens"], int]
    output_tokens_details: dict[Literal["text_tokens", "image_tokens"], int]
    gbproxy_estimated: Literal[True]


class Images(AnswerModel):
    """`size` and `output_format` as they came, as far as they are known."""

    created: int
    data: list[MadeImage]
    size: str | None = None
    output_format: str
    usage: ImageUsage


class ImageEvent(AnswerModel):
    """The last event of each picture, which is its only one; or the error with which the stream
    ends.
    """

    type: Literal["image_generation.completed", "image_edit.completed"] | None = None
    created_at: int | None = None
    b64_json: str | None = None
    size: str | None = None
    quality: str | None = None
    background: str | None = None
    output_format: str | None = None
    usage: ImageUsage | None = None
    error: ErrorObject | None = None


class ModelEntry(AnswerModel):
    """Facts that are not known are left out."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    display_name: str
    name: str
    context_length: int | None = None
    max_context_length: int | None = None
    context_window: int | None = None
    max_model_len: int | None = None
    max_output_tokens: int | None = None
    max_completion_tokens: int | None = None
    input_modalities: list[str]
    output_modalities: list[str]
    architecture: dict[str, Any]
    supported_parameters: list[str]
    capabilities: list[str]


class ModelList(AnswerModel):
    object: Literal["list"]
    data: list[ModelEntry]
    models: list[dict[str, Any]] | None = None  # with `client_version`


Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]


class FileForm(FormModel):
    file: FormFilePart
    purpose: Purpose
    expires_after_anchor: Literal["created_at"] | None = Field(None, alias="expires_after[anchor]")
    expires_after_seconds: int | None = Field(None, alias="expires_after[seconds]")
    expires_after: str | None = None  # both in JSON


class FileObject(AnswerModel):
    """`expires_at` is always there: no file is kept for ever."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: Literal["processed"]


class FileList(AnswerModel):
    object: Literal["list"]
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedFile(AnswerModel):
    id: str
    object: Literal["file"]
    deleted: Literal[True]
