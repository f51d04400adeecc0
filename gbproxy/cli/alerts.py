"""`gbproxy alerts`: where alerts go, what they told, and a test of the webhooks."""

from __future__ import annotations

import argparse
from functools import partial

from gbproxy.cli.clients import AdminClient, admin_options, administer, echo_if_json
from gbproxy.cli.terminal import CannotBegin, cell, echo, listing

_PATH = "/api/admin/alerts"
_COLUMNS = ("title", "opened_at", "closed_at", "sent_at", "has_failed")
_NONE = "no webhook is set: set ALERT_WEBHOOK, as docs/operations.md says"


def define(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "The alerts that ALERT_WEBHOOK sends, by the settings and the database of the environment,"
        " or of a running gateway with --url and ADMIN_KEY."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    listed = "where alerts go, and the alerts of the last 30 days"
    tested = "send a test to every webhook and say what became of it"
    for name, described, action in (("list", listed, _list), ("test", tested, _test)):
        command = commands.add_parser(
            name, help=described, description=described, parents=[admin_options()]
        )
        command.set_defaults(run=partial(administer, command=action, needs_database=name == "list"))


def _list(admin: AdminClient, options: argparse.Namespace) -> int:
    answer = admin.ask("GET", _PATH)
    if not echo_if_json(answer, options):
        for webhook in answer["webhooks"]:
            echo(f"Alerts go to {cell(webhook['host'])} ({cell(webhook['kind'])}).")
        if not answer["webhooks"]:
            echo(f"{_NONE[0].upper()}{_NONE[1:]}.")
        echo(listing(_COLUMNS, [*answer["open"], *answer["over"]]) or "Nothing was told.")
    return 0


def _test(admin: AdminClient, options: argparse.Namespace) -> int:
    outcomes = admin.ask("POST", f"{_PATH}/test")["webhooks"]
    if not outcomes:
        raise CannotBegin(_NONE)
    if not echo_if_json({"webhooks": outcomes}, options):
        for each in outcomes:
            host = f"{cell(each['host'])} ({cell(each['kind'])})"
            trouble = each["trouble"]
            echo(f"{host} has taken it." if trouble is None else f"{host}: {cell(trouble)}.")
    return 0 if all(each["trouble"] is None for each in outcomes) else 1
