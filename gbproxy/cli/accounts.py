"""`gbproxy accounts`: administer the upstream accounts of the environment and the database."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gbproxy.cli.clients import (
    AdminClient,
    Json,
    admin_options,
    administer,
    echo_if_json,
    find,
    listed,
)
from gbproxy.cli.terminal import (
    CannotBegin,
    cell,
    echo,
    listing,
    printable,
    prompt_line,
    prompt_secret,
    read_json_object,
    read_pasted,
    sentence,
    stdin_is_terminal,
)

_PATH = "/api/admin/accounts"
_EXAMPLE = (
    '{"name": "anna", "secure_c_ses": "CSE.…", "host_c_oses": "COS.…", "csesidx": "…", "config_id":'
    ' "…"}'
)
_COLUMNS = (
    "name", "id", "source", "is_active", "state", "cooling_until", "models_cooling_until",
    "in_flight", "last_used_at", "checked_at", "cookie_age_h", "last_error",
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
_IMPORT_RESULTS = {
    "created": "added",
    "changed": "renewed",
    "unchanged": "as it was",
    "incomplete": "not whole yet",
}
_IMPORTED = ("created", "changed", "unchanged")


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
    commands: Any,
    name: str,
    described: str,
    action: Callable[[AdminClient, argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=described, description=described, parents=[admin_options()]
    )
    parser.set_defaults(run=partial(administer, command=action))
    return parser


def _list(admin: AdminClient, options: argparse.Namespace) -> int:
    answer = admin.ask("GET", _PATH)
    if not echo_if_json(answer, options):
        echo(listing(_COLUMNS, listed(answer, "accounts")) or "There is no account yet.")
    return 0


def _add(admin: AdminClient, options: argparse.Namespace) -> int:
    known = ("name", "csesidx", "config_id", "edition", "location", "user_agent")
    given = {name: value for name in known if (value := getattr(options, name))}
    secrets = _SECRET_FIELDS | (_FURTHER_FIELDS if options.further else {})
    fields = (
        _prompt_missing(given, secrets)
        if stdin_is_terminal()
        else {**read_json_object(_EXAMPLE), **given}
    )
    added = admin.ask("POST", _PATH, fields)
    if not echo_if_json(added, options):
        echo(f"Added {cell(added.get('name'))} with the id {cell(added.get('id'))}.")
    return 0


def _prompt_missing(given: dict[str, Any], secrets: dict[str, str]) -> dict[str, Any]:
    """Prompt for each missing field; empty ones are left out."""
    from gbproxy.settings.account_values import read_page_address

    fields = dict(given)
    for name, prompt in _PLAIN_FIELDS.items():
        if name not in fields and name not in read_page_address(fields.get("config_id", "")):
            fields[name] = prompt_line(prompt)
    fields |= {name: prompt_secret(prompt) for name, prompt in secrets.items()}
    return {name: value for name, value in fields.items() if value}


def _import(admin: AdminClient, options: argparse.Namespace) -> int:
    answer = admin.ask("POST", f"{_PATH}/import", {
        "text": _read_files(options.files),
        "dry_run": options.dry_run,
        **({"url": options.page} if options.page else {}),
    })  # fmt: skip
    found = answer.get("found") or []
    if not echo_if_json(answer, options):
        for account in found:
            echo("\n".join(_import_lines(account, dry_run=options.dry_run)))
        for warning in _warnings(answer):
            echo(warning)
    return 0 if found and all(map(_is_imported, found)) and not _is_doubtful(answer) else 1


def _read_files(files: list[Path]) -> str:
    if not files:
        return read_pasted("Paste what the browser gave")
    from gbproxy.settings.environment import decode_text

    try:
        return "\n".join(decode_text(path.read_bytes()) for path in files)
    except (OSError, ValueError) as error:
        raise CannotBegin(f"a file cannot be read: {error}") from error


def _is_imported(found: Json) -> bool:
    """True if the gateway has this account now, as it was pasted."""
    return found.get("result") in _IMPORTED


def _is_doubtful(answer: Json) -> bool:
    """True if parts of the paste were not understood, and no account was changed."""
    return bool(answer.get("warnings")) and not (answer.get("created") or answer.get("changed"))


def _warnings(answer: Json) -> Iterator[str]:
    """A line for each part of the paste that could not be used."""
    for warning in answer.get("warnings") or ():
        yield f"Warning: {cell(warning)}"


def _import_lines(found: Json, *, dry_run: bool) -> Iterator[str]:
    """The result of one account of the paste, and the values that it lacks."""
    result = cell(found.get("result"))
    name = found.get("name") or (
        f"csesidx {found['csesidx']}" if found.get("csesidx") else "An account"
    )
    would = "would be " if dry_run and result in ("created", "changed") else ""
    yield f"{cell(name)}: {would}{_IMPORT_RESULTS.get(result, result)}"
    if found.get("reason"):
        yield f"  {sentence(cell(found['reason']))}"
    for wrong in found.get("wrong") or ():
        yield f"  {cell(wrong.get('field'))}: {cell(wrong.get('reason'))}"
    for missing in found.get("missing") or ():
        optional = "" if missing.get("required") else " (it may have none)"
        yield f"  {cell(missing.get('field'))} is missing{optional}: {cell(missing.get('where'))}"


def _check(admin: AdminClient, options: argparse.Namespace) -> int:
    checks = [
        {"name": account["name"], **_checked(admin, account)}
        for account in _wanted(admin, options.accounts)
    ]
    if not echo_if_json({"checks": checks}, options):
        echo(listing(("name", "status", "detail"), checks) or "There is no account yet.")
    return 0 if all(check.get("status") == "valid" for check in checks) else 1


def _checked(admin: AdminClient, account: Json) -> Json:
    return admin.ask("POST", f"{_path(account)}/check")


def _switch(admin: AdminClient, options: argparse.Namespace, *, is_active: bool) -> int:
    changed = [
        admin.ask("PUT", _path(account), {"is_active": is_active})
        for account in _wanted(admin, options.accounts)
    ]
    if not echo_if_json({"accounts": changed}, options):
        echo(f"{'Enabled' if is_active else 'Disabled'} {_names(changed)}.")
    return 0


def _remove(admin: AdminClient, options: argparse.Namespace) -> int:
    removed = _wanted(admin, options.accounts)
    for account in removed:
        admin.ask("DELETE", _path(account))
    if not echo_if_json({"removed": [account["id"] for account in removed]}, options):
        echo(f"Removed {_names(removed)}.")
    return 0


def _wanted(admin: AdminClient, names: list[str]) -> list[Json]:
    """The accounts with these names or ids, each once; without any, all accounts."""
    known = listed(admin.ask("GET", _PATH), "accounts")
    return [find(known, name, "account") for name in dict.fromkeys(names)] if names else known


def _names(accounts: list[Json]) -> str:
    return ", ".join(printable(str(account["name"])) for account in accounts)


def _path(account: Json) -> str:
    return f"{_PATH}/{quote(str(account['id']), safe='')}"
