"""Decoding one JSON text strictly: what Python's own decoder lets through beside JSON is refused."""

from __future__ import annotations

import json
import math
import re
from typing import Any

_SURROGATE = re.compile(r"\\u[dD]")  # costs a third of two searches with `in`
# A pair of surrogates is 12 characters long, a lone one 6, any other escape is taken as its first two.
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\.", re.DOTALL
)
_LONE_SURROGATE_LENGTH = 6


def decode(text: str) -> Any:
    """Decode one JSON text without white space around it.

    Escapes of half a surrogate pair become U+FFFD: they are no characters and could be sent to nobody. Raises ValueError,
    also for NaN, Infinity, numbers out of range and too deep nesting; its message completes "the text …" and quotes nothing.
    """
    if _SURROGATE.search(text):
        text = _ESCAPE.sub(_without_lone_surrogate, text)
    try:
        value, end = _DECODER.raw_decode(text)
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    except ValueError as error:  # JSONDecodeError, a refused number
        raise ValueError("is not valid JSON") from error
    if end != len(text):
        raise ValueError("has more behind its end")
    return value


def _without_lone_surrogate(escape: re.Match[str]) -> str:
    return r"\ufffd" if len(escape[0]) == _LONE_SURROGATE_LENGTH else escape[0]


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("a number is out of range")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
