"""What surrounds a command: the environment with the file of `--env-file`, the settings in it, and
whose command it is.

Heavy imports stand in the functions that need them: `--help` loads none.
"""

from __future__ import annotations

import argparse
import getpass
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from gbproxy.cli.terminal import CannotBegin

if TYPE_CHECKING:
    from gbproxy.settings import Settings

_BLANK = " \t\r\n\"'"


def add_env_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--env-file",
        type=Path,
        metavar="FILE",
        help="a file of NAME=value lines, read as Docker's --env-file",
    )


def environ(options: argparse.Namespace) -> dict[str, str]:
    """The environment and the file of `--env-file`; the environment wins. Raises CannotBegin."""
    values = dict(os.environ)
    if options.env_file is None:
        return values
    from gbproxy.settings.environment import read_env_file

    try:
        added = read_env_file(options.env_file)
    except (OSError, ValueError) as error:
        raise CannotBegin(f"the environment file cannot be read: {error}") from error
    # A variable that is empty, or nothing but quotes, counts as unset.
    return {
        **values,
        **{name: value for name, value in added.items() if not values.get(name, "").strip(_BLANK)},
    }


def load_settings(given: Mapping[str, str]) -> Settings:
    """The settings of an environment. Raises CannotBegin with every mistake in them."""
    from gbproxy.domain.catalogue import built_in_names
    from gbproxy.settings import SettingsError, load

    try:
        return load(given, built_in_names())
    except SettingsError as error:
        raise CannotBegin(f"The settings cannot be used:\n{error}") from error


def variable(given: Mapping[str, str], name: str) -> str:
    """One variable, by any of its names or from its file; "" when it is unset. Raises CannotBegin.

    For commands that need one or two: mistakes in other variables do not stop them.
    """
    from gbproxy.settings.environment import EnvironmentReader

    reader = EnvironmentReader(given)
    found = reader.find(name)
    if reader.problems:
        raise CannotBegin(reader.problems[0])
    return (found.text or "").strip() if found else ""


def has_lasting_database(given: Mapping[str, str]) -> bool:
    """True if DATABASE_URL names a database that outlives the process. Raises CannotBegin."""
    from gbproxy.settings.network import outlives_the_process

    return outlives_the_process(variable(given, "DATABASE_URL"))


def user_at_host() -> str:
    """Who works with these commands, for audit lines."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # containers run under numbers that have no name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def user_header() -> dict[str, str]:
    """The same, for a gateway."""
    from gbproxy.observability.audit import USER_HEADER

    return {USER_HEADER: quote(user_at_host())}
