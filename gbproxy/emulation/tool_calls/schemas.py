"""Whether what a call holds is what its tool takes, by the client's own schemas."""

from __future__ import annotations

from typing import Any

from jsonschema.protocols import Validator

from gbproxy.domain.tools import CustomTool, FunctionTool, Tool
from gbproxy.emulation import json_schema


class Checks:
    """The checks of one request's tools; a schema is prepared when its tool is first called."""

    def __init__(self, tools: tuple[Tool, ...]) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self.names = frozenset(self._tools)
        self._prepared: dict[str, Validator | None] = {}

    def is_custom(self, name: str) -> bool:
        return isinstance(self._tools.get(name), CustomTool)

    def complaint(self, name: str, value: object) -> str | None:
        """What is wrong with this call, in words for the model; None: nothing."""
        match self._tools.get(name):
            case None:
                return f"there is no tool {name[:64]}"
            case CustomTool(_, _, grammar):
                if not isinstance(value, str):
                    return f"the input of {name} must be a text"
                if grammar is None or grammar.syntax != "regex":
                    return None
                if json_schema.may_match(rf"\A(?:{grammar.definition})\Z", value):
                    return None
                return f"the input of {name} must match {json_schema.shortened(grammar.definition)}"
            case FunctionTool() as tool:
                if not isinstance(value, dict):
                    return f"the arguments of {name} must be a JSON object"
                return self._schema_complaint(tool, value)

    def _schema_complaint(self, tool: FunctionTool, arguments: dict[str, Any]) -> str | None:
        if tool.name not in self._prepared:
            self._prepared[tool.name] = json_schema.validator(tool.parameters)
        validator = self._prepared[tool.name]
        words = None if validator is None else json_schema.complaint(validator, arguments)
        return None if words is None else f"the arguments of {tool.name}, at {words}"
