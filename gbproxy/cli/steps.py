"""The calls of a first question on one account, step by step, with their exchanges on the wire: for
`gbproxy doctor --deep` and `gbproxy capture`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Literal

from gbproxy.cli.terminal import CannotBegin
from gbproxy.domain.account import Account
from gbproxy.domain.chat import Message, TextPart
from gbproxy.domain.events import SessionNamed, TextDelta
from gbproxy.domain.models import Model
from gbproxy.errors import GatewayError
from gbproxy.outbound.configured import make_client
from gbproxy.outbound.recording import Exchange, RecordingHttpClient
from gbproxy.services import Services
from gbproxy.settings import Settings
from gbproxy.upstreams.base import UpstreamRequest
from gbproxy.upstreams.widget.auth import NoTokens, WidgetAuth
from gbproxy.upstreams.widget.bodies import WidgetSettings
from gbproxy.upstreams.widget.endpoints import EndpointMap
from gbproxy.upstreams.widget.widget import Widget


@dataclass(frozen=True, slots=True)
class RecordedUpstream:
    """The widget's calls over a client that records them, apart from those of the gateway."""

    auth: WidgetAuth
    widget: Widget
    outbound: RecordingHttpClient


@contextmanager
def open_recorded(
    services: Services, settings: Settings | None = None
) -> Iterator[RecordedUpstream]:
    """Open a recorded upstream, with the services' settings or others in their place.

    It signs in anew, as it reads no stored tokens; cookies that are renewed on the way are stored.
    """
    settings = settings or services.settings
    with closing(make_client(settings, RecordingHttpClient)) as client:
        endpoints = EndpointMap.from_settings(settings)
        auth = WidgetAuth(client, endpoints, tokens=NoTokens(), cookies=services.storage.cookies)
        widget = Widget(client, auth, endpoints, WidgetSettings.from_settings(settings))
        yield RecordedUpstream(auth, widget, client)


StepName = Literal["sign in", "configuration", "session", "question", "list", "delete"]


@dataclass(frozen=True, slots=True)
class Step:
    """The exchanges of one step; `error` is None when it succeeded."""

    name: StepName
    exchanges: tuple[Exchange, ...] = field(repr=False)
    error: GatewayError | None = None


class Steps:
    """Run the steps on one account; `answer` is the model's text so far."""

    def __init__(
        self, upstream: RecordedUpstream, account: Account, model: Model, question: str
    ) -> None:
        self.answer = ""
        self._upstream = upstream
        self._account = account
        self._model = model
        self._question = question
        self._session: str | None = None

    def run(self, until: StepName = "delete") -> Iterator[Step]:
        """Yield each step when it has ended; a step that needs a failed one is left out.

        `until="question"` skips configuration and list; an opened session is deleted even then.
        """
        signed_in = self._step("sign in", self._sign_in)
        yield signed_in
        if signed_in.error is not None:
            return
        if until == "delete":
            yield self._step("configuration", self._look_up)
        yield self._step("session", self._open)
        if self._session is not None:
            yield self._step("question", self._ask)
        if until == "delete":
            yield self._step("list", self._list)
        if self._session is not None:
            yield self._step("delete", self._delete)

    def _step(self, name: StepName, call: Callable[[], None]) -> Step:
        recorded = self._upstream.outbound.exchanges
        before, failure = len(recorded), None
        try:
            call()
        except GatewayError as error:
            failure = error
        return Step(name, tuple(recorded[before:]), failure)

    def _sign_in(self) -> None:
        self._upstream.auth.token(self._account)

    def _look_up(self) -> None:
        self._upstream.widget.account_capabilities(self._account)

    def _open(self) -> None:
        self._session = self._upstream.widget.open_session(self._account)

    def _ask(self) -> None:
        question = Message("user", (TextPart(self._question),))
        request = UpstreamRequest((question,), self._model)
        for event in self._upstream.widget.stream(request, self._account, self._session or ""):
            match event:
                case TextDelta(text):
                    self.answer += text
                case SessionNamed(name):
                    self._session = name
                case _:
                    pass

    def _list(self) -> None:
        self._upstream.widget.probe(self._account)

    def _delete(self) -> None:
        self._upstream.widget.delete_session(self._account, self._session or "")


def choose_account(accounts: Sequence[Account], wanted: str | None) -> Account:
    """The account with this name or id, or the first one. Raises CannotBegin."""
    found = [account for account in accounts if wanted in (None, account.id, account.name)]
    if not found:
        raise CannotBegin(
            f"there is no account {wanted!r}"
            if wanted
            else "there is no account: set one, or add it"
        )
    return found[0]
