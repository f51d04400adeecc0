"""The `gbproxy` command. The module of a command is imported only when the command is called.

A command has a function `define(parser)`, which adds the options and sets `run`, a function of the
parsed options that returns the exit status. Errors that a user can mend are raised as CommandError.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Mapping, Sequence
from pkgutil import resolve_name

from gbproxy.cli.terminal import CommandError, print_error
from gbproxy.version import __version__

COMMANDS: Mapping[str, str] = {  # what each does
    "serve": "run the gateway with the environment's settings",
    "demo": "the gateway in front of the bundled simulator, and one streamed answer",
    "simulate": "the simulator of the upstream alone (see simulate --help)",
    "migrate": "prepare the database of DATABASE_URL for this version",
    "doctor": "look at settings, database, network, clock and each account, and say what to do",
    "capture": (
        "write down what the upstream says to one account, without its secrets, to hand on or to"
        " replay"
    ),
    "chat": "ask one question and print the answer as it arrives",
    "accounts": "the upstream accounts: list, add, import, check, enable, disable, remove",
    "keys": "the client keys: list, create, change, revoke",
    "alerts": "the alerts: where they go, what they told, and a test of the webhooks",
    "models": "the models, and what each account has taken or refused",
    "connect": "what a program needs to reach the gateway, printed or put into its own file",
    "export": "the stored accounts and client keys into one encrypted file",
    "import": "the accounts and client keys of such a file into the database",
}
# Commands that are defined in the module of another one.
_DEFINED_IN = {
    "migrate": "serve:define_migrate",
    "export": "backup:define_export",
    "import": "backup:define_import",
}
_EPILOG = """\
Settings come from environment variables (docs/settings.md lists them); --env-file adds those of a
file. Secrets are never taken from arguments: commands ask for them, or read them from standard
input. The exit status is 0 when all is well, 1 when something went wrong, 2 when the settings or
the arguments cannot be used, 75 when `serve` cannot reach its database, and 130 after Ctrl-C."""
_INTERRUPTED = 130
_PIPE_CLOSED = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["simulate"]:  # parses its options itself
        from gbproxy.simulator.command import main as simulate

        return simulate(arguments[1:])
    options = command_parser(next(iter(arguments), "")).parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # An answer may have characters that the terminal's encoding lacks.
        sys.stdout.reconfigure(errors="replace")
    try:
        status = int(options.run(options))
        sys.stdout.flush()
    except CommandError as error:
        print_error(str(error))
        return error.status
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has left: what is still buffered must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    return status


def command_parser(wanted: str) -> argparse.ArgumentParser:
    """All commands with their descriptions, and the options of the one that is wanted."""
    parser = argparse.ArgumentParser(
        prog="gbproxy",
        description=("A gateway to the models behind your own Gemini Business account."),
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"gbproxy {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for name, described in COMMANDS.items():
        command = commands.add_parser(name, help=described, description=_sentence(described))
        if name == wanted:
            resolve_name(f"gbproxy.cli.{_DEFINED_IN.get(name, f'{name}:define')}")(command)
    return parser


def _sentence(described: str) -> str:
    return f"{described[0].upper()}{described[1:]}."
