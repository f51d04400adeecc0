"""Blocks -> calls: what was written is read, mended where it has to be, completed with its long
texts, and checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from gbproxy.domain import jsontext
from gbproxy.emulation.tool_calls.mending import readings
from gbproxy.emulation.tool_calls.schemas import Checks

LABEL = re.compile(r"@\d{1,3}")  # what stands in a call for a long text

_LISTS = ("tool_calls", "calls", "function_calls")
_NAMES = ("name", "tool", "tool_name", "function", "recipient_name")
_PAYLOADS = ("arguments", "input", "parameters", "args", "params", "tool_input")
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class ReadCall:
    """A call that its tool takes; `text`: its arguments as compact JSON, or a custom tool's
    input.
    """

    name: str
    text: str
    is_custom: bool = False


class Fault(Enum):
    """What is wrong with an answer that has no call that can be used."""

    PROSE = "prose"  # in its place
    NO_CALL = "no call"  # but its mark, or nothing at all
    NAME = "wrong name"
    JSON = "wrong JSON"
    TYPES = "wrong types"  # it does not hold to the schema
    CUT = "cut"  # its end is missing


@dataclass(frozen=True, slots=True)
class Unreadable:
    """No call could be made of what was written; `reason` in words for the model."""

    reason: str
    fault: Fault


@dataclass(frozen=True, slots=True)
class Written:
    """The calls of one block, in the order in which they stand there, and what was mended."""

    calls: tuple[tuple[str, Any], ...]  # name and payload
    repairs: tuple[str, ...] = ()

    def labels(self) -> list[str]:
        """The long texts that they ask for, in the order of their numbers."""
        found = {text for _, payload in self.calls for text in _texts(payload) if _is_label(text)}
        return sorted(found, key=lambda label: int(label[1:]))

    def completed(self, texts: dict[str, str]) -> Written:
        calls = tuple((name, _replaced(payload, texts)) for name, payload in self.calls)
        return replace(self, calls=calls)


def read(text: str, checks: Checks) -> Written | Unreadable:
    """The first reading whose calls hold to their schemas; else the first that names tools; else
    what is wrong with the first of all.
    """
    declared: Written | None = None
    problem = Unreadable("it is not valid JSON", Fault.JSON)
    is_first = True
    for value, repairs in readings(text):
        try:
            written = _written(value, checks, repairs)
        except ValueError as error:
            if is_first:
                fault = Fault.NAME if isinstance(error, _UnknownTool) else Fault.JSON
                problem = Unreadable(str(error), fault)
            is_first = False
            continue
        is_first = False
        if all(checks.complaint(name, payload) is None for name, payload in written.calls):
            return written
        declared = declared or written
    return declared or problem


def finished(written: Written, checks: Checks) -> Iterator[ReadCall | Unreadable]:
    """Each call, or what is wrong with it; nothing follows what is wrong."""
    for name, payload in written.calls:
        complaint = checks.complaint(name, payload)
        if complaint is not None:
            yield Unreadable(complaint, Fault.TYPES)
            return
        if checks.is_custom(name):
            yield ReadCall(name, _sendable(payload), is_custom=True)
        else:
            yield ReadCall(name, _sendable(_JSON.encode(payload)))


class _UnknownTool(ValueError):
    pass


def _written(value: Any, checks: Checks, repairs: tuple[str, ...]) -> Written:
    """Raises ValueError for what is no call, in words for the model."""
    calls = []
    further: set[str] = set()
    for item in _items(value):
        name, payload, how = _call(item, checks)
        calls.append((name, payload))
        further.update(how)
    if not calls:
        raise ValueError("it holds no call")
    return Written(tuple(calls), (*repairs, *sorted(further)))


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        inner = next((value[key] for key in _LISTS if isinstance(value.get(key), list)), None)
        return [value] if inner is None else inner
    raise ValueError("it is not a JSON object")


def _call(item: Any, checks: Checks) -> tuple[str, Any, set[str]]:
    how: set[str] = set()
    if isinstance(item, dict) and isinstance(item.get("function"), dict):
        item = item["function"]
        how.add("keys")
    if not isinstance(item, dict):
        raise ValueError("it is not a JSON object")
    key = next((key for key in _NAMES if isinstance(item.get(key), str)), None)
    if key is None:
        raise ValueError('it has no "name"')
    name = item[key]
    if name not in checks.names and name.rpartition(".")[2] in checks.names:
        name = name.rpartition(".")[2]
        how.add("prefix")
    if name not in checks.names:
        raise _UnknownTool(f"there is no tool {name[:64]}")
    is_custom = checks.is_custom(name)
    expected = "input" if is_custom else "arguments"
    given = next((each for each in (expected, *_PAYLOADS) if each in item), None)
    if key != "name" or given not in (expected, None):
        how.add("keys")
    payload = "" if is_custom else {}
    if given is not None and item[given] is not None:
        payload = item[given]
    if is_custom and isinstance(payload, dict) and len(payload) == 1:
        [payload] = payload.values()
        how.add("keys")
    if not is_custom and isinstance(payload, str) and not _is_label(payload):
        payload = _decoded(payload)
        how.add("arguments as text")
    return name, payload, how


def _decoded(text: str) -> Any:
    try:
        return jsontext.decode(text.strip() or "{}")
    except ValueError as error:
        raise ValueError(f"its arguments are a text that {error}") from error


def _is_label(text: str) -> bool:
    return LABEL.fullmatch(text) is not None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _replaced(value: Any, texts: dict[str, str]) -> Any:
    if isinstance(value, str):
        return texts.get(value, value)
    if isinstance(value, dict):
        return {key: _replaced(each, texts) for key, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, texts) for each in value]
    return value


def _sendable(text: str) -> str:
    """Without halves of surrogate pairs, which could be sent to nobody."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
