"""`gbproxy accounts`: the upstream accounts, those of the environment and those that the database
keeps.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gbproxy.cli import asking, imported
from gbproxy.cli.admin import Admin, Json, all_of, common_options, found, run, shown
from gbproxy.cli.terminal import CannotBegin, cell, echo, listing, printable

_PATH = "/api/admin/accounts"
_EXAMPLE = (
    '{"name": "anna", "secure_c_ses": "CSE.…", "host_c_oses": "COS.…", "csesidx": "…", "config_id":'
    ' "…"}'
)
_COLUMNS = (
    "name", "id", "source", "is_active", "state", "cooling_until", "in_flight", "last_used_at", "last_error",
)  # fmt: skip
_PLAIN_FIELDS = {
    "name": "name",
    "config_id": "config id (after /cid/), or the page's address",
    "csesidx": "csesidx (in the page's address)",
}
_SECRET_FIELDS = {
    "secure_c_ses": "__Secure-C_SES",
    "host_c_oses": "__Host-C_OSES (empty if there is none)",
}
_FURTHER_FIELDS = {
    "cookies": "cookies of the page beside these, as a Cookie header (empty: none)",
    "server_token": "x-server-token (empty: none)",
}


def define(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "The upstream accounts, on the database of DATABASE_URL (gateways on it take changes over"
        " within a second), or of a running gateway with --url and ADMIN_KEY."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    _command(commands, "list", "all accounts and their states", _list)
    adding = _command(
        commands, "add", "add one; its cookies are asked for, or stdin is a JSON object", _add
    )
    adding.add_argument("--name", help="what logs call it")
    adding.add_argument("--csesidx", help="the number after csesidx= in the page's address")
    adding.add_argument(
        "--config-id",
        metavar="ID",
        help="the id after /cid/ in the page's address; the address tells the rest too",
    )
    adding.add_argument("--edition", help="business (without it) or enterprise")
    adding.add_argument("--location", help="where its app lives: global (without it), us or eu")
    adding.add_argument("--user-agent", metavar="TEXT", help="the user agent of its browser")
    adding.add_argument(
        "--further",
        action="store_true",
        help="ask for further cookies of the page and the server token too",
    )
    importing = _command(
        commands,
        "import",
        "take accounts out of what a browser gives: cURL, HAR, cookies, JSON",
        _import,
    )
    importing.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="to read; without one, standard input"
    )
    importing.add_argument(
        "--page",
        metavar="ADDRESS",
        help="the address of the signed-in page, which has csesidx and cid",
    )
    importing.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and change nothing"
    )
    checking = _command(
        commands, "check", "ask the upstream whether it takes their credentials", _check
    )
    checking.add_argument(
        "accounts", nargs="*", metavar="ACCOUNT", help="name or id; none: all of them"
    )
    for name, described, action in (
        ("enable", "let accounts answer again", partial(_switch, is_active=True)),
        ("disable", "let accounts answer no more", partial(_switch, is_active=False)),
        ("remove", "forget accounts and their credentials", _remove),
    ):
        each = _command(commands, name, described, action)
        each.add_argument("accounts", nargs="+", metavar="ACCOUNT", help="name or id")


def _command(
    commands: Any, name: str, described: str, action: Callable[[Admin, argparse.Namespace], int]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=described, description=described, parents=[common_options()]
    )
    parser.set_defaults(run=partial(run, command=action))
    return parser


def _list(admin: Admin, options: argparse.Namespace) -> int:
    answer = admin.ask("GET", _PATH)
    if not shown(answer, options):
        echo(listing(_COLUMNS, all_of(answer, "accounts")) or "There is no account yet.")
    return 0


def _add(admin: Admin, options: argparse.Namespace) -> int:
    known = ("name", "csesidx", "config_id", "edition", "location", "user_agent")
    given = {name: value for name in known if (value := getattr(options, name))}
    secrets = _SECRET_FIELDS | (_FURTHER_FIELDS if options.further else {})
    fields = (
        _asked(given, secrets)
        if asking.is_terminal()
        else {**asking.json_object(_EXAMPLE), **given}
    )
    added = admin.ask("POST", _PATH, fields)
    if not shown(added, options):
        echo(f"Added {cell(added.get('name'))} with the id {cell(added.get('id'))}.")
    return 0


def _asked(given: dict[str, Any], secrets: dict[str, str]) -> dict[str, Any]:
    """Each field that is missing, typed in; what stays empty is left out."""
    from gbproxy.settings import page_address

    fields = dict(given)
    for name, prompt in _PLAIN_FIELDS.items():
        if name not in fields and name not in page_address.told(fields.get("config_id", "")):
            fields[name] = asking.line(prompt)
    fields |= {name: asking.secret(prompt) for name, prompt in secrets.items()}
    return {name: value for name, value in fields.items() if value}


def _import(admin: Admin, options: argparse.Namespace) -> int:
    answer = admin.ask("POST", f"{_PATH}/import", {
        "text": _to_import(options.files),
        "dry_run": options.dry_run,
        **({"url": options.page} if options.page else {}),
    })  # fmt: skip
    found = answer.get("found") or []
    if not shown(answer, options):
        for account in found:
            echo("\n".join(imported.lines(account, dry_run=options.dry_run)))
        for warning in imported.warnings(answer):
            echo(warning)
    return (
        0 if found and all(map(imported.is_good, found)) and not imported.is_doubtful(answer) else 1
    )


def _to_import(files: list[Path]) -> str:
    if not files:
        return asking.pasted("Paste what the browser gave")
    from gbproxy.settings.text import decoded

    try:
        return "\n".join(decoded(path.read_bytes()) for path in files)
    except (OSError, ValueError) as error:
        raise CannotBegin(f"a file cannot be read: {error}") from error


def _check(admin: Admin, options: argparse.Namespace) -> int:
    checks = [
        {"name": account["name"], **_checked(admin, account)}
        for account in _wanted(admin, options.accounts)
    ]
    if not shown({"checks": checks}, options):
        echo(listing(("name", "status", "detail"), checks) or "There is no account yet.")
    return 0 if all(check.get("status") == "valid" for check in checks) else 1


def _checked(admin: Admin, account: Json) -> Json:
    return admin.ask("POST", f"{_path(account)}/check")


def _switch(admin: Admin, options: argparse.Namespace, *, is_active: bool) -> int:
    changed = [
        admin.ask("PUT", _path(account), {"is_active": is_active})
        for account in _wanted(admin, options.accounts)
    ]
    if not shown({"accounts": changed}, options):
        echo(f"{'Enabled' if is_active else 'Disabled'} {_names(changed)}.")
    return 0


def _remove(admin: Admin, options: argparse.Namespace) -> int:
    removed = _wanted(admin, options.accounts)
    for account in removed:
        admin.ask("DELETE", _path(account))
    if not shown({"removed": [account["id"] for account in removed]}, options):
        echo(f"Removed {_names(removed)}.")
    return 0


def _wanted(admin: Admin, names: list[str]) -> list[Json]:
    """The accounts of these names or ids, each once; all of them when none is given."""
    known = all_of(admin.ask("GET", _PATH), "accounts")
    return [found(known, name, "account") for name in dict.fromkeys(names)] if names else known


def _names(accounts: list[Json]) -> str:
    return ", ".join(printable(str(account["name"])) for account in accounts)


def _path(account: Json) -> str:
    return f"{_PATH}/{quote(str(account['id']), safe='')}"
