"""What is wished of a picture, in words that a model understands: the upstream has no field for it.

Source: https://platform.openai.com/docs/api-reference/images/create
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gbproxy.errors import BadRequest

_SIZE = re.compile(r"(\d{2,5})x(\d{2,5})")
_RATIO = re.compile(r"\d{1,2}:\d{1,2}")
# What is said of each value; of the usual ones nothing.
_FINE = "of high quality, with fine detail"
_QUALITIES = {
    "auto": "", "low": "a quick draft", "medium": "", "standard": "",
    "high": _FINE, "hd": _FINE, "xhigh": _FINE, "max": _FINE,
}  # fmt: skip
_BACKGROUNDS = {
    "auto": "",
    "transparent": "on a transparent background",
    "opaque": "on an opaque background",
}
_FORMATS = {
    name: f"in the file format {name.upper()}" for name in ("png", "jpeg", "webp", "gif", "svg")
}


def named(value: str | None) -> str | None:
    """None for what is left to the model."""
    return None if value == "auto" else value


def told(
    *,
    size: str | None = None,
    quality: str | None = None,
    background: str | None = None,
    style: str | None = None,
    output_format: str | None = None,
    place: str = "",
) -> list[str]:
    """One sentence, or none. Raises BadRequest for a value that is not known; the fields stand
    at `place`.
    """
    wishes: list[str] = []
    if wanted := named(size):
        wishes.append(_size(wanted, f"{place}size"))
    known = {
        "quality": (quality, _QUALITIES),
        "background": (background, _BACKGROUNDS),
        "output_format": (output_format, _FORMATS),
    }
    for name, (value, words) in known.items():
        if value is not None and (said := _word(value, words, f"{place}{name}")):
            wishes.append(said)
    if style:
        wishes.append(f"in a {style} style")
    return [f"The picture is to be {', '.join(wishes)}."] if wishes else []


def _word(value: str, words: Mapping[str, str], place: str) -> str:
    if value not in words:
        raise BadRequest(f"{place} must be one of {', '.join(words)}", param=place)
    return words[value]


def _size(size: str, place: str) -> str:
    if _RATIO.fullmatch(size):
        return f"of the aspect ratio {size}"
    found = _SIZE.fullmatch(size)
    if found is None:
        raise BadRequest(f"{place} must be such as 1024x1536, or auto", param=place)
    width, height = int(found[1]), int(found[2])
    shape = "square" if width == height else "wide" if width > height else "tall"
    return f"{shape}, {width} pixels wide and {height} pixels high"
