"""The parts of a message that streamed and whole answers share: its head, usage, reason of its end,
and sources; and the whole message.

Source: https://platform.claude.com/docs/en/api/messages/create, Message.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

from gbproxy.domain import jsontext
from gbproxy.domain.chat import ToolCallPart
from gbproxy.domain.events import Answer, Citation, FinishReason, Usage

# The API signs thoughts so that they can be handed back. Ours are not read again.
SIGNATURE = "Z2Jwcm94eQ=="

_REASONS: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}

Object = dict[str, Any]


def new_id() -> str:
    return f"msg_{secrets.token_hex(12)}"


def head(id_: str, model: str, counted: Usage) -> Object:
    """A message without content, as a stream begins with it."""
    return {
        "id": id_,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": usage(counted),
    }


def whole(id_: str, answer: Answer, *, shows_search: bool) -> Object:
    end = stopped(answer.finish_reason, answer.stop_sequence, answer.refusal)
    content = _content(answer, shows_search=shows_search)
    return {**head(id_, answer.model, answer.usage), "content": content, **end}


def usage(counted: Usage) -> Object:
    return {
        "input_tokens": counted.input_tokens,
        "output_tokens": counted.output_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens_details": {"thinking_tokens": counted.reasoning_tokens},
        "gbproxy_estimated": True,
    }


def stopped(reason: FinishReason, sequence: str | None, refusal: str | None) -> Object:
    """How the message ended. `refusal`: the sentence that says why there is no answer."""
    details = {"type": "refusal", "category": None, "explanation": refusal}
    is_refused = refusal is not None or reason == "content_filter"
    if is_refused:
        stop_reason = "refusal"
    else:
        stop_reason = _REASONS[reason] if sequence is None else "stop_sequence"
    return {
        "stop_reason": stop_reason,
        "stop_sequence": sequence,
        "stop_details": details if is_refused else None,
    }


def citations(found: Iterable[Citation]) -> list[Object]:
    """One citation for each source that has an address. The source's own text is not known, and the
    API has no field for the place in the answer.
    """
    return [
        {
            "type": "web_search_result_location",
            "url": citation.uri,
            "title": _title(citation),
            "cited_text": "",
            "encrypted_index": "",
        }
        for citation in dict.fromkeys(found)
        if citation.uri
    ]


def search_blocks(found: Iterable[Citation]) -> list[Object]:
    """The blocks of a web search: that there was one, and the pages that were found; none without
    pages. The upstream does not tell what it searched for.
    """
    pages = {citation.uri: _title(citation) for citation in found if citation.uri}
    if not pages:
        return []
    id_ = f"srvtoolu_{secrets.token_hex(12)}"
    results = [
        {
            "type": "web_search_result",
            "url": url,
            "title": title,
            "encrypted_content": "",
            "page_age": None,
        }
        for url, title in pages.items()
    ]
    return [
        {"type": "server_tool_use", "id": id_, "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": id_, "content": results},
    ]


def _content(answer: Answer, *, shows_search: bool) -> list[Object]:
    blocks: list[Object] = []
    if answer.thoughts:
        thinking = {"type": "thinking", "thinking": answer.thoughts, "signature": SIGNATURE}
        blocks.append(thinking)
    if answer.text:
        cited = citations(answer.citations)
        blocks.append({"type": "text", "text": answer.text, "citations": cited or None})
    if shows_search:
        blocks += search_blocks(answer.citations)
    blocks += [block for call in answer.tool_calls if (block := _tool_use(call)) is not None]
    return blocks


def _tool_use(call: ToolCallPart) -> Object | None:
    """None for a call that was cut: run with a part of its input it would do something else."""
    try:
        given = jsontext.decode(call.arguments.strip() or "{}")
    except ValueError:
        return None
    input_ = given if isinstance(given, dict) else {"input": given}
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": input_}


def _title(citation: Citation) -> str:
    """A grounded answer's addresses are Google's redirects: these name the real site."""
    return citation.title or citation.domain or citation.uri
