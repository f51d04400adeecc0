"""A model's entry in `/v1/models`, and the page of the list that it stands on.

Source: https://platform.claude.com/docs/en/api/models/list
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gbproxy.accounts.model_cards import ModelCard
from gbproxy.domain.models import Model
from gbproxy.errors import BadRequest

MOST_ENTRIES = 1000  # of a page

# The upstream tells no dates; for what is not known, the epoch is what clients expect.
_CREATED_AT = "1970-01-01T00:00:00Z"
# Coding agents list no other names.
_LISTED_ALIASES = ("claude", "anthropic")

Entry = dict[str, Any]


def render(model: Model, card: ModelCard, name: str | None = None) -> Entry:
    """The entry of a model under its id, or under `name`, one of its aliases."""
    return {
        "type": "model",
        "id": name or model.id,
        "display_name": card.display_name,
        "created_at": _CREATED_AT,
        "lifecycle": "active",
        "deprecated_at": None,
        "retires_at": None,
        "line": None,
        "max_input_tokens": card.context_tokens,
        "max_tokens": card.output_tokens,
        "capabilities": _capabilities(card),
    }


def names(model: Model) -> Iterator[str]:
    """The names under which a model is listed: its id, and aliases that look like Anthropic's."""
    yield model.id
    yield from (alias for alias in model.aliases if alias.startswith(_LISTED_ALIASES))


def page(entries: Sequence[Entry], query: Mapping[str, str]) -> dict[str, Any]:
    """The part of the list that `limit`, `after_id` and `before_id` ask for; without them, all.

    Raises BadRequest, whose `param` names the one that is wrong.
    """
    limit = _limit(query.get("limit"))
    after, before = query.get("after_id"), query.get("before_id")
    if after and before:
        raise BadRequest("before_id: not together with after_id", param="before_id")
    if before:
        left = entries[: _place(entries, before, "before_id")]
        shown = left[-limit:]
    else:
        left = entries[_place(entries, after, "after_id") + 1 :] if after else entries
        shown = left[:limit]
    return {
        "data": list(shown),
        "has_more": len(shown) < len(left),
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
    }


def _limit(text: str | None) -> int:
    if not text:
        return MOST_ENTRIES
    limit = int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0
    if not 1 <= limit <= MOST_ENTRIES:
        raise BadRequest(f"limit must be from 1 to {MOST_ENTRIES}", param="limit")
    return limit


def _place(entries: Sequence[Entry], id_: str, param: str) -> int:
    found = next((i for i, entry in enumerate(entries) if entry["id"] == id_), None)
    if found is None:
        raise BadRequest(f"{param}: no model of this id is listed", param=param)
    return found


def _capabilities(card: ModelCard) -> dict[str, Any]:
    """What of a request has an effect here, in the API's words; it wants all of them named."""
    has_search = _is(card.has_web_search)
    return {
        "batch": _is(False),
        "citations": _is(False),  # of documents; those of a search are given
        "code_execution": _is(False),
        "context_management": _is(False),
        "effort": {
            **dict.fromkeys(("low", "medium", "high", "xhigh", "max"), _is(False)),
            **_is(False),
        },
        "image_input": _is("image" in card.inputs),
        "pdf_input": _is("file" in card.inputs),
        "server_tools": {**has_search, "web_search": has_search, "code_execution": _is(False)},
        "structured_outputs": _is(True),
        "thinking": {
            **_is(True),
            "types": dict.fromkeys(("enabled", "adaptive", "disabled", "between_tools"), _is(True)),
        },
    }


def _is(supported: bool) -> dict[str, bool]:
    return {"supported": supported}
