"""The `gbproxy` command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from gbproxy import __version__

_ROOT = Path(__file__).resolve().parent.parent
_NOTHING_TO_SERVE = """\
There is no account to answer with. Set SECURE_C_SES, CSESIDX and CONFIG_ID (and HOST_C_OSES), or ACCOUNTS, in the
environment or in a file .env: README.md says where they are found in the browser. Without an account of your own,
`make demo` shows the gateway at work."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the status is 0, or 2 when the environment or the arguments cannot be used."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["simulate"]:  # has options of its own
        from gbproxy.simulator.command import main as simulate

        return simulate(arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        return 130


def serve(options: argparse.Namespace) -> int:
    """Become gunicorn, with an environment file's values beside those of the environment, which win.

    Comes back only with a status of failure.
    """
    if options.env_file is not None:
        try:
            _fill_environment(read_env_file(options.env_file))
        except (OSError, ValueError) as error:
            print(f"The environment file cannot be read: {error}", file=sys.stderr)  # noqa: T201
            return 2
    from gbproxy import startup

    settings = startup.read(os.environ)
    if not settings.accounts and not (settings.database_url or settings.admin_key):
        print(_NOTHING_TO_SERVE, file=sys.stderr)  # noqa: T201
        return 2
    # gunicorn reads this one by itself, before our configuration, and stumbles over an empty value.
    os.environ["WEB_CONCURRENCY"] = str(settings.web_concurrency)
    os.chdir(_ROOT)
    command = gunicorn_command()
    return os.execv(command[0], command)  # noqa: S606  our own interpreter


def gunicorn_command() -> list[str]:
    return [sys.executable, "-m", "gunicorn", "-c", str(_ROOT / "gunicorn.conf.py"), "gbproxy.app:create_app()"]


def read_env_file(path: Path) -> dict[str, str]:
    """An environment file by Docker's rules: `NAME=value` as it stands, without quotes or expansion; `#` begins a comment.

    A bare NAME passes on the environment's own value, which it has already.
    """
    values: dict[str, str] = {}
    for line in path.read_text("utf-8-sig").split("\n"):  # reading has turned \r\n into \n
        name, separator, value = line.lstrip().partition("=")
        if separator and name and not name.startswith("#"):
            values[name.strip()] = value
    return values


def _fill_environment(values: Mapping[str, str]) -> None:
    """Add what the environment does not have; a variable that is empty there counts as missing, as everywhere."""
    for name, value in values.items():
        if not os.environ.get(name, "").strip():
            os.environ[name] = value


def _demo(options: argparse.Namespace) -> int:
    from gbproxy import demo

    return demo.run(gunicorn_command())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gbproxy", description=__doc__)
    parser.add_argument("--version", action="version", version=f"gbproxy {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serving = commands.add_parser("serve", help="run the gateway with the environment's settings")
    serving.add_argument("--env-file", type=Path, help="a file of NAME=value lines, read as Docker's --env-file")
    serving.set_defaults(run=serve)
    demo = commands.add_parser("demo", help="the gateway in front of the bundled simulator, and one streamed answer")
    demo.set_defaults(run=_demo)
    commands.add_parser("simulate", help="the simulator of the upstream alone (see simulate --help)", add_help=False)
    return parser
