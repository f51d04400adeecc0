"""An upstream without a network: it yields the events that a test gives it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from gbproxy.domain.account import Account
from gbproxy.domain.chat import TextPart
from gbproxy.domain.events import FLUSH, ChatEvent, ChatStream, Done, TextDelta
from gbproxy.domain.models import NOTHING_SAID, AccountCapabilities
from gbproxy.upstreams.base import Capabilities, UpstreamRequest
from tests.support.serving import InProcess, in_process

ACCOUNT = {
    "SECURE_C_SES": "CSE.Ad0",
    "CSESIDX": "1",
    "CONFIG_ID": "c0000000-0000-4000-8000-000000000001",
}


class FakeUpstream:
    """Plays `events` for every request; an error among them is raised."""

    def __init__(self, *events: ChatEvent | Exception) -> None:
        self.events = events or (TextDelta("Hello"), FLUSH, Done())
        self.prompts: list[str] = []
        self.models: list[str] = []

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(sessions=True, roles=False)

    def open_session(self, account: Account, *, for_files: bool = False) -> str:
        return "session"

    def stream(self, request: UpstreamRequest, account: Account, session: str) -> ChatStream:
        self.prompts.append(prompt_of(request))
        self.models.append(request.model.id)
        for event in self.events:
            if isinstance(event, Exception):
                raise event
            yield event

    def delete_session(self, account: Account, session: str) -> None:
        pass

    def probe(self, account: Account) -> None:
        pass

    def account_capabilities(self, account: Account) -> AccountCapabilities:
        return NOTHING_SAID

    def sign_in_ahead(self, account: Account, older_than_s: float) -> bool:
        return False

    def prewarm(self, accounts: Iterable[Account]) -> None:
        pass


def prompt_of(request: UpstreamRequest) -> str:
    """The one text that an upstream without roles is asked with."""
    [message] = request.messages
    [part] = message.parts
    assert (message.role, message.name) == ("user", None)
    assert isinstance(part, TextPart)
    return part.text


@contextmanager
def api(
    *events: ChatEvent | Exception, **settings: str
) -> Iterator[tuple[InProcess, FakeUpstream]]:
    """The app in front of a fake upstream."""
    upstream = FakeUpstream(*events)
    with in_process(ACCOUNT, upstream=upstream, **settings) as app:
        yield app, upstream
