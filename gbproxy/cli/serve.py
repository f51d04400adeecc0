"""`gbproxy serve`: replace this process with gunicorn and the gateway's configuration."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gbproxy.cli import environment
from gbproxy.cli.terminal import CannotBegin

if TYPE_CHECKING:
    from gbproxy.settings import Settings

_ROOT = Path(__file__).resolve().parents[2]
_NOTHING_TO_SERVE = """\
There is no account to answer with. Set SECURE_C_SES, CSESIDX and CONFIG_ID (and HOST_C_OSES), or
ACCOUNTS, in the environment or in a file .env: docs/getting-started.md says where the browser shows
them. Without an account of your own, `make demo` shows the gateway at work."""


def define(parser: argparse.ArgumentParser) -> None:
    environment.add_env_file(parser)
    parser.set_defaults(run=_serve)


def gunicorn_command() -> list[str]:
    return [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        str(_ROOT / "gunicorn.conf.py"),
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
    """Comes back only with a status of failure."""
    os.environ.update(environment.environ(options))
    settings = _checked()
    if not settings.accounts and not (settings.database_url or settings.admin_key):
        raise CannotBegin(_NOTHING_TO_SERVE)
    # gunicorn reads this one itself, before our configuration, and fails on an empty value.
    os.environ["WEB_CONCURRENCY"] = str(settings.web_concurrency)
    os.chdir(_ROOT)
    command = gunicorn_command()
    return os.execv(command[0], command)  # noqa: S606  our own interpreter
