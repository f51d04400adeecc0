"""Requests for images: which are understood, and which field of the others is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from gbproxy.api.openai.images_request import (
    MOST_IMAGES,
    parse_edit,
    parse_edit_form,
    parse_generation,
)
from gbproxy.domain.attachment import Attachment, LinkedAttachment
from gbproxy.domain.chat import TextPart
from gbproxy.domain.media import APART, APART_WITH_BYTES
from gbproxy.errors import BadRequest, RequestTooLarge
from gbproxy.web.form import Form, FormFile

PNG = b"\x89PNG\r\n\x1a\n...."
LINK = {"image_url": "https://example.com/fox.png"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": ["fox"]}, "prompt"),
        ({"prompt": "x" * 32_001}, "prompt"),
        ({"model": 3}, "model"),
        ({"n": 0}, "n"),
        ({"n": 5}, "n"),
        ({"n": True}, "n"),
        ({"n": "2"}, "n"),
        ({"size": "huge"}, "size"),
        ({"size": 1024}, "size"),
        ({"background": "green"}, "background"),
        ({"quality": "ultra"}, "quality"),
        ({"output_format": "tiff"}, "output_format"),
        ({"output_format": 1}, "output_format"),
        ({"response_format": "png"}, "response_format"),
        ({"stream": "yes"}, "stream"),
        ({"partial_images": 4}, "partial_images"),
        ({"style": "odd"}, "style"),
    ],
)
def test_the_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_generation({"prompt": "fox", **fields})

    assert caught.value.param == param


@pytest.mark.parametrize("wanted", ["png", "jpeg", "webp", "gif", "svg"])
def test_every_format_of_openais_is_said(wanted: str) -> None:
    made = parse_generation({"prompt": "fox", "output_format": wanted})
    edited = parse_edit(
        {"prompt": "fox", "images": [LINK], "output_format": wanted}, max_file_bytes=1000
    )

    for found in (made, edited):
        [said] = [p.text for p in found.chat.messages[-1].parts if isinstance(p, TextPart)]
        assert f"in the file format {wanted.upper()}." in said


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "images"),
        ({"images": []}, "images"),
        ({"images": "x"}, "images"),
        ({"images": [{}]}, "images[0].image_url"),
        ({"images": [LINK, {"image_url": 3}]}, "images[1].image_url"),
        ({"images": [{"image_url": "ftp://x"}]}, "images[0].image_url"),
        ({"images": [{"image_url": "data:text/plain,hi"}]}, "images[0].image_url"),
        ({"images": [{"file_id": ""}]}, "images[0].file_id"),
        ({"images": [LINK] * (MOST_IMAGES + 1)}, "images"),
        ({"images": [LINK], "mask": {"image_url": "data:,"}}, "mask.image_url"),
        ({"images": [LINK], "prompt": None}, "prompt"),
    ],
)
def test_the_wrong_field_of_an_edit_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_edit({"prompt": "fox", **fields}, max_file_bytes=1000)

    assert caught.value.param == param


def test_a_picture_in_json_may_not_be_larger_than_files_may() -> None:
    url = "data:image/png;base64,iVBORw0KGgoAAAA="

    with pytest.raises(RequestTooLarge):
        parse_edit({"prompt": "x", "images": [{"image_url": url}]}, max_file_bytes=5)


def form(*files: FormFile, **fields: str) -> Form:
    return Form({"prompt": "A hat", **fields}, list(files))


def file(place: str, content: bytes = PNG) -> FormFile:
    return FormFile(place, "fox.png", "image/png", content)


def test_the_fields_of_a_form_are_read_as_json_would_have_them() -> None:
    parsed = parse_edit_form(form(file("image"), n="2", stream="true", size="auto", user="u"))

    assert (parsed.chat.choices, parsed.chat.is_streamed) == (2, True)
    assert (parsed.ignored, parsed.is_edit) == (("user",), True)
    assert parsed.chat.media is APART_WITH_BYTES


@pytest.mark.parametrize("place", ["image", "image[]", "images[]", "image[0]"])
def test_pictures_have_several_names_in_a_form(place: str) -> None:
    parsed = parse_edit_form(form(file(place), file(place)))

    kinds = [type(part) for part in parsed.chat.messages[0].parts]
    assert kinds[:2] == [Attachment, Attachment]


@pytest.mark.parametrize(
    ("given", "param"),
    [
        (form(), "image"),
        (form(file("mask")), "image"),
        (form(file("image", b"no picture")), "image"),
        (form(file("image", b"")), "image"),
        (form(file("image"), file("mask", b"%PDF-")), "mask"),
        (form(*[file("image[]")] * (MOST_IMAGES + 1)), "image"),
        (form(file("image"), n="two"), "n"),
        (form(file("image"), n="9"), "n"),
        (form(file("image"), prompt=""), "prompt"),
    ],
)
def test_the_wrong_field_of_a_form_is_named(given: Form, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_edit_form(given)

    assert caught.value.param == param


def test_a_request_without_a_model_is_for_the_image_model_and_a_link() -> None:
    parsed = parse_generation({"prompt": "fox"})

    assert (parsed.chat.model, parsed.chat.makes_image) == ("gemini-imagen", True)
    assert parsed.chat.media is APART


@pytest.mark.parametrize(("number", "ignored"), [(0, ()), (2, ("partial_images",))])
def test_partial_pictures_are_named_as_without_effect(
    number: int, ignored: tuple[str, ...]
) -> None:
    parsed = parse_generation({"prompt": "fox", "stream": True, "partial_images": number})

    assert parsed.ignored == ignored


def test_a_linked_picture_is_fetched_later() -> None:
    parsed = parse_edit({"prompt": "x", "images": [LINK]}, max_file_bytes=1000)

    [linked, _] = parsed.chat.messages[0].parts
    assert isinstance(linked, LinkedAttachment)
    assert linked.wanted == "image"


@pytest.mark.parametrize(("said", "is_streamed"), [("1", True), ("True", True), ("0", False)])
def test_a_form_says_in_several_words_whether_to_stream(said: str, is_streamed: bool) -> None:
    assert parse_edit_form(form(file("image"), stream=said)).chat.is_streamed is is_streamed
