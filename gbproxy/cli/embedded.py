"""The gateway's parts in this process, without a server: not patched by gevent, so its work in
between is done by threads.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from gbproxy.bootstrap import Services, open_gateway
from gbproxy.cli.answers import object_of
from gbproxy.cli.terminal import CommandError
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.events import ChatStream
from gbproxy.errors import GatewayError
from gbproxy.gateway import Gateway
from gbproxy.settings import Settings
from gbproxy.storage.prepare import CannotBeUsed

if TYPE_CHECKING:
    from werkzeug.test import Client


@dataclass(frozen=True, slots=True)
class Answering:
    """Answers from the accounts themselves."""

    gateway: Gateway

    def stream(self, chat: ChatRequest) -> ChatStream:
        try:
            yield from self.gateway.stream(chat)
        except GatewayError as error:
            raise CommandError(error.message) from error


@contextmanager
def answering(settings: Settings) -> Iterator[Answering]:
    """A gateway for one question: at the end of the block the session that answered it is deleted
    upstream.

    Raises CommandError when the database cannot be used.
    """
    with opened(settings) as services:
        services.background.start()
        try:
            yield Answering(services.gateway)
        finally:
            # where the database stays, no process may be left to delete the session later
            services.background.run_once()


@dataclass(frozen=True, slots=True)
class Administering:
    """The admin API, called in this process."""

    client: Client
    key: str

    def ask(self, method: str, path: str, body: object = None) -> Mapping[str, Any]:
        headers = {"Authorization": f"Bearer {self.key}"}
        with self.client.open(path, method=method, json=body, headers=headers) as response:
            return object_of(response.status_code, response.get_data(), "DATABASE_URL")


@contextmanager
def administering(settings: Settings) -> Iterator[Administering]:
    """The admin API on the database of the settings, with a key for this once. Raises
    CommandError.
    """
    from werkzeug.test import Client

    from gbproxy.app import over

    key = secrets.token_urlsafe(32)
    with opened(settings.model_copy(update={"admin_key": SecretStr(key)})) as services:
        yield Administering(Client(over(services)), key)


@contextmanager
def opened(settings: Settings) -> Iterator[Services]:
    """As `open_gateway`. Raises CommandError when the database cannot be used."""
    try:
        with open_gateway(settings) as services:
            yield services
    except CannotBeUsed as error:
        raise CommandError(str(error)) from error
