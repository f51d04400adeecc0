"""Tools, scripted texts of models, and what is read of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from gbproxy.domain.events import (
    ChatEvent,
    Done,
    FinishReason,
    SessionNamed,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UpstreamStream,
)
from gbproxy.domain.tools import CustomTool, FunctionTool, Grammar, ToolChoice, Tools
from gbproxy.emulation.tool_calls.assembly import ReadCall, Unreadable
from gbproxy.emulation.tool_calls.mark import Mark
from gbproxy.emulation.tool_calls.reader import CallReader, Piece
from gbproxy.emulation.tool_calls.schemas import Checks

NONCE = "1f3a9c2e"
MARK = Mark(NONCE)

WEATHER = FunctionTool(
    "get_weather",
    "The weather of a city",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
        "additionalProperties": False,
    },
)
WRITE = FunctionTool(
    "write_file",
    "Write a file",
    {
        "type": "object",
        "properties": {
            "path": {"type": "string"},
            "content": {"type": "string"},
            "edits": {"type": "array", "items": {"type": "object"}},
        },
        "required": ["path"],
    },
)
ANYTHING = FunctionTool("anything")
PATCH = CustomTool("apply_patch", "Apply a patch")
DIGITS = CustomTool("dial", grammar=Grammar("regex", "[0-9]+"))
TOOLS = Tools((WEATHER, WRITE, ANYTHING, PATCH, DIGITS))
REQUIRED = Tools(TOOLS.declared, ToolChoice("required"))
NO_CALLS = Tools(TOOLS.declared, ToolChoice("none"))


def fenced(value: Any, info: str = "json") -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"```{info}\n{text}\n```"


def call(name: str = "get_weather", **arguments: Any) -> str:
    return f"{MARK.line}\n{fenced({'name': name, 'arguments': arguments})}"


def weather(city: str = "Oslo", **arguments: Any) -> ReadCall:
    return called("get_weather", city=city, **arguments)


def called(name: str, **arguments: Any) -> ReadCall:
    return ReadCall(name, json.dumps(arguments, ensure_ascii=False, separators=(",", ":")))


def pieces(text: str, cuts: Sequence[int] = ()) -> list[str]:
    places = [0, *sorted({cut % (len(text) + 1) for cut in cuts}), len(text)]
    return [text[a:b] for a, b in pairwise(places) if a != b]


def joined(read: Iterable[Piece]) -> list[Piece]:
    """Texts that follow each other as one."""
    found: list[Piece] = []
    for piece in read:
        if isinstance(piece, str) and found and isinstance(found[-1], str):
            found[-1] += piece
        else:
            found.append(piece)
    return found


def read(
    text: str,
    cuts: Sequence[int] = (),
    tools: Tools = TOOLS,
    *,
    is_whole: bool = True,
    reader: CallReader | None = None,
) -> list[Piece]:
    """What a reader makes of a text that arrives in pieces."""
    reader = reader or reader_of(tools)
    found: list[Piece] = []
    for piece in pieces(text, cuts):
        found += reader.feed(piece)
        if reader.is_over:
            break
    found += reader.finish(is_whole=is_whole)
    return joined(found)


def reader_of(tools: Tools = TOOLS) -> CallReader:
    return CallReader(MARK, Checks(tools.offered), is_parallel=tools.is_parallel)


def content_of(read: Iterable[Piece]) -> str:
    return "".join(piece for piece in read if isinstance(piece, str))


def calls_of(read: Iterable[Piece]) -> list[ReadCall]:
    return [piece for piece in read if isinstance(piece, ReadCall)]


def problem_of(read: Sequence[Piece]) -> str:
    assert isinstance(read[-1], Unreadable), read
    return read[-1].reason


def upstream(*texts: str, reason: FinishReason = "stop") -> UpstreamStream:
    for text in texts:
        yield TextDelta(text)
    yield Done(reason)


def told(events: Iterable[ChatEvent | SessionNamed]) -> list[Any]:
    """Text, calls as (index, id, name, text), and the end, of a stream."""
    found: list[Any] = []
    for event in events:
        match event:
            case TextDelta(text) if found and isinstance(found[-1], str):
                found[-1] += text
            case TextDelta(text):
                found.append(text)
            case ToolCallStarted(index, call_id, name):
                found.append((index, call_id, name, ""))
            case ToolCallDelta(index, text):
                assert found[-1][0] == index
                found[-1] = (*found[-1][:3], found[-1][3] + text)
            case _:
                found.append(event)
    return found
