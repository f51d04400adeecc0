"""What one request may take: of its key's limits, and of time."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime

import pytest

from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.events import (
    ChatStream,
    TextDelta,
    ThoughtDelta,
    Usage,
    estimate_quarter_tokens,
    whole_tokens,
)
from gbproxy.domain.principal import KeyPolicy, Principal
from gbproxy.errors import (
    ContextLengthExceeded,
    GatewayError,
    ModelNotFound,
    QuotaExhausted,
    RateLimitExceeded,
    RequestRefused,
    SessionGone,
    UpstreamBroken,
    UpstreamOverloaded,
    UpstreamTimeout,
)
from gbproxy.observability import request_context
from tests.support.gateways import (
    HELLO,
    KEY,
    ONE,
    RETIRED,
    SUCCESSOR,
    TWO,
    Harness,
    Script,
    Upstream,
    message_of,
)
from tests.support.pools import disable_only

# What callers are held to


LIMITED = Principal(KEY, "key", KeyPolicy(tokens_per_day=1000, concurrent_streams=1))


def _limited(harness: Harness, model: str | None = None, *, streamed: bool = True) -> ChatStream:
    return harness.gateway.stream(
        ChatRequest((message_of("Hi"),), model, principal=LIMITED, is_streamed=streamed)
    )


def _charged(harness: Harness) -> int:
    day = datetime.fromtimestamp(harness.clock(), UTC)
    return harness.limit_store.read(f"tokens:key:key:{day:%Y-%m-%d}")


def test_an_answer_is_charged_and_its_place_given_back_before_its_last_event_is_read() -> None:
    harness = Harness(Upstream())
    first = _limited(harness)

    read = [next(first) for _ in range(5)]

    assert isinstance(read[-1], Usage)  # Done comes next
    assert _charged(harness) == read[-1].input_tokens + read[-1].output_tokens > 0
    with closing(_limited(harness)) as second:
        next(second)
    first.close()


def test_a_client_who_leaves_is_charged_what_was_made_and_frees_its_place() -> None:
    harness = Harness(Upstream())
    stream = _limited(harness)
    heard = [next(stream), next(stream)]

    stream.close()

    assert heard[-1] == TextDelta("Hel")
    assert _charged(harness) == whole_tokens(estimate_quarter_tokens("Hi")) + whole_tokens(
        estimate_quarter_tokens("Hel")
    )
    with closing(_limited(harness)) as again:
        next(again)


@pytest.mark.parametrize("error", [UpstreamOverloaded("busy"), RequestRefused("no")])
def test_an_answer_that_never_began_costs_nothing_and_holds_no_place(error: GatewayError) -> None:
    harness = Harness(Upstream((error,)))

    for _ in range(2):
        with pytest.raises(type(error)):
            list(_limited(harness))

    assert _charged(harness) == 0


def test_a_tried_again_answer_is_charged_once() -> None:
    harness = Harness(Upstream((ThoughtDelta("Hm"), QuotaExhausted("no more")), HELLO), ONE, TWO)

    list(_limited(harness))

    assert _charged(harness) == whole_tokens(estimate_quarter_tokens("Hi")) + whole_tokens(
        estimate_quarter_tokens("Hello")
    )


def test_only_streams_take_a_place() -> None:
    harness = Harness(Upstream())
    first, second = (_limited(harness, streamed=False) for _ in range(2))

    next(first)
    next(second)

    first.close()
    second.close()


def test_a_stream_too_many_is_refused_before_anything_is_done() -> None:
    harness = Harness(Upstream())
    with closing(_limited(harness)) as running:
        next(running)
        with pytest.raises(RateLimitExceeded) as caught:
            next(_limited(harness))

    assert caught.value.retry_after == 1
    assert len(harness.upstream.asked) == 1


def test_a_model_that_was_just_asked_waits_and_takes_no_place() -> None:
    harness = Harness(Upstream(), model_interval_s=5.0)
    list(_limited(harness, "gemini-auto"))
    harness.clock.now += 2

    with pytest.raises(RateLimitExceeded) as caught:
        next(_limited(harness, "gemini-auto"))
    list(_limited(harness, "gemini-2.5-pro"))
    harness.clock.now += 3
    list(_limited(harness, "gemini-auto"))

    assert caught.value.retry_after == 3
    assert harness.upstream.models == ["gemini-auto", "gemini-2.5-pro", "gemini-auto"]


def test_names_that_nobody_knows_count_as_one_model_where_models_are_limited() -> None:
    harness = Harness(Upstream(HELLO), model_interval_s=60.0)
    list(_limited(harness, "gemini-9-new"))

    with pytest.raises(RateLimitExceeded):
        list(_limited(harness, "gemini-9-newer"))


def test_a_model_that_a_key_may_not_use_does_not_exist_for_it() -> None:
    harness = Harness(Upstream())
    principal = Principal(KEY, "key", KeyPolicy(models=frozenset({"gemini-2.5-pro"})))

    with pytest.raises(ModelNotFound):
        next(
            harness.gateway.stream(
                ChatRequest((message_of("Hi"),), "gemini-auto", principal=principal)
            )
        )

    assert harness.upstream.asked == []


@pytest.mark.parametrize(
    "refused", [(RequestRefused("no"),), (SessionGone("gone"),)], ids=["400", "404"]
)
def test_a_key_for_a_retired_model_gets_no_successor_that_it_may_not_use(refused: Script) -> None:
    harness = Harness(Upstream(refused))
    principal = Principal(KEY, "key", KeyPolicy(models=frozenset({RETIRED})))

    with pytest.raises(GatewayError):
        list(harness.gateway.stream(ChatRequest((message_of("Hi"),), RETIRED, principal=principal)))

    assert set(harness.upstream.models) == {RETIRED}


def test_what_others_have_learnt_of_a_successor_opens_it_to_nobody() -> None:
    harness = Harness(Upstream((RequestRefused("no"),), HELLO))
    principal = Principal(KEY, "key", KeyPolicy(models=frozenset({RETIRED})))
    harness.answer(model=RETIRED)

    list(harness.gateway.stream(ChatRequest((message_of("Hi"),), RETIRED, principal=principal)))

    assert harness.upstream.models == [RETIRED, SUCCESSOR, RETIRED]


# The time that one request may take


def over() -> None:
    """Let all of the time be over at this moment."""
    request_context.current().until = time.monotonic()


def test_a_request_has_its_deadline_from_its_beginning() -> None:
    harness = Harness(Upstream(HELLO), request_timeout_s=60)
    left_s: list[float] = []
    harness.upstream.on_ask = lambda: left_s.append(
        request_context.current().until - time.monotonic()
    )

    harness.answer("Hi")

    assert 0 < left_s[0] <= 60


@pytest.mark.parametrize(
    "error",
    [
        UpstreamTimeout("silent"),
        UpstreamBroken("reset"),
        SessionGone("gone"),
        QuotaExhausted("empty"),
    ],
    ids=repr,
)
def test_when_the_time_is_over_nothing_more_is_tried_and_that_is_told(error: GatewayError) -> None:
    harness = Harness(Upstream((error,), HELLO), ONE, TWO, request_timeout_s=60)
    harness.upstream.on_ask = over

    told, said = harness.failure("Hi")

    assert (type(told), told.message, said) == (
        UpstreamTimeout,
        "the answer took longer than 60 s",
        [],
    )
    assert (harness.upstream.accounts, harness.pauses) == (["one"], [])


def test_when_the_time_is_over_in_a_stream_its_error_says_so() -> None:
    harness = Harness(
        Upstream((TextDelta("Half"), UpstreamTimeout("silent"))), request_timeout_s=60
    )
    harness.upstream.on_ask = over

    told, said = harness.failure("Hi")

    assert told.message == "the answer took longer than 60 s"
    assert said[-1] == TextDelta("Half")


def test_the_request_s_own_fault_is_told_also_when_the_time_is_over() -> None:
    harness = Harness(Upstream((ContextLengthExceeded("long"),)), request_timeout_s=60)
    harness.upstream.on_ask = over

    told, _ = harness.failure("Hi")

    assert type(told) is ContextLengthExceeded


def test_nobody_waits_in_line_beyond_the_end_of_the_request() -> None:
    harness = Harness(Upstream(HELLO), concurrency=1, request_timeout_s=0.02)

    with harness.pool.lease():
        told, _ = harness.failure("Hi")

    assert (type(told), told.message) == (UpstreamTimeout, "the answer took longer than 0.02 s")


def test_a_conversation_of_which_the_upstream_took_nothing_goes_on_after_the_time_was_over() -> (
    None
):
    untaken = UpstreamTimeout("the sign-in took longer")
    untaken.was_taken = False
    harness = Harness(Upstream(HELLO, (untaken,), HELLO))
    conversation = harness.begun("Hi")
    harness.upstream.on_ask = over
    harness.failure("More", key_digest=KEY, conversation=conversation)
    harness.upstream.on_ask = lambda: None

    harness.answer("More", key_digest=KEY, conversation=conversation)

    assert len(set(harness.upstream.sessions)) == 1


def test_only_a_request_that_another_account_may_serve_has_somewhere_to_go() -> None:
    harness = Harness(Upstream(HELLO), ONE, TWO)
    has_elsewhere: list[bool] = []
    harness.upstream.on_ask = lambda: has_elsewhere.append(
        request_context.current().has_elsewhere()
    )

    harness.answer("Hi")
    conversation = harness.begun("Hi")
    harness.answer("More", key_digest=KEY, conversation=conversation)
    disable_only(harness.pool, "two")
    harness.answer("Hi")

    assert has_elsewhere == [True, True, False, False]
