"""The response object. Source: https://platform.openai.com/docs/api-reference/responses/object"""

from __future__ import annotations

from typing import Any

from gbproxy.api.openai.responses import field_names
from gbproxy.api.openai.responses.body import Item, ResponseBody
from gbproxy.domain.events import FinishReason, Usage
from gbproxy.errors import GatewayError

# What agents act upon: the rest is the server's fault to them, and to be tried again.
_CODES = ("rate_limit_exceeded", "insufficient_quota", "context_length_exceeded")
_INCOMPLETE: dict[FinishReason, str] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
}


def begun(
    fields: ResponseBody, response_id: str, created: int, model: str, *, store: bool
) -> dict[str, Any]:
    """The object of a response that is in progress: what was asked for, as far as OpenAI's own has
    it, and no output yet.
    """
    reasoning, text = fields.reasoning, fields.text
    return {
        "id": response_id,
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": fields.instructions,
        "max_output_tokens": fields.max_output_tokens,
        "max_tool_calls": _of(int, fields.max_tool_calls),
        "metadata": fields.metadata or {},
        "model": model,
        "output": [],
        "parallel_tool_calls": fields.parallel_tool_calls is not False,
        "previous_response_id": fields.previous_response_id,
        "prompt_cache_key": _of(str, fields.prompt_cache_key),
        "reasoning": {
            "effort": _of(str, reasoning.effort) if reasoning is not None else None,
            "summary": reasoning.summary if reasoning is not None else None,
        },
        "safety_identifier": _of(str, fields.safety_identifier),
        "service_tier": "default",
        "store": store,
        "temperature": _of(float, fields.temperature),
        "text": {"format": (text.format if text is not None else None) or {"type": "text"}},
        "tool_choice": "auto" if fields.tool_choice is None else fields.tool_choice,
        "tools": fields.tools or [],
        "top_p": _of(float, fields.top_p),
        "truncation": "disabled",
        "usage": None,
        "user": _of(str, fields.user),
    }


def ended(
    response: dict[str, Any],
    output: list[Item],
    usage: Usage,
    reason: FinishReason,
    completed: int,
) -> dict[str, Any]:
    """The same response with its answer: completed, or incomplete where something ended it."""
    incomplete = _INCOMPLETE.get(reason)
    return {
        **response,
        "status": "incomplete" if incomplete else "completed",
        "completed_at": None if incomplete else completed,
        "incomplete_details": {"reason": incomplete} if incomplete else None,
        "output": output,
        "usage": rendered_usage(usage),
    }


def failed(response: dict[str, Any], output: list[Item], error: GatewayError) -> dict[str, Any]:
    """The same response, broken off and not stored. `type` is our own fine code."""
    is_ours = error.status >= 500 or error.status == 499
    code = error.code if error.code in _CODES else "server_error" if is_ours else "invalid_prompt"
    told: dict[str, str | None] = {"code": code, "message": error.message, "type": error.code}
    told["param"] = field_names.named(error.param)
    return {**response, "status": "failed", "store": False, "output": output, "error": told}


def rendered_usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "gbproxy_estimated": True,
    }


def _of(kind: type, value: Any) -> Any:
    """A value that has no effect, as it was given if it is of this kind."""
    if isinstance(value, bool):
        return None
    return value if isinstance(value, (int, float) if kind is float else kind) else None
