"""Finds all that keeps a server from starting before it starts: in the settings, at the address, in
the database.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Mapping, Sequence

from gbproxy.domain.catalogue import built_in_names
from gbproxy.settings import Settings, SettingsError, load
from gbproxy.settings.environment import EnvironmentReader
from gbproxy.settings.network import outlives_the_process

# With these gunicorn does not listen, or not as HOST and PORT say; the variables hold sockets that
# it was handed.
_OTHER_LISTENING = ("-b", "--bind", "--reuse-port", "--check-config", "--print-config")
_HANDED_SOCKETS = ("GUNICORN_FD", "LISTEN_FDS")


def check(environ: Mapping[str, str], arguments: Sequence[str] = ()) -> Settings:
    """The settings of a server that is about to start with these arguments of gunicorn's; nothing
    is changed.

    Raises SettingsError with every mistake. The database is only looked at when there is another:
    else it is for the start itself to prepare.
    """
    try:
        settings, problems = load(environ, built_in_names()), []
    except SettingsError as error:
        settings, problems = error.readable, error.problems
    named = {problem.partition(":")[0].removesuffix("_FILE") for problem in problems}
    host, port = (_name(environ, name) for name in ("HOST", "PORT"))
    if not named & {host, port} and _listens(environ, arguments):
        problems += _unusable_address(settings.host, settings.port, host, port)
    if problems and not named & {"DATABASE_URL", "SECRET_KEY"}:
        problems += _unusable_database(settings)
    if problems:
        raise SettingsError(problems, settings)
    return settings


def _name(environ: Mapping[str, str], name: str) -> str:
    found = EnvironmentReader(environ).find(name)
    return found.name if found else name


def _listens(environ: Mapping[str, str], arguments: Sequence[str]) -> bool:
    given = [*arguments, *environ.get("GUNICORN_CMD_ARGS", "").split()]
    is_handed = any(environ.get(name) for name in _HANDED_SOCKETS)
    return not is_handed and not any(argument.startswith(_OTHER_LISTENING) for argument in given)


def _unusable_address(host: str, port: int, host_name: str, port_name: str) -> Iterator[str]:
    """gunicorn would try five times, and end with another status."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                yield (
                    f"{port_name}: {port} is in use on {host}; another program listens there,"
                    " perhaps another gateway"
                )
            case errno.EACCES | errno.EPERM:
                yield (
                    f"{port_name}: {port} is closed to this user; ports from 1024 on are open to"
                    " everybody"
                )
            case _:
                yield (
                    f"{host_name}: {host} cannot be listened on"
                    f" ({error.strerror or type(error).__name__})"
                )


def _unusable_database(settings: Settings) -> Iterator[str]:
    from gbproxy.storage import (
        prepare as preparation,  # a start without mistakes has no time for it twice
    )

    url = settings.database_address
    if outlives_the_process(url):
        fault = preparation.find_fault(url, settings.encryption_keys)
        if fault is not None:
            yield fault
