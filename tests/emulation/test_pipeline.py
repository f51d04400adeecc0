"""What an upstream lacks and the gateway makes: roles, limits of length, corrections, cuts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gbproxy.domain.account import WIDGET
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.events import (
    Done,
    Flush,
    Started,
    TextDelta,
    UpstreamStream,
    Usage,
)
from gbproxy.domain.models import Model
from gbproxy.domain.principal import Principal
from gbproxy.emulation.pipeline import CorrectionNeeded, Messages, Pipeline, Stage, compose
from gbproxy.errors import ContextLengthExceeded, UpstreamTimeout
from gbproxy.observability import request_context
from gbproxy.upstreams.base import Capabilities
from tests.support.gateways import (
    HELLO,
    HISTORY,
    KEY,
    ONE,
    TWO,
    Harness,
    Script,
    Upstream,
    message_of,
    says,
    text_of,
)
from tests.support.native_upstream import NATIVE, NativeUpstream

NATIVE_ACCOUNT = replace(ONE, id="native", name="native", upstream=NATIVE)
BOTH = Model("of-both", {WIDGET: None, NATIVE: "small"})
BAD: Script = (TextDelta("not "), TextDelta("JSON"), Done())
GOOD: Script = (TextDelta("{}"), Done())
COMPLAINT = says("user", "Only JSON, please.")


@pytest.fixture(autouse=True)
def _request() -> None:
    request_context.begin("req-1")


def pair(native: NativeUpstream, *scripts: Script, **options: object) -> Harness:
    """An account of each kind; the widget's is asked first."""
    return Harness(
        Upstream(*scripts),
        ONE,
        NATIVE_ACCOUNT,
        upstreams={NATIVE: native},
        models=[BOTH],
        **options,  # type: ignore[arg-type]
    )


# Sessions


def test_a_session_is_opened_before_the_prompt_is_made() -> None:
    """What is to be in the prompt may have to be put into the session first."""
    opened: list[int] = []

    def write(messages: Messages, is_resumed: bool) -> Messages:
        opened.append(harness.upstream.opened)
        return messages

    harness = Harness(
        Upstream(), emulation=lambda each: Pipeline((Stage(write), *compose(each).stages))
    )

    harness.answer("Hi")

    assert opened == [0, 1]  # first it is only measured


# The longest prompt


def test_a_prompt_too_long_for_one_upstream_goes_to_the_one_that_takes_it() -> None:
    native = NativeUpstream()
    harness = pair(native, prompt_max_chars=100)

    events = harness.answer("x" * 101, model=BOTH.id)

    assert text_of(events) == "Native answer by native."
    assert (harness.upstream.asked, harness.upstream.opened) == ([], 0)


def test_a_prompt_too_long_for_all_is_told_with_the_longest_that_there_is() -> None:
    native = NativeUpstream()
    native.capabilities = replace(native.capabilities, prompt_max_chars=200)
    harness = pair(native, prompt_max_chars=100)

    error, _ = harness.failure("x" * 201, model=BOTH.id)

    assert isinstance(error, ContextLengthExceeded)
    assert "200 characters" in error.message
    assert native.requests == []


# Corrections


def only_json(capabilities: Capabilities) -> Pipeline:
    """Holds an answer back until it is whole, and complains of all that is no JSON."""

    def read(events: UpstreamStream, may_correct: bool) -> UpstreamStream:
        texts: list[str] = []
        for event in events:
            if isinstance(event, TextDelta):
                texts.append(event.text)
            elif isinstance(event, Done):
                text = "".join(texts)
                if may_correct and not text.startswith("{"):
                    raise CorrectionNeeded(text, (COMPLAINT,))
                yield TextDelta(text)
                yield event
            else:
                yield event

    return Pipeline((Stage(read=read), *compose(capabilities).stages))


def test_an_answer_that_is_not_as_it_was_asked_for_is_asked_for_again_in_its_session() -> None:
    harness = Harness(Upstream(BAD, GOOD), emulation=only_json)

    events = harness.answer("Hi", key_digest=KEY)

    assert text_of(events) == "{}"
    assert [event for event in events if isinstance(event, Started)] == [Started("gemini-auto")]
    assert harness.upstream.asked == [("one", "gemini-auto", "s/1")] * 2
    assert harness.upstream.prompts == ["Hi", "Only JSON, please."]
    assert harness.upstream.closed == ["s/1"] * 2


def test_a_corrected_answer_counts_alone_and_its_session_is_not_continued() -> None:
    """The session holds what the client's history does not."""
    harness = Harness(Upstream(BAD, GOOD), emulation=only_json)

    events = harness.answer("Hi", key_digest=KEY)

    [usage] = [event for event in events if isinstance(event, Usage)]
    assert usage.output_tokens == 1
    assert request_context.current().log_fields["answer_chars"] == 2
    assert harness.states == {"s/1": "deleting"}
    assert request_context.current().conversation is None


def test_after_two_corrections_the_answer_is_passed_on_as_it_is() -> None:
    harness = Harness(Upstream(BAD), emulation=only_json)

    events = harness.answer("Hi")

    assert text_of(events) == "not JSON"
    assert len(harness.upstream.prompts) == 3


def test_an_upstream_without_sessions_is_sent_the_history_with_the_exchange() -> None:
    native = NativeUpstream()
    harness = pair(native, emulation=only_json, prompt_max_chars=1)

    harness.answer(*HISTORY, model=BOTH.id)

    assert native.turns == [
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "Why?"),
        *[("assistant", "Native answer by native."), ("user", "Only JSON, please.")] * 2,
    ]


def test_a_failure_amid_a_correction_starts_over_with_what_the_client_sent() -> None:
    harness = Harness(
        Upstream(BAD, (UpstreamTimeout("silent"),), GOOD), ONE, TWO, emulation=only_json
    )

    events = harness.answer("Hi")

    assert text_of(events) == "{}"
    assert harness.upstream.prompts == ["Hi", "Only JSON, please.", "Hi"]
    assert harness.upstream.accounts == ["one", "one", "two"]


def test_a_conversation_that_holds_a_correction_is_not_put_back_as_it_was() -> None:
    untaken = UpstreamTimeout("no connection")
    untaken.was_taken = False
    harness = Harness(Upstream(GOOD, BAD, (untaken,)), emulation=only_json)
    conversation = harness.begun("Hi")

    error, _ = harness.failure("Why?", key_digest=KEY, conversation=conversation)

    assert error is untaken
    assert harness.upstream.prompts == ["Hi", "Why?", "Only JSON, please."]
    assert harness.states == {"s/1": "deleting"}


def test_nothing_is_corrected_behind_what_was_shown() -> None:
    def read(events: UpstreamStream, may_correct: bool) -> UpstreamStream:
        yield TextDelta("shown")
        raise CorrectionNeeded("shown", (COMPLAINT,))

    harness = Harness(Upstream(), emulation=lambda _: Pipeline((Stage(read=read),)))
    stream = harness.stream("Hi")

    with pytest.raises(CorrectionNeeded):
        list(stream)


def test_stages_write_from_the_first_on_and_read_from_the_last_on() -> None:
    def stage(name: str) -> Stage:
        def write(messages: Messages, is_resumed: bool) -> Messages:
            return (*messages, says("user", f"{name} {is_resumed}"))

        def read(events: UpstreamStream, may_correct: bool) -> UpstreamStream:
            for event in events:
                yield TextDelta(event.text + name) if isinstance(event, TextDelta) else event

        return Stage(write, read)

    def hello() -> UpstreamStream:
        yield TextDelta("hello ")

    pipeline = Pipeline((stage("a"), Stage(), stage("b")))

    written = pipeline.write((), is_resumed=True)
    [read] = pipeline.read(hello(), may_correct=True)

    assert written == (says("user", "a True"), says("user", "b True"))
    assert read == TextDelta("hello ba")


# What cuts an answer


Cut = Callable[[ChatRequest], ChatRequest]


@pytest.mark.parametrize(
    ("cut", "text", "end"),
    [
        (lambda chat: replace(chat, stop=("lo",)), "Hel", Done("stop", stop_sequence="lo")),
        (lambda chat: replace(chat, max_tokens=1), "Hell", Done("length")),
    ],
    ids=["stop", "limit"],
)
def test_an_answer_that_was_cut_closes_the_upstream_and_is_not_continued(
    cut: Cut, text: str, end: Done
) -> None:
    endless: Script = (*HELLO[:-1], *[TextDelta("more "), Flush()] * 1000)
    harness = Harness(Upstream(endless))
    chat = cut(ChatRequest((message_of("Hi"),), principal=Principal(KEY)))

    events = list(harness.gateway.stream(chat))

    assert text_of(events) == text
    assert events[-1] == end
    assert harness.upstream.closed == ["s/1"]
    assert harness.states == {"s/1": "deleting"}
    assert request_context.current().conversation is None
