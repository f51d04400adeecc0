"""An OpenAPI document -> what its page shows, in the order of the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]
Word = tuple[str, str]  # a text, and the name of the schema that it leads to, or ""

_KEYS = {"operator": "the ADMIN_KEY", "bearer": "an API key"}


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    type: tuple[Word, ...]
    is_required: bool
    description: str


@dataclass(frozen=True, slots=True)
class Content:
    """A body: `status` is empty for that of a request."""

    status: str
    content_type: str
    type: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """One operation."""

    id: str
    method: str
    path: str
    summary: str
    key: str
    parameters: tuple[Field, ...]
    request: tuple[Field, ...]
    forms: tuple[Content, ...]
    answers: tuple[Content, ...]

    @property
    def is_offered(self) -> bool:
        return any(answer.status != "default" for answer in self.answers)


@dataclass(frozen=True, slots=True)
class Schema:
    name: str
    description: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Page:
    title: str
    version: str
    summary: str
    tags: Mapping[str, tuple[Shown, ...]]
    schemas: tuple[Schema, ...]


def of(document: Json) -> Page:
    schemas = document["components"]["schemas"]
    operations = [
        (operation["tags"][0], _shown(method, path, operation, schemas))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    operations.sort(key=lambda each: not each[1].is_offered)
    tags = dict.fromkeys(tag for tag, _ in operations)
    info = document["info"]
    return Page(
        info["title"],
        info["version"],
        info["summary"],
        {tag: tuple(shown for each, shown in operations if each == tag) for tag in tags},
        tuple(
            Schema(name, schema.get("description", ""), tuple(_fields(schema)))
            for name, schema in schemas.items()
        ),
    )


def _shown(method: str, path: str, operation: Json, schemas: Json) -> Shown:
    security = [name for each in operation["security"] for name in each]
    bodies = dict(operation.get("requestBody", {}).get("content", {}))
    schema = bodies.pop("application/json", {}).get("schema", {})
    request = schemas[_target(schema["$ref"])] if "$ref" in schema else schema
    return Shown(
        operation["operationId"],
        method.upper(),
        path,
        operation["summary"],
        next((_KEYS[name] for name in security if name in _KEYS), "no key"),
        tuple(
            Field(
                each["name"],
                ((each["in"], ""),),
                each["required"],
                each.get("description", ""),
            )
            for each in operation["parameters"]
        ),
        tuple(_fields(request)),
        tuple(
            Content("", kind, _type(body["schema"]) if body else ())
            for kind, body in bodies.items()
        ),
        tuple(_answers(operation["responses"])),
    )


def _answers(responses: Json) -> Iterator[Content]:
    for status, response in responses.items():
        content = response.get("content", {})
        if not content:
            yield Content(status, "nothing", ())
        for content_type, described in content.items():
            type_ = _type(described.get("x-event", described["schema"]))
            is_events = "x-event" in described
            yield Content(status, content_type, (("events: ", ""), *type_) if is_events else type_)


def _fields(schema: Json) -> Iterator[Field]:
    required = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        yield Field(name, tuple(_type(inner)), name in required, inner.get("description", ""))


def _type(schema: Json) -> tuple[Word, ...]:
    """In words: `array of Message or null`."""
    if "$ref" in schema:
        name = _target(schema["$ref"])
        return ((name, name),)
    several = schema.get("anyOf") or schema.get("oneOf")
    if several:
        return _joined([_type(each) for each in several])
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ((" or ".join(map(str, values)), ""),)
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return ((" or ".join(kind), ""),)
    inner = schema.get("items") if kind == "array" else schema.get("additionalProperties")
    if isinstance(inner, dict) and inner:
        return ((f"{kind} of ", ""), *_type(inner))
    return ((kind, ""),)


def _joined(types: list[tuple[Word, ...]]) -> tuple[Word, ...]:
    first, *others = types
    return (*first, *(word for each in others for word in ((" or ", ""), *each)))


def _target(reference: str) -> str:
    return reference.rpartition("/")[2]
