"""The description of all that an app serves, as an OpenAPI document: its routes, what their view
functions declare (web/operations.py), and the models that parse their bodies.

Source: https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from flask import Flask
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

from gbproxy.version import __version__
from gbproxy.web.errors import ErrorFormats
from gbproxy.web.operations import Key, Operation, Schema, key_of, operation_of

_REF = "#/components/schemas/{model}"
_KNOWN = ("/v1beta/", "/upload/v1beta/", "/v1/", "/gemini/", "/health")
_NOT_SHOWN = frozenset({"HEAD", "OPTIONS"})
_ARGUMENT = re.compile(r"<(?:\w+:)?(\w+)>")
_CLIENT_KEYS = ("bearer", "x-api-key", "x-goog-api-key", "query")
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "one of the API keys"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "x-goog-api-key": {"type": "apiKey", "in": "header", "name": "x-goog-api-key"},
    "query": {"type": "apiKey", "in": "query", "name": "key"},
    "operator": {
        "type": "http",
        "scheme": "bearer",
        "description": "the ADMIN_KEY; at /metrics also the METRICS_KEY",
    },
}


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path. `operation` None: it declares none."""

    path: str
    method: str
    arguments: tuple[str, ...]
    key: Key | None
    operation: Operation | None


def routes(app: Flask) -> Iterator[Route]:
    """All that the app serves, in the order in which it was defined; HEAD and OPTIONS apart."""
    for rule in app.url_map.iter_rules():
        operation = operation_of(app.view_functions[rule.endpoint])
        for method in sorted((rule.methods or set()) - _NOT_SHOWN):
            path = _ARGUMENT.sub(r"{\1}", rule.rule)
            arguments = tuple(_ARGUMENT.findall(rule.rule))
            yield Route(path, method, arguments, _key(app, rule), operation)


def endpoints(app: Flask) -> list[str]:
    """`POST /v1/messages` and the like: all that the app offers, each at one of its paths."""
    found: dict[tuple[int, str], list[str]] = {}  # by the operation that they share
    for route in routes(app):
        if route.operation is not None and route.operation.answers:
            found.setdefault((id(route.operation), route.method), []).append(route.path)
    return [f"{method} {min(paths, key=_alias)}" for (_, method), paths in found.items()]


def _alias(path: str) -> int:
    """Less, the better known the path is among those of one view."""
    known = (place for place, prefix in enumerate(_KNOWN) if path.startswith(prefix))
    return next(known, len(_KNOWN))


def document(app: Flask, errors: ErrorFormats) -> dict[str, Any]:
    """The document of this app. Routes without a declared operation are left out."""
    served = [(route, route.operation) for route in routes(app) if route.operation is not None]
    shapes = {route.path: errors.schemas(route.path) for route, _ in served}
    schemas = {schema for _, operation in served for schema in _schemas(operation)}
    schemas |= {schema for each in shapes.values() for schema in each}
    refs, components = _components(schemas)
    paths: dict[str, dict[str, Any]] = {}
    for route, operation in served:
        described = _operation(route, operation, refs, components, shapes[route.path])
        paths.setdefault(route.path, {})[route.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "gbproxy",
            "version": __version__,
            "summary": "A gateway to the models behind a Gemini Business account",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SCHEMES},
    }


def _key(app: Flask, rule: Rule) -> Key | None:
    """By the check that runs before the route."""
    blueprint = rule.endpoint.rpartition(".")[0]
    checks = app.before_request_funcs.get(blueprint, ())
    return next((key for check in checks if (key := key_of(check)) is not None), None)


def _schemas(operation: Operation) -> Iterator[Schema]:
    for answers in operation.answers.values():
        yield from answers
    for forms in operation.forms.values():
        yield from forms
    yield from (each for each in (operation.request, operation.events) if each is not None)


def _components(
    schemas: Collection[Schema],
) -> tuple[dict[Schema, dict[str, Any]], dict[str, dict[str, Any]]]:
    """References to each of the schemas, and all that they refer to, by name."""
    ordered = sorted(schemas, key=lambda schema: (schema.__module__, schema.__qualname__))
    found, definitions = models_json_schema(
        [(schema, "validation") for schema in ordered], ref_template=_REF
    )
    refs = {schema: dict(found[schema, "validation"]) for schema in ordered}
    return refs, definitions.get("$defs", {})


def _operation(
    route: Route,
    operation: Operation,
    refs: Mapping[Schema, dict[str, Any]],
    components: Mapping[str, dict[str, Any]],
    errors: Iterable[Schema],
) -> dict[str, Any]:
    words = re.findall(r"\w+", route.path)
    described: dict[str, Any] = {
        "operationId": "_".join((route.method.lower(), *words)),
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": [*map(_argument, route.arguments), *_parameters(operation)],
        "responses": {
            **dict(_answers(operation, refs)),
            "default": {
                "description": "an error",
                "content": {"application/json": {"schema": _any_of(errors, refs)}},
            },
        },
        "security": _security(route.key),
    }
    if bodies := dict(_bodies(operation, refs, components)):
        described["requestBody"] = {"required": operation.needs_body, "content": bodies}
    return described


def _bodies(
    operation: Operation,
    refs: Mapping[Schema, dict[str, Any]],
    components: Mapping[str, dict[str, Any]],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What its request may be, by type."""
    if operation.request is not None:
        schema = refs[operation.request]
        if operation.is_partial:
            schema = deepcopy(components[schema["$ref"].rpartition("/")[2]])
            schema.pop("required", None)
            for field in schema["properties"].values():
                field.pop("default", None)  # what is left out stays as it is
        yield "application/json", {"schema": schema}
    for content_type, forms in operation.forms.items():
        yield content_type, {"schema": _any_of(forms, refs)} if forms else {}


def _security(key: Key | None) -> list[dict[str, list[str]]]:
    """Each of the entries is enough."""
    if key is None:
        return []
    return [{name: []} for name in (_CLIENT_KEYS if key == "client" else ("operator",))]


def _argument(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for each in operation.parameters:
        yield {
            "name": each.name,
            "in": each.place,
            "required": False,
            "description": each.description,
            "schema": {"type": "string"},
        }


def _answers(
    operation: Operation, refs: Mapping[Schema, dict[str, Any]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for status, schemas in operation.answers.items():
        content: dict[str, Any] = {}
        if schemas:
            content["application/json"] = {"schema": _any_of(schemas, refs)}
        elif operation.content_type != "application/json":
            content[operation.content_type] = {"schema": {"type": "string"}}
        if operation.events is not None:
            # OpenAPI has no word for the data of one event before version 3.2.
            described = {"schema": {"type": "string"}, "x-event": refs[operation.events]}
            content["text/event-stream"] = described
        answer: dict[str, Any] = {"description": "the answer"}
        if content:
            answer["content"] = content
        yield str(status), answer


def _any_of(schemas: Iterable[Schema], refs: Mapping[Schema, dict[str, Any]]) -> dict[str, Any]:
    found = [refs[schema] for schema in schemas]
    return found[0] if len(found) == 1 else {"anyOf": found}
