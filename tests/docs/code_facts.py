"""What the documentation must tell, read out of the code itself."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

from gbproxy.errors import GatewayError
from tests.docs.markdown import ROOT

LEVELS = ("debug", "info", "warning", "error", "critical", "exception")


@dataclass
class Event:
    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)


@cache
def log_events() -> dict[str, Event]:
    """Every event that the gateway logs; the simulator, which logs nothing, is left out."""
    events: dict[str, Event] = defaultdict(Event)
    for tree in _modules():
        named = _dicts_by_name(tree)
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name("log"), attr=attr)) if attr in (
                    *LEVELS,
                    "log",
                ):
                    name = node.args[attr == "log"]
                    assert isinstance(name, ast.Constant), (
                        f"an event's name must be literal: {ast.unparse(node)}"
                    )
                    _note(events[str(name.value)], attr, node, named)
    events["request.done"].fields |= request_facts()
    return dict(events)


def request_facts() -> set[str]:
    """What is noted about a request anywhere, and becomes a field of `request.done`."""
    return {fact for tree in _modules() for node in ast.walk(tree) for fact in _facts(node)}


def errors() -> set[tuple[int, str]]:
    """Status and code of every error."""
    return {(kind.status, kind.code) for kind in (GatewayError, *_subclasses(GatewayError))}


def error_of(code: str) -> GatewayError:
    """An error of this code."""
    kind = next(each for each in _subclasses(GatewayError) if each.code == code)
    error = kind.__new__(kind)
    GatewayError.__init__(error, "x")
    return error


def _subclasses(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _subclasses(child)


def _modules() -> Iterator[ast.Module]:
    for path in sorted((ROOT / "gbproxy").rglob("*.py")):
        if "simulator" not in path.parts:
            yield ast.parse(path.read_text("utf-8"))


def _dicts_by_name(tree: ast.Module) -> dict[str, set[str]]:
    """The keys of each dictionary that a module gives a name to."""
    named: dict[str, set[str]] = defaultdict(set)
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(name)], value=ast.Dict() as value):
                named[name] |= set(_keys(value))
    return named


def _note(event: Event, attr: str, call: ast.Call, named: Mapping[str, set[str]]) -> None:
    if attr != "log":
        event.levels.add("error" if attr == "exception" else attr)
    if attr == "exception":
        event.fields.add("exc_info")
    for keyword in call.keywords:
        match keyword:
            case ast.keyword("exc_info"):
                event.fields.add("exc_info")
            case ast.keyword("extra", ast.Dict() as value):
                event.fields |= set(_keys(value))
            case ast.keyword("extra", ast.Name(name)):
                event.fields |= named[name]


def _facts(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Subscript(
            value=ast.Name("log_fields") | ast.Attribute(attr="log_fields"),
            slice=ast.Constant(str(name)),
        ):
            yield name
        case ast.AugAssign(
            target=ast.Name("log_fields") | ast.Attribute(attr="log_fields"),
            value=ast.Dict() as value,
        ):
            yield from _keys(value)


def _keys(value: ast.Dict) -> Iterator[str]:
    for key in value.keys:
        if isinstance(key, ast.Constant):
            yield str(key.value)
