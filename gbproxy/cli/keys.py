"""`gbproxy keys`: list, create and revoke the client keys in the database."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from gbproxy.cli.clients import (
    AdminClient,
    admin_options,
    administer,
    echo_if_json,
    find,
    listed,
)
from gbproxy.cli.terminal import echo, listing, print_error, printable

_PATH = "/api/admin/keys"
_COLUMNS = (
    "name", "id", "fingerprint", "created_at", "expires_at", "models", "rate_limit",
    "tokens_per_day", "concurrent_streams",
)  # fmt: skip
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def define(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "The client keys, on the database of DATABASE_URL (gateways on it take changes over within"
        " a second), or of a running gateway with --url and ADMIN_KEY. The keys of API_KEYS are not"
        " among them."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    common = admin_options()
    lister = commands.add_parser("list", help="all keys and their limits", parents=[common])
    lister.set_defaults(run=partial(administer, command=_list))
    creating = commands.add_parser(
        "create", help="make a key and show it, this once", parents=[common]
    )
    creating.add_argument("--name", required=True, help="whose it is")
    creating.add_argument(
        "--expires",
        type=_instant,
        metavar="WHEN",
        help="a date (2027-01-31), a time with its zone, or 30d, 12h, 4w",
    )
    creating.add_argument(
        "--models", type=_words, metavar="A,B", help="the only models that it may use"
    )
    creating.add_argument(
        "--rate-limit", metavar="N/UNIT", help="requests per time, such as 60/hour"
    )
    creating.add_argument("--tokens-per-day", type=int, metavar="N", help="estimated tokens a day")
    creating.add_argument("--streams", type=int, metavar="N", help="answers at once")
    creating.set_defaults(run=partial(administer, command=_create))
    revoking = commands.add_parser("revoke", help="let keys no longer be taken", parents=[common])
    revoking.add_argument("keys", nargs="+", metavar="KEY", help="name or id")
    revoking.set_defaults(run=partial(administer, command=_revoke))


def _list(admin: AdminClient, options: argparse.Namespace) -> int:
    answer = admin.ask("GET", _PATH)
    if not echo_if_json(answer, options):
        echo(listing(_COLUMNS, listed(answer, "keys")) or "There is no key yet.")
    return 0


def _create(admin: AdminClient, options: argparse.Namespace) -> int:
    """Create a key and print it."""
    fields: dict[str, Any] = {
        "name": options.name,
        "expires_at": options.expires,
        "models": options.models,
        "rate_limit": options.rate_limit,
        "tokens_per_day": options.tokens_per_day,
        "concurrent_streams": options.streams,
    }
    created = admin.ask(
        "POST", _PATH, {name: value for name, value in fields.items() if value is not None}
    )
    if not echo_if_json(created, options):
        # On stdout stands the key alone, so that a script can read it.
        print_error("The key, which is shown only now:")
        echo(str(created["key"]))
    return 0


def _revoke(admin: AdminClient, options: argparse.Namespace) -> int:
    known = listed(admin.ask("GET", _PATH), "keys")
    revoked = [find(known, wanted, "key") for wanted in dict.fromkeys(options.keys)]
    for key in revoked:
        admin.ask("DELETE", f"{_PATH}/{key['id']}")
    if not echo_if_json({"revoked": [key["id"] for key in revoked]}, options):
        echo(f"Revoked {', '.join(printable(str(key['name'])) for key in revoked)}.")
    return 0


def _instant(text: str) -> str:
    """A date, time or span as the admin API takes it: ISO 8601, in UTC."""
    if span := re.fullmatch(r"([1-9][0-9]{0,4})([hdw])", text):
        return _written(datetime.now(UTC) + timedelta(**{_UNITS[span[2]]: int(span[1])}))
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            "must be a date such as 2027-01-31, or a time from now such as 30d"
        ) from None
    return _written(instant if instant.tzinfo else instant.replace(tzinfo=UTC))


def _written(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _words(text: str) -> list[str]:
    return [word for word in map(str.strip, text.split(",")) if word]
