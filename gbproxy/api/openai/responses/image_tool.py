"""The tool with which a response may make pictures -> what the model is told of them.

Source: https://platform.openai.com/docs/guides/tools-image-generation
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gbproxy.api.openai import image_wishes
from gbproxy.domain.media import MediaDelivery
from gbproxy.errors import BadRequest

KIND = "image_generation"
CALL = f"{KIND}_call"  # the item of a picture that was made

AS_ITEMS = MediaDelivery(images_in_text=False, image_bytes=True)
"""Pictures are items of their own; links to videos stand in the text."""

_OPTIONS = ("size", "quality", "background", "output_format")
# What the upstream decides, or what only OpenAI's own models know.
_WITHOUT_EFFECT = (
    "action", "model", "input_image_mask", "input_fidelity", "output_compression",
    "moderation", "partial_images", "complexity", "frame_count", "frame_duration_ms", "svg",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ImageTool:
    """`wishes`: sentences for the instructions; `ignored`: the names of options without effect."""

    wishes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


def read(tool: Mapping[str, Any], place: str) -> ImageTool:
    """Raises BadRequest, whose `param` names the option that is wrong."""
    given = {name: tool[name] for name in _OPTIONS if tool.get(name) is not None}
    for name, value in given.items():
        if not isinstance(value, str):
            raise BadRequest(f"{place}.{name} must be a text", param=f"{place}.{name}")
    return ImageTool(
        wishes=tuple(image_wishes.told(**given, place=f"{place}.")),
        ignored=tuple(f"tools.{KIND}.{name}" for name in _WITHOUT_EFFECT if _is_given(tool, name)),
    )


def _is_given(tool: Mapping[str, Any], name: str) -> bool:
    value = tool.get(name)
    return value is not None and (name != "partial_images" or value != 0)
