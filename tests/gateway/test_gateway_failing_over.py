"""Which accounts, sessions and models one request is tried on, and what is told when none answers."""

from __future__ import annotations

import logging

import pytest

from gbproxy.domain.account import Account
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.events import (
    FLUSH,
    ChatEvent,
    Done,
    Started,
    TextDelta,
    ThoughtDelta,
    Usage,
    estimate_quarter_tokens,
    whole_tokens,
)
from gbproxy.domain.principal import KeyPolicy, Principal
from gbproxy.errors import (
    ContextLengthExceeded,
    CredentialRefused,
    GatewayError,
    ModelNotFound,
    QuotaExhausted,
    RequestRefused,
    SessionDenied,
    SessionGone,
    TokenRefused,
    UpstreamBroken,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnclear,
)
from gbproxy.observability import request_context
from tests.support.gateways import (
    BEFORE,
    ELSEWHERE,
    HELLO,
    HISTORY,
    KEY,
    ONE,
    RETIRED,
    SUCCESSOR,
    THREE,
    TWO,
    Harness,
    Script,
    Upstream,
    logged,
    message_of,
    text_of,
)
from tests.support.pools import in_flight

# Lost sessions


def test_a_lost_session_gets_one_fresh_session() -> None:
    harness = Harness(Upstream((SessionGone("gone"),), HELLO))

    events = harness.answer()

    assert events[0] == Started("gemini-auto")
    assert text_of(events) == "Hello"
    assert harness.upstream.asked == [("one", "gemini-auto", "s/1"), ("one", "gemini-auto", "s/2")]
    assert harness.marked == [("one", "s/1"), ("one", "s/2")]


def test_a_session_that_is_lost_twice_is_an_error() -> None:
    harness = Harness(Upstream((SessionGone("gone"),)))

    error, said = harness.failure()

    assert (type(error), error.status, said) == (SessionGone, 502, [])
    assert harness.upstream.opened == 2


def test_a_session_lost_after_hidden_thoughts_is_tried_again_too() -> None:
    harness = Harness(Upstream((ThoughtDelta("Hm."), FLUSH, SessionGone("gone")), HELLO))

    assert harness.answer()[-1] == Done()
    assert harness.upstream.opened == 2


AFTER_CONTENT = [
    SessionGone("gone"),
    RequestRefused("no"),
    UpstreamError("broken"),
    UpstreamOverloaded("busy"),
]


@pytest.mark.parametrize("error", AFTER_CONTENT, ids=repr)
def test_nothing_is_tried_again_after_content(error: GatewayError) -> None:
    harness = Harness(Upstream((TextDelta("Hel"), error), HELLO), ONE, TWO)

    found, said = harness.failure(model=RETIRED)

    assert found is error
    assert said == [Started(RETIRED), TextDelta("Hel")]
    assert harness.upstream.accounts == ["one"]


@pytest.mark.parametrize(
    "error",
    [
        UpstreamError("broken"),
        QuotaExhausted("empty"),
        CredentialRefused("no"),
        RequestRefused("no"),
        ContextLengthExceeded("long"),
    ],
)
def test_with_one_account_other_failures_are_told_at_once(error: GatewayError) -> None:
    harness = Harness(Upstream((error,), HELLO))

    found, said = harness.failure()

    assert (found, said, harness.upstream.opened) == (error, [], 1)


# A second try

PASSING = [UpstreamBroken("reset"), UpstreamProtocolError("cut off")]


@pytest.mark.parametrize("error", PASSING, ids=repr)
@pytest.mark.parametrize("before", BEFORE, ids=["nothing", "flush", "thoughts"])
@pytest.mark.parametrize(
    ("accounts", "second"), [([ONE], "one"), ([ONE, TWO], "two")], ids=["one", "two"]
)
def test_a_passing_failure_before_content_is_got_over_on_another_account_or_else_on_the_same_one(
    error: GatewayError,
    before: Script,
    accounts: list[Account],
    second: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    harness = Harness(Upstream((*before, error), HELLO), *accounts)
    events: list[ChatEvent] = []

    [record] = logged(caplog, lambda: events.extend(harness.answer()))

    assert text_of(events) == "Hello"
    assert events.count(Started("gemini-auto")) == 1
    assert harness.upstream.asked == [("one", "gemini-auto", "s/1"), (second, "gemini-auto", "s/2")]
    assert harness.marked == [("one", "s/1"), (second, "s/2")]
    assert request_context.current().attempts == 2
    assert len(harness.pauses) == (0 if second == "two" else 1)
    assert record.account == "one"
    assert set(harness.accounts) == {"ready"}


def test_the_second_try_comes_after_a_short_pause_that_varies() -> None:
    pauses = []
    for _ in range(50):
        harness = Harness(Upstream((UpstreamBroken("reset"),), HELLO))
        harness.answer()
        pauses += harness.pauses

    assert len(pauses) == 50
    assert all(0.1 <= pause <= 0.4 for pause in pauses)
    assert len(set(pauses)) > 25


def test_a_passing_failure_that_comes_twice_is_told() -> None:
    harness = Harness(
        Upstream((UpstreamBroken("the first"),), (UpstreamBroken("the second"),), HELLO)
    )

    error, said = harness.failure()

    assert (error.message, said) == ("the second", [])
    assert (harness.upstream.opened, request_context.current().attempts, len(harness.pauses)) == (
        2,
        2,
        1,
    )


def test_a_session_that_could_not_be_opened_for_once_is_opened_again() -> None:
    harness = Harness(Upstream(opening=UpstreamBroken("busy")))

    harness.failure()

    assert request_context.current().attempts == 2
    assert harness.states == {}


@pytest.mark.parametrize(
    "error",
    [
        UpstreamOverloaded("busy"),
        UpstreamTimeout("silent"),
        QuotaExhausted("empty"),
        CredentialRefused("no"),
        TokenRefused("no"),
        UpstreamError("said nothing of use"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_another_try_would_not_cure_is_told_at_once(error: GatewayError) -> None:
    harness = Harness(Upstream((error,), HELLO))

    found, said = harness.failure()

    assert (found, said) == (error, [])
    assert (harness.upstream.opened, harness.pauses) == (1, [])


def test_each_remedy_is_tried_once() -> None:
    """A lost session, a broken connection, a retired model: all three may be met by one request,
    none twice.
    """
    harness = Harness(
        Upstream(
            (SessionGone("gone"),),
            (UpstreamBroken("reset"),),
            (RequestRefused("no such model"),),
            HELLO,
        )
    )

    events = harness.answer(model=RETIRED)

    assert events[0] == Started(SUCCESSOR)
    assert harness.upstream.models == [RETIRED, RETIRED, RETIRED, SUCCESSOR]
    assert len(harness.pauses) == 1


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_content_that_was_said_is_never_asked_for_again(error: GatewayError) -> None:
    harness = Harness(Upstream((TextDelta("Hel"), error), HELLO), ONE, TWO)

    found, said = harness.failure()

    assert (found, said) == (error, [Started("gemini-auto"), TextDelta("Hel")])
    assert (harness.upstream.opened, harness.pauses) == (1, [])


def test_shown_thoughts_are_content_too() -> None:
    harness = Harness(
        Upstream((ThoughtDelta("Hm."), UpstreamBroken("reset")), HELLO),
        ONE,
        TWO,
        show_thoughts=True,
    )

    found, _ = harness.failure()

    assert found.message == "reset"
    assert harness.upstream.opened == 1


# Failing over


@pytest.mark.parametrize(("error", "state"), ELSEWHERE, ids=lambda given: type(given).__name__)
@pytest.mark.parametrize("before", BEFORE, ids=["nothing", "flush", "thoughts"])
def test_what_one_account_cannot_do_another_does_unseen(
    error: GatewayError, state: str, before: Script
) -> None:
    harness = Harness(Upstream((*before, error), HELLO), ONE, TWO)

    events = harness.answer()

    assert events == [
        Started("gemini-auto"),
        TextDelta("Hel"),
        TextDelta("lo"),
        Usage(
            whole_tokens(estimate_quarter_tokens("Hi")),
            whole_tokens(estimate_quarter_tokens("Hello")),
        ),
        Done(),
    ]
    assert harness.upstream.asked == [("one", "gemini-auto", "s/1"), ("two", "gemini-auto", "s/2")]
    assert harness.marked == [("one", "s/1"), ("two", "s/2")]
    assert (harness.accounts, harness.pauses, in_flight(harness.pool)) == ([state, "ready"], [], 0)
    assert (
        request_context.current().attempts,
        request_context.current().log_fields["account"],
    ) == (
        2,
        "two",
    )


def test_an_account_that_cannot_open_a_session_is_got_over_too() -> None:
    harness = Harness(Upstream(opening=QuotaExhausted("empty")), ONE, TWO)
    harness.prewarm({TWO: ["warm/1"]})

    events = harness.answer()

    assert text_of(events) == "Hello"
    assert harness.upstream.asked == [("two", "gemini-auto", "warm/1")]
    assert harness.accounts == ["cooling", "ready"]


@pytest.mark.parametrize(
    "error", [RequestRefused("policy"), ContextLengthExceeded("long")], ids=repr
)
def test_the_request_s_own_fault_is_told_at_once_and_costs_no_account_anything(
    error: GatewayError,
) -> None:
    harness = Harness(Upstream((error,), HELLO), ONE, TWO)

    found, said = harness.failure()

    assert (found, said) == (error, [])
    assert harness.upstream.accounts == ["one"]
    assert harness.accounts == ["ready", "ready"]


@pytest.mark.parametrize(
    ("most", "asked"), [(1, ["one"]), (2, ["one", "two"]), (9, ["one", "two", "three"])]
)
def test_at_most_so_many_accounts_are_asked(most: int, asked: list[str]) -> None:
    harness = Harness(Upstream((UpstreamTimeout("silent"),)), ONE, TWO, THREE, max_attempts=most)

    error, said = harness.failure()

    assert (type(error), said) == (UpstreamTimeout, [])
    assert harness.upstream.accounts == asked
    assert request_context.current().attempts == len(asked)


BUSY, EMPTY, DEAD, SILENT = (
    UpstreamOverloaded("busy", retry_after=8.0),
    QuotaExhausted("empty", retry_after=90.0),
    CredentialRefused("Renew it."),
    UpstreamTimeout("silent"),
)


@pytest.mark.parametrize(
    ("met", "kind", "retry_after"),
    [
        ([EMPTY, BUSY, DEAD], UpstreamOverloaded, 8.0),
        # the silent account may be asked again at once
        ([DEAD, EMPTY, SILENT], QuotaExhausted, 1.0),
        ([EMPTY, DEAD, EMPTY], QuotaExhausted, 90.0),
        ([DEAD, SILENT, SILENT], CredentialRefused, None),
        ([SILENT, SILENT, SILENT], UpstreamTimeout, None),
    ],
    ids=["overload", "quota", "quota, all", "refused", "the last"],
)
def test_when_failing_over_ran_dry_the_mildest_is_told_with_the_earliest_recovery(
    met: list[Exception], kind: type[GatewayError], retry_after: float | None
) -> None:
    harness = Harness(Upstream(*[(error,) for error in met]), ONE, TWO, THREE)

    error, said = harness.failure()

    assert (type(error), error.retry_after, said) == (kind, retry_after, [])
    assert harness.upstream.accounts == ["one", "two", "three"]
    assert harness.marked == [("one", "s/1"), ("two", "s/2"), ("three", "s/3")]


@pytest.mark.parametrize(
    "error", [UpstreamUnclear("FAILED"), UpstreamUnclear("empty")], ids=["FAILED", "empty"]
)
def test_what_fails_on_two_accounts_alike_is_put_down_to_the_request(error: GatewayError) -> None:
    harness = Harness(Upstream((error,), (error,), HELLO), ONE, TWO, THREE)

    found, said = harness.failure()

    assert (found.status, found.code, found.should_retry, said) == (
        502,
        "upstream_error",
        False,
        [],
    )
    assert harness.upstream.accounts == ["one", "two"]
    assert harness.accounts == ["ready"] * 3


def test_after_many_poisoned_requests_a_good_one_is_answered_at_once() -> None:
    harness = Harness(Upstream(*[(UpstreamUnclear("FAILED"),)] * 200, HELLO), ONE, TWO)

    failures = [harness.failure("poison")[0] for _ in range(100)]

    assert {type(error) for error in failures} == {UpstreamUnclear}
    assert harness.accounts == ["ready", "ready"]
    assert text_of(harness.answer()) == "Hello"
    assert len(harness.upstream.asked) == 201


def test_a_request_that_finds_every_account_cooling_asks_none() -> None:
    harness = Harness(Upstream((QuotaExhausted("empty", retry_after=90.0),), HELLO), ONE)
    harness.failure()
    asked = len(harness.upstream.asked)

    error, _ = harness.failure()

    assert (type(error), error.retry_after, len(harness.upstream.asked)) == (
        QuotaExhausted,
        90.0,
        asked,
    )


def test_an_answer_makes_an_account_forget_how_often_it_was_out_of_quota() -> None:
    harness = Harness(Upstream((QuotaExhausted("empty"),), HELLO, (QuotaExhausted("empty"),)))

    cooled_s = [harness.failure()[0].retry_after]
    harness.clock.now += 61
    harness.answer()
    for _ in range(2):
        cooled_s.append(harness.failure()[0].retry_after)
        harness.clock.now += 61

    assert cooled_s == [60.0, 60.0, 240.0]


def test_a_session_that_is_never_there_is_put_down_to_the_request() -> None:
    harness = Harness(Upstream((SessionGone("gone"),)), ONE, TWO, THREE)

    error, _ = harness.failure(*HISTORY, key_digest=KEY)

    assert (type(error), error.should_retry) == (UpstreamUnclear, False)
    assert harness.upstream.accounts == ["one", "one", "two", "two"]
    assert harness.accounts == ["ready"] * 3


def test_what_an_attempt_on_another_account_had_thought_is_not_counted() -> None:
    harness = Harness(
        Upstream((ThoughtDelta("A long first thought."), UpstreamTimeout("silent")), HELLO),
        ONE,
        TWO,
    )

    [usage] = [event for event in harness.answer() if isinstance(event, Usage)]

    assert (usage.output_tokens, usage.reasoning_tokens) == (
        whole_tokens(estimate_quarter_tokens("Hello")),
        0,
    )


def test_each_account_is_asked_for_the_model_itself_first() -> None:
    """One account's refusal of a retired model says nothing of another's."""
    harness = Harness(
        Upstream((RequestRefused("no"),), (UpstreamTimeout("silent"),), HELLO), ONE, TWO
    )

    events = harness.answer(model=RETIRED)

    assert events[0] == Started(RETIRED)
    assert [(account, model) for account, model, _ in harness.upstream.asked] == [
        ("one", RETIRED),
        ("one", SUCCESSOR),
        ("two", RETIRED),
    ]


# Sessions made ahead


def test_a_prewarmed_session_is_used_and_none_is_opened() -> None:
    harness = Harness(Upstream())
    harness.prewarm({ONE: ["warm/1", "warm/2"]})

    harness.answer(key_digest=KEY)

    assert (harness.upstream.sessions, harness.upstream.opened) == (["warm/1"], 0)
    assert harness.states == {"warm/1": "idle", "warm/2": "prewarmed"}


def test_without_a_prewarmed_session_one_is_opened_and_recorded() -> None:
    harness = Harness(Upstream())
    stream = harness.stream(key_digest=KEY)

    next(stream)

    assert (harness.upstream.sessions, harness.upstream.opened) == (["s/1"], 1)
    assert harness.states == {"s/1": "running"}


def test_another_account_is_asked_in_its_own_prewarmed_session() -> None:
    harness = Harness(Upstream((UpstreamTimeout("silent"),), HELLO), ONE, TWO)
    harness.prewarm({ONE: ["warm/1"], TWO: ["warm/2"]})

    harness.answer()

    assert harness.upstream.asked == [
        ("one", "gemini-auto", "warm/1"),
        ("two", "gemini-auto", "warm/2"),
    ]


@pytest.mark.parametrize("error", [SessionGone("gone"), SessionDenied("denied")], ids=repr)
def test_when_a_prewarmed_session_was_gone_the_others_are_not_used(
    error: GatewayError,
) -> None:
    harness = Harness(Upstream((error,), HELLO), ONE, TWO)
    harness.prewarm({ONE: ["warm/1", "warm/2"]})

    events = harness.answer()

    assert text_of(events) == "Hello"
    assert harness.states == {"warm/1": "deleting", "warm/2": "deleting", "s/1": "deleting"}
    assert harness.upstream.sessions == ["warm/1", "s/1"]


def test_other_failures_leave_the_prewarmed_sessions_as_they_are() -> None:
    harness = Harness(Upstream((UpstreamBroken("reset"),), HELLO))
    harness.prewarm({ONE: ["warm/1", "warm/2"]})

    harness.answer()

    assert harness.upstream.sessions == ["warm/1", "warm/2"]


def test_each_request_and_each_account_that_it_is_leased_are_noted() -> None:
    harness = Harness(Upstream((UpstreamTimeout("silent"),), HELLO), ONE, TWO)

    harness.answer()

    assert harness.noted == ["", "one", "two"]


def test_a_request_that_finds_no_account_is_noted_too() -> None:
    harness = Harness(Upstream((CredentialRefused("Renew it."),)))
    harness.failure()
    harness.noted.clear()

    harness.failure()

    assert harness.noted == [""]


# Retired models


@pytest.mark.parametrize(
    "refused", [(RequestRefused("no"),), (SessionGone("gone"),)], ids=["400", "404"]
)
def test_a_model_that_is_refused_is_answered_by_its_successor(refused: Script) -> None:
    tries = 2 if isinstance(refused[0], SessionGone) else 1
    harness = Harness(Upstream(*[refused] * tries, HELLO))

    events = harness.answer(model=RETIRED)

    assert events[0] == Started(SUCCESSOR)
    assert harness.upstream.models == [RETIRED] * tries + [SUCCESSOR]
    assert request_context.current().log_fields["model"] == SUCCESSOR


def test_a_successor_that_worked_is_remembered_for_an_hour(
    caplog: pytest.LogCaptureFixture,
) -> None:
    harness = Harness(Upstream((RequestRefused("no"),), HELLO))
    harness.answer(model=RETIRED)

    with caplog.at_level(logging.INFO, "gbproxy"):
        harness.clock.now += 3599
        within = harness.answer(model=RETIRED)
    harness.clock.now += 1
    harness.answer(model=RETIRED)

    assert within[0] == Started(SUCCESSOR)
    assert harness.upstream.models == [RETIRED, SUCCESSOR, SUCCESSOR, RETIRED]
    [mapped] = [record for record in caplog.records if record.message == "model.mapped"]
    assert (mapped.asked, mapped.used, mapped.account) == (RETIRED, SUCCESSOR, "one")


def test_a_successor_is_remembered_for_its_account_only() -> None:
    harness = Harness(Upstream((RequestRefused("no"),), HELLO), ONE, TWO)
    harness.answer(model=RETIRED)

    with harness.pool.lease():
        harness.answer(model=RETIRED)

    assert harness.upstream.asked[-1][:2] == ("two", RETIRED)


def test_a_successor_is_remembered_for_its_model_only() -> None:
    harness = Harness(Upstream((RequestRefused("no"),), HELLO))
    harness.answer(model=RETIRED)

    harness.answer(model="gemini-2.5-pro")

    assert harness.upstream.models[-1] == "gemini-2.5-pro"


def test_a_successor_that_is_refused_too_is_not_remembered_and_the_first_refusal_is_told() -> None:
    first = RequestRefused("the first refusal")
    harness = Harness(
        Upstream((first,), (RequestRefused("the second"),), (RequestRefused("the third"),), HELLO)
    )

    error, said = harness.failure(model=RETIRED)
    harness.answer(model=RETIRED)

    assert (error, said) == (first, [])
    assert harness.upstream.models == [RETIRED, SUCCESSOR, "gemini-auto", RETIRED]


def test_a_successor_that_is_refused_too_is_followed_by_the_upstreams_own_choice() -> None:
    harness = Harness(Upstream((RequestRefused("no"),), (RequestRefused("no"),), HELLO))

    events = [harness.answer(model=name) for name in (RETIRED, RETIRED, SUCCESSOR)]

    assert [each[0] for each in events] == [Started("gemini-auto")] * 3
    assert harness.upstream.models == [RETIRED, SUCCESSOR, *["gemini-auto"] * 3]


def test_an_unknown_name_goes_upstream_and_is_used_from_then_on_if_it_is_taken() -> None:
    harness = Harness(Upstream(HELLO))

    events = [harness.answer(model="gemini-9-new") for _ in range(2)]

    assert [each[0] for each in events] == [Started("gemini-9-new")] * 2
    assert harness.upstream.models == ["gemini-9-new"] * 2


def test_an_unknown_name_that_is_refused_is_answered_by_the_default_for_an_hour(
    caplog: pytest.LogCaptureFixture,
) -> None:
    harness = Harness(Upstream((RequestRefused("no"),), HELLO))

    with caplog.at_level(logging.INFO, "gbproxy"):
        events = [harness.answer(model="gemini-9-new") for _ in range(2)]
    harness.clock.now += 3600
    harness.answer(model="gemini-9-new")

    assert [each[0] for each in events] == [Started("gemini-auto")] * 2
    assert harness.upstream.models == ["gemini-9-new", "gemini-auto", "gemini-auto", "gemini-9-new"]
    mapped = [(r.asked, r.used, r.reason) for r in caplog.records if r.message == "model.mapped"]
    assert mapped == [("gemini-9-new", "gemini-auto", "retired")] * 2


def test_a_key_for_certain_models_asks_for_no_other_by_a_name_that_nobody_knows() -> None:
    harness = Harness(Upstream(HELLO))
    principal = Principal(KEY, "key", KeyPolicy(models=frozenset({"gemini-auto"})))

    with pytest.raises(ModelNotFound):
        list(
            harness.gateway.stream(
                ChatRequest((message_of("Hi"),), "gemini-9-new", principal=principal)
            )
        )

    assert harness.upstream.models == []


def test_a_successor_that_fails_otherwise_is_not_remembered() -> None:
    harness = Harness(Upstream((RequestRefused("no"),), (UpstreamError("broken"),), HELLO))

    error, _ = harness.failure(model=RETIRED)
    harness.answer(model=RETIRED)

    assert error.message == "broken"
    assert harness.upstream.models[-1] == RETIRED


def test_a_successor_whose_answer_nobody_read_to_its_end_is_not_remembered() -> None:
    harness = Harness(Upstream((RequestRefused("no"),), HELLO))
    stream = harness.stream(model=RETIRED)
    next(stream)

    stream.close()
    harness.answer(model=RETIRED)

    assert harness.upstream.models == [RETIRED, SUCCESSOR, RETIRED]
