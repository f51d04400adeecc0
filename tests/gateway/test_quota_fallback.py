"""A model's fallback answers when the model's quota is used up on all accounts."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from gbproxy.accounts.health import AccountHealth, HealthState
from gbproxy.domain.account import WIDGET
from gbproxy.domain.catalogue import Catalogue
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.events import Done, Started, TextDelta
from gbproxy.domain.models import AccountCapabilities, Model
from gbproxy.domain.principal import KeyPolicy, Principal
from gbproxy.errors import QuotaExhausted, UpstreamOverloaded
from gbproxy.observability import request_context
from tests.support.gateways import (
    HELLO,
    KEY,
    ONE,
    THREE,
    TWO,
    Harness,
    Upstream,
    message_of,
    says,
    text_of,
)

MODELS = (
    Model("best", {WIDGET: "best"}, fallback="good"),
    Model("good", {WIDGET: "good"}, fallback="plain"),
    Model("plain", {WIDGET: "plain"}, tools=()),
)
SPENT = (QuotaExhausted("spent"),)


def harness_of(
    *scripts: object, accounts: tuple[object, ...] = (ONE, TWO), **options: object
) -> Harness:
    return Harness(Upstream(*scripts), *accounts, models=MODELS, **options)  # type: ignore[arg-type]


def test_the_fallback_answers_once_every_account_has_used_the_quota_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    harness = harness_of(SPENT, SPENT, HELLO)
    caplog.set_level(logging.INFO)

    events = harness.answer(model="best")

    assert events[0] == Started("good")
    assert (text_of(events), events[-1]) == ("Hello", Done())
    assert harness.upstream.models == ["best", "best", "good"]
    (mapped,) = [record for record in caplog.records if record.message == "model.mapped"]
    assert (mapped.asked, mapped.used, mapped.reason) == ("best", "good", "quota")  # type: ignore[attr-defined]
    assert request_context.current().log_fields["model"] == "good"


def test_the_used_up_model_is_not_asked_again_and_others_of_its_kind_are_not_paused() -> None:
    harness = harness_of(SPENT, SPENT, HELLO)
    harness.answer(model="best")

    harness.answer(model="best")
    harness.answer(model="gemini-auto")

    assert harness.upstream.models[3:] == ["good", "gemini-auto"]
    assert harness.accounts == ["ready", "ready"]


def test_the_model_itself_answers_again_when_its_pause_is_over() -> None:
    harness = harness_of(SPENT, SPENT, HELLO)
    harness.answer(model="best")
    harness.clock.now += 61

    assert harness.answer(model="best")[0] == Started("best")


def test_an_account_that_has_the_quota_left_goes_before_the_fallback() -> None:
    harness = harness_of(SPENT, HELLO)

    assert harness.answer(model="best")[0] == Started("best")


def test_an_account_without_the_models_tool_does_not_count() -> None:
    painter = Model("painter", {WIDGET: None}, ("imageGenerationSpec",), "images", fallback="good")
    harness = Harness(Upstream(SPENT, HELLO), ONE, TWO, models=[*MODELS, painter])
    off = AccountCapabilities(tools_off=frozenset({"imageGenerationSpec"}))
    harness.support.note_capabilities(TWO, off)

    assert harness.answer(model="painter")[0] == Started("good")


def test_the_pause_of_one_model_is_ended_as_any_other() -> None:
    harness = harness_of(SPENT, HELLO, accounts=(ONE,))
    harness.answer(model="best")
    harness.pool.clear_cooldown("one")

    assert harness.answer(model="best")[0] == Started("best")


def test_other_workers_learn_of_the_pause_of_one_model() -> None:
    harness = harness_of(HELLO, accounts=(ONE,))
    now = harness.clock()
    paused = AccountHealth(ONE.account_key, "text:best", HealthState.COOLING, now + 60, 1)
    harness.pool.refresh([replace(paused, cause="quota", changed_at=now)])

    assert harness.answer(model="best")[0] == Started("good")
    assert harness.answer(model="gemini-auto")[0] == Started("gemini-auto")


def test_untried_accounts_are_not_taken_for_used_up() -> None:
    harness = harness_of(SPENT, SPENT, HELLO, accounts=(ONE, TWO, THREE), max_attempts=2)

    error, _ = harness.failure(model="best")

    assert isinstance(error, QuotaExhausted)
    assert harness.upstream.models == ["best", "best"]


def test_a_fallback_may_have_one_itself() -> None:
    harness = harness_of(SPENT, SPENT, HELLO, accounts=(ONE,))

    assert harness.answer(model="best")[0] == Started("plain")


def test_when_all_are_used_up_the_client_hears_when_the_first_comes_back() -> None:
    first, later = (
        QuotaExhausted("spent", retry_after=30.0),
        QuotaExhausted("spent", retry_after=90),
    )
    harness = harness_of((first,), (later,), (later,), accounts=(ONE,))

    error, _ = harness.failure(model="best")

    assert (error.status, error.retry_after) == (429, pytest.approx(30, abs=1))
    assert harness.upstream.models == ["best", "good", "plain"]


def test_what_pauses_a_whole_kind_pauses_the_model_too() -> None:
    harness = harness_of(SPENT, HELLO, accounts=(ONE,))
    harness.failure(model="plain")  # has no fallback: the kind is used up

    error, _ = harness.failure(model="best")

    assert isinstance(error, QuotaExhausted)
    assert harness.upstream.models == ["plain"]


def test_an_overload_is_no_used_up_quota() -> None:
    harness = harness_of((UpstreamOverloaded("busy"),), accounts=(ONE,))

    error, _ = harness.failure(model="best")

    assert isinstance(error, UpstreamOverloaded)
    assert set(harness.upstream.models) == {"best"}


def test_a_model_without_a_fallback_fails_as_ever() -> None:
    harness = harness_of(SPENT)

    error, _ = harness.failure(model="gemini-auto")

    assert isinstance(error, QuotaExhausted)
    assert set(harness.upstream.models) == {"gemini-auto"}
    assert harness.accounts == ["cooling", "cooling"]


def test_nothing_follows_once_content_was_shown() -> None:
    harness = harness_of((TextDelta("Hel"), *SPENT), accounts=(ONE,))

    error, heard = harness.failure(model="best")

    assert isinstance(error, QuotaExhausted)
    assert text_of(heard) == "Hel"


@pytest.mark.parametrize(
    ("allowed", "used"), [({"best", "plain"}, "plain"), ({"best"}, None)], ids=["skipped", "none"]
)
def test_a_key_gets_only_fallbacks_that_it_may_use(allowed: set[str], used: str | None) -> None:
    harness = harness_of(SPENT, HELLO, accounts=(ONE,))
    principal = Principal(KEY, policy=KeyPolicy(models=frozenset(allowed)))
    chat = ChatRequest((message_of("Hi"),), "best", None, principal)

    if used is None:
        with pytest.raises(QuotaExhausted):
            list(harness.gateway.stream(chat))
    else:
        assert next(iter(harness.gateway.stream(chat))) == Started(used)


def test_a_history_that_is_in_a_session_alone_gets_no_fallback() -> None:
    harness = harness_of(HELLO, SPENT, HELLO, accounts=(ONE,))
    conversation = harness.begun("Hi", model="best")

    error, _ = harness.failure("And?", model="best", key_digest=KEY, conversation=conversation)

    assert isinstance(error, QuotaExhausted)
    assert harness.upstream.models == ["best", "best"]


def test_a_conversation_goes_on_in_its_session_while_the_fallback_answers() -> None:
    harness = harness_of(HELLO, SPENT, HELLO, accounts=(ONE,))
    harness.begun("Hi", model="best")
    harness.answer("Something else", model="best")  # the quota is used up with it

    harness.answer("Hi", says("assistant", "Hello"), "And?", model="best", key_digest=KEY)

    assert harness.upstream.asked[-1] == ("one", "good", harness.upstream.sessions[0])


def test_the_fallback_has_no_tool_that_the_model_has_not() -> None:
    catalogue = Catalogue(
        configured=[*MODELS, Model("bare", {WIDGET: "bare"}, (), fallback="best")]
    )

    fallbacks = catalogue.fallbacks(catalogue.get("bare"))

    assert [(each.id, each.tools) for each in fallbacks] == [
        ("best", ()),
        ("good", ()),
        ("plain", ()),
    ]
