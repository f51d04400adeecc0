"""The settings of a command: the environment, and what an environment file adds to it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gbproxy.cli.terminal import CannotBegin

if TYPE_CHECKING:
    from gbproxy.settings import Settings

_EMPTY = " \t\r\n\"'"


def add_env_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--env-file",
        type=Path,
        metavar="FILE",
        help="a file of NAME=value lines, read as Docker's --env-file",
    )


def environ(options: argparse.Namespace) -> dict[str, str]:
    """The environment with an environment file's values beside its own, which win. Raises
    CannotBegin.
    """
    values = dict(os.environ)
    if options.env_file is None:
        return values
    try:
        added = read_env_file(options.env_file)
    except (OSError, ValueError) as error:
        raise CannotBegin(f"the environment file cannot be read: {error}") from error
    # A variable that is empty in the environment, or has nothing in its quotes, counts as missing,
    # as everywhere.
    return {
        **values,
        **{name: value for name, value in added.items() if not values.get(name, "").strip(_EMPTY)},
    }


def read_env_file(path: Path) -> dict[str, str]:
    """An environment file by Docker's rules: `NAME=value` as it stands, without expansion; `#`
    begins a comment.

    A bare NAME passes on the environment's own value, which it has already. Raises OSError and
    ValueError.
    """
    from gbproxy.settings.text import decoded

    try:
        text = decoded(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None
    values: dict[str, str] = {}
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        name, separator, value = line.lstrip().partition("=")
        if separator and name and not name.startswith("#"):
            values[name.strip()] = value
    return values


def settings(given: Mapping[str, str]) -> Settings:
    """The settings of an environment. Raises CannotBegin with all that is wrong with them."""
    from gbproxy.domain.models import built_in_names
    from gbproxy.settings import SettingsError, load

    try:
        return load(given, built_in_names())
    except SettingsError as error:
        raise CannotBegin(f"The settings cannot be used:\n{error}") from error


def variable(given: Mapping[str, str], name: str) -> str:
    """One variable under any of its names, or out of its file; "" when it is not set. Raises
    CannotBegin.

    For commands that need one or two and must not stumble over what is wrong with the others.
    """
    from gbproxy.settings.environment import EnvironmentReader

    reader = EnvironmentReader(given)
    found = reader.find(name)
    if reader.problems:
        raise CannotBegin(reader.problems[0])
    return (found.text or "").strip() if found else ""


def lasting_database(given: Mapping[str, str]) -> bool:
    """Whether there is a database that outlives the process. Raises CannotBegin."""
    from gbproxy.settings.network import outlives_the_process

    return outlives_the_process(variable(given, "DATABASE_URL"))
