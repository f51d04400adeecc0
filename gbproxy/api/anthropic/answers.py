"""The answers of Anthropic's API, as its description tells them; `message`, `encoder`,
`model_entry` and `errors` write them.

Source: https://platform.claude.com/docs/en/api/messages/create
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from gbproxy.web.operations import AnswerModel, FormFilePart, FormModel

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]


class MessageErrorObject(AnswerModel):
    type: str
    message: str
    details: dict[str, Any] | None = None


class MessageErrorBody(AnswerModel):
    type: Literal["error"]
    error: MessageErrorObject
    request_id: str


class SearchCitation(AnswerModel):
    type: Literal["web_search_result_location"]
    url: str
    title: str
    cited_text: str
    encrypted_index: str


class SearchResult(AnswerModel):
    type: Literal["web_search_result"]
    url: str
    title: str
    encrypted_content: str
    page_age: None


class TextBlock(AnswerModel):
    type: Literal["text"]
    text: str
    citations: list[SearchCitation] | None = None


class ThinkingBlock(AnswerModel):
    """The signature has no meaning here."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class ToolUseBlock(AnswerModel):
    type: Literal["tool_use", "server_tool_use"]
    id: str
    name: str
    input: dict[str, Any]


class SearchResultBlock(AnswerModel):
    type: Literal["web_search_tool_result"]
    tool_use_id: str
    content: list[SearchResult]


Block = TextBlock | ThinkingBlock | ToolUseBlock | SearchResultBlock


class MessageUsage(AnswerModel):
    """Estimated: the upstream counts nothing."""

    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens_details: dict[Literal["thinking_tokens"], int]
    gbproxy_estimated: Literal[True]


class StopDetails(AnswerModel):
    type: Literal["refusal"]
    category: None
    explanation: str | None


class MessageAnswer(AnswerModel):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[Block]
    stop_reason: StopReason | None
    stop_sequence: str | None
    stop_details: StopDetails | None
    usage: MessageUsage


class BlockDelta(AnswerModel):
    """What is added to the block, or how the message ended."""

    type: (
        Literal[
            "text_delta",
            "thinking_delta",
            "signature_delta",
            "input_json_delta",
            "citations_delta",
        ]
        | None
    ) = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    citation: SearchCitation | None = None
    stop_reason: StopReason | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None


class MessageEvent(AnswerModel):
    type: Literal[
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
        "error",
    ]
    message: MessageAnswer | None = None
    index: int | None = None
    content_block: Block | None = None
    delta: BlockDelta | None = None
    usage: MessageUsage | None = None
    error: MessageErrorObject | None = None
    request_id: str | None = None


class TokenCount(AnswerModel):
    input_tokens: int = Field(description="estimated")


class AnthropicModel(AnswerModel):
    type: Literal["model"]
    id: str
    display_name: str
    created_at: str
    lifecycle: Literal["active"]
    deprecated_at: None
    retires_at: None
    line: None
    max_input_tokens: int | None
    max_tokens: int | None
    capabilities: dict[str, Any]


class AnthropicModels(AnswerModel):
    data: list[AnthropicModel]
    has_more: bool
    first_id: str | None
    last_id: str | None


class AnthropicFileForm(FormModel):
    file: FormFilePart
    expires_in_seconds: int | None = None


class AnthropicFile(AnswerModel):
    """`expires_at` is always there: no file is kept for ever."""

    id: str
    type: Literal["file"]
    filename: str
    mime_type: str
    size_bytes: int
    created_at: str
    expires_at: str
    downloadable: Literal[True]


class AnthropicFiles(AnswerModel):
    """Pages by `next_page`, or by the ids."""

    data: list[AnthropicFile]
    has_more: bool
    first_id: str | None
    last_id: str | None
    next_page: str | None


class DeletedAnthropicFile(AnswerModel):
    id: str
    type: Literal["file_deleted"]
