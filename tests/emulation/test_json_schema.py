"""Schemas of clients: what is wrong with them, and that they cost little."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gbproxy.domain.response_format import ResponseFormat
from gbproxy.emulation import json_schema
from gbproxy.emulation.schema_form import problem_of
from gbproxy.emulation.structured_output.expectation import ANY, expected


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "objekt"}, "is no JSON schema, at $.type: it must be one of object"),
        ({"type": ["object", 1]}, "is no JSON schema, at $.type: "),
        ({"properties": []}, "is no JSON schema, at $.properties: it must be an object of schemas"),
        ({"properties": {"a": {"items": 5}}}, "is no JSON schema, at $.properties.a.items: "),
        ({"anyOf": [{}, {"required": "a"}]}, "is no JSON schema, at $.anyOf[1].required: "),
        ({"anyOf": {}}, "is no JSON schema, at $.anyOf: it must be an array of schemas"),
        ({"minimum": "5"}, "is no JSON schema, at $.minimum: it must be a number"),
        ({"maxItems": 1.5}, "is no JSON schema, at $.maxItems: "),
        ({"multipleOf": 0}, "is no JSON schema, at $.multipleOf: "),
        ({"enum": "a"}, "is no JSON schema, at $.enum: "),
        ({"pattern": 1}, "is no JSON schema, at $.pattern: "),
        ({"dependentRequired": {"a": "b"}}, "is no JSON schema, at $.dependentRequired: "),
        ({"items": {"$ref": "https://example.com/a.json"}}, "is no JSON schema, at $.items.$ref: "),
        ({"$ref": "other.json#/a"}, "is no JSON schema, at $.$ref: it must be a reference within"),
        ({"$ref": "#/$defs/a", "$defs": {}}, "refers to what is not there, at $.$ref"),
        ({"$ref": "#/properties/a/b", "properties": {"a": True}}, "refers to what is not there"),
        (
            {"items": {"$ref": "#/anyOf/x"}, "anyOf": [{}]},
            "refers to what is not there, at $.items",
        ),
        ({"anyOf": [{}] * 5_000}, "has more than 5000 parts"),
    ],
)
def test_what_is_wrong_with_a_schema_is_told(schema: dict[str, Any], words: str) -> None:
    problem = problem_of(schema)

    assert problem is not None
    assert problem.startswith(words)
    assert json_schema.validator(schema) is None


def test_a_schema_nested_too_deeply_is_none() -> None:
    schema: dict[str, Any] = {}
    for _ in range(900):
        schema = {"items": schema}

    assert problem_of(schema) == "is nested too deeply"


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$ref": "#/$defs/a~1b%20c", "$defs": {"a/b c": {"$ref": "#/anyOf/0"}}, "anyOf": [{}]},
        {"properties": {"$ref": {}, "type": {"type": ["string", "null"]}}},
        {"items": [{}, False], "$schema": "http://json-schema.org/draft-07/schema#"},
        {"minimum": -1.5, "minLength": 2.0, "unknown": object(), "enum": [], "required": []},
    ],
)
def test_a_schema_without_fault_has_no_problem(schema: dict[str, Any]) -> None:
    assert problem_of(schema) is None


def test_all_keywords_of_a_draft_are_checked() -> None:
    keywords = set(Draft202012Validator.VALIDATORS) - {"const", "format"}

    for keyword in keywords:
        assert problem_of({keyword: None}) is not None, keyword


@pytest.mark.parametrize("schema", [{"$ref": "#gone"}, {"$ref": "#"}])
def test_a_schema_that_cannot_be_followed_has_no_complaint(schema: dict[str, Any]) -> None:
    prepared = json_schema.validator(schema)

    assert prepared is not None
    assert json_schema.complaint(prepared, {}) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"not": {"$ref": "#"}},
        {"anyOf": [{"$ref": "#"}, {"type": "integer"}]},
        {"if": {"$ref": "#"}, "then": False},
        {"unevaluatedProperties": {"$ref": "#"}, "allOf": [{"$ref": "#"}]},
    ],
    ids=str,
)
def test_a_schema_without_end_ends_wherever_it_is_checked(schema: dict[str, Any]) -> None:
    """Where the stack ends within a library that is not written in Python, that panics."""
    prepared = json_schema.validator(schema)
    assert prepared is not None

    def at_depth(depth: int) -> str | None:
        return at_depth(depth - 1) if depth else json_schema.complaint(prepared, {"a": {"a": 1}})

    assert {at_depth(depth) for depth in range(40)} == {None}


def test_a_schema_of_itself_is_checked_as_deep_as_people_nest() -> None:
    prepared = json_schema.validator(
        {"properties": {"next": {"$ref": "#"}, "name": {"type": "string"}}}
    )
    assert prepared is not None
    value: Any = {"name": 5}
    for _ in range(40):
        value = {"next": value}

    complaint = json_schema.complaint(prepared, value)

    assert complaint is not None
    assert "5 is not of type 'string'" in complaint


@pytest.mark.parametrize("keyword", ["const", "enum", "uniqueItems"])
def test_a_value_that_is_nested_without_end_is_compared_to_none(keyword: str) -> None:
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    schema = {"const": [[]], "enum": [[[]]], "uniqueItems": True}
    prepared = json_schema.validator({keyword: schema[keyword]})
    assert prepared is not None

    complaint = json_schema.complaint(prepared, [deep, deep])

    assert complaint is None or complaint.startswith("$")


def doubling(depth: int) -> dict[str, Any]:
    """A schema of few parts that takes 2 ** depth steps to check."""
    steps = {f"{i}": {"allOf": [{"$ref": f"#/$defs/{i + 1}"}] * 2} for i in range(depth)}
    return {"$ref": "#/$defs/0", "$defs": {**steps, f"{depth}": {"type": "object"}}}


def test_a_check_that_would_take_for_ever_ends() -> None:
    short, endless = json_schema.validator(doubling(3)), json_schema.validator(doubling(40))

    assert short is not None
    assert endless is not None
    assert json_schema.complaint(short, 1) is not None
    assert json_schema.complaint(endless, 1, most_keywords=500) is None
    assert expected(ResponseFormat(doubling(40))).kinds == ANY


def test_a_long_complaint_is_shortened() -> None:
    prepared = json_schema.validator({"type": "integer"})

    assert prepared is not None
    complaint = json_schema.complaint(prepared, "x" * 10_000)
    assert complaint is not None
    assert len(complaint) == json_schema.MOST_WORDS + 1


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["a", "#", "object", "^a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.just({"$ref": "#/items/0"})
        | st.dictionaries(st.sampled_from(["a", "^a", *Draft202012Validator.VALIDATORS]), inner)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(list(Draft202012Validator.VALIDATORS)), _JSON), _JSON)
def test_no_schema_breaks_a_check(schema: dict[str, Any], value: Any) -> None:
    prepared = json_schema.validator(schema)

    if prepared is not None:
        complaint = json_schema.complaint(prepared, value)
        assert complaint is None or complaint.startswith("$")
