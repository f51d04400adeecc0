"""The body of a request for a response, as far as its fields can be checked one by one.

Source: https://platform.openai.com/docs/api-reference/responses/create. Unknown fields are let
through without effect, and named.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from gbproxy.api.bounds import MOST_MESSAGES, MOST_TOOLS, refuse_too_many
from gbproxy.errors import BadRequest
from gbproxy.web.validation import validated

Item = dict[str, Any]

# A list ends at its first mistake: an error for each of a million items would take seconds and
# gigabytes.
_Objects = Annotated[list[dict[str, Any]], Field(fail_fast=True)]
_Texts = Annotated[list[str], Field(fail_fast=True)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class IgnoredParameters(_Strict):
    """Parameters that are accepted and have no effect, whatever they hold."""

    temperature: Any = None
    top_p: Any = None
    top_logprobs: Any = None
    truncation: Any = None
    max_tool_calls: Any = None
    context_management: Any = None
    moderation: Any = None
    service_tier: Any = None
    user: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None


class ReasoningOptions(_Strict):
    """`summary`: the thoughts are shown."""

    effort: Any = None
    summary: str | None = None


class TextOptions(_Strict):
    format: dict[str, Any] | None = None
    verbosity: Any = None


class ResponseBody(IgnoredParameters):
    model: str | None = None
    input: str | _Objects | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    stream: bool | None = None
    stream_options: Any = None
    store: bool | None = None
    metadata: dict[str, Any] | None = None
    include: _Texts | None = None
    max_output_tokens: int | None = None
    tools: _Objects | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    # these ask for what is not offered
    background: bool | None = None
    conversation: Any = None
    prompt: Any = None

    @property
    def items(self) -> list[Item]:
        """`input` as items: a text is a message of the user."""
        if isinstance(self.input, str):
            content = [{"type": "input_text", "text": self.input}]
            return [{"type": "message", "role": "user", "content": content}]
        return self.input or []

    @property
    def is_stored(self) -> bool:
        return self.store is not False


def kind_of(item: Item) -> Any:
    """An item's type, which a message and a reference may leave out."""
    return item.get("type") or ("message" if "role" in item else "item_reference")


_FIELD_NAMES = frozenset(
    name for body in (ResponseBody, ReasoningOptions, TextOptions) for name in body.model_fields
)
_NOT_OFFERED = {
    "background": "responses in the background are not offered: ask without it, streamed or not",
    "conversation": "conversations are not offered: name the last response as previous_response_id",
    "prompt": "stored prompts are not offered: send their text as instructions and input",
}


def validate(body: dict[str, Any]) -> ResponseBody:
    """Raises BadRequest, whose `param` names the field that is wrong or not offered."""
    refuse_too_many(body, input=MOST_MESSAGES, tools=MOST_TOOLS)
    _ensure_objects(body.get("input"))
    fields = validated(ResponseBody, body, _FIELD_NAMES)
    for name, message in _NOT_OFFERED.items():
        if getattr(fields, name):  # programs send empty ones where nothing was set
            raise BadRequest(f"{name}: {message}", param=name)
    if not fields.input and fields.previous_response_id is None:
        raise BadRequest("input must be a text or a list of items", param="input")
    return fields


def _ensure_objects(items: object) -> None:
    """Of a list that may be a text too, the validation would only say that it is no text."""
    for i, item in enumerate(items if isinstance(items, list) else ()):
        if not isinstance(item, dict):
            raise BadRequest(f"input[{i}] must be an object", param=f"input[{i}]")
