"""What the commands share that administer accounts or keys through the admin API."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence

from gbproxy.cli import environment
from gbproxy.cli.clients import AdminClient, Json, admin_client
from gbproxy.cli.terminal import CommandError, echo_json, printable, without_log


def common_options() -> argparse.ArgumentParser:
    """A parent parser with the options of every command that administers."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--url", metavar="URL", help="a running gateway (ADMIN_KEY in the environment)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print what the admin API answers, in JSON"
    )
    environment.add_env_file(parser)
    return parser


def run(
    options: argparse.Namespace, command: Callable[[AdminClient, argparse.Namespace], int]
) -> int:
    """Run a command on the gateway that options and environment name; its exit status.

    Raises CannotBegin when they name none.
    """
    given = environment.environ(options)
    with without_log(), admin_client(options.url, given) as admin:
        return command(admin, options)


def listed(answer: Json, name: str) -> list[Json]:
    """The list `name` of an answer. Raises CommandError when it has none."""
    things = answer.get(name)
    if not isinstance(things, list) or not all(
        isinstance(thing, Mapping) and "id" in thing for thing in things
    ):
        raise CommandError(f"what answers there is no gateway of this kind: it lists no {name}")
    return things


def find(things: Sequence[Json], wanted: str, kind: str) -> Json:
    """The thing with this id, or else with this name. Raises CommandError for none or several."""
    for field in ("id", "name"):
        matching = [thing for thing in things if thing.get(field) == wanted]
        if len(matching) == 1:
            return matching[0]
        if matching:
            raise CommandError(f"several {kind}s are called {printable(wanted)}: give the id")
    raise CommandError(f"there is no {kind} called {printable(wanted)}")


def echo_if_json(answer: object, options: argparse.Namespace) -> bool:
    """Print an answer as JSON if `--json` asks for it; True if it was."""
    if options.json:
        echo_json(answer)
    return bool(options.json)
