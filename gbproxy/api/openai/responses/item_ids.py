"""Ids of responses and of their items. An item's id contains that of its response, so that an item
that a client only refers to is found.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from typing import Any

from gbproxy.api.openai.responses.body import Item, kind_of

_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "cto",
    "compaction": "cmp",
    "image_generation_call": "ig",
    "web_search_call": "ws",
}
_OTHER = "item"
_TOKEN_BYTES = 24
_ID = re.compile(r"[a-z]+_([0-9a-f]{48})[0-9a-f]{5}")
_FIRST_INPUT = 0x80000  # numbers below are those of output items


def new_token() -> str:
    """What the ids of a response and of its items have in common."""
    return secrets.token_hex(_TOKEN_BYTES)


def response_id(token: str) -> str:
    return f"resp_{token}"


def item_id(kind: str, token: str, number: int) -> str:
    """The id of the item with this number in the response's output."""
    return f"{_PREFIXES.get(kind, _OTHER)}_{token}{number:05x}"


def response_of(item: str) -> str | None:
    """The id of the response to which an item belongs; None for an id that was not made here."""
    found = _ID.fullmatch(item)
    return response_id(found[1]) if found else None


def with_ids(items: Iterable[Item], token: str) -> list[Item]:
    """The input items of a response as they are listed: each with an id, a type and a status, and a
    message's text as a part.
    """
    return [_listed(item, token, _FIRST_INPUT + i) for i, item in enumerate(items)]


def _listed(item: Item, token: str, number: int) -> Item:
    kind = kind_of(item)
    given = item.get("id")
    id_ = given if isinstance(given, str) and given else item_id(kind, token, number)
    listed: dict[str, Any] = {"status": "completed", **item, "id": id_, "type": kind}
    if kind == "message" and isinstance(listed.get("content"), str):
        is_said = listed.get("role") == "assistant"
        part: dict[str, Any] = {"type": "input_text", "text": listed["content"]}
        if is_said:
            part = {"type": "output_text", "text": listed["content"], "annotations": []}
        listed["content"] = [part]
    return listed
