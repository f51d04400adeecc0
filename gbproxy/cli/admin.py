"""Who administers: the gateway's own parts on the database of DATABASE_URL, or a running gateway by
its admin API.

Both speak the admin API, so that a command and what it may answer are the same either way.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from gbproxy.cli import environment
from gbproxy.cli.terminal import CannotBegin, CommandError, echo_json, printable, without_log

_NOWHERE = (
    "there is nothing to administer: set DATABASE_URL (and SECRET_KEY) to work on the database"
    " directly, or give the address of a running gateway by --url and its ADMIN_KEY in the"
    " environment"
)

Json = Mapping[str, Any]


class Admin(Protocol):
    """Raises CommandError, in the words of the admin API."""

    def ask(self, method: str, path: str, body: object = None) -> Json:
        """One call of the admin API; the object that it answers."""
        ...


def common_options() -> argparse.ArgumentParser:
    """What every command that administers can be told."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--url", metavar="URL", help="a running gateway (ADMIN_KEY in the environment)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print what the admin API answers, in JSON"
    )
    environment.add_env_file(parser)
    return parser


def run(options: argparse.Namespace, command: Callable[[Admin, argparse.Namespace], int]) -> int:
    """Do a command where the options and the environment say. Raises CannotBegin when they do
    not.
    """
    given = environment.environ(options)
    with without_log(), _opened(options.url, given) as admin:
        return command(admin, options)


def _opened(url: str | None, given: Mapping[str, str]) -> AbstractContextManager[Admin]:
    if url:
        from gbproxy.cli import remote

        key = environment.variable(given, "ADMIN_KEY")
        if not key:
            raise CannotBegin("ADMIN_KEY is not set: with --url it must be the gateway's")
        return remote.connected(remote.address(url), key)
    if not environment.lasting_database(given):
        raise CannotBegin(_NOWHERE)
    from gbproxy.cli import embedded

    return embedded.administering(environment.settings(given))


def all_of(answer: Json, name: str) -> list[Json]:
    """The things that an answer lists. Raises CommandError when it lists none of that name."""
    things = answer.get(name)
    if not isinstance(things, list) or not all(
        isinstance(thing, Mapping) and "id" in thing for thing in things
    ):
        raise CommandError(f"what answers there is no gateway of this kind: it lists no {name}")
    return things


def found(things: Sequence[Json], wanted: str, kind: str) -> Json:
    """The thing of an id, or else of a name. Raises CommandError when there is none, or several."""
    for field in ("id", "name"):
        matching = [thing for thing in things if thing.get(field) == wanted]
        if len(matching) == 1:
            return matching[0]
        if matching:
            raise CommandError(f"several {kind}s are called {printable(wanted)}: give the id")
    raise CommandError(f"there is no {kind} called {printable(wanted)}")


def shown(answer: object, options: argparse.Namespace) -> bool:
    """Whether an answer was asked for as JSON, and so is said."""
    if options.json:
        echo_json(answer)
    return bool(options.json)
