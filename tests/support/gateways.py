"""A gateway over a scripted upstream, with its records in memory."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from gbproxy.accounts.available_models import AvailableModels
from gbproxy.accounts.model_support import ModelSupport
from gbproxy.accounts.pool import Pool
from gbproxy.conversations import Conversations
from gbproxy.domain import attachment
from gbproxy.domain.account import WIDGET, Account, id_of
from gbproxy.domain.attachment import Attachment, LinkedAttachment, StoredAttachment
from gbproxy.domain.catalogue import Catalogue
from gbproxy.domain.chat import ChatRequest, Message, Role, TextPart
from gbproxy.domain.events import (
    FLUSH,
    ChatEvent,
    ChatStream,
    Done,
    Flush,
    SessionNamed,
    TextDelta,
    ThoughtDelta,
    UpstreamStream,
)
from gbproxy.domain.models import ALL_TOOLS, AccountCapabilities, Model
from gbproxy.domain.principal import Principal
from gbproxy.domain.session import Session
from gbproxy.emulation.pipeline import Pipeline
from gbproxy.emulation.request_emulation import RequestEmulation
from gbproxy.errors import (
    CredentialRefused,
    GatewayError,
    QuotaExhausted,
    SessionDenied,
    TokenRefused,
    UpstreamBroken,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnclear,
)
from gbproxy.gateway import Gateway
from gbproxy.gateway.files import FileTransfer
from gbproxy.observability import request_context
from gbproxy.rate_limits.limiter import Limiter, Rules
from gbproxy.rate_limits.memory_store import MemoryLimitStore
from gbproxy.sessions.prewarmed import SessionPool
from gbproxy.storage.sessions import SessionRows
from gbproxy.upstreams import base
from gbproxy.upstreams.base import Capabilities, UpstreamRequest
from gbproxy.upstreams.registry import Upstreams
from tests.support.accounts import widget_account
from tests.support.clock import Clock
from tests.support.fake_upstream import prompt_of
from tests.support.memory_rows import MemoryRows

ONE, TWO, THREE = (widget_account(name) for name in ("one", "two", "three"))
KEY, OTHER_KEY = b"k" * 32, b"o" * 32
TIMEOUT_S = 1800.0
RETIRED, SUCCESSOR = "gemini-3-pro-preview", "gemini-3.1-pro-preview"
HELLO: tuple[ChatEvent, ...] = (TextDelta("Hel"), TextDelta("lo"), FLUSH, Done())
Script = tuple[ChatEvent | SessionNamed | Exception, ...]


class Upstream:
    """Plays one script for each stream, the last one again and again; an exception in a script is
    raised there.
    """

    def __init__(
        self, *scripts: Script, opening: Exception | None = None, names: bool = True
    ) -> None:
        self.prompts: list[str] = []
        self.asked: list[tuple[str, str, str]] = []  # account, model, session
        self.closed: list[str] = []
        self.opened = 0
        self.files: list[tuple[str, str, bytes]] = []  # session, name and bytes of each
        self.file_ids: list[tuple[str, ...]] = []  # of each question
        self.refuses_files: list[Exception] = []
        self.on_ask: Callable[[], None] = lambda: None
        self._scripts = list(scripts or [HELLO])
        self._opening = opening
        self._names = names
        self.capabilities = Capabilities(sessions=True, roles=False)

    def open_session(self, account: Account, *, for_files: bool = False) -> str:
        if self._opening is not None:
            raise self._opening
        if not self._names:
            return ""
        self.opened += 1
        return f"s/{self.opened}"

    def add_file(self, account: Account, session: str, attachment: Attachment) -> str:
        if self.refuses_files:
            raise self.refuses_files.pop(0)
        self.files.append((session, attachment.name, attachment.content))
        return f"f/{len(self.files)}"

    def stream(self, request: UpstreamRequest, account: Account, session: str) -> UpstreamStream:
        self.on_ask()
        self.prompts.append(prompt_of(request))
        self.file_ids.append(request.file_ids)
        self.asked.append((account.id, request.model.id, session))
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        try:
            for event in script:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.closed.append(session)

    def delete_session(self, account: Account, session: str) -> None:
        raise AssertionError("sessions are deleted in the background")

    def probe(self, account: Account) -> None:
        raise AssertionError("accounts are probed in the background")

    def account_capabilities(self, account: Account) -> AccountCapabilities:
        raise AssertionError("configurations are read in the background")

    def sign_in_ahead(self, account: Account, older_than_s: float) -> bool:
        raise AssertionError("tokens are renewed in the background")

    def prewarm(self, accounts: Iterable[Account]) -> None:
        raise AssertionError("connections are prewarmed in the background")

    @property
    def accounts(self) -> list[str]:
        return [account for account, _, _ in self.asked]

    @property
    def models(self) -> list[str]:
        return [model for _, model, _ in self.asked]

    @property
    def sessions(self) -> list[str]:
        return [session for _, _, session in self.asked]


class _Emulation(RequestEmulation):
    """The same stages for every request."""

    def __init__(self, stages: Callable[[Capabilities], Pipeline], chat: ChatRequest) -> None:
        super().__init__(chat)
        self._stages = stages

    def pipeline(self, capabilities: Capabilities) -> Pipeline:
        return self._stages(capabilities)


class Harness:
    """A gateway over a fake upstream, with its records in memory, and what it did.

    Requests are nobody's in particular, for whom nothing is kept, unless they say whose they are.
    """

    def __init__(
        self,
        upstream: Upstream,
        *accounts: Account,
        show_thoughts: bool = False,
        prompt_max_chars: int = 10_000,
        max_attempts: int = 3,
        concurrency: int = 8,
        rows: SessionRows | None = None,
        model_interval_s: float = 0.0,
        request_timeout_s: float = 1800.0,
        upstreams: Mapping[str, base.Upstream] | None = None,
        models: Collection[Model] = (),
        emulation: Callable[[Capabilities], Pipeline] | None = None,
        **options: Any,
    ) -> None:
        """`emulation`: the stages for an upstream, in place of those that the request needs."""
        self.upstream = upstream
        upstream.capabilities = replace(upstream.capabilities, prompt_max_chars=prompt_max_chars)
        self.clock = Clock()
        self.limit_store = MemoryLimitStore(self.clock)
        self.pool = Pool(
            accounts or [ONE],
            concurrency=concurrency,
            wait_s=0.05,
            clock=self.clock,
            uniform=random.Random(1).uniform,
        )
        self.rows = MemoryRows(self.clock)
        self.sessions = SessionPool(
            rows or self.rows, self._open_session, self._put, self._discard, size=2
        )
        self._to_prewarm: dict[str, list[str]] | None = None
        self.noted: list[str] = []
        self.linked: dict[str, bytes] = {}  # what URLs lead to
        self.uploaded: dict[str, bytes] = {}  # what ids lead to
        self.fetched: list[str] = []
        self.discarded: list[str] = []  # without a word in the records
        self.pauses: list[float] = []
        self.conversations = Conversations(
            rows or self.rows,
            session_timeout_s=TIMEOUT_S,
            delete_unrecorded=self._discard,
            clock=self.clock,
        )
        self.support = ModelSupport(clock=self.clock)
        for account in self.pool.accounts():  # no refusal is put down to a tool
            self.support.note_capabilities(
                account, AccountCapabilities(tools_on=frozenset(ALL_TOOLS))
            )
        self.gateway = Gateway(
            AvailableModels(
                Catalogue(configured=models),
                self.support,
                self.pool.enabled,
                {WIDGET, *(upstreams or {})},
            ),
            self.pool,
            Upstreams({WIDGET: upstream, **(upstreams or {})}),
            self.conversations,
            self.sessions,
            Limiter(self.limit_store, Rules(model_interval_s=model_interval_s), self.clock),
            FileTransfer(
                self._fetch,
                max_fetched_bytes=1000,
                stored=self._stored,
                stored_digest=lambda key, stored: self._uploaded(stored).digest,
            ),
            show_thoughts=show_thoughts,
            max_attempts=max_attempts,
            request_timeout_s=request_timeout_s,
            record_activity=self._record_activity,
            pause=self.pauses.append,
            emulation=partial(_Emulation, emulation) if emulation else RequestEmulation,
            **options,
        )

    def prewarm(self, names: Mapping[Account, Sequence[str]]) -> None:
        """Sessions of these names stand ready for these accounts, and no others."""
        self._to_prewarm = {account.id: list(each) for account, each in names.items()}
        self.sessions.refill(names)
        self._to_prewarm = None

    def _fetch(self, link: LinkedAttachment) -> Attachment:
        self.fetched.append(link.url)
        return attachment.of_content(self.linked[link.url], link.place, name=link.name)

    def _stored(self, key_digest: bytes, stored: StoredAttachment) -> Attachment:
        self.fetched.append(stored.url)
        return self._uploaded(stored)

    def _uploaded(self, stored: StoredAttachment) -> Attachment:
        return attachment.of_content(self.uploaded[stored.url], stored.place, name=stored.name)

    def _open_session(self, account: Account, *, for_files: bool) -> str:
        if self._to_prewarm is None:
            return self.upstream.open_session(account, for_files=for_files)
        names = self._to_prewarm[account.id]
        if not names:
            raise UpstreamError("there is nothing more to prewarm")
        return names.pop(0)

    def _put(self, job: Callable[[], None]) -> bool:
        if self._to_prewarm is None:  # what was taken is not made up for
            return False
        job()
        return True

    def _record_activity(self, account_id: str = "") -> None:
        self.noted.append(account_id)

    def _discard(self, session: Session) -> None:
        self.discarded.append(session.name)

    def stream(
        self,
        *said: str | Message,
        model: str | None = None,
        show_thoughts: bool | None = None,
        key_digest: bytes = b"",
        conversation: str | None = None,
    ) -> ChatStream:
        messages = tuple(message_of(each) for each in said or ("Hi",))
        return self.gateway.stream(
            ChatRequest(messages, model, show_thoughts, Principal(key_digest), conversation)
        )

    def answer(self, *said: str | Message, **how: object) -> list[ChatEvent]:
        return [event for event in self.stream(*said, **how) if not isinstance(event, Flush)]  # type: ignore[arg-type]

    def failure(self, *said: str | Message, **how: object) -> tuple[GatewayError, list[ChatEvent]]:
        """The error, and what was said before it."""
        heard: list[ChatEvent] = []
        with pytest.raises(GatewayError) as caught:
            heard.extend(self.stream(*said, **how))  # type: ignore[arg-type]
        return caught.value, heard

    def begun(self, *said: str | Message, **how: object) -> str:
        """A conversation of `KEY` in which this was said and `Hello` answered, in a session that is
        kept; its id.
        """
        self.answer(*said, key_digest=KEY, **how)
        conversation = request_context.current().conversation
        assert conversation is not None
        return conversation

    @property
    def states(self) -> dict[str, str]:
        """The state of each stored session, by its name."""
        return {row.session.name: row.state for row in self.rows.rows.values()}

    @property
    def marked(self) -> list[tuple[str, str]]:
        return [
            (id_of(row.session.account_key), row.session.name)
            for row in self.rows.rows.values()
            if row.state == "deleting"
        ]

    @property
    def accounts(self) -> list[str]:
        """The states of the accounts."""
        return [view.state for view in self.pool.snapshot()]


def says(role: Role, text: str) -> Message:
    return Message(role, (TextPart(text),))


def message_of(said: str | Message) -> Message:
    return says("user", said) if isinstance(said, str) else said


def text_of(events: Sequence[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def conversation_after(events: Sequence[ChatEvent]) -> str | None:
    """The id under which the conversation can be continued, once these events were read."""
    assert events
    return request_context.current().conversation


def cool(harness: Harness, account: Account) -> None:
    harness.pool.failed(account, "text", QuotaExhausted("empty", retry_after=90.0))


def logged(caplog: pytest.LogCaptureFixture, run: Callable[[], object]) -> list[logging.LogRecord]:
    with caplog.at_level(logging.DEBUG, "gbproxy"):
        run()
    return [record for record in caplog.records if record.message == "attempt.failed"]


SYSTEM, HELLO_SAID = says("system", "Be brief."), says("assistant", "Hello")
HISTORY = ("Hi", HELLO_SAID, "Why?")  # of the conversation that `begun` begins
THINKING: Script = (ThoughtDelta("Hm."), *HELLO)
BEFORE: list[Script] = [(), (FLUSH,), (ThoughtDelta("Hm."), FLUSH)]
ELSEWHERE: list[tuple[GatewayError, str]] = [
    (UpstreamOverloaded("busy"), "cooling"),
    (QuotaExhausted("empty"), "cooling"),
    (CredentialRefused("no"), "refused"),
    (SessionDenied("no"), "ready"),
    (UpstreamTimeout("silent"), "ready"),
    (TokenRefused("no"), "ready"),
    (UpstreamBroken("reset"), "ready"),
    (UpstreamUnclear("FAILED"), "ready"),
]
