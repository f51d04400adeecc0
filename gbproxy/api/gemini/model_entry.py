"""A model's entry, and pages of the list of them. Source: https://ai.google.dev/api/models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gbproxy.accounts.model_cards import ModelCard
from gbproxy.domain.models import Model
from gbproxy.errors import BadRequest

_PREFIX = "models/"
_PAGE_SIZE, _MOST_ON_PAGE = 50, 1000
_METHODS = ("generateContent", "streamGenerateContent", "countTokens")


def render(model: Model, card: ModelCard) -> dict[str, Any]:
    entry = {
        "name": f"{_PREFIX}{model.id}",
        "baseModelId": model.id,
        "version": model.id,
        "displayName": card.display_name,
        "description": f"{card.display_name}, as a Gemini Business account has it",
        "inputTokenLimit": card.context_tokens,
        "outputTokenLimit": card.output_tokens,
        "supportedGenerationMethods": list(_METHODS),
        "thinking": True,
    }
    return {name: value for name, value in entry.items() if value is not None}


def page(entries: Sequence[Mapping[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """The page that `pageSize` and `pageToken` ask for. Raises BadRequest.

    A token is the name of the last model of the page before: so none is left out when the list has
    changed in between.
    """
    size, start = _size(query), 0
    token = query.get("pageToken") or query.get("page_token")
    if token:
        names = [entry["name"] for entry in entries]
        if token not in names:
            raise BadRequest("pageToken is none of this list", param="pageToken")
        start = names.index(token) + 1
    listed = list(entries[start : start + size])
    if start + size >= len(entries):
        return {"models": listed}
    return {"models": listed, "nextPageToken": listed[-1]["name"]}


def _size(query: Mapping[str, str]) -> int:
    given = query.get("pageSize") or query.get("page_size") or "0"
    if not (given.isascii() and given.isdecimal() and len(given) < 10):
        raise BadRequest("pageSize must be a whole number, 0 or more", param="pageSize")
    return min(int(given) or _PAGE_SIZE, _MOST_ON_PAGE)
