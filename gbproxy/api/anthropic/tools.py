"""`tools` and `tool_choice` of a request -> Tools, and whether the answer is to rest on a search.

Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview. Tools that the
client runs, also those of a published form, are functions; of those that Anthropic's servers run,
a web search is the upstream's own, and others are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gbproxy.api.anthropic import client_tools
from gbproxy.domain.tools import NO_TOOLS, FunctionTool, ToolChoice, Tools, is_tool_name
from gbproxy.errors import BadRequest

_SEARCH = re.compile(r"web_search(_\d+)?")
_SEARCH_PARAMETERS = ("max_uses", "allowed_domains", "blocked_domains", "user_location")
_TYPE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MOST_NAMED = 8  # in one header

Object = Mapping[str, Any]


@dataclass(slots=True)
class ToolReader:
    """Reads the tools of one request. `ignored` names what has no effect; `has_search`: a web
    search was declared.
    """

    ignored: list[str] = field(default_factory=list)
    has_search: bool = False
    _declared: dict[str, FunctionTool] = field(default_factory=dict)
    _others: set[str] = field(default_factory=set)  # names of those that are no functions

    def read(self, tools: Iterable[Object], choice: Object | None) -> Tools:
        """Raises BadRequest, whose `param` names the place that is wrong."""
        for i, tool in enumerate(tools):
            self._declare(tool, f"tools.{i}")
        chosen = self._choice(choice) if choice is not None else ToolChoice()
        if not self._declared:
            return NO_TOOLS
        is_parallel = choice is None or choice.get("disable_parallel_tool_use") is not True
        return Tools(tuple(self._declared.values()), chosen, is_parallel)

    def _declare(self, tool: Object, place: str) -> None:
        kind = tool.get("type") or "custom"
        if not isinstance(kind, str):
            raise BadRequest(f"{place}.type must be a text", param=f"{place}.type")
        published = client_tools.find(kind)
        if kind == "custom":
            self._add(_function(tool, place), place)
        elif published is not None:
            name = tool.get("name")
            self._add(replace(published, name=name) if is_tool_name(name) else published, place)
        else:
            self._leave_out(tool, kind)

    def _add(self, tool: FunctionTool, place: str) -> None:
        known = self._declared.setdefault(tool.name, tool)
        if known != tool:
            raise BadRequest(f"{place}.name stands for another tool too", param=f"{place}.name")

    def _leave_out(self, tool: Object, kind: str) -> None:
        name = tool.get("name")
        self._others.add(name if isinstance(name, str) else "")
        if _SEARCH.fullmatch(kind):
            self.has_search = True
            for parameter in _SEARCH_PARAMETERS:
                if tool.get(parameter) is not None:
                    self._ignore(f"web_search.{parameter}")
        elif _TYPE.fullmatch(kind) and len(self.ignored) < _MOST_NAMED:
            self._ignore(f"tools.{kind}")
        else:
            self._ignore("tools.type")

    def _ignore(self, name: str) -> None:
        if name not in self.ignored:
            self.ignored.append(name)

    def _choice(self, choice: Object) -> ToolChoice:
        match choice.get("type"):
            case "auto":
                return ToolChoice()
            case "none":
                self.has_search = False
                return ToolChoice("none")
            case "any":
                if not self._declared and not self.has_search:
                    raise BadRequest(
                        "tool_choice requires a tool, and tools declares none that can be called",
                        param="tool_choice",
                    )
                return ToolChoice("auto" if self.has_search else "required")
            case "tool":
                return self._named(choice.get("name"))
            case _:
                place = "tool_choice.type"
                raise BadRequest(f"{place} must be auto, any, tool or none", param=place)

    def _named(self, name: object) -> ToolChoice:
        if isinstance(name, str) and name in self._declared:
            return ToolChoice.named(name)
        if self.has_search and name in self._others:  # the model decides when it searches
            return ToolChoice()
        place = "tool_choice.name"
        raise BadRequest(f"{place} names no tool of this request that can be called", param=place)


def _function(tool: Object, place: str) -> FunctionTool:
    name, schema = tool.get("name"), tool.get("input_schema")
    description = tool.get("description")
    if not is_tool_name(name):
        raise BadRequest(
            f"{place}.name must be a name of up to 128 characters, without white space",
            param=f"{place}.name",
        )
    if schema is not None and not isinstance(schema, dict):
        raise BadRequest(
            f"{place}.input_schema must be a JSON schema", param=f"{place}.input_schema"
        )
    if description is not None and not isinstance(description, str):
        raise BadRequest(f"{place}.description must be a text", param=f"{place}.description")
    return FunctionTool(name, description or "", schema or {})
