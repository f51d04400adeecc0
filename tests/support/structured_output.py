"""Formats, and what is read of scripted answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gbproxy.domain.response_format import JSON_OBJECT, ResponseFormat
from gbproxy.emulation.structured_output.checks import FormatChecks
from gbproxy.emulation.structured_output.expectation import expected
from gbproxy.emulation.structured_output.reader import JsonReader
from tests.support.tool_calls import pieces

CITY = ResponseFormat(
    {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "more": {"$ref": "#/$defs/more"},
        },
        "required": ["city"],
        "additionalProperties": False,
        "$defs": {"more": {"type": "array", "items": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}}},
    },
    name="city",
)
LIST = ResponseFormat({"type": "array", "items": {"type": "integer"}})
UNION = ResponseFormat(
    {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}, {"enum": ["none", 3]}],
     "$defs": {"a": {"type": "object", "properties": {"a/b": True}, "required": ["a/b"]}}}
)  # fmt: skip
ANYTHING = ResponseFormat({})
FORMATS = (JSON_OBJECT, CITY, LIST, UNION, ANYTHING)


def reader_of(form: ResponseFormat = JSON_OBJECT) -> JsonReader:
    return JsonReader(expected(form), FormatChecks(form))


def read(
    text: str, cuts: Sequence[int] = (), form: ResponseFormat = JSON_OBJECT
) -> tuple[str, str | None]:
    """What is passed on, and the problem with it."""
    reader = reader_of(form)
    return "".join(fed(reader, pieces(text, cuts))), reader.problem


def fed(reader: JsonReader, texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        yield reader.feed(text)
    yield reader.finish(is_whole=True)


def valid(text: str, form: ResponseFormat = JSON_OBJECT, **options: Any) -> str:
    """The JSON of an answer that has some."""
    passed, problem = read(text, form=form, **options)
    assert problem is None, problem
    return passed
