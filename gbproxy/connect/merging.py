"""Puts values into the text of a file that may hold others, and changes nothing that is there."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from gbproxy.connect.json_text import with_members
from gbproxy.connect.program import FileFormat

# As dotenv reads one: also behind a byte order mark, and with a colon.
_ENV_LINE = re.compile(r"^[\s\ufeff]*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)(?:\s*=|:\s)(.*)$")
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_./:@%+=,~-]*")


class CannotMerge(Exception):
    """The file cannot be changed without harm; the message is a sentence about "it"."""


class Conflict(Exception):
    """`taken`: the dotted names that hold other values, with these as JSON."""

    def __init__(self, taken: Mapping[str, str]) -> None:
        super().__init__(", ".join(taken))
        self.taken = taken


def merged(format_: FileFormat, text: str, wanted: Mapping[str, Any]) -> str:
    """The text with `wanted` added; unchanged where all of it is there. Every character of it
    stays. Raises CannotMerge and Conflict.
    """
    is_crlf = "\r\n" in text and "\n" not in text.replace("\r\n", "")
    plain = text.replace("\r\n", "\n") if is_crlf else text
    merge = {"json": _merged_json, "toml": _merged_toml, "env": _merged_env}[format_]
    result = merge(plain, wanted)
    return result.replace("\n", "\r\n") if is_crlf else result


def _merged_json(text: str, wanted: Mapping[str, Any]) -> str:
    there = text if text.strip() else "{}\n"
    _refuse_conflicts(_parsed_json(there), wanted)
    return with_members(there, wanted)


def _parsed_json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        if "//" in text or "/*" in text:
            raise CannotMerge("it seems to have comments, which JSON has not") from error
        raise CannotMerge("it is not valid JSON") from error
    if not isinstance(value, dict):
        raise CannotMerge("it is not a JSON object")
    return value


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise CannotMerge("it has the same name twice in one object")
    return found


def _merged_toml(text: str, wanted: Mapping[str, Any]) -> str:
    try:
        expected = tomllib.loads(text)
        there = tomlkit.parse(text)
    except (tomllib.TOMLDecodeError, TOMLKitError) as error:
        raise CannotMerge("it is not valid TOML") from error
    _refuse_conflicts(expected, wanted)
    if not _fill(expected, wanted):
        return text
    _fill(there, wanted)
    result = tomlkit.dumps(there)
    # Tables that stand in several places are hard to extend: never hand out what reads otherwise.
    if tomllib.loads(result) != expected:
        raise CannotMerge("its tables are arranged so that nothing can be added safely")
    return result


def _merged_env(text: str, wanted: Mapping[str, Any]) -> str:
    there = {found[1]: found[2] for line in text.splitlines() if (found := _ENV_LINE.match(line))}
    taken = {
        name: json.dumps(_env_value(there[name]), ensure_ascii=False)
        for name, value in wanted.items()
        if name in there and _env_value(there[name]) != value
    }
    if taken:
        raise Conflict(taken)
    lines = [f"{name}={_quoted(value)}\n" for name, value in wanted.items() if name not in there]
    gap = "\n" if lines and text and not text.endswith("\n") else ""
    return text + gap + "".join(lines)


def _env_value(written: str) -> str:
    """The value of a line as dotenv reads it."""
    value = written.strip()
    quoted = re.match(r"""(["'`])(.*?)\1\s*(?:#.*)?$""", value)
    return quoted[2] if quoted else value.partition(" #")[0].strip()


def _quoted(value: str) -> str:
    if _PLAIN_VALUE.fullmatch(value) or value == "$API_KEY":
        return value
    for quote in "'\"`":  # within the first a reader expands neither $NAME nor a backslash
        if quote not in value and value.isprintable():
            return f"{quote}{value}{quote}"
    raise CannotMerge("the key has characters that no quotes in it could hold")


def _refuse_conflicts(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    taken = dict(_taken(there, wanted))
    if taken:
        raise Conflict(taken)


def _taken(
    there: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str]]:
    for name, value in wanted.items():
        if name not in there:
            continue
        known = there[name]
        if isinstance(value, Mapping) and isinstance(known, Mapping):
            yield from _taken(known, value, f"{prefix}{name}.")
        elif known != value:
            yield f"{prefix}{name}", json.dumps(known, ensure_ascii=False, default=str)


def _fill(there: MutableMapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Add what is missing; True if anything was."""
    changed = False
    for name, value in wanted.items():
        if name not in there:
            there[name] = copy.deepcopy(value)
            changed = True
        elif isinstance(value, Mapping):
            changed = _fill(there[name], value) or changed
    return changed
