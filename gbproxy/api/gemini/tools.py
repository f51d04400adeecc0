"""`tools` and `toolConfig` -> Tools, and whether the answer is to rest on a web search.

Source: https://ai.google.dev/api/caching#Tool. Functions are the client's; a search of the web and
the reading of its pages are the upstream's own web grounding. Other tools run on Google's servers,
and there is nothing here that does their work: an answer without it would be a wrong one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gbproxy.api.bounds import MOST_TOOLS
from gbproxy.api.gemini.body import (
    FunctionCallingConfigBody,
    FunctionDeclarationBody,
    FunctionsBody,
    ToolConfigBody,
    validated,
)
from gbproxy.api.gemini.schema import to_json_schema
from gbproxy.domain.tools import NO_TOOLS, FunctionTool, ToolChoice, Tools, is_tool_name
from gbproxy.errors import BadRequest

_FUNCTIONS = "functionDeclarations"
_SEARCHES = (
    "googleSearch",
    "googleSearchRetrieval",  # its first name
    "enterpriseWebSearch",
    "urlContext",
)
_OTHERS = (
    "codeExecution",
    "computerUse",
    "exaAiSearch",
    "fileSearch",
    "googleMaps",
    "mcpServers",
    "parallelAiSearch",
    "retrieval",
)


@dataclass(slots=True)
class ToolReader:
    """Reads the tools of one request. `ignored` names what has no effect; `has_search`: a search
    was declared. Raises BadRequest, whose `param` names the place that is wrong.
    """

    ignored: list[str] = field(default_factory=list)
    has_search: bool = False
    _declared: dict[str, FunctionTool] = field(default_factory=dict)

    def read(self, tools: Iterable[Mapping[str, Any]], config: ToolConfigBody | None) -> Tools:
        for i, tool in enumerate(tools):
            self._declare(tool, f"tools[{i}]")
        if config is None:
            return self._tools(ToolChoice())
        self._note_ignored(config)
        if config.function_calling_config is None:
            return self._tools(ToolChoice())
        return self._tools(self._choice(config.function_calling_config))

    def _tools(self, choice: ToolChoice) -> Tools:
        return Tools(tuple(self._declared.values()), choice) if self._declared else NO_TOOLS

    def _declare(self, tool: Mapping[str, Any], place: str) -> None:
        for given, value in tool.items():
            kind = _camel(given)
            where = f"{place}.{given[:64]}"
            if value is None:
                continue
            if kind == _FUNCTIONS:
                self._declare_functions(tool, place)
            elif kind in _SEARCHES:
                self._search(kind, value)
            else:
                known = "is not offered" if kind in _OTHERS else "is unknown"
                raise BadRequest(
                    f"{where} {known}: only functionDeclarations, googleSearch and urlContext are",
                    param=where,
                )

    def _search(self, kind: str, settings: object) -> None:
        self.has_search = True
        if isinstance(settings, Mapping):  # which sites, and how new: the upstream decides
            self.ignored += [f"tools.{kind}.{_camel(name)[:64]}" for name in settings][:8]

    def _declare_functions(self, tool: Mapping[str, Any], place: str) -> None:
        functions = validated(FunctionsBody, tool, place).function_declarations or ()
        if len(self._declared) + len(functions) > MOST_TOOLS:
            where = f"{place}.{_FUNCTIONS}"
            raise BadRequest(f"{where}: at most {MOST_TOOLS} functions are taken", param=where)
        for i, function in enumerate(functions):
            where = f"{place}.{_FUNCTIONS}[{i}]"
            declared = _function(function, where)
            known = self._declared.setdefault(declared.name, declared)
            if known != declared:
                raise BadRequest(
                    f"{where}.name stands for another function too", param=f"{where}.name"
                )

    def _choice(self, config: FunctionCallingConfigBody) -> ToolChoice:
        place = "toolConfig.functionCallingConfig"
        mode = config.mode or "AUTO"
        allowed = config.allowed_function_names
        if mode == "NONE":
            return ToolChoice("none")
        if mode == "ANY" and not self._declared:
            raise BadRequest(
                f"{place}.mode is ANY, and tools declares no function that can be called",
                param=f"{place}.mode",
            )
        for i, name in enumerate(allowed or ()):
            if name not in self._declared:
                where = f"{place}.allowedFunctionNames[{i}]"
                raise BadRequest(f"{where} names no function of this request", param=where)
        return ToolChoice(
            "required" if mode == "ANY" else "auto", frozenset(allowed) if allowed else None
        )

    def _note_ignored(self, config: ToolConfigBody) -> None:
        if config.retrieval_config is not None:
            self.ignored.append("toolConfig.retrievalConfig")
        if config.include_server_side_tool_invocations:
            self.ignored.append("toolConfig.includeServerSideToolInvocations")
        calling = config.function_calling_config
        if calling is not None and calling.stream_function_call_arguments:
            # which allows the arguments of a call to come in parts, and asks for nothing else
            self.ignored.append("toolConfig.functionCallingConfig.streamFunctionCallArguments")
        if calling is not None and not self._declared and calling.mode != "ANY":
            self.ignored.append("toolConfig.functionCallingConfig")


def _function(function: FunctionDeclarationBody, place: str) -> FunctionTool:
    if not is_tool_name(function.name):
        raise BadRequest(
            f"{place}.name must be a name of up to 128 characters, without white space",
            param=f"{place}.name",
        )
    schema, where = function.parameters_json_schema, f"{place}.parametersJsonSchema"
    if schema is None:
        schema, where = function.parameters, f"{place}.parameters"
    parameters = to_json_schema(schema, where) if schema is not None else {}
    return FunctionTool(function.name, function.description or "", parameters)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)
