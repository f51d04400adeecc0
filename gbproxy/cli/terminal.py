"""What commands share in speaking with whoever runs them: lines, tables, questions, and errors in
one sentence.
"""

from __future__ import annotations

import json
import logging
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO

_GAP = "  "


class CommandError(Exception):
    """Why a command cannot be done, in plain words for whoever runs it; `status` is the exit
    status.
    """

    def __init__(self, reason: str, *, status: int = 1) -> None:
        super().__init__(sentence(reason))
        self.status = status


class CannotBegin(CommandError):
    """The settings or the arguments cannot be used."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, status=2)


def sentence(text: str) -> str:
    """A message as a sentence; several lines stay as they are, and so does a name or an address at
    the beginning.
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


def listing(columns: Sequence[str], things: Sequence[Mapping[str, object]]) -> str:
    """Objects of the admin API as a table of these fields; "" when there are none."""
    rows = [
        [
            cell(_moment(thing.get(column)) if _is_time(column) else thing.get(column))
            for column in columns
        ]
        for thing in things
    ]
    return _table([column.replace("_", " ") for column in columns], rows) if rows else ""


def cell(value: object) -> str:
    """A value of the admin API on one line; - for none."""
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
    """Unix seconds as people read them, alone or by name."""
    match value:
        case int() | float():
            return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        case Mapping():
            return {name: _moment(inner) for name, inner in value.items()}
        case _:
            return value


def printable(text: str) -> str:
    """A text from elsewhere on one line, without what a terminal would take for a command."""
    return "".join(character if character.isprintable() else " " for character in text)


def harmless(text: str, stream: IO[str]) -> str:
    """A text of several lines without what a terminal would take for a command; files and pipes get
    it as it is.
    """
    if not stream.isatty():
        return text
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc")


@contextmanager
def without_log() -> Iterator[None]:
    """The gateway's own log lines are no output of a command: what matters in them, the command
    says itself.
    """
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
