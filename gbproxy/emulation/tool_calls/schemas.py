"""Whether what a call holds is what its tool takes, by the client's own schemas."""

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

from gbproxy.domain.tools import CustomTool, FunctionTool, Tool

_MOST_WORDS = 300  # characters of a complaint, which may quote a long argument
_MOST_PATTERN = 500  # characters
_MOST_SEARCHED = 300  # characters of a text that is searched for one
_MOST_REPETITIONS = 3
_NOWHERE: referencing.Registry[Any] = referencing.Registry()  # fetches nothing


class Checks:
    """The checks of one request's tools; a schema is prepared when its tool is first called."""

    def __init__(self, tools: tuple[Tool, ...]) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self.names = frozenset(self._tools)
        self._prepared: dict[str, Validator | None] = {}

    def is_custom(self, name: str) -> bool:
        return isinstance(self._tools.get(name), CustomTool)

    def complaint(self, name: str, value: object) -> str | None:
        """What is wrong with this call, in words for the model; None: nothing."""
        match self._tools.get(name):
            case None:
                return f"there is no tool {name[:64]}"
            case CustomTool(_, _, grammar):
                if not isinstance(value, str):
                    return f"the input of {name} must be a text"
                if grammar is None or grammar.syntax != "regex":
                    return None
                if _may_match(rf"\A(?:{grammar.definition})\Z", value):
                    return None
                return f"the input of {name} must match {grammar.definition[:_MOST_WORDS]}"
            case FunctionTool() as tool:
                if not isinstance(value, dict):
                    return f"the arguments of {name} must be a JSON object"
                return self._schema_complaint(tool, value)

    def _schema_complaint(self, tool: FunctionTool, arguments: dict[str, Any]) -> str | None:
        if tool.name not in self._prepared:
            self._prepared[tool.name] = _validator(tool.parameters)
        validator = self._prepared[tool.name]
        if validator is None:
            return None
        try:
            error = best_match(validator.iter_errors(arguments))
        except (Unresolvable, RecursionError, re.error):
            return None  # the schema refers to what is not there, or to itself without end
        if error is None:
            return None
        words = f"the arguments of {tool.name}, at {error.json_path}: {error.message}"
        return words if len(words) <= _MOST_WORDS else f"{words[:_MOST_WORDS]}…"


def _validator(schema: Mapping[str, Any]) -> Validator | None:
    """None for a schema that is none: its tool takes any object."""
    try:
        checkable = _checkable(dict(schema))
        kind = validator_for(checkable, default=Draft202012Validator)
        kind.check_schema(checkable)
        careful: type[Validator] = extend(kind, {"pattern": _check_pattern})  # type: ignore[no-untyped-call]
        return careful(checkable, registry=_NOWHERE)
    except (SchemaError, Unresolvable, RecursionError, re.error):
        return None


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
    if isinstance(text, str) and not _may_match(pattern, text):
        yield ValidationError(f"{text!r} does not match {pattern!r}")


def _may_match(pattern: str, text: str) -> bool:
    """False only for what was searched for in vain."""
    is_searched = len(text) <= _MOST_SEARCHED and _is_harmless(pattern)
    return not is_searched or re.search(pattern, text) is not None


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
