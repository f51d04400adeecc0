"""Decoding one JSON text strictly: what Python's own decoder lets through beside JSON is
refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

try:
    import orjson
except ImportError:  # where there is no build of it: the same results, slower
    orjson = None  # type: ignore[assignment]

_SURROGATE = re.compile(rb"\\u[dD]")  # costs a third of two searches with `in`
# A pair of surrogates is 12 characters long, a lone one 6, any other escape is taken as its first
# two.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\.",
    re.DOTALL,
)
_LONE_SURROGATE_LENGTH = 6
_REPLACEMENT = rb"\ufffd"  # of the same length
_ESCAPES = 1000  # that are looked at between two rests


def _go_on() -> None:
    """Short work needs no rest."""


def decode(text: str) -> Any:
    """Decode one JSON text without white space around it.

    Escapes of half a surrogate pair become U+FFFD: they are no characters and could be sent to
    nobody. Raises ValueError, also for NaN, Infinity, numbers out of range and too deep nesting;
    its message completes "the text …" and quotes nothing.
    """
    if "\\u" in text:
        text = _mended(text.encode("utf-8", "surrogatepass"), _go_on).decode(
            "utf-8", "surrogatepass"
        )
    return _decode(text)


def _decode(text: str) -> Any:
    try:
        value, end = _DECODER.raw_decode(text)
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    except ValueError as error:  # JSONDecodeError, a refused number
        raise ValueError("is not valid JSON") from error
    if end != len(text):
        raise ValueError("has more behind its end")
    return value


def decode_bytes_plainly(data: bytes, rest: Callable[[], None] = _go_on) -> Any:
    """As `decode`, for UTF-8 bytes. Raises UnicodeDecodeError, which is a ValueError, when they are
    none.

    `rest` is called between the steps of long work.
    """
    return _decode(_mended(data, rest).decode())


def decode_bytes_quickly(data: bytes, rest: Callable[[], None] = _go_on) -> Any:
    """The same with orjson, which is as strict, but takes no half of a surrogate pair and gives
    huge integers as floats.
    """
    try:
        return orjson.loads(data)
    except ValueError:
        rest()
        return decode_bytes_plainly(data, rest)  # which also says where the mistake is


def encode(value: Any) -> str:
    """A decoded value as JSON. Raises ValueError for too deep nesting; its message completes "the
    text …".
    """
    try:
        return _ENCODER.encode(value)
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error


def encode_bytes_plainly(value: object) -> bytes:
    """A text, or what is made of texts, as JSON in UTF-8; nothing is escaped that need not be."""
    return _encode_compactly(value).encode("utf-8", "surrogatepass")


def encode_bytes_quickly(value: object) -> bytes:
    """The same with orjson."""
    try:
        return orjson.dumps(value)
    except TypeError:  # half of a surrogate pair
        return encode_bytes_plainly(value)


decode_bytes = decode_bytes_quickly if orjson else decode_bytes_plainly
encode_bytes: Callable[[object], bytes] = encode_bytes_quickly if orjson else encode_bytes_plainly


def _mended(data: bytes, rest: Callable[[], None]) -> bytes:
    """The text without escapes of half a surrogate pair."""
    if not _SURROGATE.search(data):
        return data
    mended = bytearray(data)
    for count, escape in enumerate(_ESCAPE.finditer(data), 1):
        start, end = escape.span()
        if end - start == _LONE_SURROGATE_LENGTH:
            mended[start:end] = _REPLACEMENT
        if count % _ESCAPES == 0:
            rest()
    rest()
    return bytes(mended)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("a number is out of range")
    return number


_ENCODER = json.JSONEncoder(ensure_ascii=False)
# json.dumps would make an encoder for each text
_encode_compactly = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
