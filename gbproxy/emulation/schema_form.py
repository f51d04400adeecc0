"""Checks the form of a client's JSON schema: each keyword has a value of its kind.

By hand, as the schema of schemas takes a millisecond for each part, in which a worker does nothing
else. Source: https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any
from urllib.parse import unquote

MOST_PARTS = 5_000  # schemas within one, all told

_DEEPEST = 100  # levels; a validator needs several calls for each

Part = tuple[Any, str]  # a schema within a schema, and its place


class _Wrong(Exception):
    pass


def problem_of(schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a schema, in words that complete "the schema …"; None: nothing."""
    waiting: list[tuple[Part, int]] = [((schema, "$"), 0)]
    parts = 0
    while waiting:
        (part, place), depth = waiting.pop()
        parts += 1
        if parts > MOST_PARTS:
            return f"has more than {MOST_PARTS} parts"
        if depth > _DEEPEST:
            return "is nested too deeply"
        try:
            inner = list(islice(_inner(part, place), MOST_PARTS))
        except _Wrong as wrong:
            return f"is no JSON schema, at {wrong}"
        if isinstance(part, dict) and not _is_there(schema, part.get("$ref", "#")):
            return f"refers to what is not there, at {place}.$ref"
        waiting += [(each, depth + 1) for each in inner]
    return None


def _inner(part: Any, place: str) -> Iterator[Part]:
    if isinstance(part, bool):
        return
    if not isinstance(part, dict):
        raise _Wrong(f"{place}: it must be an object")
    for keyword, value in part.items():
        where = f"{place}.{keyword[:64]}"
        if keyword in _SCHEMA and not (keyword == "items" and isinstance(value, list)):
            yield value, where
        elif keyword in _SCHEMAS or keyword == "items":
            _ensure(isinstance(value, list), where, "an array of schemas")
            yield from ((each, f"{where}[{i}]") for i, each in enumerate(value))
        elif keyword in _NAMED_SCHEMAS:
            _ensure(isinstance(value, dict), where, "an object of schemas")
            yield from ((each, f"{where}.{name[:64]}") for name, each in value.items())
        elif keyword in _VALUES:
            is_right, what = _VALUES[keyword]
            _ensure(is_right(value), where, what)


def _is_there(schema: Any, reference: str) -> bool:
    found = schema
    for step in unquote(reference[1:]).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        elif isinstance(found, dict) and name in found:
            found = found[name]
        else:
            return False
    return isinstance(found, dict | bool)


def _ensure(is_right: bool, place: str, what: str) -> None:
    if not is_right:
        raise _Wrong(f"{place}: it must be {what}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _are_types(value: Any) -> bool:
    names = value if isinstance(value, list) else [value]
    return all(isinstance(name, str) and name in _TYPES for name in names)


def _is_inner_reference(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("#")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
_SCHEMA = frozenset(
    ("items", "additionalItems", "additionalProperties", "unevaluatedItems",
     "unevaluatedProperties", "contains", "propertyNames", "not", "if", "then", "else")
)  # fmt: skip
_SCHEMAS = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
_NAMED_SCHEMAS = frozenset(
    ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
)
_NUMBER = (_is_number, "a number")
_COUNT = (_is_count, "a whole number, 0 or more")
_REFERENCE = (_is_inner_reference, "a reference within the schema, #/…")
_VALUES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "type": (_are_types, f"one of {', '.join(_TYPES)}, or an array of them"),
    "enum": (lambda value: isinstance(value, list), "an array"),
    "required": (_are_texts, "an array of names"),
    "pattern": (_is_text, "a text"),
    "uniqueItems": (lambda value: isinstance(value, bool), "true or false"),
    "multipleOf": (lambda value: _is_number(value) and value > 0, "a number above 0"),
    "dependentRequired": (
        lambda value: isinstance(value, dict) and all(map(_are_texts, value.values())),
        "an object of arrays of names",
    ),
    **dict.fromkeys(("$schema", "$id", "$anchor", "$dynamicAnchor"), (_is_text, "a text")),
    "$ref": _REFERENCE,
    "$dynamicRef": _REFERENCE,
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _NUMBER),
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
         "minContains", "maxContains"),
        _COUNT,
    ),
}  # fmt: skip
