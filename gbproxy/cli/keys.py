"""`gbproxy keys`: list, create, change and revoke the client keys in the database."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial, wraps
from typing import Any

from gbproxy.cli.clients import (
    AdminClient,
    admin_options,
    administer,
    echo_if_json,
    find,
    listed,
)
from gbproxy.cli.terminal import CannotBegin, echo, listing, print_error, printable

_PATH = "/api/admin/keys"
_COLUMNS = (
    "name", "id", "fingerprint", "created_at", "expires_at", "models", "rate_limit",
    "tokens_per_day", "concurrent_streams", "allowed_addresses",
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
    _add_fields(creating, is_new=True)
    creating.set_defaults(run=partial(administer, command=_create))
    changing = commands.add_parser(
        "change",
        help="change a key's limits, or the addresses that it may be used from",
        description='What is not given stays; an empty value ("") takes away what there was.',
        parents=[common],
    )
    changing.add_argument("key", metavar="KEY", help="name or id")
    _add_fields(changing, is_new=False)
    changing.set_defaults(run=partial(administer, command=_change))
    revoking = commands.add_parser("revoke", help="let keys no longer be taken", parents=[common])
    revoking.add_argument("keys", nargs="+", metavar="KEY", help="name or id")
    revoking.set_defaults(run=partial(administer, command=_revoke))


def _add_fields(parser: argparse.ArgumentParser, *, is_new: bool) -> None:
    """An option for each field; those that are given stand in the options by the field's name."""
    for option, (field, read, metavar, described) in _OPTIONS.items():
        parser.add_argument(
            option,
            dest=field,
            type=read if is_new else _or_nothing(read),
            metavar=metavar,
            help=described,
            default=argparse.SUPPRESS,
            required=is_new and field == "name",
        )


def _list(admin: AdminClient, options: argparse.Namespace) -> int:
    answer = admin.ask("GET", _PATH)
    if not echo_if_json(answer, options):
        echo(listing(_COLUMNS, listed(answer, "keys")) or "There is no key yet.")
    return 0


def _create(admin: AdminClient, options: argparse.Namespace) -> int:
    """Create a key and print it."""
    created = admin.ask("POST", _PATH, _fields(options))
    if not echo_if_json(created, options):
        # On stdout stands the key alone, so that a script can read it.
        print_error("The key, which is shown only now:")
        echo(str(created["key"]))
    return 0


def _change(admin: AdminClient, options: argparse.Namespace) -> int:
    fields = _fields(options)
    given = [option.lstrip("-") for option, (field, *_) in _OPTIONS.items() if field in fields]
    if not given:
        raise CannotBegin(f"there is nothing to change: give one of {', '.join(_OPTIONS)}")
    key = find(listed(admin.ask("GET", _PATH), "keys"), options.key, "key")
    changed = admin.ask("PATCH", f"{_PATH}/{key['id']}", fields)
    if not echo_if_json(changed, options):
        echo(f"Changed {printable(str(changed['name']))}: {', '.join(given)}.")
    return 0


def _fields(options: argparse.Namespace) -> dict[str, Any]:
    known = {field for field, *_ in _OPTIONS.values()}
    return {name: value for name, value in vars(options).items() if name in known}


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
        return _written(instant if instant.tzinfo else instant.replace(tzinfo=UTC))
    except (ValueError, OverflowError):  # the latter for what is no date in UTC
        raise argparse.ArgumentTypeError(
            "must be a date such as 2027-01-31, or a time from now such as 30d"
        ) from None


def _written(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _words(text: str) -> list[str]:
    return [word for word in map(str.strip, text.split(",")) if word]


def _or_nothing(read: Callable[[str], object]) -> Callable[[str], object]:
    """As `read`; None for an empty text."""

    @wraps(read)  # whose name stands in the message about a wrong value
    def read_or_nothing(text: str) -> object:
        return read(text) if text else None

    return read_or_nothing


# By option: its field in the admin API, how its text is read, and how it is described.
_OPTIONS: dict[str, tuple[str, Callable[[str], object], str, str]] = {
    "--name": ("name", str, "NAME", "whose it is"),
    "--expires": (
        "expires_at",
        _instant,
        "WHEN",
        "a date (2027-01-31), a time with its zone, or 30d, 12h, 4w",
    ),
    "--models": ("models", _words, "A,B", "the only models that it may use"),
    "--rate-limit": ("rate_limit", str, "N/UNIT", "requests per time, such as 60/hour"),
    "--tokens-per-day": ("tokens_per_day", int, "N", "estimated tokens a day"),
    "--streams": ("concurrent_streams", int, "N", "answers at once"),
    "--addresses": (
        "allowed_addresses",
        _words,
        "A,B",
        "the only addresses and networks (192.0.2.0/24) that it may be used from",
    ),
}
