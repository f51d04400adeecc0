"""`gbproxy models`: the models, and what each account has accepted and refused of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from gbproxy.cli.clients import (
    AdminClient,
    Json,
    add_admin_options,
    administer,
    echo_if_json,
    listed,
)
from gbproxy.cli.environment import environ, has_lasting_database
from gbproxy.cli.terminal import echo, listing, print_error, printable

_PATH = "/api/admin/models"
_COLUMNS = ("model", "listed", "also_called", "successor", "fallback", "accounts")
_NOTHING_KEPT = (
    "Without DATABASE_URL no gateway's findings are kept where this command could read them: ask a"
    " running one with --url."
)
# That say nothing of an account.
_SILENT = ("automatic", "unknown", "unserved")


def define(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "The models that clients may name, and for each what every account has done with it: taken"
        " it, refused it (within the last hour), or what its configuration says: listed, unlisted,"
        " off. From the database of DATABASE_URL, or of a running gateway with --url and ADMIN_KEY."
    )
    add_admin_options(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    status = administer(options, _list, needs_database=False)
    if not options.url and not has_lasting_database(environ(options)):
        print_error(_NOTHING_KEPT)
    return status


def _list(admin: AdminClient, options: argparse.Namespace) -> int:
    answer = admin.ask("GET", _PATH)
    if not echo_if_json(answer, options):
        echo(listing(_COLUMNS, [_row(model) for model in listed(answer, "models")]))
        for account in listed(answer, "accounts"):
            if account.get("tools_off"):
                tools = ", ".join(map(str, account["tools_off"]))
                echo(f"{printable(str(account['name']))} is asked without {printable(tools)}.")
    return 0


def _row(model: Json) -> dict[str, Any]:
    return {
        "model": model["id"],
        "listed": model.get("is_listed"),
        "also_called": model.get("aliases"),
        "successor": model.get("successor"),
        "fallback": model.get("fallback"),
        "accounts": _states(model.get("accounts") or ()),
    }


def _states(accounts: Iterable[Mapping[str, Any]]) -> str:
    """`taken: anna, ben; refused: carl`."""
    by_state: dict[str, list[str]] = {}
    for account in accounts:
        by_state.setdefault(str(account.get("state")), []).append(str(account.get("name")))
    return "; ".join(
        f"{state}: {', '.join(names)}" for state, names in by_state.items() if state not in _SILENT
    )
