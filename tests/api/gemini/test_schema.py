"""Google's dialect of schemas, and JSON schemas beside it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.api.gemini.schema import to_json_schema
from gbproxy.emulation.schema_form import problem_of


@pytest.mark.parametrize(
    ("schema", "converted"),
    [
        ({"type": "STRING", "format": "enum", "enum": ["a"]}, {"type": "string", "format": "enum", "enum": ["a"]}),
        ({"type": "STRING", "nullable": True, "enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"type": "STRING", "nullable": False}, {"type": "string"}),
        ({"any_of": [{"type": "STRING"}], "nullable": True}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"type": "TYPE_UNSPECIFIED"}, {}),
        ({"type": "ARRAY", "min_items": "1", "maxItems": "3", "items": {"type": "NUMBER"}}, {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "number"}}),
        ({"anyOf": [{"type": "STRING"}, {"type": "NULL"}]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"type": "OBJECT", "additional_properties": {"type": "BOOLEAN"}}, {"type": "object", "additionalProperties": {"type": "boolean"}}),
        ({"type": "INTEGER", "example": 3}, {"type": "integer", "examples": [3]}),
        ({"ref": "#/$defs/a", "defs": {"a": {"type": "STRING"}}}, {"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}),
    ],
)  # fmt: skip
def test_the_dialect(schema: dict[str, Any], converted: dict[str, Any]) -> None:
    assert to_json_schema(schema, "here") == converted
    assert problem_of(converted) is None


def test_names_of_properties_are_no_keywords() -> None:
    names = ("type", "nullable", "example", "min_items", "ref", "propertyOrdering")
    schema = {"type": "OBJECT", "properties": {name: {"type": "STRING"} for name in names}}

    assert to_json_schema(schema, "here")["properties"] == {
        name: {"type": "string"} for name in names
    }


def test_properties_come_in_the_order_that_is_asked_for() -> None:
    properties = {name: {"type": "STRING"} for name in ("c", "b", "a")}
    schema = {"type": "OBJECT", "properties": properties, "propertyOrdering": ["a", "b", "x"]}

    assert list(to_json_schema(schema, "here")["properties"]) == ["a", "b", "c"]


JSON_SCHEMAS = st.recursive(
    st.sampled_from([{}, {"type": "string"}, {"type": ["integer", "null"]}, {"const": 1}, {"enum": [1, None]}]),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"type": st.just("array"), "items": inner, "minItems": st.just(1)}),
        st.fixed_dictionaries({"oneOf": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.dictionaries(st.sampled_from(["a", "type", "items"]), inner),
                "additionalProperties": st.one_of(st.booleans(), inner),
                "$defs": st.dictionaries(st.just("d"), inner, max_size=1),
            }
        ),
    ),
    max_leaves=6,
)  # fmt: skip


@given(JSON_SCHEMAS)
def test_what_is_a_json_schema_stays_as_it_is(schema: dict[str, Any]) -> None:
    assert to_json_schema(schema, "here") == schema
