"""The body of a request for images -> ChatRequest: a prompt, and the pictures that it is about.

Source: https://platform.openai.com/docs/api-reference/images. What the upstream has no field for is
said in the prompt where a model understands it, and else named in `x-gbproxy-ignored`, as is what
is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gbproxy.api import unknown_parameters
from gbproxy.api.format import ParsedChat
from gbproxy.api.openai import answer_limits, image_wishes
from gbproxy.domain import attachment
from gbproxy.domain.attachment import Attachment, LinkedAttachment, StoredAttachment
from gbproxy.domain.catalogue import IMAGES
from gbproxy.domain.chat import ChatRequest, Message, Part, TextPart
from gbproxy.domain.media import APART, APART_WITH_BYTES
from gbproxy.domain.principal import ANONYMOUS, Principal
from gbproxy.domain.slices import Work
from gbproxy.errors import BadRequest
from gbproxy.web.form import Form, FormFile
from gbproxy.web.operations import FormFilePart

_Body = TypeVar("_Body", bound=BaseModel)

MOST_PROMPT_CHARS = 32_000
MOST_IMAGES = 16
_MASK = (
    "The last of the pictures is a mask of the first: change only what is transparent in the mask."
)
# Of these models the bytes are the default, as OpenAI has it.
_IN_BYTES = re.compile(r"gpt-image-|chatgpt-image-")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedImages(ParsedChat):
    """`is_edit`: pictures were given."""

    is_edit: bool = False


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _ImageFields(_Strict):
    """What requests for images and for edits have in common."""

    prompt: str = Field(min_length=1, max_length=MOST_PROMPT_CHARS)
    model: str | None = None
    n: int | None = None
    size: str | None = None
    quality: str | None = None
    background: str | None = None
    output_format: str | None = None
    style: Literal["vivid", "natural"] | None = None
    response_format: Literal["url", "b64_json"] | None = None
    stream: bool | None = None
    # Accepted without effect.
    partial_images: Annotated[int, Field(ge=0, le=3)] | None = None
    output_compression: Any = None
    moderation: Any = None
    input_fidelity: Any = None
    user: Any = None
    safety_identifier: Any = None
    complexity: Any = None
    effort: Any = None
    reasoning: Any = None
    frame_count: Any = None
    frame_duration_ms: Any = None
    svg: Any = None
    markup: Any = None


_IGNORED = (
    "partial_images", "output_compression", "moderation", "input_fidelity", "user",
    "safety_identifier", "complexity", "effort", "reasoning", "frame_count", "frame_duration_ms",
    "svg", "markup",
)  # fmt: skip


class ImageRequestBody(_ImageFields):
    """The body of `/v1/images/generations`."""


class ImageEditForm(_ImageFields):
    """`/v1/images/edits` as a form. Several pictures are fields `image[]`."""

    image: FormFilePart
    mask: FormFilePart | None = None


class GivenImage(_Strict):
    """A picture by its URL, or by the id of an uploaded file."""

    image_url: str | None = None
    file_id: str | None = None


class ImageEditBody(_ImageFields):
    """The JSON body of `/v1/images/edits`."""

    images: list[GivenImage] = Field(min_length=1, max_length=MOST_IMAGES, fail_fast=True)
    mask: GivenImage | None = None


def parse_generation(
    body: dict[str, Any], principal: Principal = ANONYMOUS, *, max_file_bytes: int = 0
) -> ParsedImages:
    """Raises BadRequest, whose `param` names the field that is wrong."""
    del max_file_bytes
    return _parsed(body, _validated(ImageRequestBody, body), principal, ())


def parse_edit(
    body: dict[str, Any], principal: Principal = ANONYMOUS, *, max_file_bytes: int = 0
) -> ParsedImages:
    """`max_file_bytes`: of each picture. Raises BadRequest or RequestTooLarge."""
    fields = _validated(ImageEditBody, body)
    with Work() as work:
        images = [
            _given(image, f"images[{i}]", max_file_bytes, work)
            for i, image in enumerate(fields.images)
        ]
        mask = _given(fields.mask, "mask", max_file_bytes, work) if fields.mask else None
    return _parsed(body, fields, principal, images, mask)


def parse_edit_form(form: Form, principal: Principal = ANONYMOUS) -> ParsedImages:
    """Of a form, whose pictures are the files `image`, `image[]` or `images[]`, and `mask`. Raises
    BadRequest.
    """
    body = _typed(form.fields)
    fields = _validated(_ImageFields, body)
    named = [file for file in form.files if re.fullmatch(r"images?(\[\d*\])?", file.place)]
    masks = [file for file in form.files if file.place == "mask"]
    if not named:
        raise BadRequest("image: at least one picture is needed, as a file", param="image")
    if len(named) > MOST_IMAGES:
        raise BadRequest(f"image: at most {MOST_IMAGES} pictures are taken", param="image")
    with Work() as work:
        images = [_uploaded(file, work) for file in named]
        mask = _uploaded(masks[-1], work) if masks else None
    return _parsed(body, fields, principal, images, mask)


def _parsed(
    body: Mapping[str, Any],
    fields: _ImageFields,
    principal: Principal,
    images: Sequence[Attachment | LinkedAttachment],
    mask: Attachment | LinkedAttachment | None = None,
) -> ParsedImages:
    wishes = image_wishes.told(
        size=fields.size,
        quality=fields.quality,
        background=fields.background,
        style=fields.style,
        output_format=fields.output_format,
    )
    texts = [fields.prompt, *([_MASK] if mask is not None else ()), *wishes]
    files = (*images, mask) if mask is not None else tuple(images)
    parts: tuple[Part, ...] = (*files, TextPart("\n\n".join(texts)))
    return ParsedImages(
        chat=ChatRequest(
            (Message("user", parts),),
            model=fields.model or IMAGES,
            principal=principal,
            is_streamed=bool(fields.stream),
            choices=answer_limits.choices(fields.n),
            is_kept=False,
            makes_image=True,
            media=APART_WITH_BYTES if _wants_bytes(fields) else APART,
        ),
        ignored=(
            *(name for name in _IGNORED if _is_given(fields, name)),
            *unknown_parameters.named(body, type(fields).model_fields.keys()),
        ),
        is_edit=bool(images),
    )


def _is_given(fields: _ImageFields, name: str) -> bool:
    value = getattr(fields, name)
    return value is not None and (name != "partial_images" or value > 0)


def _wants_bytes(fields: _ImageFields) -> bool:
    """Of a stream there is no event with a link."""
    if fields.stream:
        return True
    if fields.response_format is not None:
        return fields.response_format == "b64_json"
    return bool(fields.model and _IN_BYTES.match(fields.model))


def _given(
    image: GivenImage, place: str, max_bytes: int, work: Work
) -> Attachment | LinkedAttachment:
    if image.file_id is not None and image.image_url is None:
        place = f"{place}.file_id"
        if not image.file_id:
            raise attachment.no_such_file(place)
        return StoredAttachment(image.file_id, place, wanted="image")
    place = f"{place}.image_url"
    if not image.image_url:
        raise BadRequest(f"{place} must be a picture's URL", param=place)
    found = attachment.of_url(image.image_url, place, max_bytes, wanted="image", rest=work.rest)
    return _image(found) if isinstance(found, Attachment) else found


def _uploaded(file: FormFile, work: Work) -> Attachment:
    return _image(
        attachment.of_content(
            file.content, file.place, label=file.media_type, name=file.name, rest=work.rest
        )
    )


def _image(file: Attachment) -> Attachment:
    if not file.media_type.startswith("image/"):
        raise BadRequest(f"{file.place}: the file is no image", param=file.place)
    return file


def _typed(fields: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a form, which are texts, as JSON would have them."""
    typed: dict[str, Any] = {}
    for name, text in fields.items():
        if name in ("n", "partial_images") and re.fullmatch(r"-?\d{1,9}", text.strip()):
            typed[name] = int(text)
        elif name == "stream" and text.strip().lower() in ("true", "false", "1", "0"):
            typed[name] = text.strip().lower() in ("true", "1")
        elif text:
            typed[name] = text
    return typed


def _validated(kind: type[_Body], body: Mapping[str, Any]) -> _Body:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
        param = "".join(steps).lstrip(".")
        what = "must be an object" if first["type"] == "model_type" else first["msg"]
        raise BadRequest(f"{param or 'body'}: {what}", param=param or None) from error
