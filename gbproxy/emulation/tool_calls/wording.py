"""What the model is told of tools. Source of its form: published measurements of function calling
by prompt, and of how chat models fail at it.

It is told that a program reads what it writes: a page's own instructions often name other tools,
and to be commanded makes models wary.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gbproxy.domain.tools import CustomTool, FunctionTool, Grammar, Tool, Tools
from gbproxy.emulation.tool_calls import wire
from gbproxy.emulation.tool_calls.mark import Mark

_INSTRUCTION = """\
The program that shows your answers reads call blocks in them, runs the function that a block \
names, and sends you its result. These are the functions, one a line, with the JSON schemas of \
their arguments:

{functions}

A call is the line {mark} and below it a json block. For example:

{example}

- Arguments are complete JSON and hold to the schema; no code, nothing before the function's name.
- {long}
- {several}
- What you want to say comes before the calls. After the last block stop: the program sends the \
results, never write one yourself.
- {choice}"""

_LONG = (
    'A text of many characters or several lines may be given as "@1" and follow below the json'
    " block in a block of its own, as it is: between a line ````@1 and a line ````, with more"
    ' backticks if the text has as many. The next such text is "@2".'
)
_CUSTOM = (
    ' A function with "input" takes such a text in place of arguments: {"name":…,"input":"@1"}.'
)
_SEVERAL = "Several calls stand one below the other, each with its own line {mark}."
_ONE = "In an answer stands one call at most."

_REMINDER = (
    "(Calls are written as before: the line {mark}, below it a json block with name and"
    ' {payload}, long texts as "@1" in blocks of their own. {several}Stop after the last block.'
    " {choice})"
)

_AUTO = "Call a function where it helps; where none does, answer in words."
_NONE = "This time call no function: answer in words."
_REQUIRED = "This time call at least one function."
_NAMED = "This time call {name}."

_UNREADABLE = (
    "The program could not use the call in your last answer: {reason}. Please write the call once"
    " more, complete: the line {mark}, below it the json block, and nothing else."
)
_MISSING = (
    "The program found no call in your last answer, and this time it needs one. The functions that"
    " were described are available here. Please write only the call: the line {mark}, below it a"
    " json block as in\n\n{example}"
)
_NOT_ALLOWED = "The program runs no function this time. Please give your answer in words."

_DEEPEST = 4  # levels of an example's arguments


def instruction(tools: Tools, mark: Mark) -> str:
    """For a session that knows nothing of the tools yet; "" when none may be called."""
    if not tools.offered:
        return ""
    has_custom = any(isinstance(tool, CustomTool) for tool in tools.offered)
    return _INSTRUCTION.format(
        functions="\n".join(map(_declaration, tools.offered)),
        mark=mark.line,
        example=_example(tools, mark),
        long=_LONG + (_CUSTOM if has_custom else ""),
        several=_SEVERAL.format(mark=mark.line) if tools.is_parallel else _ONE,
        choice=_choice(tools),
    )


def reminder(tools: Tools, mark: Mark) -> str:
    """For a session that was told of the tools already: without their schemas."""
    if not tools.offered:
        return f"({_NONE})"
    has_custom = any(isinstance(tool, CustomTool) for tool in tools.offered)
    payload = "arguments or input" if has_custom else "arguments"
    return _REMINDER.format(
        mark=mark.line,
        payload=payload,
        several="" if tools.is_parallel else f"{_ONE} ",
        choice=_choice(tools),
    )


def ask_again(reason: str, tools: Tools, mark: Mark) -> str:
    """The corrective turn after a call that could not be used; `reason` says why not."""
    if not tools.offered:
        return _NOT_ALLOWED
    return _UNREADABLE.format(reason=reason, mark=mark.line)


def ask_for_call(tools: Tools, mark: Mark) -> str:
    """The corrective turn after an answer without the call that is required."""
    return _MISSING.format(mark=mark.line, example=_example(tools, mark))


def _choice(tools: Tools) -> str:
    if not tools.is_required:
        return _AUTO
    names = [tool.name for tool in tools.offered]
    return _NAMED.format(name=names[0]) if len(names) == 1 else _REQUIRED


def _declaration(tool: Tool) -> str:
    declared: dict[str, Any] = {"name": tool.name}
    if tool.description:
        declared["description"] = tool.description
    match tool:
        case FunctionTool(_, _, parameters):
            declared["arguments"] = {k: v for k, v in parameters.items() if k != "$schema"}
        case CustomTool(_, _, Grammar(syntax, definition)):
            declared["input"] = {"syntax": syntax, "grammar": definition}
        case CustomTool():
            declared["input"] = "text"
    return _JSON.encode(declared)


_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _example(tools: Tools, mark: Mark) -> str:
    tool = tools.offered[0]
    match tool:
        case FunctionTool():
            return wire.call(mark, tool.name, example_arguments(tool.parameters))
        case CustomTool():
            return wire.call(mark, tool.name, "first line\nsecond line", is_custom=True)


def example_arguments(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that a schema might mean: what it requires, else its first property."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    names = _required(schema, properties)
    return {name: _example_value(properties[name], 1) for name in names or list(properties)[:1]}


def _example_value(schema: Any, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return "…"
    for key in ("const", "default"):
        if schema.get(key) is not None:
            return schema[key]
    for key in ("enum", "examples"):
        if values := _list(schema, key):
            return values[0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schemas := _list(schema, key):
            return _example_value(schemas[0], depth + 1)
    kinds = _list(schema, "type") or [schema.get("type")]
    return _of_type(kinds[0], schema, depth)


def _of_type(kind: object, schema: dict[str, Any], depth: int) -> Any:
    match kind:
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
        case "array":
            return [_example_value(schema.get("items"), depth + 1)]
        case "object":
            properties = schema.get("properties")
            inner = properties if isinstance(properties, dict) else {}
            return {n: _example_value(inner[n], depth + 1) for n in _required(schema, inner)}
        case _:
            return "…"


def _required(schema: Mapping[str, Any], properties: Mapping[str, Any]) -> list[str]:
    """Clients may write anything into the list."""
    names = _list(schema, "required")
    return [name for name in names if isinstance(name, str) and name in properties]


def _list(schema: Mapping[str, Any], key: str) -> list[Any]:
    value = schema.get(key)
    return value if isinstance(value, list) else []
