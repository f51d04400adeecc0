"""Schemas of clients: what is wrong with them, and that they cost little."""

from __future__ import annotations

from typing import Any

import pytest

from gbproxy.emulation import json_schema


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "objekt"}, "is no JSON schema, at $.type: "),
        ({"properties": []}, "is no JSON schema, at $.properties: "),
        ({"items": {"$ref": "https://example.com/a.json"}}, "refers to another document"),
        ({"$ref": "other.json#/a"}, "refers to another document"),
    ],
)
def test_what_is_wrong_with_a_schema_is_told(schema: dict[str, Any], words: str) -> None:
    problem = json_schema.problem_of(schema)

    assert problem is not None
    assert problem.startswith(words)


def test_a_schema_nested_without_end_is_none() -> None:
    schema: dict[str, Any] = {}
    for _ in range(900):
        schema = {"items": schema}

    assert json_schema.problem_of(schema) == "is nested too deeply"


@pytest.mark.parametrize(
    "schema", [{}, {"$ref": "#/$defs/a", "$defs": {"a": {}}}, {"properties": {"$ref": {}}}]
)
def test_a_schema_without_fault_has_no_problem(schema: dict[str, Any]) -> None:
    assert json_schema.problem_of(schema) is None


@pytest.mark.parametrize("schema", [{"$ref": "#/$defs/gone"}, {"$ref": "#"}])
def test_a_schema_that_cannot_be_followed_has_no_complaint(schema: dict[str, Any]) -> None:
    prepared = json_schema.validator(schema)

    assert prepared is not None
    assert json_schema.complaint(prepared, {}) is None


def test_a_long_complaint_is_shortened() -> None:
    prepared = json_schema.validator({"type": "integer"})

    assert prepared is not None
    complaint = json_schema.complaint(prepared, "x" * 10_000)
    assert complaint is not None
    assert len(complaint) == json_schema.MOST_WORDS + 1
