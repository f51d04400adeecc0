"""A form with files as a request's body (`multipart/form-data`), read piece by piece within the
limits of size and time: never is more of it held than its own files and fields.

Source: RFC 7578
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from flask import request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import (
    Data,
    Epilogue,
    Event,
    Field,
    File,
    MultipartDecoder,
    NeedData,
)

from gbproxy.domain.attachment import too_large as file_too_large
from gbproxy.errors import BadRequest
from gbproxy.observability import request_context
from gbproxy.web import large_bodies
from gbproxy.web.body import body_in_time, cut_off, refuse_compressed, too_large

CONTENT_TYPE = "multipart/form-data"
_MOST_PARTS = 200
_MOST_FIELD_BYTES = 256 * 1024
_HELD = 1024 * 1024  # of what is not split into parts yet: the head of one, at most


@dataclass(frozen=True, slots=True)
class FormFile:
    """`place`: the name of its field; `name` and `media_type` are what the client says."""

    place: str
    name: str
    media_type: str
    content: bytes = field(repr=False)


@dataclass(slots=True)
class Form:
    """`fields`: of several of one name, the last."""

    fields: dict[str, str] = field(default_factory=dict)
    files: list[FormFile] = field(default_factory=list)


def is_form() -> bool:
    """True if the request's body says that it is a form with files."""
    return request.mimetype == CONTENT_TYPE


Write = Callable[[bytes], object]
Sink = Callable[[str, str, str], Write]
"""Told the field, the name and the type of a file that begins; returns what takes its bytes."""


def pass_form(max_file_bytes: int, sink: Sink, *, place: str | None = None) -> dict[str, str]:
    """Pass the files of the form in the request's body on as they come. Returns its fields. Raises
    what `read_form` and the sink raise.

    `place`: a field which is a file even if it names none, as clients send one without a name.
    """
    return _read(max_file_bytes, sink, place).fields


def read_form(max_file_bytes: int) -> Form:
    """The form in the request's body. Raises BadRequest, RequestTooLarge, RequestTimeout or
    UnsupportedMediaType.
    """
    if (request.content_length or math.inf) < large_bodies.LARGE_BYTES:
        return _read(max_file_bytes)
    with large_bodies.Place():
        return _read(max_file_bytes)


def _read(max_file_bytes: int, sink: Sink | None = None, place: str | None = None) -> Form:
    reader = _Reader(max_file_bytes, sink, place)
    try:
        for event in _events():
            reader.read(event)
    except (ClientDisconnected, OSError) as error:
        raise cut_off() from error
    except RequestEntityTooLarge as error:
        raise too_large() from error
    except ValueError as error:
        raise BadRequest("the body is no form: its parts cannot be told apart") from error
    return reader.form


def _events() -> Iterator[Event]:
    """Raises what the decoder raises, and ClientDisconnected for a body that ends early."""
    refuse_compressed(request.environ)
    _, options = parse_options_header(request.headers.get("Content-Type", ""))
    boundary = options.get("boundary", "").encode("latin-1", "replace")
    if not boundary:
        raise BadRequest("the body is a form whose Content-Type names no boundary")
    decoder = MultipartDecoder(boundary, _HELD, max_parts=_MOST_PARTS)
    length, size = request.content_length, 0
    for chunk in body_in_time(request.stream, length):
        size += len(chunk)
        yield from _next_events(decoder, chunk)
    request_context.current().log_fields["request_bytes"] = size
    if size < (length or 0):
        raise ClientDisconnected
    if length is None and size >= (request.max_content_length or math.inf):
        raise too_large()  # chunks are cut at the limit without a word
    yield from _next_events(decoder, None)


def _next_events(decoder: MultipartDecoder, chunk: bytes | None) -> Iterator[Event]:
    """The events that a chunk completes; None is the end."""
    try:
        decoder.receive_data(chunk)
        while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
            yield event
    except RequestEntityTooLarge as error:
        raise BadRequest(
            f"the form has more than {_MOST_PARTS} parts, or one of them has too long a head"
        ) from error


class _Reader:
    """Puts the form's parts together."""

    def __init__(self, max_file_bytes: int, sink: Sink | None, place: str | None) -> None:
        self.form = Form()
        self._max_file_bytes = max_file_bytes
        self._sink = sink
        self._place = place
        self._part: Field | File | None = None
        self._begin()

    def _begin(self) -> None:
        self._size = 0
        self._content = io.BytesIO()
        self._write: Write = self._content.write

    def read(self, event: Event) -> None:
        match event:
            case Field(headers=headers, name=name) if name == self._place:
                self.read(File(filename="", headers=headers, name=name))
            case Field() | File():
                self._part = event
                self._begin()
                if isinstance(event, File) and self._sink is not None:
                    kind = event.headers.get("content-type", "")
                    self._write = self._sink(event.name, event.filename, kind)
            case Data(data, more_data) if self._part is not None:
                self._add(self._part, data)
                if not more_data:
                    self._end(self._part, self._content.getvalue())
            case _:
                pass

    def _add(self, part: Field | File, data: bytes) -> None:
        self._size += len(data)
        if isinstance(part, File) and self._size > self._max_file_bytes:
            raise file_too_large(part.name, self._max_file_bytes)
        if isinstance(part, Field) and self._size > _MOST_FIELD_BYTES:
            raise BadRequest(f"{part.name}: the text is too long", param=part.name)
        self._write(data)

    def _end(self, part: Field | File, content: bytes) -> None:
        if isinstance(part, File):
            if self._sink is not None:
                return
            kind = part.headers.get("content-type", "")
            self.form.files.append(FormFile(part.name, part.filename, kind, content))
            return
        try:
            self.form.fields[part.name] = content.decode()
        except UnicodeDecodeError as error:
            raise BadRequest(f"{part.name}: the text is not UTF-8", param=part.name) from error
