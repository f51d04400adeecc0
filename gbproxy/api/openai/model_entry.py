"""A model's entry in `/v1/models`.

OpenAI's own has an id and little more. What programs read beside it has as many names as there are
servers: each fact stands under those that are read most, and is left out where it is not known.
"""

from __future__ import annotations

from typing import Any

from gbproxy.accounts.model_cards import ModelCard
from gbproxy.api.openai.request import SUPPORTED_PARAMETERS
from gbproxy.domain.models import Model

# The upstream tells no dates; clients only want a number that stays the same.
_CREATED = 1_764_201_600


def render(model: Model, card: ModelCard) -> dict[str, Any]:
    entry = {
        "id": model.id,
        "object": "model",
        "created": _CREATED,
        "owned_by": "google",
        "display_name": card.display_name,
        "name": card.display_name,  # OpenRouter's
        **_context(card.context_tokens),
        "max_output_tokens": card.output_tokens,
        "max_completion_tokens": card.output_tokens,  # OpenRouter's and Groq's
        **_modalities(card),
        "supported_parameters": list(SUPPORTED_PARAMETERS),
        "capabilities": _capabilities(card),
        "fallback": model.fallback,  # ours
    }
    return {name: value for name, value in entry.items() if value is not None}


def _context(tokens: int | None) -> dict[str, int | None]:
    return {
        "context_length": tokens,  # OpenRouter's: opencode, Cursor, Android Studio
        "max_context_length": tokens,  # LM Studio's: Cline, Continue, Zed
        "context_window": tokens,  # Groq's
        "max_model_len": tokens,  # vLLM's
    }


def _modalities(card: ModelCard) -> dict[str, Any]:
    """Directly, and in OpenRouter's `architecture`."""
    modalities = {
        "input_modalities": list(card.inputs),
        "output_modalities": list(card.outputs),
    }
    modality = f"{'+'.join(card.inputs)}->{'+'.join(card.outputs)}"
    return {**modalities, "architecture": {"modality": modality, **modalities}}


def _capabilities(card: ModelCard) -> list[str]:
    """In LM Studio's words, where it has any."""
    found = {
        "tool_use": "tools" in SUPPORTED_PARAMETERS,
        "vision": "image" in card.inputs,
        "reasoning": True,  # `reasoning_content`, where it is asked for
        "web_search": card.has_web_search,
    }
    return [name for name, has in found.items() if has]
