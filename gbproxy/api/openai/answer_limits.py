"""What bounds the answers of a chat completion: their form, their length, and their number.

Source: https://platform.openai.com/docs/api-reference/chat/create: response_format, stop,
max_tokens, max_completion_tokens, n. All raise BadRequest, whose `param` names the field.
"""

from __future__ import annotations

from typing import Any

from gbproxy.domain.response_format import JSON_OBJECT, ResponseFormat
from gbproxy.emulation import schema_form
from gbproxy.errors import BadRequest

MOST_STOPS = 4
MOST_STOP_CHARS = 256
MOST_CHOICES = 4
NO_LIMIT = -1  # some programs send it


def response_format(form: dict[str, Any] | None) -> ResponseFormat | None:
    """None for plain text."""
    if form is None:
        return None
    match form.get("type"):
        case "text":
            return None
        case "json_object":
            schema = form.get("schema")  # as other servers take it
            return JSON_OBJECT if schema is None else of_schema(form, "response_format")
        case "json_schema":
            inner = form.get("json_schema")
            if not isinstance(inner, dict):
                place = "response_format.json_schema"
                raise BadRequest(f"{place} must be an object with a schema", param=place)
            return of_schema(inner, "response_format.json_schema")
        case _:
            place = "response_format.type"
            raise BadRequest(f"{place} must be text, json_object or json_schema", param=place)


def stop(sequences: str | list[str] | None) -> tuple[str, ...]:
    found = [sequences] if isinstance(sequences, str) else sequences or []
    if len(found) > MOST_STOPS:
        raise BadRequest(f"stop: at most {MOST_STOPS} sequences are taken", param="stop")
    if any(len(each) > MOST_STOP_CHARS for each in found):
        raise BadRequest(
            f"stop: a sequence may have {MOST_STOP_CHARS} characters at most", param="stop"
        )
    # an empty one would end every answer before it begins
    return tuple(dict.fromkeys(each for each in found if each))


def most_tokens(**fields: int | None) -> int | None:
    """The least of the limits; None: there is none."""
    for name, limit in fields.items():
        if limit is not None and limit < 1 and limit != NO_LIMIT:
            raise BadRequest(f"{name} must be 1 or more, or {NO_LIMIT} for no limit", param=name)
    return min((limit for limit in fields.values() if limit and limit > 0), default=None)


def choices(n: int | None) -> int:
    if n is None:
        return 1
    if not 1 <= n <= MOST_CHOICES:
        raise BadRequest(f"n must be between 1 and {MOST_CHOICES}", param="n")
    return n


def of_schema(form: dict[str, Any], place: str) -> ResponseFormat:
    """The form that a JSON schema describes: `schema`, `name`, `description` and `strict`, which
    stand at `place`.
    """
    schema, strict = form.get("schema"), form.get("strict")
    if strict is not None and not isinstance(strict, bool):
        raise BadRequest(f"{place}.strict must be true or false", param=f"{place}.strict")
    if schema is not None:
        _ensure_schema(schema, f"{place}.schema")
    return ResponseFormat(
        schema, _text(form, "name", place), _text(form, "description", place), bool(strict)
    )


def _ensure_schema(schema: object, place: str) -> None:
    if not isinstance(schema, dict):
        raise BadRequest(f"{place} must be a JSON schema", param=place)
    problem = schema_form.problem_of(schema)
    if problem is not None:
        raise BadRequest(f"{place} {problem}", param=place)


def _text(form: dict[str, Any], name: str, place: str) -> str:
    value = form.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRequest(f"{place}.{name} must be a text", param=f"{place}.{name}")
    return value or ""
