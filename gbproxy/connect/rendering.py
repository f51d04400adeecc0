"""Contents of files and variables as text."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from gbproxy.connect.endpoint import KEY, Endpoint
from gbproxy.connect.merging import merged
from gbproxy.connect.program import ConfigFile, Way


def file_text(way: Way, file: ConfigFile, endpoint: Endpoint) -> str:
    """A new file with these contents alone."""
    return merged(file.format, "", way.given(file.contents, endpoint))


def code_text(way: Way, endpoint: Endpoint) -> str:
    """The way's code; "" for none."""
    return way.given(way.code.text, endpoint) if way.code else ""


def exports(variables: Mapping[str, str]) -> str:
    """Lines for a POSIX shell. `$API_KEY` is left to the shell."""
    return "".join(f"export {name}={_shell(value)}\n" for name, value in variables.items())


def powershell(variables: Mapping[str, str]) -> str:
    """The same for PowerShell."""
    return "".join(f"$env:{name} = {_powershell(value)}\n" for name, value in variables.items())


def _shell(value: str) -> str:
    return f'"{KEY}"' if value == KEY else shlex.quote(value)


def _powershell(value: str) -> str:
    return "$env:API_KEY" if value == KEY else "'" + value.replace("'", "''") + "'"
