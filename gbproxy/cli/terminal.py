"""Input and output of the commands: printed lines and tables, prompts, standard input, and errors
in one sentence.
"""

from __future__ import annotations

import getpass
import json
import logging
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, Any

_GAP = "  "


class CommandError(Exception):
    """A command failed; the message is shown as one sentence, `status` is the exit status."""

    def __init__(self, reason: str, *, status: int = 1) -> None:
        super().__init__(sentence(reason))
        self.status = status


class CannotBegin(CommandError):
    """Settings or arguments cannot be used: exit status 2."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, status=2)


def sentence(text: str) -> str:
    """Capitalize a message and end it with a full stop.

    Several lines stay as they are, and so does a name or an address at the beginning.
    """
    text = text.strip()
    if "\n" in text:
        return text
    capital = text[:1].upper() if text.partition(" ")[0].isalpha() else text[:1]
    return f"{capital}{text[1:]}{'' if text.endswith(('.', '!', '?', ':')) else '.'}"


def echo(text: str = "") -> None:
    sys.stdout.write(f"{text}\n")


def echo_json(value: object) -> None:
    echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_error(text: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def stdin_is_terminal() -> bool:
    return sys.stdin.isatty()


def read_stdin() -> str:
    """All of standard input: typed, or a file's text in UTF-8 or UTF-16. Raises CannotBegin when
    it is not text.
    """
    from gbproxy.settings.environment import decode_text

    try:
        return sys.stdin.read() if stdin_is_terminal() else decode_text(sys.stdin.buffer.read())
    except UnicodeDecodeError as error:
        raise CannotBegin("standard input is not text") from error
    except ValueError as error:
        raise CannotBegin(f"standard input {error}") from error


def read_pasted(what: str) -> str:
    """All of standard input; at a terminal a line on stderr asks for it."""
    if stdin_is_terminal():
        print_error(f"{what}, and end it with Ctrl-D on a line of its own:")
    return read_stdin()


def read_json_object(example: str) -> dict[str, Any]:
    """The JSON object on standard input. Raises CannotBegin; the message quotes none of the input,
    which may hold secrets.
    """
    try:
        value = json.loads(read_stdin())
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise CannotBegin(f"standard input must be a JSON object such as {example}")
    return value


def prompt_line(prompt: str) -> str:
    """One typed line."""
    sys.stderr.write(f"{prompt}: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def prompt_secret(prompt: str) -> str:
    """One typed line, not echoed."""
    return getpass.getpass(f"{prompt}: ").strip()


def listing(columns: Sequence[str], things: Sequence[Mapping[str, object]]) -> str:
    """A table of these fields of the admin API's objects; "" when there are none."""
    rows = [
        [
            cell(_moment(thing.get(column)) if _is_time(column) else thing.get(column))
            for column in columns
        ]
        for thing in things
    ]
    return _table([column.replace("_", " ") for column in columns], rows) if rows else ""


def cell(value: object) -> str:
    """A value of the admin API on one line; `-` for none."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case Mapping():
            return (
                ", ".join(
                    f"{name} {cell(inner)}" for name, inner in value.items() if inner is not None
                )
                or "-"
            )
        case list() | tuple():
            return ", ".join(map(cell, value)) or "-"
        case _:
            return printable(str(value)) or "-"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns under headings; characters that are two columns wide count as such."""
    lines = [headings, *rows]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        _GAP.join(
            cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def _is_time(column: str) -> bool:
    return column.endswith(("_at", "_until"))


def _moment(value: object) -> object:
    """Unix seconds as a date and time in UTC, alone or in an object."""
    match value:
        case int() | float():
            return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        case Mapping():
            return {name: _moment(inner) for name, inner in value.items()}
        case _:
            return value


def printable(text: str) -> str:
    """A foreign text on one line, without control characters that a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in text)


def harmless(text: str, stream: IO[str]) -> str:
    """A foreign text of several lines without control characters, where `stream` is a terminal."""
    if not stream.isatty():
        return text
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc")


@contextmanager
def without_log() -> Iterator[None]:
    """Keep the gateway's log lines off the terminal: a command says itself what its user needs."""
    log = logging.getLogger("gbproxy")
    handler, propagates = logging.NullHandler(), log.propagate
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = propagates


def _width(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.combining(character) != 0 for character in text)
