"""What a client says of a file that it uploads."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from gbproxy.domain import jsontext
from gbproxy.errors import BadRequest


class UploadedFileBody(BaseModel):
    """What a client says of a file. A name of its own choice is not taken: the answer has one."""

    model_config = ConfigDict(
        strict=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )

    display_name: str | None = Field(None, max_length=512)
    mime_type: str | None = Field(None, max_length=256)


class UploadBody(BaseModel):
    """The metadata with which an upload begins."""

    model_config = ConfigDict(strict=True, extra="ignore")

    file: UploadedFileBody = Field(default_factory=UploadedFileBody)


def read(body: Any) -> UploadedFileBody:
    try:
        return UploadBody.model_validate(body).file
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "body"
        raise BadRequest(f"{place}: {first['msg']}", param=place) from error


def decoded(text: bytes) -> UploadedFileBody:
    """Of the metadata beside a file. Raises BadRequest."""
    try:
        body = jsontext.decode_bytes_plainly(text)
    except ValueError as error:
        raise BadRequest(f"metadata {error}", param="metadata") from error
    return read(body)
