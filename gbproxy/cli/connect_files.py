"""`gbproxy connect NAME --write`: a program's files, changed after a look at the difference."""

from __future__ import annotations

import argparse
import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gbproxy.cli.connect import with_key
from gbproxy.cli.terminal import CannotBegin, CommandError, echo, print_error, prompt_line
from gbproxy.connect.endpoint import KEY, Endpoint
from gbproxy.connect.files import CannotChange, Original, location
from gbproxy.connect.merging import CannotMerge, Conflict, merged
from gbproxy.connect.program import ConfigFile, Way
from gbproxy.connect.rendering import exports, file_text
from gbproxy.connect.replacing import replace_all

# Secrets that stand in the file beside what is changed are not shown either. Names of variables
# are none.
_SECRET_NAME = r"[\w.-]*(?:key|token|secret|passw(?:or)?d)"  # noqa: S105
_SECRET_LINE = re.compile(
    rf"""(?i:({_SECRET_NAME}["']?\s*[:=]\s*["']?))(?!\$|\{{|[A-Z][A-Z0-9_]*["'\s,]|\s*[\[{{])[^"'\s,]+"""
)
_SECRET = re.compile(_SECRET_NAME, re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Change:
    shown: Path
    original: Original
    text: str


def write(
    way: Way, endpoint: Endpoint, options: argparse.Namespace, given: Mapping[str, str]
) -> int:
    """Show what would change, ask, and write. Returns the exit status: 1 where it was not wanted.

    Raises CannotBegin and CommandError; then nothing was changed.
    """
    files = _files(way, options.file)
    needs_key = any("{key}" in str(file.contents) for file in files)
    if needs_key:
        endpoint = with_key(endpoint, given)
    changes = [_change(file, way, endpoint, options.file, given) for file in files]
    wanted = [each for each in changes if each.text != (each.original.text or "")]
    if not wanted:
        echo("All of it is there already.")
        return 0
    for each in wanted:
        echo(_difference(each, endpoint.key if needs_key else None))
    if not options.yes and prompt_line("Write this? [y/N]").lower() not in ("y", "yes"):
        print_error("Nothing was changed.")
        return 1
    _carry_out(wanted)
    for each in wanted:
        if os.name != "nt" and _shows_the_key(each, endpoint):
            print_error(f"Others on this machine can read {each.shown}, and the key in it.")
    _tell_what_is_left(way, files, endpoint)
    return 0


def _files(way: Way, path: Path | None) -> tuple[ConfigFile, ...]:
    """The files to change. The variables go into the file of `--file`, if the program has none."""
    if way.files:
        if path is not None and len(way.files) > 1:
            raise CannotBegin("this program has several files: --file cannot name them all")
        return way.files
    if not way.variables or way.code:
        raise CannotBegin("this program has no file of its own: fill in what is printed")
    if path is None:
        raise CannotBegin(
            "this program's server takes variables from where you run it: name the file by --file,"
            " such as --file .env"
        )
    return (ConfigFile("env", "", (path.name,), way.variables),)


def _change(
    file: ConfigFile, way: Way, endpoint: Endpoint, path: Path | None, given: Mapping[str, str]
) -> _Change:
    try:
        shown = path if path is not None else location(file, given)
    except CannotChange as error:
        raise CannotBegin(str(error)) from error
    try:
        original = Original.read(shown)
        text = merged(file.format, original.text or "", way.given(file.contents, endpoint))
    except CannotChange as error:
        raise CommandError(f"{shown} cannot be changed: {error}") from error
    except CannotMerge as error:
        raise CommandError(_by_hand(shown, str(error), file, way, endpoint)) from error
    except Conflict as conflict:
        raise CommandError(_told(conflict, shown)) from conflict
    return _Change(shown, original, text)


def _by_hand(path: Path, why: str, file: ConfigFile, way: Way, endpoint: Endpoint) -> str:
    added = file_text(way, file, replace(endpoint, key=KEY)).rstrip("\n")
    return f"{path} cannot be changed: {why}. Nothing was changed; add this by hand:\n{added}"


def _told(conflict: Conflict, path: Path) -> str:
    lines = [
        f"  {name} is {'another secret' if _SECRET.search(name) else value}"
        for name, value in conflict.taken.items()
    ]
    return "\n".join(
        [
            f"{path} has other values, which are left as they are; nothing was changed:",
            *lines,
            "Take them out, or add what `gbproxy connect` prints by hand.",
        ]
    )


def _difference(change: _Change, key: str | None) -> str:
    """A unified diff without secrets."""
    before, after = (change.original.text or ""), change.text
    if key:
        before, after = before.replace(key, KEY), after.replace(key, KEY)
    name = str(change.shown)
    lines = difflib.unified_diff(
        before.splitlines(),
        after.splitlines(),
        name if change.original.text is not None else os.devnull,
        name,
        lineterm="",
    )
    return "\n".join(_SECRET_LINE.sub(r"\1•••", line) for line in lines)


def _carry_out(changes: Sequence[_Change]) -> None:
    try:
        copies = replace_all([(each.original, each.text) for each in changes])
    except CannotChange as error:
        raise CommandError(str(error)) from error
    for each, copy in zip(changes, copies, strict=True):
        kept = f"; what was there is in {copy}" if copy else ""
        echo(f"{each.shown} is written{kept}.")


def _shows_the_key(change: _Change, endpoint: Endpoint) -> bool:
    return bool(change.original.mode & 0o044) and endpoint.key in change.text


def _tell_what_is_left(way: Way, files: tuple[ConfigFile, ...], endpoint: Endpoint) -> None:
    """The variables that no file holds."""
    left = way.variables_beside(files)
    if left:
        shown = replace(endpoint, key=KEY)
        echo("Set in the environment in which it is started:")
        echo(exports(way.given(left, shown)).rstrip("\n"))
