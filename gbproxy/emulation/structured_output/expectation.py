"""How an answer that holds to a schema may begin: by which sign, and with which key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gbproxy.domain.response_format import ResponseFormat

Kind = Literal["object", "array", "scalar"]
Kinds = frozenset[Kind]

ANY: Kinds = frozenset(("object", "array", "scalar"))

_DEEPEST = 16  # levels of unions and references; below them anything is expected


@dataclass(frozen=True, slots=True)
class Expectation:
    """`keys`: the names that the outermost object may begin with, as far as the schema knows; None:
    any.
    """

    kinds: Kinds = ANY
    keys: frozenset[str] | None = None


def expected(form: ResponseFormat) -> Expectation:
    if form.schema is None:
        return Expectation(frozenset({"object"}))
    schema = _Schema(form.schema)
    return Expectation(schema.kinds(form.schema), schema.keys(form.schema))


class _Schema:
    """Looks through unions and references of a whole schema."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        # By identity: each part is looked at once, however often it is referred to.
        self._kinds: dict[int, Kinds] = {}
        self._keys: dict[int, frozenset[str] | None] = {}

    def kinds(self, schema: Any, depth: int = 0) -> Kinds:
        if not isinstance(schema, Mapping) or depth > _DEEPEST:
            return ANY
        if id(schema) not in self._kinds:
            self._kinds[id(schema)] = ANY  # as far as it refers to itself
            self._kinds[id(schema)] = self._kinds_of(schema, depth)
        return self._kinds[id(schema)]

    def keys(self, schema: Any, depth: int = 0) -> frozenset[str] | None:
        if not isinstance(schema, Mapping) or depth > _DEEPEST or "patternProperties" in schema:
            return None
        if id(schema) not in self._keys:
            self._keys[id(schema)] = None
            self._keys[id(schema)] = self._keys_of(schema, depth)
        return self._keys[id(schema)]

    def _kinds_of(self, schema: Mapping[str, Any], depth: int) -> Kinds:
        kinds = ANY & _of_types(schema) & _of_values(schema)
        if "$ref" in schema:
            kinds &= self.kinds(self._resolved(schema["$ref"]), depth + 1)
        for each in _list(schema, "allOf"):
            kinds &= self.kinds(each, depth + 1)
        for union in ("anyOf", "oneOf"):
            branches = [self.kinds(each, depth + 1) for each in _list(schema, union)]
            kinds &= frozenset[Kind]().union(*branches) if branches else ANY
        return kinds

    def _keys_of(self, schema: Mapping[str, Any], depth: int) -> frozenset[str] | None:
        properties = schema.get("properties")
        found = [frozenset(properties)] if isinstance(properties, dict) and properties else []
        inner = [self._resolved(schema["$ref"])] if "$ref" in schema else []
        for combination in ("allOf", "anyOf", "oneOf"):
            inner += _list(schema, combination)
        found += [keys for each in inner if (keys := self.keys(each, depth + 1)) is not None]
        return frozenset[str]().union(*found) if found else None

    def _resolved(self, reference: object) -> Any:
        """The part of the schema that `#/$defs/…` names; None for what is not there."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            return None
        found: Any = self._root
        for step in reference[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, Mapping) else None
        return found


def _of_types(schema: Mapping[str, Any]) -> Kinds:
    types = schema.get("type")
    names = types if isinstance(types, list) else [types]
    return frozenset(map(_kind, names)) if types is not None else ANY


def _kind(name: object) -> Kind:
    return "object" if name == "object" else "array" if name == "array" else "scalar"


def _of_values(schema: Mapping[str, Any]) -> Kinds:
    values = _list(schema, "enum") or ([schema["const"]] if "const" in schema else [])
    return frozenset(map(_kind_of, values)) if values else ANY


def _kind_of(value: object) -> Kind:
    return "object" if isinstance(value, dict) else "array" if isinstance(value, list) else "scalar"


def _list(schema: Mapping[str, Any], key: str) -> list[Any]:
    value = schema.get(key)
    return value if isinstance(value, list) else []
