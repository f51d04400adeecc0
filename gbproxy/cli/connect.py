"""`gbproxy connect`: what a program needs to reach the gateway, printed or put into its file."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gbproxy.cli.environment import add_env_file, environ, variable
from gbproxy.cli.terminal import (
    CannotBegin,
    echo,
    listing,
    print_error,
    prompt_secret,
    stdin_is_terminal,
)

if TYPE_CHECKING:
    from gbproxy.connect.endpoint import Endpoint
    from gbproxy.connect.program import ConfigFile, Program, Way

_FORMATS = ("chat", "responses", "anthropic", "gemini")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")


def define(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "What a program needs to reach this gateway: fields, variables, files. Without a name the"
        " programs are listed. The key is shown as $API_KEY. With --write it is put into the"
        " program's own file, from API_KEY in the environment or typed unseen: the difference is"
        " shown first, and what is there is never changed."
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="such as codex or open-webui")
    parser.add_argument(
        "--url",
        metavar="URL",
        help="the gateway's address (default: PUBLIC_URL, or this machine and PORT)",
    )
    parser.add_argument(
        "--model", metavar="NAME", help="a model's id (default: what suits the program)"
    )
    parser.add_argument(
        "--format", choices=_FORMATS, help="for programs that speak several: which one"
    )
    parser.add_argument(
        "--show-key",
        action="store_true",
        help="print the key itself: that of API_KEY, or one that is typed",
    )
    parser.add_argument("--write", action="store_true", help="put it into the program's own file")
    parser.add_argument(
        "--file", type=Path, metavar="FILE", help="with --write: in place of the usual file"
    )
    parser.add_argument("--yes", action="store_true", help="with --write: do not ask")
    add_env_file(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from gbproxy.connect.programs import PROGRAMS, find

    if options.name is None:
        if options.write:
            raise CannotBegin("--write needs the name of a program")
        _list(PROGRAMS)
        return 0
    program = find(options.name)
    if program is None:
        names = ", ".join(each.name for each in PROGRAMS)
        raise CannotBegin(f"no program of that name is known here: there are {names}")
    way = _way(program, options.format)
    given = environ(options)
    endpoint = _endpoint(options, given)
    if options.write:
        from gbproxy.cli.connect_files import write

        return write(way, endpoint, options, given)
    if options.show_key:
        endpoint = with_key(endpoint, given)
    _print(program, way, endpoint, given)
    return 0


def _list(programs: tuple[Program, ...]) -> None:
    rows = [
        {
            "name": each.name,
            "program": each.title,
            "formats": [way.format for way in each.ways],
            "files": [file.usual_path for file in each.ways[0].files],
        }
        for each in programs
    ]
    echo(listing(("name", "program", "formats", "files"), rows))


def _way(program: Program, format_: str | None) -> Way:
    found = [way for way in program.ways if format_ in (None, way.format)]
    if not found:
        there = ", ".join(way.format for way in program.ways)
        raise CannotBegin(f"{program.title} is not connected by {format_}: there is {there}")
    return found[0]


def _endpoint(options: argparse.Namespace, given: Mapping[str, str]) -> Endpoint:
    from gbproxy.cli.remote import address
    from gbproxy.connect.endpoint import Endpoint
    from gbproxy.domain.catalogue import AUTOMATIC

    if options.model is not None and not _MODEL.fullmatch(options.model):
        raise CannotBegin("--model is not the name of a model")
    here = f"http://127.0.0.1:{variable(given, 'PORT') or 8080}"
    url = address(options.url or variable(given, "PUBLIC_URL") or here)
    _look_up(options.model)
    return Endpoint(url, options.model, default=variable(given, "DEFAULT_MODEL") or AUTOMATIC)


def _look_up(model: str | None) -> None:
    """Say so if only the gateway's own settings can have made this model."""
    from gbproxy.domain.catalogue import Catalogue
    from gbproxy.errors import ModelNotFound

    try:
        Catalogue().resolve(model)
    except ModelNotFound:
        print_error(f"{model} is none of the built-in models: the gateway must have it in MODELS.")


def with_key(endpoint: Endpoint, given: Mapping[str, str]) -> Endpoint:
    """The same gateway with its key: that of API_KEY, or typed. Raises CannotBegin."""
    from dataclasses import replace

    key = variable(given, "API_KEYS").partition(",")[0].strip()
    if not key and stdin_is_terminal():
        key = prompt_secret("A key of the gateway")
    if not key or not key.isprintable():
        raise CannotBegin("API_KEY is not set: it must be a key that the gateway takes")
    return replace(endpoint, key=key)


def _print(program: Program, way: Way, endpoint: Endpoint, given: Mapping[str, str]) -> None:
    from gbproxy.connect.program import FORMATS
    from gbproxy.connect.rendering import code_text, exports, file_text, powershell

    echo(f"{program.title}, by {FORMATS[way.format]} at {endpoint.url}")
    if way.fields:
        echo(f"\n{way.menu}:")
        width = max(len(each.name) for each in way.fields)
        for each in way.fields:
            echo(f"  {each.name:<{width}}  {way.given(each.value, endpoint)}")
    for file in way.files:
        echo(f"\n{_path_of(file, given)}:\n")
        echo(file_text(way, file, endpoint).rstrip("\n"))
    if way.variables:
        echo(f"\n{_environment_of(way)}:\n")
        shell = powershell if os.name == "nt" else exports
        echo(shell(way.given(way.variables, endpoint)).rstrip("\n"))
    if way.code:
        if way.code.package:
            echo(f"\n{way.code.package}")
        echo(f"\n{code_text(way, endpoint).rstrip()}")
    _print_notes(program, way)


def _path_of(file: ConfigFile, given: Mapping[str, str]) -> str:
    from gbproxy.connect.files import CannotChange, location

    try:
        return str(location(file, given))
    except CannotChange:  # only to be printed: it need not be there
        return file.usual_path


def _environment_of(way: Way) -> str:
    if way.server:
        return "Or, on its server, the environment"
    if way.files and not way.variables_beside(way.files):
        return "Or, in place of the file, its environment"
    return "Its environment"


def _print_notes(program: Program, way: Way) -> None:
    notes = list(way.notes)
    if way.files:
        notes.append(f"`gbproxy connect {program.name} --write` puts it into the file.")
    others = [each.format for each in program.ways if each is not way]
    if others:
        notes.append(f"Other formats: --format {', '.join(others)}")
    if notes:
        print_error("")
    for note in notes:
        print_error(f"- {note}")
