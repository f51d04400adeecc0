"""The tools that a client declares, which of them may be called, and how calls are compared.

Sources: https://platform.openai.com/docs/api-reference/chat/create, tools, tool_choice and
parallel_tool_calls. Not to be taken for the upstream's own tools (domain/models.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal, Self, TypeGuard

from gbproxy.domain import jsontext

_NAME = re.compile(r"[^\s\x00-\x1f\x7f]{1,128}")

ToolMode = Literal["auto", "none", "required"]


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """Called with arguments: a JSON object that holds to the JSON schema `parameters`."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Grammar:
    syntax: Literal["lark", "regex"]
    definition: str


@dataclass(frozen=True, slots=True)
class CustomTool:
    """Called with a text; `grammar` describes it, None: any text."""

    name: str
    description: str = ""
    grammar: Grammar | None = None


Tool = FunctionTool | CustomTool


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether a tool is called. `allowed`: the names to choose from, None: all declared ones."""

    mode: ToolMode = "auto"
    allowed: frozenset[str] | None = None

    @classmethod
    def named(cls, name: str) -> Self:
        """This one has to be called."""
        return cls("required", frozenset({name}))


@dataclass(frozen=True, slots=True)
class Tools:
    """What one request says of tools. `is_parallel`: one answer may hold several calls."""

    declared: tuple[Tool, ...] = ()
    choice: ToolChoice = ToolChoice()
    is_parallel: bool = True

    @property
    def offered(self) -> tuple[Tool, ...]:
        """The tools that this answer may call."""
        if self.choice.mode == "none":
            return ()
        allowed = self.choice.allowed
        return tuple(tool for tool in self.declared if allowed is None or tool.name in allowed)

    @property
    def is_required(self) -> bool:
        """An answer without a call would be a wrong one."""
        return self.choice.mode == "required"

    def digest(self) -> bytes:
        """32 bytes that differ when the model has to be told something else; b"" without tools."""
        if not self.declared:
            return b""
        allowed = self.choice.allowed
        told = [
            [_digested(tool) for tool in self.declared],
            self.choice.mode,
            None if allowed is None else sorted(allowed),
            self.is_parallel,
        ]
        return sha256(_canonical(told).encode("utf-8", "surrogatepass")).digest()


NO_TOOLS = Tools()


def is_tool_name(name: object) -> TypeGuard[str]:
    """True for a name by which the model can call a tool."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def canonical_arguments(arguments: str) -> str:
    """The same JSON text for the same arguments, however a client has written them; "{}" for none.

    What is no JSON is returned without the white space around it.
    """
    text = arguments.strip()
    if not text:
        return "{}"
    try:
        return _canonical(jsontext.decode(text))
    except (ValueError, RecursionError):
        return text


def _digested(tool: Tool) -> list[Any]:
    match tool:
        case FunctionTool(name, description, parameters):
            return ["function", name, description, parameters]
        case CustomTool(name, description, grammar):
            form = None if grammar is None else [grammar.syntax, grammar.definition]
            return ["custom", name, description, form]


def _canonical(value: object) -> str:
    return _ENCODER.encode(_plain_numbers(value))


def _plain_numbers(value: object) -> object:
    """JavaScript writes 1.0 as 1."""
    if isinstance(value, dict):
        return {key: _plain_numbers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain_numbers(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
