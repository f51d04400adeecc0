"""Files that a message carries: as their bytes, or as the URL where they are to be fetched.

`place` names the part of the client's request, such as `messages[2].content[1].image_url`: errors
that are about the file name it. Source: RFC 2397, data URLs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote, unquote_to_bytes

from gbproxy.domain import base64_pieces
from gbproxy.domain.base64_pieces import go_on
from gbproxy.domain.inline_file import InlineFile
from gbproxy.domain.media_type_names import file_name
from gbproxy.domain.media_types import media_type
from gbproxy.errors import BadRequest, RequestTooLarge

Wanted = Literal["image", "file"]

_MB = 1024 * 1024
_DIGEST_STEP = 4 * _MB  # bytes between two rests
_DATA_URL = "data:"
_DATA_URL_HEAD = re.compile(r"data:([^,]{0,1000}),", re.IGNORECASE)
_WEB_URL = re.compile(r"\s*https?:", re.IGNORECASE)
# One character stands for up to three in such a URL, and each takes a step to decode.
_MOST_PERCENT_CHARS = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Attachment:
    """`name` and `media_type` are what it is sent as; `digest` is SHA-256 of its bytes, in hex."""

    content: bytes = field(repr=False)
    name: str
    media_type: str
    digest: str
    place: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class LinkedAttachment:
    """A file that is still to be fetched. `wanted`: what the client says that it is."""

    url: str = field(repr=False)  # it may be signed
    place: str
    name: str = ""
    wanted: Wanted = "file"


@dataclass(frozen=True, slots=True)
class StoredAttachment(LinkedAttachment):
    """A file that the client has uploaded before. `url` is its id, in any format's words: it leads
    to the file for the API key that made it, and to none for others. `digest`: as of Attachment, ""
    until it was looked up.
    """

    digest: str = ""


def of_content(
    content: bytes,
    place: str,
    *,
    label: str = "",
    name: str = "",
    rest: Callable[[], None] = go_on,
) -> Attachment:
    """The attachment of these bytes; `label` is the type that somebody says they have.

    `rest` is called every few milliseconds of long work, here as everywhere below. Raises
    BadRequest when there are no bytes.
    """
    if not content:
        raise BadRequest(f"{place}: the file is empty", param=place)
    kind = media_type(content, label, name)
    return Attachment(content, file_name(name, kind), kind, _digest(content, rest), place)


def of_base64(
    text: str,
    place: str,
    max_bytes: int,
    *,
    label: str = "",
    name: str = "",
    start: int = 0,
    is_lax: bool = False,
    rest: Callable[[], None] = go_on,
) -> Attachment:
    """The attachment whose base64 begins at `start`; `is_lax`: or base64 for URLs, unpadded. Raises
    BadRequest or RequestTooLarge.
    """
    if base64_pieces.decoded_size(text, start) > max_bytes:
        raise too_large(place, max_bytes)
    try:
        content = base64_pieces.decode(text, start, rest, is_lax=is_lax)
    except ValueError as error:
        raise BadRequest(f"{place}: the data is not valid base64", param=place) from error
    return of_content(content, place, label=label, name=name, rest=rest)


def of_data_url(
    url: str, place: str, max_bytes: int, *, name: str = "", rest: Callable[[], None] = go_on
) -> Attachment:
    """The attachment inside a data URL. Raises BadRequest or RequestTooLarge."""
    head = _DATA_URL_HEAD.match(url)
    if head is None:
        raise BadRequest(f"{place}: the data URL has no data", param=place)
    label, parameters = _labelled(head[1])
    name = name or _named(parameters)
    if parameters and parameters[-1].lower() == "base64":
        return of_base64(url, place, max_bytes, label=label, name=name, start=head.end(), rest=rest)
    if len(url) > _MOST_PERCENT_CHARS:
        raise BadRequest(f"{place}: so large a data URL must be base64", param=place)
    content = unquote_to_bytes(url[head.end() :].encode("utf-8", "replace"))
    return _limited(content, place, max_bytes, label, name, rest)


def of_inline_file(
    file: InlineFile,
    place: str,
    max_bytes: int,
    *,
    label: str = "",
    name: str = "",
    rest: Callable[[], None] = go_on,
) -> Attachment:
    """The attachment that `of_data` has made of the text whose file this is. Raises
    RequestTooLarge.
    """
    if file.prefix:
        label, parameters = _labelled(file.prefix[len(_DATA_URL) : -1])
        name = name or _named(parameters)
    return _limited(file.content, place, max_bytes, label, name, rest)


def of_data(
    text: str,
    place: str,
    max_bytes: int,
    *,
    label: str = "",
    name: str = "",
    is_lax: bool = False,
    rest: Callable[[], None] = go_on,
) -> Attachment:
    """The attachment in a data URL, or in bare base64, as of `of_base64`. Raises BadRequest or
    RequestTooLarge.
    """
    if _is_data_url(text):
        return of_data_url(text, place, max_bytes, name=name, rest=rest)
    return of_base64(text, place, max_bytes, label=label, name=name, is_lax=is_lax, rest=rest)


def of_url(
    url: str,
    place: str,
    max_bytes: int,
    *,
    name: str = "",
    wanted: Wanted = "file",
    rest: Callable[[], None] = go_on,
) -> Attachment | LinkedAttachment:
    """The file in a data URL, or the link that an http(s) URL is. Raises BadRequest or
    RequestTooLarge.
    """
    if _is_data_url(url):
        return of_data_url(url, place, max_bytes, name=name, rest=rest)
    if _WEB_URL.match(url):
        return LinkedAttachment(url, place, name, wanted)
    raise BadRequest(f"{place}: the URL must begin with data:, http:// or https://", param=place)


def no_such_file(place: str) -> BadRequest:
    """The error of a file that was not uploaded, or not with this key, or is gone."""
    return BadRequest(f"{place}: there is no such file", param=place)


def too_large(place: str, max_bytes: int) -> RequestTooLarge:
    """The error of a file that is larger than the gateway takes."""
    return RequestTooLarge(
        f"{place}: the file is larger than the {max_bytes / _MB:g} MB that MAX_FILE_MB allows",
        param=place,
    )


def _limited(
    content: bytes,
    place: str,
    max_bytes: int,
    label: str,
    name: str,
    rest: Callable[[], None],
) -> Attachment:
    if len(content) > max_bytes:
        raise too_large(place, max_bytes)
    return of_content(content, place, label=label, name=name, rest=rest)


def _is_data_url(text: str) -> bool:
    return text[: len(_DATA_URL)].lower() == _DATA_URL


def _labelled(head: str) -> tuple[str, list[str]]:
    """The type that a data URL says, and the parameters behind it."""
    label, *parameters = (part.strip() for part in head.split(";"))
    return label, parameters


def _named(parameters: list[str]) -> str:
    """The name in a data URL's parameters, which some programs add."""
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.lower() in ("name", "filename"):
            return unquote(value.strip('"'))
    return ""


def _digest(content: bytes, rest: Callable[[], None]) -> str:
    digest = hashlib.sha256()
    view = memoryview(content)
    for at in range(0, len(content), _DIGEST_STEP):
        digest.update(view[at : at + _DIGEST_STEP])
        rest()
    return digest.hexdigest()
