"""How a command reaches a gateway: one in this process on the settings' database, or a running one
by its address.

Either way the same calls are made (the admin API, or the gateway's own `stream`), so a command
prints the same. Heavy imports stand in the functions that need them: `--help` loads none.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from gbproxy.cli import environment
from gbproxy.cli.terminal import CannotBegin, CommandError

if TYPE_CHECKING:
    from werkzeug.test import Client

    from gbproxy.bootstrap import Services
    from gbproxy.domain.account import Account
    from gbproxy.domain.chat import ChatRequest
    from gbproxy.domain.events import ChatStream
    from gbproxy.gateway import Gateway
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


def admin_client(url: str | None, given: Mapping[str, str]) -> AbstractContextManager[AdminClient]:
    """The admin API at `url`, or on the database of the environment. Raises CannotBegin."""
    if url:
        from gbproxy.cli import remote

        key = environment.variable(given, "ADMIN_KEY")
        if not key:
            raise CannotBegin("ADMIN_KEY is not set: with --url it must be the gateway's")
        return remote.connect(remote.address(url), key)
    if not environment.lasting_database(given):
        raise CannotBegin(_NO_DATABASE)
    return _local_admin(environment.settings(given))


def chat_client(url: str | None, given: Mapping[str, str]) -> AbstractContextManager[ChatClient]:
    """The gateway at `url`, or one over the environment's accounts. Raises CannotBegin."""
    if url:
        from gbproxy.cli import remote

        key = environment.variable(given, "API_KEYS").partition(",")[0].strip()
        if not key:
            raise CannotBegin(
                "API_KEY is not set: with --url it must be a key that the gateway takes"
            )
        return remote.connect(remote.address(url), key)
    settings = environment.settings(given)
    if not settings.accounts and not environment.lasting_database(given):
        raise CannotBegin(_NO_ACCOUNT)
    return _local_chat(settings)


@contextmanager
def open_local(settings: Settings) -> Iterator[Services]:
    """As `bootstrap.open_gateway`. Raises CommandError when the database cannot be used."""
    from gbproxy.bootstrap import open_gateway
    from gbproxy.storage.prepare import CannotBeUsed

    try:
        with open_gateway(settings) as services:
            yield services
    except CannotBeUsed as error:
        raise CommandError(str(error)) from error


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

        headers = {"Authorization": f"Bearer {self.key}"}
        with self.client.open(path, method=method, json=body, headers=headers) as response:
            return json_object(response.status_code, response.get_data(), "DATABASE_URL")


@contextmanager
def _local_admin(settings: Settings) -> Iterator[_LocalAdmin]:
    from pydantic import SecretStr
    from werkzeug.test import Client

    from gbproxy.app import over

    key = secrets.token_urlsafe(32)  # valid in this process alone
    with open_local(settings.model_copy(update={"admin_key": SecretStr(key)})) as services:
        yield _LocalAdmin(Client(over(services)), key)


@dataclass(frozen=True, slots=True)
class _LocalChat:
    """The gateway in this process."""

    gateway: Gateway

    def stream(self, chat: ChatRequest) -> ChatStream:
        from gbproxy.errors import GatewayError

        try:
            yield from self.gateway.stream(chat)
        except GatewayError as error:
            raise CommandError(error.message) from error


@contextmanager
def _local_chat(settings: Settings) -> Iterator[_LocalChat]:
    """At the end of the block the session that answered is deleted upstream."""
    with open_local(settings) as services:
        services.background.start()
        try:
            yield _LocalChat(services.gateway)
        finally:
            # No later process need come that would delete the session: on a database that stays,
            # one round of the background does it now.
            services.background.run_once()
