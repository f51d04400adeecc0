"""From the options and the environment of a command to a gateway: a client of one in this process
on the settings' database, or of a running one by its address.

Either way the same calls are made (the admin API, or the gateway's own `stream`), so a command
prints the same. Heavy imports stand in the functions that need them: `--help` loads none.
"""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from gbproxy.cli.environment import (
    add_env_file,
    environ,
    has_lasting_database,
    load_settings,
    user_header,
    variable,
)
from gbproxy.cli.terminal import CannotBegin, CommandError, echo_json, printable, without_log

if TYPE_CHECKING:
    from werkzeug.test import Client

    from gbproxy.domain.account import Account
    from gbproxy.domain.chat import ChatRequest
    from gbproxy.domain.events import ChatStream
    from gbproxy.library import LocalGateway
    from gbproxy.services import Services
    from gbproxy.settings import Settings

_NO_DATABASE = (
    "there is nothing to administer: set DATABASE_URL (and SECRET_KEY) to work on the database"
    " directly, or give the address of a running gateway by --url and its ADMIN_KEY in the"
    " environment"
)
_NO_ACCOUNT = (
    "there is no account to answer with: set SECURE_C_SES, CSESIDX and CONFIG_ID, or ACCOUNTS, or"
    " ask a running gateway with --url"
)

Json = Mapping[str, Any]


class AdminClient(Protocol):
    """Calls the admin API; its errors are raised as CommandError, with the API's message."""

    def ask(self, method: str, path: str, body: object = None) -> Json:
        """Make one call and return the JSON object of its answer, an empty one for none."""
        ...


class ChatClient(Protocol):
    """Answers chat requests; errors are raised as CommandError."""

    def stream(self, chat: ChatRequest) -> ChatStream: ...


def admin_client(
    url: str | None, given: Mapping[str, str], *, needs_database: bool = True
) -> AbstractContextManager[AdminClient]:
    """The admin API at `url`, or on the database of the environment; without `needs_database`, if
    need be, on one that is gone at the end. Raises CannotBegin.
    """
    if url:
        from gbproxy.cli import remote

        key = variable(given, "ADMIN_KEY")
        if not key:
            raise CannotBegin("ADMIN_KEY is not set: with --url it must be the gateway's")
        return remote.connect(remote.address(url), key)
    if needs_database and not has_lasting_database(given):
        raise CannotBegin(_NO_DATABASE)
    return _local_admin(load_settings(given))


def chat_client(url: str | None, given: Mapping[str, str]) -> AbstractContextManager[ChatClient]:
    """The gateway at `url`, or one over the environment's accounts. Raises CannotBegin."""
    if url:
        from gbproxy.cli import remote

        key = variable(given, "API_KEYS").partition(",")[0].strip()
        if not key:
            raise CannotBegin(
                "API_KEY is not set: with --url it must be a key that the gateway takes"
            )
        return remote.connect(remote.address(url), key)
    settings = load_settings(given)
    if not settings.accounts and not has_lasting_database(given):
        raise CannotBegin(_NO_ACCOUNT)
    return _local_chat(settings)


def open_local(settings: Settings, **options: Any) -> AbstractContextManager[Services]:
    """As `bootstrap.open_services`, with its options; a gateway's log has it that the tables were
    changed. Raises CommandError when the database cannot be used.
    """
    from gbproxy.bootstrap import open_services
    from gbproxy.cli.databases import prepare

    return open_services(settings, prepare=prepare, **options)


def all_accounts(services: Services) -> tuple[Account, ...]:
    """The accounts of the settings and those that the database keeps."""
    services.registry.pull_changes()
    return tuple(services.pool.accounts())


@dataclass(frozen=True, slots=True)
class _LocalAdmin:
    """The admin API, called in this process."""

    client: Client
    key: str

    def ask(self, method: str, path: str, body: object = None) -> Json:
        from gbproxy.cli.remote import json_object

        headers = {"Authorization": f"Bearer {self.key}", **user_header()}
        with self.client.open(path, method=method, json=body, headers=headers) as response:
            return json_object(response.status_code, response.get_data(), "DATABASE_URL")


@contextmanager
def _local_admin(settings: Settings) -> Iterator[_LocalAdmin]:
    from pydantic import SecretStr
    from werkzeug.test import Client

    from gbproxy.app import app_over
    from gbproxy.observability.audit import handed_to

    key = secrets.token_urlsafe(32)  # valid in this process alone
    with (
        open_local(settings.model_copy(update={"admin_key": SecretStr(key)})) as services,
        # No gateway makes these changes: the log of one is to have them all the same.
        handed_to(services.storage.untold_changes.add),
    ):
        yield _LocalAdmin(Client(app_over(services)), key)


@dataclass(frozen=True, slots=True)
class _LocalChat:
    """The gateway in this process."""

    gateway: LocalGateway

    def stream(self, chat: ChatRequest) -> ChatStream:
        from gbproxy.errors import GatewayError

        try:
            yield from self.gateway.stream(chat)
        except GatewayError as error:
            raise CommandError(error.message) from error


@contextmanager
def _local_chat(settings: Settings) -> Iterator[_LocalChat]:
    """At the end of the block the session that answered is deleted upstream."""
    from gbproxy.library import gateway_over

    with open_local(settings) as services, gateway_over(services) as gateway:
        yield _LocalChat(gateway)


def admin_options() -> argparse.ArgumentParser:
    """A parent parser with the options of every command that administers."""
    parser = argparse.ArgumentParser(add_help=False)
    add_admin_options(parser)
    return parser


def add_admin_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url", metavar="URL", help="a running gateway (ADMIN_KEY in the environment)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print what the admin API answers, in JSON"
    )
    add_env_file(parser)


def administer(
    options: argparse.Namespace,
    command: Callable[[AdminClient, argparse.Namespace], int],
    *,
    needs_database: bool = True,
) -> int:
    """Run a command on the gateway that options and environment name, and return its exit status.

    Raises CannotBegin when they name none.
    """
    given = environ(options)
    with (
        without_log(),
        admin_client(options.url, given, needs_database=needs_database) as admin,
    ):
        return command(admin, options)


def listed(answer: Json, name: str) -> list[Json]:
    """The list `name` of an answer. Raises CommandError when it has none."""
    entries = answer.get(name)
    if not isinstance(entries, list) or not all(
        isinstance(entry, Mapping) and "id" in entry for entry in entries
    ):
        raise CommandError(f"what answers there is no gateway of this kind: it lists no {name}")
    return entries


def find(entries: Sequence[Json], wanted: str, kind: str) -> Json:
    """The entry with this id, or else with this name. Raises CommandError for none or several."""
    for field in ("id", "name"):
        matching = [entry for entry in entries if entry.get(field) == wanted]
        if len(matching) == 1:
            return matching[0]
        if matching:
            raise CommandError(f"several {kind}s are called {printable(wanted)}: give the id")
    raise CommandError(f"there is no {kind} called {printable(wanted)}")


def echo_if_json(answer: object, options: argparse.Namespace) -> bool:
    """Print an answer as JSON and return True, if `--json` asks for it."""
    if options.json:
        echo_json(answer)
    return bool(options.json)
