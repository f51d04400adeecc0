"""A model that follows instructions: it calls functions and writes JSON where a prompt says how, in
one of the manners in which models do that well or badly.

It knows nothing of who instructs it: it reads what the prompts of its session say, as a model does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gbproxy.simulator.widget.model import ModelAnswer, last_user_message

_MARK = re.compile(r"⟦call \w+⟧")
_DECLARED = re.compile(r'^\{"name":.*"(?:arguments|input)":.*\}$', re.MULTILINE)
_CHOICE = re.compile(r"This time call (no function|at least one function|[^\s:,]+)(?=[.:])")
_RESULT = re.compile(r"^Result of (?:([^,\n]+), )?call [^\n]*:\n", re.MULTILINE)
_REMINDER = re.compile(r"^\((?:Calls are written as before|A program reads)[^\n]*\)\s*$", re.M)
_CORRECTED = re.compile(r"The program (?:could not use|found no call in)")
_JSON_WANTED = re.compile(r"A program reads your answer")
_SCHEMA = re.compile(r"holds to the JSON schema below, and nothing else\.\n\n(\{.*\})$", re.M)
_FENCED = r"(?P<fence>`{3,})\w*\n(?P<text>.*?)\n(?P=fence)(?!`)"
_BLOCK = re.compile(_FENCED, re.DOTALL)
_NAMES = re.compile(r"(?<=[\w,] )[A-Z]\w+")
_QUOTED = re.compile(r'"([^"\n]*)"')
_BEHIND = re.compile(rf'[ :]*\s*(?:"(?P<quoted>[^"\n]*)"|{_FENCED})', re.DOTALL)
_PROSE = "That tool is not available in this chat."


@dataclass(frozen=True)
class _Tool:
    name: str
    schema: Mapping[str, Any] | None  # None: it takes a text

    @property
    def words(self) -> set[str]:
        return {word.lower() for word in re.split(r"[\W_]+", self.name) if len(word) > 2}


def follow(
    prompts: Sequence[str], tool_manner: str, json_manner: str, *, heeds_corrections: bool = True
) -> ModelAnswer | None:
    """The answer to the last prompt of a session; None where no instruction asks for anything.

    Raises nothing: what it cannot read, it does not follow.
    """
    prompt = prompts[-1]
    is_corrected = heeds_corrections and _CORRECTED.search(prompt) is not None
    mark = _MARK.search(prompt)
    if mark is not None:
        tool = _wanted(prompts)
        if tool is not None:
            manner = "as_told" if is_corrected and tool_manner != "never" else tool_manner
            return ModelAnswer(_called(mark[0], tool, _said(prompts), manner))
        if _RESULT.search(prompt):
            return ModelAnswer(f"It says: {_RESULT.split(_said(prompts))[-1].strip()}")
    if any(map(_JSON_WANTED.search, prompts)):
        manner = "bare" if is_corrected and json_manner != "never" else json_manner
        return ModelAnswer(_json(_schema(prompts), _said(prompts), manner))
    return None


def _wanted(prompts: Sequence[str]) -> _Tool | None:
    """The function that is to be called now."""
    tools = _tools(prompts)
    choices = _CHOICE.findall(prompts[-1])
    if choices and choices[-1] == "no function":
        return None
    named = [tool for tool in tools if choices and tool.name == choices[-1].rstrip(".")]
    if named:
        return named[0]
    said = _said(prompts)
    results = list(_RESULT.finditer(said))
    if results:  # a result that says so asks for another call
        last = said[results[-1].end() :]
        again = [tool for tool in tools if tool.name == results[-1][1]]
        return again[0] if again and "once more" in last else None
    words = {word.lower() for word in re.findall(r"\w+", said)}
    fitting = [tool for tool in tools if tool.words & words]
    if fitting:
        return fitting[0]
    is_asked = bool(choices) or _CORRECTED.search(prompts[-1]) is not None
    return tools[0] if tools and is_asked else None


def _tools(prompts: Sequence[str]) -> list[_Tool]:
    """Those of the last prompt that declares some."""
    for prompt in reversed(prompts):
        declared = [json.loads(line) for line in _DECLARED.findall(prompt) if _is_json(line)]
        tools = [_Tool(each["name"], each.get("arguments")) for each in declared if len(each) > 1]
        if tools and "The program that shows your answers" in prompt:
            return tools
    return []


def _said(prompts: Sequence[str]) -> str:
    """The last user's words, or the results, without what a program has added."""
    for prompt in reversed(prompts):
        if not _CORRECTED.search(prompt):
            return _REMINDER.sub("", last_user_message(prompt)).strip()
    return ""


def _called(mark: str, tool: _Tool, said: str, manner: str) -> str:
    payload: dict[str, Any] = {"name": tool.name, **_payload(tool, said)}
    written = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    told = f"{mark}\n```json\n{written}\n```"
    match manner:
        case "all_at_once":
            names = _NAMES.findall(said) or [said]
            return "\n".join(_called(mark, tool, f"in {name}", "as_told") for name in names)
        case "other_fence":
            return f"```tool_call\n{written}\n```"
        case "chatter":
            return f"Let me look that up.\n\n{told}\n\nOne moment, please!"
        case "wrong_name":
            return told.replace(f'"{tool.name}"', '"nothing_like_it"', 1)
        case "wrong_json":
            return f"{mark}\n```json\n{payload!r}\n```"
        case "broken_json":
            return f"{mark}\n```json\n{written[:-2]}\n```"
        case "wrong_types":
            wrong = json.dumps({**dict.fromkeys(payload, 0), "name": tool.name})
            return f"{mark}\n```json\n{wrong}\n```"
        case "cut_short":
            return told[: len(mark) + len("\n```json\n") + len(written) // 2]
        case "answers_itself":
            return f"{told}\n\nResult of {tool.name}, call 1:\nSunny.\n\nSo it is sunny."
        case "escaped":
            return told.replace("⟦", "\\[", 1).replace("⟧", "\\]", 1)
        case "prose" | "never":
            return _PROSE
        case _:
            return told


def _payload(tool: _Tool, said: str) -> dict[str, Any]:
    if tool.schema is None:
        block = _BLOCK.search(said)
        return {"input": block["text"] if block else said or "x"}
    return {"arguments": _value({"type": "object", **tool.schema}, said)}


def _json(schema: Mapping[str, Any] | None, said: str, manner: str) -> str:
    value = {"answer": said} if schema is None else _value(schema, said)
    written = json.dumps(value, ensure_ascii=False)
    match manner:
        case "chatter":
            return f"Here it is:\n\n```json\n{written}\n```\n\nDoes that help?"
        case "wrong_type":
            return "[]" if written.startswith("{") else "{}"
        case "prose" | "never":
            return "I would rather say it in words."
        case "bare":
            return written
        case _:
            return f"```json\n{written}\n```"


def _schema(prompts: Sequence[str]) -> Mapping[str, Any] | None:
    found = [schema for prompt in prompts for schema in _SCHEMA.findall(prompt)]
    return json.loads(found[-1]) if found and _is_json(found[-1]) else None


def _value(schema: Any, said: str, name: str = "") -> Any:
    """A value that holds to a simple schema: what was said behind the name of its property, as
    `days: 3` or `the path "a.txt"`; else a text is a name out of what was said, a number its last.
    """
    if not isinstance(schema, dict):
        return "x"
    behind = re.search(rf"\b{re.escape(name)}\b(.*)", said, re.DOTALL) if name else None
    named = behind[1] if behind else ""
    if enum := _list(schema, "enum"):
        return next((each for each in enum if str(each) in said), enum[0])
    match schema.get("type"):
        case "object":
            given = schema.get("properties")
            properties = given if isinstance(given, dict) else {}
            required = [each for each in _list(schema, "required") if isinstance(each, str)]
            names = required or list(properties)[:1]
            return {each: _value(properties.get(each), said, each) for each in names}
        case "array":
            items = schema.get("items") or {}
            is_of_texts = isinstance(items, dict) and items.get("type") == "string"
            quoted = _QUOTED.findall(named) if is_of_texts else []
            return quoted or [_value(items, said)]
        case "integer" | "number" as kind:
            return _number(named, said, kind)
        case "boolean":
            return re.match(r"\W+false\b", named) is None
        case "null":
            return None
        case _:
            return _text(named, said)


def _list(schema: Mapping[str, Any], key: str) -> list[Any]:
    """Clients may write anything into a schema."""
    value = schema.get(key)
    return value if isinstance(value, list) else []


def _number(named: str, said: str, kind: str) -> int | float:
    told = re.match(r"\W*?(-?\d+(?:\.\d+)?)\b", named)
    number = told[1] if told else next(reversed(re.findall(r"\d+", said)), "1")
    return float(number) if kind == "number" and "." in number else int(float(number))


def _text(named: str, said: str) -> str:
    told = _BEHIND.match(named)
    if told:
        return str(told["quoted"] if told["quoted"] is not None else told["text"])
    names = _NAMES.findall(said)
    return str(names[-1]) if names else "x"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
