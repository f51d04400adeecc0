"""`responseModalities` and `imageConfig` -> what becomes of pictures in an answer.

Source: https://ai.google.dev/gemini-api/docs/image-generation. What is wished of a picture is said
in the instructions: there the turns of a conversation stay as they were sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gbproxy.api.gemini.body import GenerationConfigBody, ImageConfigBody
from gbproxy.domain.media import IN_TEXT, MediaDelivery
from gbproxy.errors import BadRequest

WITH_BYTES = MediaDelivery(images_in_text=False, image_bytes=True)
"""Pictures are parts of their own; links to videos stand in the text."""

_PLACE = "generationConfig"
_TEXT, _IMAGE = "TEXT", "IMAGE"
_UNSPECIFIED = "MODALITY_UNSPECIFIED"
_RATIO = re.compile(r"\d{1,2}:\d{1,2}")
_SIZE = re.compile(r"512(px)?|[124]K")
_NO_PEOPLE = "ALLOW_NONE"
_WITHOUT_EFFECT = (
    "prominent_people",
    "output_mime_type",
    "output_compression_quality",
    "image_output_options",
)


@dataclass(frozen=True, slots=True)
class Pictures:
    """`is_asked_for`: the answer may be a picture; `is_needed`: it has to be one. `wishes`: a
    sentence about it, "" for none.
    """

    delivery: MediaDelivery = WITH_BYTES
    is_asked_for: bool = False
    is_needed: bool = False
    wishes: str = ""
    ignored: tuple[str, ...] = ()


def read(config: GenerationConfigBody, *, is_needed: bool = False) -> Pictures:
    """`is_needed`: whatever the modalities say. Raises BadRequest."""
    asked = set(_modalities(config)) | ({_IMAGE} if is_needed else set())
    if _IMAGE in asked and config.response_mime_type not in (None, "", "text/plain"):
        place = f"{_PLACE}.responseMimeType"
        raise BadRequest(f"{place} must be left out where a picture is asked for", param=place)
    form = config.image_config
    if asked == {_TEXT}:  # links in it, for clients that show nothing else
        ignored = (f"{_PLACE}.imageConfig",) if form is not None else ()
        return Pictures(IN_TEXT, ignored=ignored)
    wishes = ", ".join(_wishes(form)) if form is not None else ""
    return Pictures(
        is_asked_for=_IMAGE in asked,
        is_needed=is_needed or asked == {_IMAGE},
        wishes=f"A picture that you make is to be {wishes}." if wishes else "",
        ignored=tuple(_ignored(form)) if form is not None else (),
    )


def _modalities(config: GenerationConfigBody) -> Iterator[str]:
    for i, given in enumerate(config.response_modalities or ()):
        modality = given.upper()
        if modality in (_TEXT, _IMAGE):
            yield modality
        elif modality != _UNSPECIFIED:
            place = f"{_PLACE}.responseModalities[{i}]"
            raise BadRequest(f"{place}: only TEXT and IMAGE are offered", param=place)


def _wishes(form: ImageConfigBody) -> Iterator[str]:
    place = f"{_PLACE}.imageConfig"
    if form.aspect_ratio:
        if not _RATIO.fullmatch(form.aspect_ratio):
            where = f"{place}.aspectRatio"
            raise BadRequest(f"{where} must be such as 16:9", param=where)
        yield f"of the aspect ratio {form.aspect_ratio}"
    if form.image_size:
        size = form.image_size.upper().replace("PX", "px")
        if not _SIZE.fullmatch(size):
            where = f"{place}.imageSize"
            raise BadRequest(f"{where} must be 512, 1K, 2K or 4K", param=where)
        yield f"of the resolution {size}"
    if form.person_generation == _NO_PEOPLE:
        yield "without people"


def _ignored(form: ImageConfigBody) -> Iterator[str]:
    if form.person_generation not in (None, _NO_PEOPLE):
        yield f"{_PLACE}.imageConfig.personGeneration"
    for name in _WITHOUT_EFFECT:
        if getattr(form, name) is not None:
            alias = ImageConfigBody.model_fields[name].alias
            yield f"{_PLACE}.imageConfig.{alias}"
