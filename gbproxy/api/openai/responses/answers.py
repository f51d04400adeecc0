"""The answers of the Responses API, as its description tells them; `resource`, the output items and
`item_ids` write them.

Source: https://platform.openai.com/docs/api-reference/responses/object
"""

from __future__ import annotations

from typing import Any, Literal

from gbproxy.web.operations import AnswerModel

ItemStatus = Literal["in_progress", "completed", "incomplete"]
Object = dict[str, Any]


class OutputUrlCitation(AnswerModel):
    """Indexes count code points."""

    type: Literal["url_citation"]
    start_index: int
    end_index: int
    title: str
    url: str


class OutputText(AnswerModel):
    type: Literal["output_text"]
    text: str
    annotations: list[OutputUrlCitation]
    logprobs: list[Object]


class OutputRefusal(AnswerModel):
    type: Literal["refusal"]
    refusal: str


class OutputMessage(AnswerModel):
    id: str
    type: Literal["message"]
    status: ItemStatus
    role: Literal["assistant"]
    content: list[OutputText | OutputRefusal]


class SummaryText(AnswerModel):
    type: Literal["summary_text"]
    text: str


class Reasoning(AnswerModel):
    id: str
    type: Literal["reasoning"]
    status: ItemStatus
    summary: list[SummaryText]
    encrypted_content: str | None = None


class OutputFunctionCall(AnswerModel):
    id: str
    type: Literal["function_call"]
    status: ItemStatus
    call_id: str
    name: str
    namespace: str | None = None
    arguments: str


class OutputCustomCall(AnswerModel):
    id: str
    type: Literal["custom_tool_call"]
    status: ItemStatus
    call_id: str
    name: str
    namespace: str | None = None
    input: str


class ClientCall(AnswerModel):
    """Of a tool that OpenAI has declared and the client runs."""

    id: str
    type: Literal["shell_call", "local_shell_call", "apply_patch_call"]
    status: ItemStatus
    call_id: str
    action: Object | None = None
    operation: Object | None = None


class OutputImage(AnswerModel):
    """A picture that the model has made, in base64, with what its bytes tell of it."""

    id: str
    type: Literal["image_generation_call"]
    status: Literal["in_progress", "completed"]
    result: str | None
    output_format: str | None = None
    size: str | None = None


class SearchSource(AnswerModel):
    type: Literal["url"]
    url: str


class SearchAction(AnswerModel):
    """What was searched for is not known. `sources`: for those who include them."""

    type: Literal["search"]
    query: Literal[""]
    sources: list[SearchSource] | None = None


class OutputSearch(AnswerModel):
    """A web search that has found something."""

    id: str
    type: Literal["web_search_call"]
    status: Literal["in_progress", "completed"]
    action: SearchAction


class Compaction(AnswerModel):
    """A conversation's summary, opaque to clients."""

    id: str
    type: Literal["compaction"]
    encrypted_content: str


OutputItem = (
    OutputMessage
    | Reasoning
    | OutputFunctionCall
    | OutputCustomCall
    | ClientCall
    | OutputImage
    | OutputSearch
    | Compaction
)


class ResponseUsage(AnswerModel):
    """Estimated: the upstream counts nothing."""

    input_tokens: int
    input_tokens_details: dict[Literal["cached_tokens", "cache_write_tokens"], int]
    output_tokens: int
    output_tokens_details: dict[Literal["reasoning_tokens"], int]
    total_tokens: int
    gbproxy_estimated: Literal[True]


class ResponseError(AnswerModel):
    """`type`: the gateway's own code of the error."""

    code: Literal[
        "server_error",
        "rate_limit_exceeded",
        "insufficient_quota",
        "context_length_exceeded",
        "invalid_prompt",
    ]
    message: str
    type: str
    param: str | None


class IncompleteDetails(AnswerModel):
    reason: Literal["max_output_tokens", "content_filter"]


class ResponseObject(AnswerModel):
    """What was asked for is told as it was sent."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    background: Literal[False]
    completed_at: int | None
    error: ResponseError | None
    incomplete_details: IncompleteDetails | None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: Object
    model: str
    output: list[OutputItem]
    parallel_tool_calls: bool
    previous_response_id: str | None
    prompt_cache_key: str | None
    reasoning: Object
    safety_identifier: str | None
    service_tier: Literal["default"]
    store: bool
    temperature: float | None
    text: Object
    tool_choice: str | Object
    tools: list[Object]
    top_p: float | None
    truncation: Literal["disabled"]
    usage: ResponseUsage | None
    user: str | None


class ResponseEvent(AnswerModel):
    """One event of a stream; each type has some of the fields. The last one is
    `response.completed`, `response.incomplete` or `response.failed`.
    """

    type: str
    sequence_number: int
    response: ResponseObject | None = None
    output_index: int | None = None
    item_id: str | None = None
    item: Object | None = None
    content_index: int | None = None
    summary_index: int | None = None
    annotation_index: int | None = None
    part: Object | None = None
    annotation: OutputUrlCitation | None = None
    delta: str | None = None
    text: str | None = None
    refusal: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None
    logprobs: list[Object] | None = None


class DeletedResponse(AnswerModel):
    id: str
    object: Literal["response"]
    deleted: Literal[True]


class InputItems(AnswerModel):
    """Items as they were sent, each with an id."""

    object: Literal["list"]
    data: list[Object]
    first_id: str | None
    last_id: str | None
    has_more: bool


class InputTokens(AnswerModel):
    object: Literal["response.input_tokens"]
    input_tokens: int


class CompactedConversation(AnswerModel):
    """The user's messages as they were sent, and the summary of all."""

    id: str
    object: Literal["response.compaction"]
    created_at: int
    output: list[Object]
    usage: ResponseUsage
