"""The tools of a request -> Tools, and what of them the upstream does itself.

Source: https://platform.openai.com/docs/api-reference/responses/create, tools and tool_choice. A
namespace's tools are declared to the model under both names, and come back under their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gbproxy.api.bounds import MOST_TOOLS
from gbproxy.api.openai import web_search
from gbproxy.api.openai.responses import client_tools, image_tool
from gbproxy.api.openai.responses.image_tool import ImageTool
from gbproxy.api.openai.tools import ToolReader
from gbproxy.domain.tools import NO_TOOLS, Tools
from gbproxy.errors import BadRequest

Object = Mapping[str, Any]

_KIND = re.compile(r"[a-z0-9_]{1,60}")
_SEARCH_OPTIONS = ("filters", "search_context_size", "user_location")


@dataclass(frozen=True, slots=True)
class CalledTool:
    """How a call to a tool is told to the client. `kind`: of the item that it becomes."""

    name: str
    namespace: str | None = None
    kind: str | None = None  # None: a function's or a custom tool's


def qualified(namespace: str, name: str) -> str:
    """The name by which the model calls a tool of a namespace."""
    return f"{namespace}.{name}"


@dataclass(slots=True)
class ToolSet:
    """Collects the tools of one request. `called`: by the name that the model uses, where that is
    not all that the client has to be told; `ignored` names what was left out. `image`: pictures may
    be made; `makes_image`: the answer is to be one.
    """

    wants_search: bool = False
    image: ImageTool | None = None
    makes_image: bool = False
    called: dict[str, CalledTool] = field(default_factory=dict)
    ignored: dict[str, None] = field(default_factory=dict)
    _reader: ToolReader = field(default_factory=ToolReader)
    _count: int = 0

    def add(self, tool: Object, place: str) -> None:
        """Raises BadRequest, whose `param` names the place that is wrong."""
        kind = tool.get("type", "function")
        if kind in ("function", "custom"):
            self._declare(tool, place)
        elif not isinstance(kind, str):
            raise BadRequest(f"{place}.type must be a text", param=f"{place}.type")
        elif kind == "namespace":
            self._add_namespace(tool, place)
        elif kind in client_tools.DECLARATIONS:
            self._declare(client_tools.DECLARATIONS[kind], place)
            self.called[kind] = CalledTool(kind, kind=f"{kind}_call")
        elif web_search.is_tool(tool):
            self._add_search(tool)
        elif kind == image_tool.KIND:
            self.image = image_tool.read(tool, place)
        else:
            self._leave_out(f"tools.{kind}" if _KIND.fullmatch(kind) else "tools.type")

    def tools(self, choice: str | Object | None, *, is_parallel: bool) -> Tools:
        """What was declared, with `tool_choice`. Raises BadRequest for one that cannot be met."""
        if isinstance(choice, Mapping):
            choice = self._chosen(choice)
        self._settle_image(choice)
        if self.makes_image:
            return NO_TOOLS  # nothing else may be called
        if choice == "none":
            self.wants_search = False
        if not self._count and choice in (None, "auto", "none"):
            return NO_TOOLS
        if choice == "required" and not self._count and self.wants_search:
            self.ignored["tool_choice"] = None
            return NO_TOOLS  # the search is all that may be called, when the model wants to
        return self._reader.chosen(choice, is_parallel=is_parallel)

    def _settle_image(self, choice: str | Object | None) -> None:
        """The client's own tools take the place of the upstream's."""
        if self.image is None or self.makes_image:
            pass
        elif self._count and choice != "none":
            self._leave_out(f"tools.{image_tool.KIND}")
            self.image = None
        elif choice == "none":
            self.image = None
        elif choice == "required" and not self.wants_search:
            self.makes_image = True
        if self.image is not None:
            self.ignored |= dict.fromkeys(self.image.ignored)

    def _declare(self, tool: Object, place: str) -> None:
        if self._count == MOST_TOOLS:  # in namespaces there may be more than `tools` has items
            raise BadRequest(f"{place}: at most {MOST_TOOLS} tools are taken", param=place)
        self._reader.declare(tool, place)
        self._count += 1

    def _add_namespace(self, namespace: Object, place: str) -> None:
        name, tools = namespace.get("name"), namespace.get("tools")
        if not isinstance(name, str) or not name:
            raise BadRequest(f"{place}.name must be a text", param=f"{place}.name")
        if not isinstance(tools, list):
            raise BadRequest(f"{place}.tools must be a list of tools", param=f"{place}.tools")
        for i, tool in enumerate(tools):
            where = f"{place}.tools[{i}]"
            if not isinstance(tool, dict):
                raise BadRequest(f"{where} must be an object", param=where)
            inner = tool.get("name")
            if not isinstance(inner, str):
                raise BadRequest(f"{where}.name must be a text", param=f"{where}.name")
            self._declare({**tool, "name": qualified(name, inner)}, where)
            self.called[qualified(name, inner)] = CalledTool(inner, name)

    def _add_search(self, tool: Object) -> None:
        if tool.get("external_web_access") is False:  # it would ask the web all the same
            self._leave_out("tools.web_search")
            return
        self.wants_search = True
        for option in _SEARCH_OPTIONS:
            if tool.get(option) is not None:
                self.ignored[f"tools.web_search.{option}"] = None

    def _leave_out(self, name: str) -> None:
        self._reader.has_passed_over = True
        self.ignored[name] = None

    def _chosen(self, choice: Object) -> str | Object | None:
        """A choice as the reader knows it."""
        kind = choice.get("type")
        if web_search.is_tool(choice):
            if not self.wants_search:
                message = "tool_choice names a web search, and tools declares none"
                raise BadRequest(message, param="tool_choice")
            self.ignored["tool_choice"] = None  # the model decides for itself when to search
            return None
        if kind == image_tool.KIND:
            if self.image is None:
                message = "tool_choice names image_generation, and tools does not declare it"
                raise BadRequest(message, param="tool_choice")
            self.makes_image = True
            return None
        if kind == "allowed_tools" and self.image is not None and not self._count:
            mode = choice.get("mode", "auto")
            return mode if isinstance(mode, str) else choice
        if kind == "allowed_tools" and isinstance(choice.get("tools"), list):
            return {**choice, "tools": [each for t in choice["tools"] for each in self._allowed(t)]}
        return next(self._allowed(choice), choice)

    def _allowed(self, tool: Any) -> Iterator[Any]:
        """The tools for which one stands that is chosen."""
        kind = tool.get("type") if isinstance(tool, Mapping) else None
        if not isinstance(kind, str):
            yield tool  # the reader knows what to do with it
        elif kind == "namespace":
            of_it = (n for n, each in self.called.items() if each.namespace == tool.get("name"))
            yield from ({"type": "function", "name": name} for name in of_it)
        elif kind in client_tools.DECLARATIONS:
            yield {"type": "function", "name": kind}
        elif isinstance(tool.get("namespace"), str) and isinstance(tool.get("name"), str):
            yield {**tool, "name": qualified(tool["namespace"], tool["name"])}
        else:
            yield tool


def read(tools: Iterable[tuple[Object, str]]) -> ToolSet:
    """Collect these tools, each with its place."""
    found = ToolSet()
    for tool, place in tools:
        found.add(tool, place)
    return found
