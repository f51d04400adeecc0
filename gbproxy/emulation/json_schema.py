"""Values against JSON schemas that clients send: what is wrong with a value, or with a schema.

A schema is foreign code: its references are not fetched, and its patterns are searched for only
where that cannot take long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import referencing
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for
from referencing.exceptions import Unresolvable

MOST_WORDS = 300  # characters of a complaint, which may quote a long value

_MOST_PATTERN = 500  # characters
_MOST_SEARCHED = 300  # characters of a text that is searched for one
_MOST_REPETITIONS = 3
_NOWHERE: referencing.Registry[Any] = referencing.Registry()  # fetches nothing


def validator(schema: Mapping[str, Any]) -> Validator | None:
    """Prepare a schema. None for one that is none: anything holds to it."""
    try:
        checkable = _checkable(dict(schema))
        kind = validator_for(checkable, default=Draft202012Validator)
        kind.check_schema(checkable)
        careful: type[Validator] = extend(kind, {"pattern": _check_pattern})  # type: ignore[no-untyped-call]
        return careful(checkable, registry=_NOWHERE)
    except (SchemaError, Unresolvable, RecursionError, re.error):
        return None


def complaint(prepared: Validator, value: Any) -> str | None:
    """What is wrong with a value, in words for the model: `$.city: 5 is not of type 'string'`.

    None: nothing; also where the schema refers to what is not there, or to itself without end.
    """
    try:
        error = best_match(prepared.iter_errors(value))
    except (Unresolvable, RecursionError, re.error):
        return None
    return None if error is None else shortened(f"{error.json_path}: {error.message}")


def problem_of(schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a schema, in words that complete "the schema …"; None: nothing."""
    try:
        foreign = next((each for each in _references(schema) if not each.startswith("#")), None)
        if foreign is not None:
            return "refers to another document: only references within it (#/…) are followed"
        validator_for(schema, default=Draft202012Validator).check_schema(dict(schema))
    except SchemaError as error:
        return shortened(f"is no JSON schema, at {error.json_path}: {error.message}")
    except (Unresolvable, re.error):
        return "is no JSON schema"
    except RecursionError:
        return "is nested too deeply"
    return None


def shortened(words: str) -> str:
    return words if len(words) <= MOST_WORDS else f"{words[:MOST_WORDS]}…"


def may_match(pattern: str, text: str) -> bool:
    """False only for what was searched for in vain."""
    is_searched = len(text) <= _MOST_SEARCHED and _is_harmless(pattern)
    return not is_searched or re.search(pattern, text) is not None


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for each in schema:
            yield from _references(each)


def _checkable(schema: Any) -> Any:
    """A schema without names by patterns that cannot be searched for, nor what depends on them."""
    if isinstance(schema, list):
        return [_checkable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    checkable = {key: _checkable(value) for key, value in schema.items()}
    names = schema.get("patternProperties")
    if isinstance(names, dict) and not all(map(_is_harmless, names)):
        for key in ("patternProperties", "additionalProperties", "unevaluatedProperties"):
            checkable.pop(key, None)
    return checkable


def _check_pattern(
    _validator: Validator, pattern: str, text: object, _schema: object
) -> Iterator[ValidationError]:
    if isinstance(text, str) and not may_match(pattern, text):
        yield ValidationError(f"{text!r} does not match {pattern!r}")


@lru_cache(maxsize=256)
def _is_harmless(pattern: str) -> bool:
    """True if Python knows the pattern, and a search for it in a short text cannot take long: no
    group is repeated, and few signs are.
    """
    repetitions = len(_REPETITION.findall(_SINGLE.sub("x", pattern)))
    if len(pattern) > _MOST_PATTERN or repetitions > _MOST_REPETITIONS:
        return False
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    return _REPEATED_GROUP.search(pattern) is None


_SINGLE = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)  # what stands for one sign
_REPETITION = re.compile(r"[*+]|\{\d*,\d*\}")
_REPEATED_GROUP = re.compile(r"\)(?:[*+]|\{)")
