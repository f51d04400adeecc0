"""One answer: its events, its thoughts, its usage, and what is cleaned up and logged behind it."""

from __future__ import annotations

import logging
from contextlib import suppress

import pytest

from gbproxy.domain.events import (
    FLUSH,
    Citation,
    Done,
    FileOutput,
    Refusal,
    SessionNamed,
    Started,
    TextDelta,
    ThoughtDelta,
    Usage,
    estimate_quarter_tokens,
    whole_tokens,
)
from gbproxy.domain.session import NoClaim
from gbproxy.errors import (
    ContextLengthExceeded,
    GatewayError,
    ModelNotFound,
    NoAccountAvailable,
    QuotaExhausted,
    RequestRefused,
    SessionGone,
    UpstreamError,
)
from gbproxy.observability import request_context
from tests.support.gateways import (
    HELLO,
    KEY,
    ONE,
    RETIRED,
    THINKING,
    Harness,
    Script,
    Upstream,
    conversation_after,
    cool,
    logged,
    says,
    text_of,
)
from tests.support.pools import in_flight

# The plain way


def test_an_answer_is_started_content_usage_and_done() -> None:
    harness = Harness(Upstream())

    events = list(harness.stream("Hi"))

    assert events == [
        Started("gemini-auto"),
        TextDelta("Hel"),
        TextDelta("lo"),
        FLUSH,
        Usage(
            whole_tokens(estimate_quarter_tokens("Hi")),
            whole_tokens(estimate_quarter_tokens("Hello")),
        ),
        Done(),
    ]
    assert harness.upstream.prompts == ["Hi"]


def test_nothing_happens_before_the_first_event_is_asked_for() -> None:
    harness = Harness(Upstream())

    stream = harness.stream(model="no-such-model")

    assert harness.upstream.opened == 0
    with pytest.raises(ModelNotFound):
        next(stream)


@pytest.mark.parametrize("name", [None, "gpt-4o", "gemini-business"])
def test_started_names_the_model_that_is_really_used(name: str | None) -> None:
    harness = Harness(Upstream())

    events = harness.answer(model=name)

    assert events[0] == Started("gemini-auto")


def test_a_mapped_name_is_logged_with_what_was_asked_and_used(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "gbproxy"):
        Harness(Upstream()).answer(model="gpt-4o")

    [record] = [record for record in caplog.records if record.message == "model.mapped"]
    assert (record.asked, record.used) == ("gpt-4o", "gemini-auto")


def test_the_whole_conversation_is_in_the_prompt() -> None:
    harness = Harness(Upstream())

    harness.answer(says("system", "Be brief."), "Why?")

    [prompt] = harness.upstream.prompts
    assert "Be brief." in prompt
    assert "Why?" in prompt


def test_without_an_account_the_request_is_refused() -> None:
    harness = Harness(Upstream())
    harness.pool.replace([])

    error, said = harness.failure()

    assert (type(error), said, harness.upstream.opened) == (NoAccountAvailable, [], 0)


@pytest.mark.parametrize(("length", "fits"), [(100, True), (101, False)])
def test_a_prompt_may_be_as_long_as_the_setting_says(length: int, fits: bool) -> None:
    harness = Harness(Upstream(), prompt_max_chars=100)

    if fits:
        assert harness.answer("x" * length)[-1] == Done()
        return
    error, said = harness.failure("x" * length)

    assert isinstance(error, ContextLengthExceeded)
    assert (error.code, error.param, said) == ("context_length_exceeded", "messages", [])
    assert "101" in error.message


def test_too_long_a_prompt_costs_no_session() -> None:
    harness = Harness(Upstream(), prompt_max_chars=100)
    harness.prewarm({ONE: ["warm/1"]})

    harness.failure("x" * 101)

    assert harness.upstream.opened == 0
    assert harness.states == {"warm/1": "prewarmed"}
    assert harness.accounts == ["ready"]
    assert request_context.current().attempts == 0


def test_too_long_a_prompt_is_told_also_where_no_account_can_be_asked() -> None:
    harness = Harness(Upstream(), prompt_max_chars=100)
    cool(harness, ONE)

    error, _ = harness.failure("x" * 101)

    assert isinstance(error, ContextLengthExceeded)


# Started


def test_started_is_held_back_until_there_is_something_to_show() -> None:
    harness = Harness(Upstream((FLUSH, ThoughtDelta("Hm."), FLUSH, *HELLO)))

    events = list(harness.stream())

    assert events[:2] == [Started("gemini-auto"), TextDelta("Hel")]


def test_a_failure_before_any_content_comes_without_started() -> None:
    harness = Harness(Upstream((FLUSH, ThoughtDelta("Hm."), UpstreamError("broken"))))

    error, said = harness.failure()

    assert (error.message, said) == ("broken", [])


def test_a_failure_after_content_comes_after_it() -> None:
    harness = Harness(Upstream((TextDelta("Hel"), UpstreamError("broken"))))

    error, said = harness.failure()

    assert (error.message, said) == ("broken", [Started("gemini-auto"), TextDelta("Hel")])


# Thoughts


@pytest.mark.parametrize(
    ("setting", "asked", "shown"),
    [(False, None, False), (True, None, True), (False, True, True), (True, False, False)],
)
def test_the_request_decides_about_thoughts_before_the_setting(
    setting: bool, asked: bool | None, shown: bool
) -> None:
    harness = Harness(Upstream(THINKING), show_thoughts=setting)

    events = harness.answer(show_thoughts=asked)

    assert (ThoughtDelta("Hm.") in events) is shown
    assert text_of(events) == "Hello"


def test_a_shown_thought_is_content() -> None:
    harness = Harness(Upstream((ThoughtDelta("Hm."), UpstreamError("broken"))), show_thoughts=True)

    _, said = harness.failure()

    assert said == [Started("gemini-auto"), ThoughtDelta("Hm.")]


@pytest.mark.parametrize("show", [True, False])
def test_thoughts_are_counted_shown_or_not(show: bool) -> None:
    harness = Harness(Upstream((ThoughtDelta("Let me think."), *HELLO)), show_thoughts=show)

    [usage] = [event for event in harness.answer() if isinstance(event, Usage)]

    reasoning = whole_tokens(estimate_quarter_tokens("Let me think."))
    assert (usage.reasoning_tokens, usage.output_tokens) == (
        reasoning,
        reasoning + whole_tokens(estimate_quarter_tokens("Hello")),
    )


# Usage and what is noted


def test_usage_comes_right_before_done() -> None:
    harness = Harness(Upstream((Refusal("Blocked."), Done("content_filter"))))

    events = harness.answer()

    assert events == [
        Started("gemini-auto"),
        Refusal("Blocked."),
        Usage(
            whole_tokens(estimate_quarter_tokens("Hi")),
            whole_tokens(estimate_quarter_tokens("Blocked.")),
        ),
        Done("content_filter"),
    ]


def test_an_answer_that_is_a_file_is_one_line_of_text_and_has_a_weight() -> None:
    harness = Harness(Upstream((FileOutput("image/png", "f1", "cat.png"), Done())))

    events = harness.answer()

    line = "[The model made a file (cat.png, image/png), which cannot be passed on.]\n"
    assert events == [
        Started("gemini-auto"),
        TextDelta(line),
        Usage(
            whole_tokens(estimate_quarter_tokens("Hi")), whole_tokens(estimate_quarter_tokens(line))
        ),
        Done(),
    ]


def test_citations_pass() -> None:
    source = Citation(0, 5, "https://example.com/")
    harness = Harness(Upstream((TextDelta("Hello"), source, Done())))

    assert source in harness.answer()


def test_what_an_attempt_that_was_given_up_had_thought_is_not_counted() -> None:
    harness = Harness(
        Upstream(
            (ThoughtDelta("A long first thought."), SessionGone("gone")),
            (ThoughtDelta("Hm."), *HELLO),
        )
    )

    [usage] = [event for event in harness.answer() if isinstance(event, Usage)]

    assert usage.reasoning_tokens == whole_tokens(estimate_quarter_tokens("Hm."))


def test_the_request_s_context_holds_what_is_logged_of_it() -> None:
    request_context.begin("req-1")
    harness = Harness(Upstream((SessionGone("gone"),), THINKING))

    harness.answer("Hi", model=RETIRED)

    noted = request_context.current()
    assert noted.attempts == 2
    assert noted.ttft_ms is not None
    assert noted.log_fields == {
        "model": RETIRED,
        "prompt_chars": 2,
        "account": "one",
        "continued": False,
        "answer_chars": 5,
        "input_tokens": whole_tokens(estimate_quarter_tokens("Hi")),
        "output_tokens": whole_tokens(estimate_quarter_tokens("Hm."))
        + whole_tokens(estimate_quarter_tokens("Hello")),
    }


def test_what_was_said_before_a_failure_is_noted_too() -> None:
    request_context.begin("req-1")
    harness = Harness(Upstream((TextDelta("Hel"), UpstreamError("broken"))))

    harness.failure()

    assert request_context.current().log_fields["answer_chars"] == 3


# Sessions that the upstream makes and names while it answers


@pytest.mark.parametrize(
    "script",
    [(SessionNamed("s/theirs"), *HELLO), (*HELLO[:-1], SessionNamed("s/theirs"), Done())],
    ids=["first", "last"],
)
def test_a_session_is_continued_under_the_name_that_the_upstream_gives_it(script: Script) -> None:
    harness = Harness(Upstream(script, HELLO, names=False))

    conversation = harness.begun("Hi")
    harness.answer("More", key_digest=KEY, conversation=conversation)

    assert harness.upstream.asked == [
        ("one", "gemini-auto", ""),
        ("one", "gemini-auto", "s/theirs"),
    ]
    assert harness.upstream.prompts == ["Hi", "More"]
    assert harness.states == {"s/theirs": "idle"}


def test_what_names_a_session_is_not_said_to_the_client() -> None:
    harness = Harness(Upstream((SessionNamed("s/theirs"), *HELLO), names=False))

    events = harness.answer("Hi", key_digest=KEY)

    assert [type(event) for event in events] == [Started, TextDelta, TextDelta, Usage, Done]


def test_a_session_whose_name_is_never_told_is_not_continued() -> None:
    harness = Harness(Upstream(HELLO, names=False))

    events = harness.answer("Hi", key_digest=KEY)

    assert text_of(events) == "Hello"
    assert request_context.current().conversation is None
    assert harness.states == {"": "deleting"}


def test_a_session_that_was_named_before_the_answer_broke_is_deleted() -> None:
    harness = Harness(
        Upstream((SessionNamed("s/theirs"), TextDelta("Hel"), UpstreamError("broken")), names=False)
    )

    harness.failure("Hi", key_digest=KEY)

    assert harness.marked == [("one", "s/theirs")]


def test_a_session_whose_name_cannot_be_recorded_is_discarded_by_its_name() -> None:
    harness = Harness(Upstream((TextDelta("Hello"), SessionNamed("s/theirs"), Done()), names=False))
    events = harness.stream("Hi", key_digest=KEY)
    next(events)
    harness.rows.away = True

    rest = list(events)

    assert rest[-1] == Done()
    assert harness.discarded == ["s/theirs"]


def test_while_a_session_has_no_name_others_see_that_its_conversation_is_in_use() -> None:
    harness = Harness(Upstream((TextDelta("Hello"), SessionNamed("s/theirs"), Done()), names=False))
    events = harness.stream("Hi", key_digest=KEY)
    conversation = conversation_after([next(events)])
    assert conversation is not None

    claim = harness.rows.claim_conversation(conversation, KEY)

    assert claim is NoClaim.BUSY
    events.close()


# Cleaning up


@pytest.mark.parametrize(
    "script",
    [
        HELLO,
        (UpstreamError("broken"),),
        (TextDelta("Hel"), UpstreamError("broken")),
        (RuntimeError("a bug"),),
    ],
    ids=["success", "failure", "failure after content", "bug"],
)
def test_the_session_is_to_be_deleted_and_the_account_given_back_however_the_answer_ended(
    script: Script,
) -> None:
    harness = Harness(Upstream(script))

    with suppress(UpstreamError, RuntimeError):
        harness.answer()

    assert harness.marked == [("one", "s/1")]
    assert harness.upstream.closed == ["s/1"]
    assert in_flight(harness.pool) == 0


def test_closing_the_answer_closes_the_upstream_and_has_the_session_deleted() -> None:
    harness = Harness(Upstream())
    stream = harness.stream()
    next(stream)
    next(stream)
    assert (harness.upstream.closed, in_flight(harness.pool)) == ([], 1)

    stream.close()

    assert harness.upstream.closed == ["s/1"]
    assert harness.marked == [("one", "s/1")]
    assert in_flight(harness.pool) == 0


def test_a_session_that_could_not_be_opened_leaves_nothing_behind() -> None:
    harness = Harness(Upstream(opening=UpstreamError("broken")))

    error, _ = harness.failure()

    assert error.message == "broken"
    assert harness.states == {}
    assert in_flight(harness.pool) == 0


# Logs


def test_a_failed_attempt_is_logged_with_the_facts(caplog: pytest.LogCaptureFixture) -> None:
    harness = Harness(
        Upstream((QuotaExhausted("the account's quota is used up", retry_after=60.0),))
    )

    [record] = logged(caplog, harness.failure)

    assert record.levelname == "WARNING"
    assert (record.account, record.code, record.retry_after_s) == (
        "one",
        "insufficient_quota",
        60.0,
    )


@pytest.mark.parametrize("kind", [RequestRefused, ContextLengthExceeded])
def test_the_upstream_s_own_words_about_a_request_are_not_logged(
    caplog: pytest.LogCaptureFixture, kind: type[GatewayError]
) -> None:
    harness = Harness(Upstream((kind("You wrote: my secret diary"),)))

    records = logged(caplog, harness.failure)

    assert records
    assert not any("diary" in str(vars(record)) for record in caplog.records)


def test_neither_prompt_nor_answer_nor_cookie_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    harness = Harness(
        Upstream(
            (SessionGone("gone"),), (ThoughtDelta("a thought"), TextDelta("an answer"), Done())
        )
    )

    logged(caplog, lambda: harness.answer("my secret diary", model="gpt-4o"))

    lines = [str(vars(record)) for record in caplog.records]
    assert lines
    assert not any(
        word in line for line in lines for word in ("diary", "an answer", "a thought", "CSE.")
    )
