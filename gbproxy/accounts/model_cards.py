"""What programs want to know of a model before they ask it: how much it takes, and which kinds.

Every figure is one that holds here: the shorter of what Google publishes of its models and what the
upstreams that serve the model accept. Source: https://ai.google.dev/gemini-api/docs/models
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from gbproxy.domain.account import WIDGET
from gbproxy.domain.catalogue import BUILT_IN
from gbproxy.domain.models import Model, Tool
from gbproxy.upstreams.base import Capabilities

Modality = Literal["text", "image", "audio", "video", "file"]

# Published for every text model since 2.5; the upstream's own choice is among these.
_WINDOW_TOKENS = 1_048_576
_OUTPUT_TOKENS = 65_536
_PUBLISHED = frozenset(model.name_at(WIDGET) for model in BUILT_IN)
_MADE_BY: Mapping[Tool, Modality] = {
    "imageGenerationSpec": "image",
    "videoGenerationSpec": "video",
}
# At most, as `usage` counts: a quarter token for each byte (domain/events.py), so that a prompt of
# so many tokens never has more characters.
_CHARS_A_TOKEN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """`context_tokens`: of the longest prompt that is taken whatever its text, `output_tokens`: of
    the longest answer; None where neither is known.
    """

    display_name: str
    context_tokens: int | None
    output_tokens: int | None
    inputs: tuple[Modality, ...]
    outputs: tuple[Modality, ...]
    has_web_search: bool


class ModelCards:
    """`capabilities`: those of the upstreams of these names that are configured."""

    def __init__(self, capabilities: Callable[[Iterable[str]], Mapping[str, Capabilities]]) -> None:
        self._capabilities = capabilities

    def of(self, model: Model) -> ModelCard:
        serving = self._capabilities(model.names).values()
        is_published = model.names.get(WIDGET, "") in _PUBLISHED
        return ModelCard(
            display_name=_title(model.id),
            context_tokens=_context(serving, _WINDOW_TOKENS if is_published else None),
            output_tokens=_OUTPUT_TOKENS if is_published else None,
            inputs=_inputs(serving),
            outputs=_outputs(serving, model),
            has_web_search="webGroundingSpec" in model.tools,
        )


def _title(model_id: str) -> str:
    """`gemini-3.1-pro-preview` as people read it: `Gemini 3.1 Pro Preview`."""
    return " ".join(word[:1].upper() + word[1:] for word in model_id.split("-") if word)


def _context(serving: Collection[Capabilities], window: int | None) -> int | None:
    """The longest prompt that one of the upstreams takes, within the model's own window."""
    limits = [each.prompt_max_chars for each in serving]
    known = [limit // _CHARS_A_TOKEN for limit in limits if limit is not None]
    if not known or len(known) < len(limits):
        return window
    return max(known) if window is None else min(max(known), window)


def _inputs(serving: Collection[Capabilities]) -> tuple[Modality, ...]:
    takes_files = any(each.files_in for each in serving)
    return ("text", "image", "audio", "file") if takes_files else ("text",)


def _outputs(serving: Collection[Capabilities], model: Model) -> tuple[Modality, ...]:
    has_media = any(each.media_out for each in serving)
    made = (kind for tool, kind in _MADE_BY.items() if has_media and tool in model.tools)
    return ("text", *made)
