"""`gbproxy serve`, which replaces this process with gunicorn and the gateway's configuration, and
`gbproxy migrate`, which prepares the database as a start does, without starting.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gbproxy.cli.environment import add_env_file, environ, has_lasting_database, load_settings
from gbproxy.cli.terminal import CannotBegin, echo, echo_json

if TYPE_CHECKING:
    from gbproxy.settings import Settings

_CONFIGURATION = Path(__file__).resolve().parents[1] / "gunicorn_conf.py"
_NOTHING_TO_SERVE = """\
There is no account to answer with. Set SECURE_C_SES, CSESIDX and CONFIG_ID (and HOST_C_OSES), or
ACCOUNTS, in the environment or in a file .env: docs/getting-started.md says where the browser shows
them. Without an account of your own, `gbproxy demo` (`make demo`) shows the gateway at work."""


def define(parser: argparse.ArgumentParser) -> None:
    add_env_file(parser)
    parser.set_defaults(run=_serve)


def gunicorn_command() -> list[str]:
    return [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        str(_CONFIGURATION),
        "gbproxy.app:create_app()",
    ]


def _checked() -> Settings:
    """The settings, checked before gunicorn reads any. Raises CannotBegin with every mistake."""
    from gbproxy.server import preflight
    from gbproxy.settings import SettingsError

    try:
        return preflight.check(os.environ)
    except SettingsError as error:
        raise CannotBegin(f"The settings cannot be used:\n{error}") from error


def _serve(options: argparse.Namespace) -> int:
    os.environ.update(environ(options))
    settings = _checked()
    if not settings.accounts and not (settings.database_url or settings.admin_key):
        raise CannotBegin(_NOTHING_TO_SERVE)
    # gunicorn reads this variable itself, before our configuration, and fails on an empty value.
    os.environ["WEB_CONCURRENCY"] = str(settings.web_concurrency)
    command = gunicorn_command()
    return os.execv(command[0], command)  # noqa: S606  our own interpreter


def define_migrate(parser: argparse.ArgumentParser) -> None:
    add_env_file(parser)
    parser.add_argument("--json", action="store_true", help="say it in JSON")
    parser.set_defaults(run=_migrate)


def _migrate(options: argparse.Namespace) -> int:
    given = environ(options)
    if not has_lasting_database(given):
        raise CannotBegin(
            "DATABASE_URL names no database that outlives the process, so there is nothing to"
            " prepare"
        )
    settings = load_settings(given)
    from gbproxy.cli.databases import prepare
    from gbproxy.storage.tables import REVISION

    before = prepare(settings)
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
