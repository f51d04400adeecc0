"""The body of a request for images -> ChatRequest: a prompt, and the pictures that it is about.

Source: https://platform.openai.com/docs/api-reference/images. What the upstream has no field for is
said in the prompt where a model understands it, and else named in `x-gbproxy-ignored`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gbproxy.api.format import ParsedChat
from gbproxy.api.openai import answer_limits
from gbproxy.domain import attachment
from gbproxy.domain.attachment import Attachment, LinkedAttachment
from gbproxy.domain.chat import ChatRequest, Message, Part, TextPart
from gbproxy.domain.media import APART, APART_WITH_BYTES
from gbproxy.domain.models import IMAGES
from gbproxy.domain.principal import ANONYMOUS, Principal
from gbproxy.domain.slices import Work
from gbproxy.errors import BadRequest
from gbproxy.web.form import Form, FormFile

_Body = TypeVar("_Body", bound=BaseModel)

MOST_PROMPT_CHARS = 32_000
MOST_IMAGES = 16
_MASK = (
    "The last of the pictures is a mask of the first: change only what is transparent in the mask."
)
_SIZE = re.compile(r"(\d{2,5})x(\d{2,5})")
_RATIO = re.compile(r"\d{1,2}:\d{1,2}")
# Of these models the bytes are the default, as OpenAI has it.
_IN_BYTES = re.compile(r"gpt-image-|chatgpt-image-")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedImages(ParsedChat):
    """`is_edit`: pictures were given. `size`, `quality` and `background` are what was asked for;
    None leaves it to the model.
    """

    is_edit: bool = False
    size: str | None = None
    quality: str | None = None
    background: str | None = None


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _ImageFields(_Strict):
    """What requests for images and for edits have in common."""

    prompt: str = Field(min_length=1, max_length=MOST_PROMPT_CHARS)
    model: str | None = None
    n: int | None = None
    size: str | None = None
    quality: str | None = None
    background: Literal["transparent", "opaque", "auto"] | None = None
    style: Literal["vivid", "natural"] | None = None
    response_format: Literal["url", "b64_json"] | None = None
    stream: bool | None = None
    # Accepted without effect.
    partial_images: Annotated[int, Field(ge=0, le=3)] | None = None
    output_format: Any = None
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
    "output_format", "output_compression", "moderation", "input_fidelity", "user",
    "safety_identifier", "complexity", "effort", "reasoning", "frame_count", "frame_duration_ms",
    "svg", "markup",
)  # fmt: skip


class ImageRequestBody(_ImageFields):
    """The body of `/v1/images/generations`."""


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
    return _parsed(_validated(ImageRequestBody, body), principal, ())


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
    return _parsed(fields, principal, images, mask)


def parse_edit_form(form: Form, principal: Principal = ANONYMOUS) -> ParsedImages:
    """Of a form, whose pictures are the files `image`, `image[]` or `images[]`, and `mask`. Raises
    BadRequest.
    """
    fields = _validated(_ImageFields, _typed(form.fields))
    named = [file for file in form.files if re.fullmatch(r"images?(\[\d*\])?", file.place)]
    masks = [file for file in form.files if file.place == "mask"]
    if not named:
        raise BadRequest("image: at least one picture is needed, as a file", param="image")
    if len(named) > MOST_IMAGES:
        raise BadRequest(f"image: at most {MOST_IMAGES} pictures are taken", param="image")
    with Work() as work:
        images = [_uploaded(file, work) for file in named]
        mask = _uploaded(masks[-1], work) if masks else None
    return _parsed(fields, principal, images, mask)


def _parsed(
    fields: _ImageFields,
    principal: Principal,
    images: Sequence[Attachment | LinkedAttachment],
    mask: Attachment | LinkedAttachment | None = None,
) -> ParsedImages:
    texts = [fields.prompt, *([_MASK] if mask is not None else ()), *_wishes(fields)]
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
        ignored=tuple(name for name in _IGNORED if getattr(fields, name) is not None),
        is_edit=bool(images),
        size=_named(fields.size),
        quality=_named(fields.quality),
        background=_named(fields.background),
    )


def _wants_bytes(fields: _ImageFields) -> bool:
    """Of a stream there is no event with a link."""
    if fields.stream:
        return True
    if fields.response_format is not None:
        return fields.response_format == "b64_json"
    return bool(fields.model and _IN_BYTES.match(fields.model))


def _named(value: str | None) -> str | None:
    return None if value == "auto" else value


def _wishes(fields: _ImageFields) -> Iterable[str]:
    """The parameters in words, as one sentence."""
    wishes: list[str] = []
    if size := _named(fields.size):
        wishes.append(_size(size))
    if fields.quality in ("high", "hd", "xhigh", "max"):
        wishes.append("of high quality, with fine detail")
    elif fields.quality == "low":
        wishes.append("a quick draft")
    if fields.background == "transparent":
        wishes.append("on a transparent background")
    elif fields.background == "opaque":
        wishes.append("on an opaque background")
    if fields.style:
        wishes.append(f"in a {fields.style} style")
    if wishes:
        yield f"The picture is to be {', '.join(wishes)}."


def _size(size: str) -> str:
    """Raises BadRequest."""
    if _RATIO.fullmatch(size):
        return f"of the aspect ratio {size}"
    found = _SIZE.fullmatch(size)
    if found is None:
        raise BadRequest("size must be such as 1024x1536, or auto", param="size")
    width, height = int(found[1]), int(found[2])
    shape = "square" if width == height else "wide" if width > height else "tall"
    return f"{shape}, {width} pixels wide and {height} pixels high"


def _given(
    image: GivenImage, place: str, max_bytes: int, work: Work
) -> Attachment | LinkedAttachment:
    if image.file_id is not None and image.image_url is None:
        place = f"{place}.file_id"
        raise BadRequest(f"{place}: there is no such file", param=place)
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
        elif name == "stream" and text.strip().lower() in ("true", "false"):
            typed[name] = text.strip().lower() == "true"
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
