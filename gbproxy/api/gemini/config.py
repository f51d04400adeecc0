"""`generationConfig` -> what bounds the answers: their form, their length, their number.

Source: https://ai.google.dev/api/generate-content#generationconfig.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gbproxy.api.gemini.body import GenerationConfigBody
from gbproxy.api.gemini.schema import to_json_schema
from gbproxy.domain.response_format import JSON_OBJECT, ResponseFormat
from gbproxy.emulation import schema_form
from gbproxy.errors import BadRequest

MOST_STOPS = 16  # Google takes 5
MOST_STOP_CHARS = 256
MOST_CANDIDATES = 4
NO_LIMIT = -1  # some programs send it

JSON, ENUM, TEXT = "application/json", "text/x.enum", "text/plain"

_PLACE = "generationConfig"


def refuse_what_is_not_offered(config: GenerationConfigBody) -> None:
    """Raises BadRequest for what would make another answer."""
    if config.response_logprobs:
        place = f"{_PLACE}.responseLogprobs"
        raise BadRequest(f"{place}: the upstream tells no probabilities", param=place)


def stop(config: GenerationConfigBody) -> tuple[str, ...]:
    """Raises BadRequest, as all below."""
    place, found = f"{_PLACE}.stopSequences", config.stop_sequences or ()
    if len(found) > MOST_STOPS:
        raise BadRequest(f"{place}: at most {MOST_STOPS} sequences are taken", param=place)
    for i, each in enumerate(found):
        if len(each) > MOST_STOP_CHARS:
            where = f"{place}[{i}]"
            raise BadRequest(f"{where} may have {MOST_STOP_CHARS} characters at most", param=where)
    # an empty one would end every answer before it begins
    return tuple(dict.fromkeys(each for each in found if each))


def most_tokens(config: GenerationConfigBody) -> int | None:
    """None: there is no limit."""
    limit = config.max_output_tokens
    if limit is None or limit == NO_LIMIT:
        return None
    if limit < 1:
        place = f"{_PLACE}.maxOutputTokens"
        raise BadRequest(f"{place} must be 1 or more, or {NO_LIMIT} for no limit", param=place)
    return limit


def candidates(config: GenerationConfigBody) -> int:
    count = 1 if config.candidate_count is None else config.candidate_count
    if not 1 <= count <= MOST_CANDIDATES:
        place = f"{_PLACE}.candidateCount"
        raise BadRequest(f"{place} must be between 1 and {MOST_CANDIDATES}", param=place)
    return count


def response_format(config: GenerationConfigBody) -> ResponseFormat | None:
    """None for plain text. Of `text/x.enum` the format is that of a JSON string."""
    schema, place = config.response_json_schema, f"{_PLACE}.responseJsonSchema"
    if schema is None:
        schema, place = config.response_schema, f"{_PLACE}.responseSchema"
    match config.response_mime_type:
        case None | "":
            return None if schema is None else _of_schema(schema, place)
        case "application/json":
            return JSON_OBJECT if schema is None else _of_schema(schema, place)
        case "text/x.enum":
            return _of_enum(schema, place)
        case "text/plain" if schema is None:
            return None
        case mime_type:
            where = f"{_PLACE}.responseMimeType"
            wanted = f"{TEXT}, {JSON} or {ENUM}" if schema is None else f"{JSON} for a schema"
            raise BadRequest(f"{where} must be {wanted}, not {mime_type[:64]!r}", param=where)


def _of_enum(schema: Mapping[str, Any] | None, place: str) -> ResponseFormat:
    if schema is None or not isinstance(schema.get("enum"), list):
        raise BadRequest(f"{place} must have an enum for {ENUM}", param=place)
    return _of_schema(schema, place)


def _of_schema(schema: Mapping[str, Any], place: str) -> ResponseFormat:
    converted = to_json_schema(schema, place)
    problem = schema_form.problem_of(converted)
    if problem is not None:
        raise BadRequest(f"{place} {problem}", param=place)
    return ResponseFormat(converted)
