"""Values against JSON schemas that clients send: what is wrong with a value, or with a schema.

A schema is foreign code: its references are not fetched, its patterns are searched for only where
that cannot take long, and a check rests from time to time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import referencing
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for
from referencing.exceptions import Unresolvable

from gbproxy.domain.slices import Work
from gbproxy.emulation.schema_form import problem_of

MOST_WORDS = 300  # characters of a complaint, which may quote a long value

_MOST_PATTERN = 500  # characters
_MOST_SEARCHED = 300  # characters of a text that is searched for one
_MOST_REPETITIONS = 3
MOST_KEYWORDS = 100_000  # of schemas, checked for one value; each takes 10 to 100 µs
# Keywords within each other; each takes up to four of Python's calls. They must not end in a
# RecursionError: within the library's tables, which are not in Python, that becomes a panic.
_DEEPEST = 120
_NOWHERE: referencing.Registry[Any] = referencing.Registry()  # fetches nothing


def validator(schema: Mapping[str, Any]) -> Validator | None:
    """Prepare a schema. None for one that is none: anything holds to it."""
    if problem_of(schema) is not None:
        return None
    checkable = _checkable(dict(schema))
    return _validators(validator_for(checkable, default=Draft202012Validator))(
        checkable, registry=_NOWHERE
    )


def complaint(prepared: Validator, value: Any, most_keywords: int = MOST_KEYWORDS) -> str | None:
    """What is wrong with a value, in words for the model: `$.city: 5 is not of type 'string'`.

    None: nothing; also where schema and value go too deep, as where a schema refers to itself
    without end, or take more than `most_keywords` to check. Other requests are served meanwhile.
    """
    with Work() as work:
        token = _budget.set(_Budget(work.rest, most_keywords))
        try:
            error = best_match(prepared.iter_errors(value))
        except (Unresolvable, RecursionError, re.error, _TooMuch):
            return None
        finally:
            _budget.reset(token)
    return None if error is None else shortened(f"{error.json_path}: {error.message}")


def shortened(words: str) -> str:
    return words if len(words) <= MOST_WORDS else f"{words[:MOST_WORDS]}…"


def may_match(pattern: str, text: str) -> bool:
    """False only for what was searched for in vain."""
    is_searched = len(text) <= _MOST_SEARCHED and _is_harmless(pattern)
    return not is_searched or re.search(pattern, text) is not None


@cache
def _validators(kind: type[Validator]) -> type[Validator]:
    keywords = {name: _budgeted(check) for name, check in kind.VALIDATORS.items()}
    return extend(kind, {**keywords, "pattern": _check_pattern})  # type: ignore[no-untyped-call, no-any-return]


def _budgeted(check: Callable[..., Any]) -> Callable[..., Any]:
    def spend_and_check(*arguments: Any) -> Iterator[ValidationError]:
        budget = _budget.get()
        if budget is None:
            yield from check(*arguments) or ()
            return
        budget.enter()
        try:
            yield from check(*arguments) or ()
        finally:
            budget.depth -= 1

    return spend_and_check


class _TooMuch(Exception):
    pass


@dataclass(slots=True)
class _Budget:
    """Of one check: it rests from time to time, and ends after so many keywords, or so deep."""

    rest: Callable[[], None]
    left: int
    depth: int = 0

    def enter(self) -> None:
        self.left -= 1
        if self.left < 0 or self.depth == _DEEPEST:
            raise _TooMuch
        self.depth += 1
        self.rest()


_budget: ContextVar[_Budget | None] = ContextVar("gbproxy_schema_check", default=None)


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
