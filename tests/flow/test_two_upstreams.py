"""The widget and an upstream of another kind behind one pool: each is asked in its own way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from gbproxy.app import EXTENSION
from gbproxy.domain.account import WIDGET, Account
from gbproxy.domain.models import Model
from gbproxy.errors import QuotaExhausted, UpstreamOverloaded
from gbproxy.simulator import SWITCH_VALUES, Simulator, overloaded
from tests.support.chats import STREAM, accounts, assistant, system, text_of, user
from tests.support.native_upstream import NATIVE, NativeCredential, NativeUpstream
from tests.support.polling import until
from tests.support.serving import InProcess, Reply, in_process

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
BOTH, NATIVE_ONLY, WIDGET_ONLY = "of-both", "of-the-native-one", "gemini-3.8-flash"
MODELS = (
    Model(BOTH, {WIDGET: "gemini-3.8-flash", NATIVE: "native-small"}),
    Model(NATIVE_ONLY, {NATIVE: "native-large"}),
)
ACCOUNT = Account("native-account", "native-account", NATIVE, NativeCredential("a secret"))
NATIVE_TEXT = "Native answer by native-account."
HISTORY = [system("Be brief."), user("Hi"), assistant("Hello"), user("Why?")]
TURNS = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Why?")]


@dataclass(frozen=True)
class Pair:
    gateway: InProcess
    widget: Simulator
    native: NativeUpstream

    def ask(self, messages: Any = "Hi", model: str = BOTH, **fields: Any) -> Reply:
        return self.gateway.ask(messages, model=model, **fields)

    def prompts(self) -> list[str]:
        """What the widget was asked with."""
        return [text_of(call) for call in self.widget.calls(STREAM) if call.csesidx is not None]

    @property
    def services(self) -> Any:
        return self.gateway.app.extensions[EXTENSION].services


@pytest.fixture
def pair() -> Iterator[Pair]:
    """One account of each kind; the widget's is asked first where both may be."""
    native = NativeUpstream()
    with (
        Simulator() as widget,
        in_process(
            accounts(widget, 1) | {"ACCOUNT_ORDER": "first"},
            upstreams={NATIVE: native},
            accounts=[ACCOUNT],
            models=MODELS,
        ) as gateway,
    ):
        widget.set(**{name: values[0] for name, values in SWITCH_VALUES.items()})
        yield Pair(gateway, widget, native)


@streamed_or_not
def test_each_answers_for_the_models_that_it_serves(pair: Pair, stream: bool) -> None:
    widget, native, both = (
        pair.ask(model=model, stream=stream) for model in (WIDGET_ONLY, NATIVE_ONLY, BOTH)
    )

    assert native.text == NATIVE_TEXT
    assert [reply.status for reply in (widget, native, both)] == [200] * 3
    assert NATIVE_TEXT not in (widget.text, both.text)
    assert [request.model.name_at(NATIVE) for request in pair.native.requests] == ["native-large"]
    assert len(pair.prompts()) == 2


@streamed_or_not
def test_roles_arrive_as_they_are_at_the_one_and_by_prompt_at_the_other(
    pair: Pair, stream: bool
) -> None:
    pair.ask(HISTORY, NATIVE_ONLY, stream=stream)
    pair.ask(HISTORY, WIDGET_ONLY, stream=stream)

    assert pair.native.turns == TURNS
    [prompt] = pair.prompts()
    assert "Below is a conversation in parts." in prompt
    assert all(text in prompt for _, text in TURNS)


@streamed_or_not
def test_a_request_fails_over_from_one_kind_to_the_other_unseen(pair: Pair, stream: bool) -> None:
    pair.widget.script(*overloaded(), path=STREAM)

    reply = pair.ask(HISTORY, stream=stream)

    assert (reply.status, reply.text) == (200, NATIVE_TEXT)
    assert len(pair.prompts()) == 1
    assert pair.native.turns == TURNS
    assert [account.state for account in pair.services.pool.snapshot()] == ["cooling", "ready"]


@streamed_or_not
def test_a_request_fails_over_back_to_the_widget_unseen(pair: Pair, stream: bool) -> None:
    pair.native.failure = UpstreamOverloaded("busy", retry_after=30.0)
    pool = pair.services.pool
    [first, _] = pool.accounts()

    with pool.lease(required=first.account_key) as taken:
        pool.failed(taken, "text", QuotaExhausted("empty", retry_after=30.0))
    unanswered = pair.ask(HISTORY, stream=stream)
    pool.clear_cooldown(ACCOUNT.id)
    pool.replace([ACCOUNT, first])  # now it is asked first
    pool.clear_cooldown(first.id)
    reply = pair.ask(HISTORY, stream=stream)

    assert (unanswered.status, reply.status) == (503, 200)
    assert len(pair.native.requests) == 2
    assert len(pair.prompts()) == 1


def test_a_model_of_the_other_kind_is_never_asked_of_an_account_that_lacks_it(pair: Pair) -> None:
    pair.native.failure = QuotaExhausted("empty", retry_after=30.0)

    replies = [pair.ask(model=NATIVE_ONLY) for _ in range(2)]

    assert [reply.status for reply in replies] == [429, 429]
    assert pair.prompts() == []


def test_no_session_is_opened_prewarmed_recorded_or_deleted_where_there_are_none(
    pair: Pair,
) -> None:
    pair.ask(model=NATIVE_ONLY)
    pair.ask(model=WIDGET_ONLY)
    # Both accounts are in use by now: the widget's gets its prewarmed sessions.
    until(lambda: len(pair.services.storage.sessions.all_sessions(100)) >= 3)
    pair.services.background.run_once()

    recorded = pair.services.storage.sessions.all_sessions(100)

    assert pair.native.sessions == []
    assert len(recorded) >= 2
    assert ACCOUNT.account_key not in {session.account_key for session in recorded}


@streamed_or_not
def test_a_conversation_goes_on_by_its_full_history_whoever_answers(
    pair: Pair, stream: bool
) -> None:
    pair.widget.script(*overloaded(), path=STREAM)
    chat = [user("One?")]
    first = pair.ask(chat, stream=stream)
    chat += [assistant(first.text), user("Two?")]
    pair.services.pool.clear_cooldown("first")
    second = pair.ask(chat, stream=stream)
    chat += [assistant(second.text), user("Three?")]
    pair.widget.script(*overloaded(), path=STREAM)
    third = pair.ask(chat, stream=stream)

    assert first.text == third.text == NATIVE_TEXT
    assert second.text != NATIVE_TEXT
    assert all(text in pair.prompts()[1] for text in ("One?", NATIVE_TEXT, "Two?"))
    # The widget's session was continued with what is new, and its failure cost nothing.
    assert pair.prompts()[2] == "Three?"
    assert [text for _, text in pair.native.turns] == [m["content"] for m in chat]


@streamed_or_not
def test_an_answer_without_a_session_names_no_conversation(pair: Pair, stream: bool) -> None:
    native = pair.ask(model=NATIVE_ONLY, stream=stream)
    widget = pair.ask(model=WIDGET_ONLY, stream=stream)

    assert native.headers["X-Conversation-Id"] is None
    assert widget.headers["X-Conversation-Id"]
