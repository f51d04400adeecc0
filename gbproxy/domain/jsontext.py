"""JSON texts: decoded strictly (what Python's own decoder lets through beside JSON is refused), and
encoded.
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
# orjson copies a text before it reads it. A larger one of few values is decoded without that.
_MOST_HELD_BYTES = 2 * 1024 * 1024
_FEW_QUOTES = 10_000
_ESCAPES = 1000  # that are looked at between two rests
_MOST_LEVELS = 200  # what walks through a value calls itself for each; a schema has twenty
_CONTAINERS = frozenset((dict, list))
_DIGITS_AS_ZEROS = bytes(ord("0") if sign in b"0123456789" else ord(" ") for sign in range(256))
_HUGE = b"0" * 19  # the fewest digits of what is no integer of 64 bits


def _no_rest() -> None:
    """Short work needs no rest."""


def decode(text: str) -> Any:
    """Decode one JSON text without white space around it.

    Escapes of half a surrogate pair become U+FFFD: they are no characters and cannot be encoded.
    Raises ValueError, also for NaN, Infinity, numbers out of range and too deep nesting;
    its message completes "the text …" and quotes nothing of it.
    """
    if "\\u" in text:
        text = _without_lone_surrogates(text.encode("utf-8", "surrogatepass"), _no_rest).decode(
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


def decode_bytes_plainly(data: bytes, rest: Callable[[], None] = _no_rest) -> Any:
    """As `decode`, for UTF-8 bytes. Raises UnicodeDecodeError, a ValueError, for other bytes.

    `rest` is called between the steps of long work.
    """
    return _decode(_without_lone_surrogates(data, rest).decode())


def decode_bytes_quickly(data: bytes, rest: Callable[[], None] = _no_rest) -> Any:
    """The same with orjson, which is as strict, but rejects half of a surrogate pair and decodes
    huge integers as floats.
    """
    try:
        return orjson.loads(data)
    except ValueError:
        rest()
        return decode_bytes_plainly(data, rest)  # which also accepts halves of surrogate pairs


def decode_last(texts: list[bytes], rest: Callable[[], None] = _no_rest) -> Any:
    """As `decode`, for the last of these texts, which is taken out: so that one which is mostly a
    large file in base64 is never held more than twice. It may have 200 levels.
    """
    brackets = texts[-1].count(b"[") + texts[-1].count(b"{")
    value = _decode_last(texts, rest)
    if brackets > _MOST_LEVELS and _is_deep(value):
        raise ValueError("is nested too deeply")
    return value


def _decode_last(texts: list[bytes], rest: Callable[[], None]) -> Any:
    if len(texts[-1]) < _MOST_HELD_BYTES or texts[-1].count(b'"') > _FEW_QUOTES:
        # A search by digits would take ten times as long.
        if _HUGE in texts[-1].translate(_DIGITS_AS_ZEROS):
            return decode_bytes_plainly(texts.pop(), rest)  # exactly
        return decode_bytes(texts.pop(), rest)
    texts[-1] = _without_lone_surrogates(texts[-1], rest)
    text = texts[-1].decode()
    texts.pop()
    rest()
    return _decode(text)


def _is_deep(value: Any) -> bool:
    level: list[Any] = [[value]]
    for _ in range(_MOST_LEVELS + 1):
        level = [
            inner
            for each in level
            for inner in (each.values() if type(each) is dict else each)
            if type(inner) in _CONTAINERS
        ]
        if not level:
            return False
    return True


def encode(value: Any) -> str:
    """A decoded value as JSON. Raises ValueError for too deep nesting; its message completes "the
    text …".
    """
    try:
        return _ENCODER.encode(value)
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error


def encode_bytes_plainly(value: object) -> bytes:
    """Encode texts and containers of texts as JSON in UTF-8, with no needless escapes."""
    return _encode_compactly(value).encode("utf-8", "surrogatepass")


def encode_bytes_quickly(value: object) -> bytes:
    """The same with orjson."""
    try:
        return orjson.dumps(value)
    except TypeError:  # half of a surrogate pair
        return encode_bytes_plainly(value)


decode_bytes = decode_bytes_quickly if orjson else decode_bytes_plainly
encode_bytes: Callable[[object], bytes] = encode_bytes_quickly if orjson else encode_bytes_plainly


def _without_lone_surrogates(data: bytes, rest: Callable[[], None]) -> bytes:
    """Replace escapes of half a surrogate pair by U+FFFD."""
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
