"""The fields of a form that a browser has posted, within limits of size and time."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from urllib.parse import parse_qsl

from flask import g, request
from werkzeug.exceptions import ClientDisconnected

from gbproxy.console import texts
from gbproxy.errors import BadRequest, RequestTooLarge, UnsupportedMediaType
from gbproxy.web.body import body_in_time, cut_off

_MOST_FIELDS = 100
_TYPE = "application/x-www-form-urlencoded"


def read_fields(most_bytes: int) -> None:
    """Read the body, once, for `fields`. Raises BadRequest, RequestTooLarge, RequestTimeout or
    UnsupportedMediaType.
    """
    if request.mimetype != _TYPE:
        raise UnsupportedMediaType(texts.N_("the body must be application/x-www-form-urlencoded"))
    try:
        g.console_fields = dict(
            parse_qsl(
                _body(most_bytes).decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS
            )
        )
    except ValueError as error:  # also for what is not UTF-8
        raise BadRequest(texts.N_("the form cannot be read")) from error


def fields() -> Mapping[str, str]:
    """The form's fields; of several of one name, the last. None if it could not be read."""
    found: Mapping[str, str] = g.get("console_fields", {})
    return found


def _body(most_bytes: int) -> bytes:
    length = request.content_length
    if (length or 0) > most_bytes:
        raise _too_large()
    whole = io.BytesIO()
    try:
        for chunk in body_in_time(request.stream, length):
            whole.write(chunk)
            if whole.tell() > most_bytes:
                raise _too_large()
    except (ClientDisconnected, OSError) as error:
        raise cut_off() from error
    if whole.tell() < (length or 0) or (
        length is None and whole.tell() >= (request.max_content_length or math.inf)
    ):
        raise cut_off()  # chunks are cut at the limit without a word
    return whole.getvalue()


def _too_large() -> RequestTooLarge:
    return RequestTooLarge(texts.N_("the form is too large"))
