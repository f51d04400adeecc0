"""Adds members to the objects of a JSON text; every character that is there stays."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")
_MARGIN = re.compile(r"[ \t]*")
_INDENT = re.compile(r"^([ \t]+)\S", re.MULTILINE)


class _Object(NamedTuple):
    """`values`: where the value of each member begins; `last`: where the last member does, and
    `end`: where that ends. Of an object without members, its brace.
    """

    values: Mapping[str, int]
    last: int
    end: int


def with_members(text: str, wanted: Mapping[str, Any]) -> str:
    """The text with the members of `wanted` that it lacks, indented as it is itself.

    `text`: a valid JSON object without duplicate names, which has an object wherever `wanted` does.
    """
    indent = _INDENT.search(text)
    unit = indent[1] if indent else "  "
    for position, addition in sorted(_additions(text, _after_space(text, 0), wanted, unit))[::-1]:
        text = text[:position] + addition + text[position:]
    return text


def _additions(
    text: str, start: int, wanted: Mapping[str, Any], unit: str
) -> Iterator[tuple[int, str]]:
    """What is to be inserted, and where, for the object at `start`."""
    there = _scan(text, start)
    missing = {}
    for name, value in wanted.items():
        if name not in there.values:
            missing[name] = value
        elif isinstance(value, Mapping):
            yield from _additions(text, there.values[name], value, unit)
    if missing:
        yield there.end, _addition(text, start, there, missing, unit)


def _scan(text: str, start: int) -> _Object:
    values: dict[str, int] = {}
    last, end = start, start + 1
    position = _after_space(text, end)
    while text[position] != "}":
        last = position
        name, position = _DECODER.raw_decode(text, position)
        values[name] = _after_space(text, _after_space(text, position) + 1)
        _, end = _DECODER.raw_decode(text, values[name])
        position = _after_space(text, end)
        if text[position] == ",":
            position = _after_space(text, position + 1)
    return _Object(values, last, end)


def _addition(text: str, start: int, there: _Object, missing: Mapping[str, Any], unit: str) -> str:
    if there.values and "\n" not in text[start : there.last]:  # all in one line
        return ", " + json.dumps(missing, ensure_ascii=False)[1:-1]
    margin = _margin(text, there.last)
    line = f"\n{margin}" if there.values else f"\n{margin}{unit}"
    added = ",".join(line + _written(each, line, unit) for each in missing.items())
    if there.values:
        return f",{added}"
    is_closed_in_line = "\n" not in text[there.end : _after_space(text, there.end)]
    return f"{added}\n{margin}" if is_closed_in_line else added


def _written(member: tuple[str, Any], line: str, unit: str) -> str:
    name, value = (json.dumps(each, ensure_ascii=False, indent=unit) for each in member)
    return f"{name}: {value}".replace("\n", line)


def _margin(text: str, position: int) -> str:
    """The white space at the beginning of the line."""
    found = _MARGIN.match(text, text.rfind("\n", 0, position) + 1)
    return found[0] if found else ""


def _after_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position
