"""The gateway inside a program of its own, without a server.

The program need not be patched by gevent: what waits and what runs between requests are threads.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from contextvars import copy_context
from dataclasses import dataclass, replace

from gbproxy.bootstrap import open_services
from gbproxy.domain.catalogue import built_in_names
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.events import Answer, ChatStream, collect
from gbproxy.domain.media import APART_WITH_BYTES
from gbproxy.domain.principal import ANONYMOUS, Principal, key_digest
from gbproxy.observability import request_context
from gbproxy.services import Services
from gbproxy.settings import Settings, load

# The conversations of programs are stored under it, apart from those of every API key.
_PROGRAM = Principal(key_digest("gbproxy as a library"))


@dataclass(frozen=True, slots=True)
class LocalGateway:
    """The gateway in this process; safe for use by many threads at once."""

    services: Services

    def stream(self, chat: ChatRequest) -> ChatStream:
        """Answer one request: `Started`, then content as it arrives, then `Usage` and `Done`.
        Nothing happens before the first event is asked for. Raises GatewayError.

        Read it to its end, or close it. One that was read to its end is continued by a request with
        the whole history, of which then only the new messages are sent upstream, unless the request
        says `is_kept=False`.
        """
        # A link leads to a server, and here is none: images come with their bytes.
        chat = replace(chat, media=APART_WITH_BYTES)
        if chat.principal is ANONYMOUS:
            chat = replace(chat, principal=_PROGRAM)
        # Two streams that are read in turns by one thread have a request context each.
        context = copy_context()
        context.run(request_context.begin, secrets.token_hex(12))
        events = self.services.gateway.stream(chat)
        try:
            while (event := context.run(next, events, None)) is not None:
                yield event
        finally:
            context.run(events.close)

    def answer(self, chat: ChatRequest) -> Answer:
        """The whole answer to one request. Raises GatewayError."""
        with closing(self.stream(chat)) as events:
            answer = collect(events)
            next(events, None)  # it was received
            return answer

    def models(self) -> tuple[str, ...]:
        """The ids of the models that the accounts can be asked for."""
        return tuple(model.id for model in self.services.models.all())


@contextmanager
def open_gateway(settings: Settings, *, prewarmed: int = 0) -> Iterator[LocalGateway]:
    """The gateway over the settings' accounts and those of its database, or of a private database
    that is gone at the end of the block.

    Until then threads renew tokens, probe accounts and delete upstream sessions that are over; at
    the end they delete what is due, with a private database every session. `prewarmed`: sessions
    kept ready for each account in use. Raises CannotBeUsed for a database that cannot be used.
    """
    with open_services(settings, prewarmed=prewarmed) as services, gateway_over(services) as opened:
        yield opened


@contextmanager
def gateway_over(services: Services) -> Iterator[LocalGateway]:
    """As `open_gateway`, over services that were not started."""
    services.background.start()
    try:
        yield LocalGateway(services)
    finally:
        # What is over is deleted now: no later process may come that would.
        services.background.run_once()


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of an environment, as a server reads them. Raises SettingsError with every
    mistake.
    """
    return load(environ, built_in_names())
