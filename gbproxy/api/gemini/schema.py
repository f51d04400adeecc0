"""Google's dialect of schemas -> JSON schemas.

Source: https://ai.google.dev/api/caching#Schema, a subset of OpenAPI 3.0: types in capitals,
`nullable`, and whole numbers as texts. What is a JSON schema already stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gbproxy.errors import BadRequest

_DEEPEST = 100  # levels

# Keywords by all their names in the dialect.
_NAMES = {
    "any_of": "anyOf",
    "additional_properties": "additionalProperties",
    "max_items": "maxItems",
    "max_length": "maxLength",
    "max_properties": "maxProperties",
    "min_items": "minItems",
    "min_length": "minLength",
    "min_properties": "minProperties",
    "defs": "$defs",
    "ref": "$ref",
}
_COUNTS = frozenset(
    ("maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties")
)
_SCHEMA = frozenset(("items", "additionalProperties", "not", "contains", "propertyNames"))
_SCHEMAS = frozenset(("anyOf", "oneOf", "allOf", "prefixItems"))
_NAMED_SCHEMAS = frozenset(("properties", "$defs", "definitions", "patternProperties"))
# Of these the conversion makes something else.
_OWN = frozenset(("nullable", "propertyOrdering", "property_ordering", "example"))


def to_json_schema(schema: Mapping[str, Any], place: str) -> dict[str, Any]:
    """`place`: where the schema stands in the request. Raises BadRequest for too deep a schema."""
    return _converted(schema, place, 0)


def _converted(schema: Mapping[str, Any], place: str, depth: int) -> dict[str, Any]:
    if depth > _DEEPEST:
        raise BadRequest(f"{place} is nested too deeply", param=place)
    converted: dict[str, Any] = {}
    for given, value in schema.items():
        keyword = _NAMES.get(given, given)
        if keyword not in _OWN:
            converted[keyword] = _value(keyword, value, place, depth + 1)
    if converted.get("type") == "type_unspecified":
        del converted["type"]
    if schema.get("nullable") is True:
        _allow_null(converted)
    if "example" in schema:
        converted.setdefault("examples", [schema["example"]])
    ordering = schema.get("propertyOrdering", schema.get("property_ordering"))
    if isinstance(ordering, list) and isinstance(converted.get("properties"), dict):
        converted["properties"] = _ordered(converted["properties"], ordering)
    return converted


def _value(keyword: str, value: Any, place: str, depth: int) -> Any:
    if keyword == "type":
        return _type(value)
    if keyword in _COUNTS and isinstance(value, str) and value.isdecimal():
        return int(value)
    if keyword in _SCHEMAS or (keyword == "items" and isinstance(value, list)):
        return [_inner(each, place, depth) for each in value] if isinstance(value, list) else value
    if keyword in _SCHEMA:
        return _inner(value, place, depth)
    if keyword in _NAMED_SCHEMAS and isinstance(value, Mapping):
        return {name: _inner(each, place, depth) for name, each in value.items()}
    return value


def _inner(schema: Any, place: str, depth: int) -> Any:
    return _converted(schema, place, depth) if isinstance(schema, Mapping) else schema


def _type(value: Any) -> Any:
    if isinstance(value, list):
        return [_type(each) for each in value]
    return value.lower() if isinstance(value, str) else value


def _allow_null(schema: dict[str, Any]) -> None:
    kinds = schema.get("type")
    if kinds is not None:
        listed = kinds if isinstance(kinds, list) else [kinds]
        schema["type"] = listed if "null" in listed else [*listed, "null"]
    if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
    if kinds is None and isinstance(schema.get("anyOf"), list):
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]


def _ordered(properties: Mapping[str, Any], ordering: list[Any]) -> dict[str, Any]:
    """The order in which the model is to write them."""
    first = [name for name in ordering if isinstance(name, str) and name in properties]
    return {name: properties[name] for name in (*first, *properties)}
