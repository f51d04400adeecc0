"""The body of a request, within limits of size and time; and work that is too long for the event
loop, where all other requests of the worker would wait for it.
"""

from __future__ import annotations

import io
import math
import time
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from json import JSONDecodeError
from typing import IO, TYPE_CHECKING, Any, TypeVar

import gevent
from flask import request
from werkzeug.exceptions import ClientDisconnected

from gbproxy.domain import json_limit, jsontext
from gbproxy.domain.slices import Work
from gbproxy.errors import (
    BadRequest,
    GatewayError,
    RequestTimeout,
    RequestTooLarge,
    UnsupportedMediaType,
)
from gbproxy.observability import request_context
from gbproxy.web import large_bodies

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# in the environment of a request: its whole body came with its head; set by servers that can tell
IS_IN = "gbproxy.body_is_in"

BODY_S = 10.0  # for a body to arrive, and one more second for
BODY_BYTES_A_SECOND = 256 * 1024  # each so many that have come
_BODY_READ = 64 * 1024

MOST_VALUES = 250_000  # that a body may hold: texts, numbers, objects, arrays
_LARGE_BYTES = 256 * 1024  # from here on the work on it is long, or may be

T = TypeVar("T")


def json_body() -> dict[str, Any]:
    """The request's body as a JSON object. Raises BadRequest, RequestTooLarge or
    UnsupportedMediaType.
    """
    return read_json(lambda body: body)


def read_json(parse: Callable[[dict[str, Any]], T]) -> T:
    """The result of `parse` on the request's body. A large body is worked on in slices, with other
    requests' work in between.

    Raises what `json_body` and `parse` raise.
    """
    environ = request.environ
    refuse_compressed(environ)
    mimetype = environ.get("CONTENT_TYPE", "").partition(";")[0].strip(" \t").lower()
    if not (mimetype in ("", "application/json") or mimetype.endswith("+json")):
        raise UnsupportedMediaType(f"the body must be application/json, not {mimetype[:80]}")
    if (request.content_length or 0) < large_bodies.LARGE_BYTES:
        return _parsed([_raw_body(environ)], parse)
    with large_bodies.Place() as place:
        data = [_raw_body(environ)]
        place.begin_work()
        return _parsed(data, parse)


def _parsed(raw: list[bytes], parse: Callable[[dict[str, Any]], T]) -> T:
    """The result of `parse` on the one body in the list, which is taken out: a large one must not
    be held any longer than it is needed.
    """
    with Work() as work:
        if len(raw[0]) >= _LARGE_BYTES:
            work.begin()
            _check_values(raw[0], work)
        body = _decoded(raw, work)
        work.rest()
        return parse(body)


def refuse_compressed(environ: WSGIEnvironment) -> None:
    """Raises UnsupportedMediaType for a body that says it is compressed."""
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() not in ("", "identity"):
        raise UnsupportedMediaType(
            "compressed bodies are not taken: send the body without Content-Encoding"
        )


def too_large() -> RequestTooLarge:
    """The refusal of what is larger than MAX_BODY_MB."""
    return RequestTooLarge("the body is larger than MAX_BODY_MB allows")


def cut_off() -> BadRequest:
    """The refusal of a body that ends before its end, or whose chunks are none."""
    return BadRequest("the body could not be read to its end")


def _check_values(data: bytes, work: Work) -> None:
    try:
        json_limit.refuse_too_many_values(data, MOST_VALUES, work.rest)
    except json_limit.TooManyValues as error:
        where = f"{error.place}: the body" if error.place else "the body"
        raise BadRequest(
            f"{where} holds more than {MOST_VALUES} values", param=error.place or None
        ) from error


def _decoded(raw: list[bytes], work: Work) -> dict[str, Any]:
    # some programs write their files with a mark of UTF-8 at the beginning
    raw[0] = raw[0].removeprefix(BOM_UTF8).strip(b" \t\r\n")
    try:
        body = jsontext.decode_last(raw, work.rest)
    except UnicodeDecodeError as error:
        raise BadRequest("the body is not UTF-8") from error
    except ValueError as error:
        raise BadRequest(f"the body {error}{_position(error)}") from error
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    return body


def _position(error: ValueError) -> str:
    cause = error.__cause__
    return (
        f" (line {cause.lineno}, column {cause.colno})"
        if isinstance(cause, JSONDecodeError)
        else ""
    )


def _raw_body(environ: WSGIEnvironment) -> bytes:
    try:
        length = request.content_length
        if length and environ.get(IS_IN):  # no time needs to be limited
            body = request.stream.read(length)
        else:
            whole = io.BytesIO()
            for chunk in body_in_time(request.stream, length):
                whole.write(chunk)
            body = whole.getvalue()  # which is no copy
        if len(body) < (length or 0):
            raise ClientDisconnected
    except (ClientDisconnected, OSError) as error:  # the end before its time
        raise cut_off() from error
    if length is None and len(body) >= (request.max_content_length or math.inf):
        raise too_large()  # chunks are cut at the limit without a word
    request_context.current().log_fields["request_bytes"] = len(body)
    return body


def body_in_time(stream: IO[bytes], length: int | None) -> Iterator[bytes]:
    """Yield a body of this length as it comes; the deadline grows with the bytes that have come.
    Raises RequestTimeout.
    """
    deadline = time.monotonic() + BODY_S
    size = 0
    while size != length:
        left_s = max(0.001, deadline + size / BODY_BYTES_A_SECOND - time.monotonic())
        with gevent.Timeout(left_s, RequestTimeout("the body did not arrive in time")):
            chunk = stream.read(_BODY_READ)
        if not chunk:
            return
        size += len(chunk)
        yield chunk
        if (
            len(chunk) == _BODY_READ
        ):  # there is more: a sender that is quicker than we are is not to keep others waiting
            gevent.sleep(0)


def body_pieces() -> Iterator[bytes]:
    """Yield the request's body as it comes. Raises UnsupportedMediaType, and BadRequest,
    RequestTooLarge or RequestTimeout, also after pieces of it.
    """
    refuse_compressed(request.environ)
    length, size = request.content_length, 0
    try:
        for chunk in body_in_time(request.stream, length):
            size += len(chunk)
            yield chunk
    except (ClientDisconnected, OSError) as error:
        raise cut_off() from error
    if size < (length or 0):
        raise cut_off()
    if length is None and size >= (request.max_content_length or math.inf):
        raise too_large()  # chunks are cut at the limit without a word
    request_context.current().log_fields["request_bytes"] = size


def run_in_thread(work: Callable[[], T]) -> T:
    """Run it in a real thread, while this request alone waits. Raises its GatewayErrors."""
    done: T | GatewayError = gevent.get_hub().threadpool.apply(_caught, (work,))
    if isinstance(done, GatewayError):
        raise done
    return done


def _caught(work: Callable[[], T]) -> T | GatewayError:
    # gevent prints what a thread of its pool raises.
    try:
        return work()
    except GatewayError as error:
        return error
