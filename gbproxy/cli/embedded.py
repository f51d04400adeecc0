"""The gateway's parts in this process, without a server: not patched by gevent, so its work in
between is done by threads.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from gbproxy.cli.answers import object_of
from gbproxy.cli.terminal import CommandError
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.events import ChatStream
from gbproxy.engine import Services, build
from gbproxy.errors import GatewayError
from gbproxy.gateway import Gateway
from gbproxy.settings import Settings
from gbproxy.settings.validators import outlives_the_process
from gbproxy.storage import prepare as preparation

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
    with opened(settings) as engine:
        engine.sweeper.start()
        try:
            yield Answering(engine.gateway)
        finally:
            # where the database stays, nobody may be left to delete the session later
            engine.sweeper.round()


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
    with opened(settings.model_copy(update={"admin_key": SecretStr(key)})) as engine:
        yield Administering(Client(over(engine)), key)


@contextmanager
def opened(settings: Settings) -> Iterator[Services]:
    """An engine, on the database of the settings or a private one. It makes no sessions ahead.
    Raises CommandError.
    """
    url = settings.database_url.get_secret_value() if settings.database_url else ""
    if outlives_the_process(url):
        try:
            preparation.prepare(url, [key.get_secret_value() for key in settings.secret_keys])
        except preparation.CannotBeUsed as error:
            raise CommandError(str(error)) from error
    else:
        settings = settings.model_copy(update={"database_url": None})
    with closing(build(settings, stock_size=0)) as engine:
        yield engine
