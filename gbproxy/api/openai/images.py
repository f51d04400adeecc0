"""The paths of OpenAI's images API. Source: https://platform.openai.com/docs/api-reference/images"""

from __future__ import annotations

from functools import partial

from flask import Blueprint, Response

from gbproxy.api.format import Surface, answer, answer_parsed
from gbproxy.api.openai.answers import ImageEvent, Images
from gbproxy.api.openai.images_encoder import ImagesEncoder
from gbproxy.api.openai.images_request import (
    ImageEditBody,
    ImageEditForm,
    ImageRequestBody,
    parse_edit,
    parse_edit_form,
    parse_generation,
)
from gbproxy.web import auth
from gbproxy.web.form import CONTENT_TYPE, is_form, read_form
from gbproxy.web.operations import Operation, described


def blueprint(surface: Surface) -> Blueprint:
    bp = Blueprint("openai_images", __name__)
    bp.before_request(surface.check_limits)
    max_file_bytes = surface.max_file_bytes

    @bp.post("/v1/images/generations")
    @bp.post("/images/generations")
    @described(
        Operation(
            tag="OpenAI",
            summary="Make pictures",
            request=ImageRequestBody,
            answers={200: (Images,)},
            events=ImageEvent,
        )
    )
    def generate() -> Response:
        return answer(surface, parse_generation, ImagesEncoder, ImagesEncoder)

    @bp.post("/v1/images/edits")
    @bp.post("/images/edits")
    @described(
        Operation(
            tag="OpenAI",
            summary="Edit pictures, in JSON or as a form with files",
            request=ImageEditBody,
            forms={CONTENT_TYPE: (ImageEditForm,)},
            answers={200: (Images,)},
            events=ImageEvent,
        )
    )
    def edit() -> Response:
        if not is_form():
            read = partial(parse_edit, max_file_bytes=max_file_bytes)
            return answer(surface, read, ImagesEncoder, ImagesEncoder)
        parsed = parse_edit_form(read_form(max_file_bytes), auth.principal())
        return answer_parsed(surface, parsed, ImagesEncoder, ImagesEncoder)

    return bp
