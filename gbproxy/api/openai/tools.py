"""The tools of a chat completion request -> Tools: `tools`, `tool_choice`, `parallel_tool_calls`,
and their forerunners `functions` and `function_call`.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from gbproxy.api.openai import web_search
from gbproxy.domain.tools import (
    CustomTool,
    FunctionTool,
    Grammar,
    Tool,
    ToolChoice,
    Tools,
    is_tool_name,
)
from gbproxy.errors import BadRequest

_MODES = ("auto", "none", "required")
_KINDS = ("function", "custom")

Object = Mapping[str, Any]


@dataclass(slots=True)
class ToolReader:
    """Reads the tools of one request; a web search is none of the client's, and is left out.
    `has_passed_over`: tools of a kind that is not known here were left out. Raises BadRequest,
    whose `param` names the place that is wrong.
    """

    has_passed_over: bool = False
    _declared: dict[str, Tool] = field(default_factory=dict)

    def read(
        self, tools: Iterable[Object], choice: str | Object | None, *, is_parallel: bool
    ) -> Tools:
        """`tools`, with `tool_choice`."""
        for i, tool in enumerate(tools):
            self.declare(tool, f"tools[{i}]")
        return self.chosen(choice, is_parallel=is_parallel)

    def read_functions(self, functions: Iterable[Object], call: str | Object | None) -> Tools:
        """`functions`, with `function_call`: an answer has one call at most."""
        for i, function in enumerate(functions):
            self._add(_function(function, f"functions[{i}]"), f"functions[{i}]")
        choice = ToolChoice()
        if isinstance(call, Mapping):
            choice = ToolChoice.named(self._known(call.get("name"), "function_call"))
        elif call is not None:
            choice = ToolChoice(_mode(call, "function_call", _MODES[:2]))
        return Tools(tuple(self._declared.values()), choice, is_parallel=False)

    def declare(self, tool: Object, place: str) -> None:
        """Add one of `tools`; `place` is where it stands."""
        kind = tool.get("type", "function")
        if not isinstance(kind, str):
            raise BadRequest(f"{place}.type must be a text", param=f"{place}.type")
        if kind == "function":
            self._add(_function(*_inner(tool, kind, place)), place)
        elif kind == "custom":
            self._add(_custom(*_inner(tool, kind, place)), place)
        elif not web_search.is_tool(tool):
            self.has_passed_over = True

    def chosen(self, choice: str | Object | None, *, is_parallel: bool) -> Tools:
        """All that were declared, with `tool_choice`."""
        return Tools(tuple(self._declared.values()), self._choice(choice), is_parallel)

    def _add(self, tool: Tool, place: str) -> None:
        known = self._declared.setdefault(tool.name, tool)
        if known != tool:
            raise BadRequest(f"{place}: its name stands for another tool too", param=place)

    def _choice(self, choice: str | Object | None) -> ToolChoice:
        if choice is None:
            return ToolChoice()
        if isinstance(choice, str):
            mode = _mode(choice, "tool_choice", _MODES)
            if mode == "required" and not self._declared:
                raise BadRequest(
                    "tool_choice requires a tool, and tools declares none that can be called",
                    param="tool_choice",
                )
            return ToolChoice(mode)
        kind = choice.get("type")
        if kind in _KINDS:
            return ToolChoice.named(self._name_of(choice, "tool_choice"))
        if kind == "allowed_tools":
            return self._allowed(*_inner(choice, kind, "tool_choice"))
        raise BadRequest(
            "tool_choice must be auto, none, required, or name a function, a custom tool or"
            " allowed_tools",
            param="tool_choice",
        )

    def _allowed(self, allowed: Object, place: str) -> ToolChoice:
        mode = _mode(allowed.get("mode", "auto"), f"{place}.mode", ("auto", "required"))
        tools = allowed.get("tools")
        if not isinstance(tools, list) or not tools:
            raise BadRequest(f"{place}.tools must be a list of tools", param=f"{place}.tools")
        names = [
            self._name_of(tool, f"{place}.tools[{i}]")
            for i, tool in enumerate(tools)
            if not self._is_passed_over(tool)
        ]
        if not names and mode == "required":
            raise BadRequest(f"{place}.tools has none that can be called", param=f"{place}.tools")
        return ToolChoice(mode, frozenset(names))

    def _is_passed_over(self, tool: object) -> bool:
        if not isinstance(tool, Mapping) or tool.get("type", "function") in _KINDS:
            return False
        return self.has_passed_over or web_search.is_tool(tool)

    def _name_of(self, chosen: object, place: str) -> str:
        if not isinstance(chosen, Mapping):
            raise BadRequest(f"{place} must be an object", param=place)
        kind = chosen.get("type", "function")
        if kind not in _KINDS and (not isinstance(kind, str) or "name" not in chosen):
            raise BadRequest(f"{place}.type must be function or custom", param=f"{place}.type")
        inner, where = _inner(chosen, kind, place)
        return self._known(inner.get("name"), where)

    def _known(self, name: object, place: str) -> str:
        if not isinstance(name, str):
            raise BadRequest(f"{place}.name must be a text", param=f"{place}.name")
        if name not in self._declared:
            raise BadRequest(f"{place}.name names no tool of this request", param=f"{place}.name")
        return name


def _mode(mode: object, place: str, modes: tuple[str, ...]) -> Literal["auto", "none", "required"]:
    if mode not in modes:
        raise BadRequest(f"{place} must be {' or '.join(modes)}", param=place)
    return cast(Literal["auto", "none", "required"], mode)


def _inner(tool: Object, kind: str, place: str) -> tuple[Object, str]:
    """What a tool says below its kind, and its place; some clients leave that level out."""
    inner = tool.get(kind)
    if inner is None and ("name" in tool or "tools" in tool):
        return tool, place
    if not isinstance(inner, Mapping):
        raise BadRequest(f"{place}.{kind} must be an object", param=f"{place}.{kind}")
    return inner, f"{place}.{kind}"


def _function(function: Object, place: str) -> FunctionTool:
    parameters = function.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise BadRequest(f"{place}.parameters must be a JSON schema", param=f"{place}.parameters")
    return FunctionTool(_name(function, place), _description(function, place), parameters or {})


def _custom(tool: Object, place: str) -> CustomTool:
    grammar = None
    form = tool.get("format")
    if form is not None and not isinstance(form, dict):
        raise BadRequest(f"{place}.format must be an object", param=f"{place}.format")
    if form is not None and form.get("type", "text") != "text":
        grammar = _grammar(*_inner_grammar(form, f"{place}.format"))
    return CustomTool(_name(tool, place), _description(tool, place), grammar)


def _inner_grammar(form: Object, place: str) -> tuple[Object, str]:
    if form.get("type") != "grammar":
        raise BadRequest(f"{place}.type must be text or grammar", param=f"{place}.type")
    inner = form.get("grammar", form)
    if not isinstance(inner, Mapping):
        raise BadRequest(f"{place}.grammar must be an object", param=f"{place}.grammar")
    return inner, f"{place}.grammar"


def _grammar(grammar: Object, place: str) -> Grammar:
    syntax, definition = grammar.get("syntax"), grammar.get("definition")
    if syntax not in ("lark", "regex"):
        raise BadRequest(f"{place}.syntax must be lark or regex", param=f"{place}.syntax")
    if not isinstance(definition, str):
        raise BadRequest(f"{place}.definition must be a text", param=f"{place}.definition")
    return Grammar(cast(Literal["lark", "regex"], syntax), definition)


def _name(tool: Object, place: str) -> str:
    name = tool.get("name")
    if not is_tool_name(name):
        raise BadRequest(
            f"{place}.name must be a name of up to 128 characters, without white space",
            param=f"{place}.name",
        )
    return name


def _description(tool: Object, place: str) -> str:
    description = tool.get("description")
    if description is not None and not isinstance(description, str):
        raise BadRequest(f"{place}.description must be a text", param=f"{place}.description")
    return description or ""
