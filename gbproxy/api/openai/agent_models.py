"""A model's entry in the `models` array that the Codex CLI reads: what it may send the model, and
how the model is told of its work.

Source: the list that this program carries of OpenAI's own models. It takes no entry without these
fields, or does something else.
"""

from __future__ import annotations

from typing import Any

from gbproxy.accounts.model_cards import ModelCard
from gbproxy.domain.models import Model

# It is sent before the user's own instructions.
_INSTRUCTIONS = """\
You are a coding agent. You work in the user's directory, by the tools that are described to you, \
until the task is done.

- Find out before you change anything: read the files that it is about, and search with rg.
- Change files by apply_patch, and nothing but what the task asks for; keep to the style of the \
code around it. Never undo changes that are not yours.
- Check what you did: run the tests or the program, and mend what fails. Where you could not \
check, say so.
- Ask only where a wrong guess would cost the user much. For everything else decide, and say what \
you took for granted.
- Before a long step say in one sentence what comes. At the end say in a few sentences what has \
changed, in which files, and what is left."""

_TOOL_OUTPUT_TOKENS = 10_000


def render(model: Model, card: ModelCard, place: int) -> dict[str, Any]:
    """`place`: in the list, the first is the one that is offered first."""
    takes_images = "image" in card.inputs
    return {
        "slug": model.id,
        "display_name": card.display_name,
        "description": None,
        "default_reasoning_level": None,
        "supported_reasoning_levels": [],
        "shell_type": "shell_command",
        "visibility": "list",
        "supported_in_api": True,
        "priority": place,
        "upgrade": None,
        "availability_nux": None,
        "base_instructions": _INSTRUCTIONS,
        "supports_reasoning_summaries": True,
        "support_verbosity": False,
        "default_verbosity": None,
        "apply_patch_tool_type": "freeform",
        "truncation_policy": {"mode": "tokens", "limit": _TOOL_OUTPUT_TOKENS},
        "supports_parallel_tool_calls": True,
        "prefer_websockets": False,
        "supports_search_tool": False,  # all tools are declared: nothing here looks for more
        "context_window": card.context_tokens,
        "experimental_supported_tools": [],
        "input_modalities": ["text", "image"] if takes_images else ["text"],
    }
