"""`gbproxy migrate`: prepare the database as a start does, without starting."""

from __future__ import annotations

import argparse

from gbproxy.cli import environment
from gbproxy.cli.terminal import CannotBegin, CommandError, echo, echo_json, without_log


def define(parser: argparse.ArgumentParser) -> None:
    environment.add_env_file(parser)
    parser.add_argument("--json", action="store_true", help="say it in JSON")
    parser.set_defaults(run=_migrate)


def _migrate(options: argparse.Namespace) -> int:
    given = environment.environ(options)
    if not environment.lasting_database(given):
        raise CannotBegin(
            "DATABASE_URL names no database that outlives the process, so there is nothing to"
            " prepare"
        )
    settings = environment.settings(given)
    from gbproxy.storage import prepare as preparation
    from gbproxy.storage.tables import REVISION

    url = settings.database_address
    try:
        with without_log():
            before = preparation.prepare(url, settings.encryption_keys)
    except preparation.CannotBeUsed as error:
        raise CommandError(str(error)) from error
    if options.json:
        echo_json({"before": before, "revision": REVISION})
    elif before == REVISION:
        echo(f"The database is at revision {REVISION} already.")
    else:
        echo(
            f"The database is at revision {REVISION} now; before it"
            f" {f'was at {before}' if before else 'was empty'}."
        )
    return 0
