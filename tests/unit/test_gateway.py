"""One request, one account, one answer: what is tried again, what is counted, and what is cleaned up."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress

import pytest

from gbproxy.accounts import Pool
from gbproxy.domain.account import Account
from gbproxy.domain.chat import ChatRequest, Message, TextPart
from gbproxy.domain.events import (
    FLUSH,
    ChatEvent,
    ChatStream,
    Citation,
    Done,
    FileOutput,
    Flush,
    Refusal,
    Started,
    TextDelta,
    ThoughtDelta,
    Usage,
)
from gbproxy.domain.models import Catalogue, Model
from gbproxy.domain.usage import tokens, weight
from gbproxy.errors import (
    ContextLengthExceeded,
    CredentialRefused,
    GatewayError,
    ModelNotFound,
    NoAccountAvailable,
    QuotaExhausted,
    RequestRefused,
    SessionGone,
    TokenRefused,
    UpstreamBroken,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from gbproxy.gateway import Gateway
from gbproxy.observability import trace

ACCOUNT = Account(id="one", name="one", csesidx="1", config_id="c", secure_c_ses="CSE.secret")
OTHER = Account(id="two", name="two", csesidx="2", config_id="c", secure_c_ses="CSE.secret")
RETIRED, SUCCESSOR = "gemini-3-pro-preview", "gemini-3.1-pro-preview"
HELLO: tuple[ChatEvent, ...] = (TextDelta("Hel"), TextDelta("lo"), FLUSH, Done())
Script = tuple[ChatEvent | Exception, ...]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Upstream:
    """Plays one script for each stream, the last one again and again; an exception in a script is raised there."""

    def __init__(self, *scripts: Script, opening: Exception | None = None) -> None:
        self.prompts: list[str] = []
        self.asked: list[tuple[str, str, str]] = []  # account, model, session
        self.closed: list[str] = []
        self.opened = 0
        self._scripts = list(scripts or [HELLO])
        self._opening = opening

    def open_session(self, account: Account) -> str:
        if self._opening is not None:
            raise self._opening
        self.opened += 1
        return f"s/{self.opened}"

    def stream(self, prompt: str, model: Model, account: Account, session: str) -> ChatStream:
        self.prompts.append(prompt)
        self.asked.append((account.id, model.id, session))
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        try:
            for event in script:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.closed.append(session)

    def delete_session(self, account: Account, session: str) -> None:
        raise AssertionError("the gateway hands sessions to the sweeper")

    @property
    def models(self) -> list[str]:
        return [model for _, model, _ in self.asked]


class House:
    """A gateway over a fake upstream, and what it did."""

    def __init__(
        self,
        upstream: Upstream,
        *accounts: Account,
        show_thoughts: bool = False,
        prompt_max_chars: int = 1000,
    ) -> None:
        self.upstream = upstream
        self.clock = Clock()
        self.pool = Pool(accounts or [ACCOUNT])
        self.discarded: list[tuple[str, str]] = []
        self.pauses: list[float] = []
        self.gateway = Gateway(
            Catalogue(),
            self.pool,
            upstream,
            lambda account, session: self.discarded.append((account.id, session)),
            show_thoughts=show_thoughts,
            prompt_max_chars=prompt_max_chars,
            clock=self.clock,
            pause=self.pauses.append,
        )

    def stream(self, text: str = "Hi", model: str | None = None, show_thoughts: bool | None = None) -> ChatStream:
        return self.gateway.stream(ChatRequest((Message("user", (TextPart(text),)),), model, show_thoughts))

    def answer(self, text: str = "Hi", model: str | None = None, show_thoughts: bool | None = None) -> list[ChatEvent]:
        return [event for event in self.stream(text, model, show_thoughts) if not isinstance(event, Flush)]

    def failure(self, text: str = "Hi", model: str | None = None) -> tuple[GatewayError, list[ChatEvent]]:
        """The error, and what was said before it."""
        said: list[ChatEvent] = []
        with pytest.raises(GatewayError) as caught:
            said.extend(self.stream(text, model))
        return caught.value, said


@pytest.fixture(autouse=True)
def _request() -> None:
    trace.begin("req-1")


# The plain way


def test_an_answer_is_started_content_usage_and_done() -> None:
    house = House(Upstream())

    events = list(house.stream("Hi"))

    assert events == [
        Started("gemini-auto"),
        TextDelta("Hel"),
        TextDelta("lo"),
        FLUSH,
        Usage(tokens(weight("Hi")), tokens(weight("Hello"))),
        Done(),
    ]
    assert house.upstream.prompts == ["Hi"]


def test_nothing_happens_before_the_first_event_is_asked_for() -> None:
    house = House(Upstream())

    stream = house.stream(model="no-such-model")

    assert house.upstream.opened == 0
    with pytest.raises(ModelNotFound):
        next(stream)


@pytest.mark.parametrize("name", [None, "gpt-4o", "gemini-business"])
def test_started_names_the_model_that_is_really_used(name: str | None) -> None:
    house = House(Upstream())

    events = house.answer(model=name)

    assert events[0] == Started("gemini-auto")


def test_a_mapped_name_is_logged_with_what_was_asked_and_used(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "gbproxy"):
        House(Upstream()).answer(model="gpt-4o")

    [record] = [record for record in caplog.records if record.message == "model.mapped"]
    assert (record.asked, record.used) == ("gpt-4o", "gemini-auto")


def test_the_whole_conversation_is_in_the_prompt() -> None:
    house = House(Upstream(), prompt_max_chars=10_000)
    messages = (Message("system", (TextPart("Be brief."),)), Message("user", (TextPart("Why?"),)))

    list(house.gateway.stream(ChatRequest(messages)))

    [prompt] = house.upstream.prompts
    assert "Be brief." in prompt
    assert "Why?" in prompt


def test_without_an_account_the_request_is_refused() -> None:
    house = House(Upstream())
    house.pool = Pool([])
    gateway = Gateway(Catalogue(), Pool([]), house.upstream, lambda _account, _session: None)

    with pytest.raises(NoAccountAvailable):
        list(gateway.stream(ChatRequest((Message("user", (TextPart("Hi"),)),))))


@pytest.mark.parametrize(("length", "fits"), [(100, True), (101, False)])
def test_a_prompt_may_be_as_long_as_the_setting_says(length: int, fits: bool) -> None:
    house = House(Upstream(), prompt_max_chars=100)

    if fits:
        assert house.answer("x" * length)[-1] == Done()
        return
    error, said = house.failure("x" * length)

    assert isinstance(error, ContextLengthExceeded)
    assert (error.code, error.param, said) == ("context_length_exceeded", "messages", [])
    assert "101" in error.message
    assert house.upstream.opened == 0


# Started


def test_started_is_held_back_until_there_is_something_to_show() -> None:
    house = House(Upstream((FLUSH, ThoughtDelta("Hm."), FLUSH, *HELLO)))

    events = list(house.stream())

    assert events[:2] == [Started("gemini-auto"), TextDelta("Hel")]


def test_a_failure_before_any_content_comes_without_started() -> None:
    house = House(Upstream((FLUSH, ThoughtDelta("Hm."), UpstreamError("broken"))))

    error, said = house.failure()

    assert (error.message, said) == ("broken", [])


def test_a_failure_after_content_comes_after_it() -> None:
    house = House(Upstream((TextDelta("Hel"), UpstreamError("broken"))))

    error, said = house.failure()

    assert (error.message, said) == ("broken", [Started("gemini-auto"), TextDelta("Hel")])


# Thoughts

THINKING: Script = (ThoughtDelta("Hm."), *HELLO)


@pytest.mark.parametrize(
    ("setting", "asked", "shown"),
    [(False, None, False), (True, None, True), (False, True, True), (True, False, False)],
)
def test_the_request_decides_about_thoughts_before_the_setting(setting: bool, asked: bool | None, shown: bool) -> None:
    house = House(Upstream(THINKING), show_thoughts=setting)

    events = house.answer(show_thoughts=asked)

    assert (ThoughtDelta("Hm.") in events) is shown
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["Hel", "lo"]


def test_a_shown_thought_is_content() -> None:
    house = House(Upstream((ThoughtDelta("Hm."), UpstreamError("broken"))), show_thoughts=True)

    _, said = house.failure()

    assert said == [Started("gemini-auto"), ThoughtDelta("Hm.")]


@pytest.mark.parametrize("show", [True, False])
def test_thoughts_are_counted_shown_or_not(show: bool) -> None:
    house = House(Upstream((ThoughtDelta("Let me think."), *HELLO)), show_thoughts=show)

    [usage] = [event for event in house.answer() if isinstance(event, Usage)]

    reasoning = tokens(weight("Let me think."))
    assert (usage.reasoning_tokens, usage.output_tokens) == (reasoning, reasoning + tokens(weight("Hello")))


# Usage and what is noted


def test_usage_comes_right_before_done() -> None:
    house = House(Upstream((Refusal("Blocked."), Done("content_filter"))))

    events = house.answer()

    assert events == [
        Started("gemini-auto"),
        Refusal("Blocked."),
        Usage(tokens(weight("Hi")), tokens(weight("Blocked."))),
        Done("content_filter"),
    ]


def test_an_answer_that_is_a_file_is_one_line_of_text_and_has_a_weight() -> None:
    house = House(Upstream((FileOutput("image/png", "f1", "cat.png"), Done())))

    events = house.answer()

    line = "[The model made a file (cat.png, image/png), which cannot be passed on yet.]\n"
    assert events == [
        Started("gemini-auto"),
        TextDelta(line),
        Usage(tokens(weight("Hi")), tokens(weight(line))),
        Done(),
    ]


def test_citations_pass() -> None:
    source = Citation(0, 5, "https://example.com/")
    house = House(Upstream((TextDelta("Hello"), source, Done())))

    assert source in house.answer()


def test_what_an_attempt_that_was_given_up_had_thought_is_not_counted() -> None:
    house = House(Upstream((ThoughtDelta("A long first thought."), SessionGone("gone")), (ThoughtDelta("Hm."), *HELLO)))

    [usage] = [event for event in house.answer() if isinstance(event, Usage)]

    assert usage.reasoning_tokens == tokens(weight("Hm."))


def test_the_request_s_trace_holds_what_is_logged_of_it() -> None:
    trace.begin("req-1")
    house = House(Upstream((SessionGone("gone"),), THINKING))

    house.answer("Hi", model=RETIRED)

    noted = trace.current()
    assert noted.attempts == 2
    assert noted.ttft_ms is not None
    assert noted.facts == {
        "model": RETIRED,
        "prompt_chars": 2,
        "account": "one",
        "answer_chars": 5,
        "input_tokens": tokens(weight("Hi")),
        "output_tokens": tokens(weight("Hm.")) + tokens(weight("Hello")),
    }


def test_what_was_said_before_a_failure_is_noted_too() -> None:
    trace.begin("req-1")
    house = House(Upstream((TextDelta("Hel"), UpstreamError("broken"))))

    house.failure()

    assert trace.current().facts["answer_chars"] == 3


# Lost sessions


def test_a_lost_session_gets_one_fresh_session() -> None:
    house = House(Upstream((SessionGone("gone"),), HELLO))

    events = house.answer()

    assert events[0] == Started("gemini-auto")
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["Hel", "lo"]
    assert house.upstream.asked == [("one", "gemini-auto", "s/1"), ("one", "gemini-auto", "s/2")]
    assert house.discarded == [("one", "s/1"), ("one", "s/2")]


def test_a_session_that_is_lost_twice_is_an_error() -> None:
    house = House(Upstream((SessionGone("gone"),)))

    error, said = house.failure()

    assert (type(error), error.status, said) == (SessionGone, 502, [])
    assert house.upstream.opened == 2


def test_a_session_lost_after_hidden_thoughts_is_tried_again_too() -> None:
    house = House(Upstream((ThoughtDelta("Hm."), FLUSH, SessionGone("gone")), HELLO))

    assert house.answer()[-1] == Done()
    assert house.upstream.opened == 2


@pytest.mark.parametrize("error", [SessionGone("gone"), RequestRefused("no"), UpstreamError("broken")])
def test_nothing_is_tried_again_after_content(error: GatewayError) -> None:
    house = House(Upstream((TextDelta("Hel"), error), HELLO))

    found, said = house.failure(model=RETIRED)

    assert found is error
    assert said == [Started(RETIRED), TextDelta("Hel")]
    assert house.upstream.opened == 1


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
def test_other_failures_are_told_at_once(error: GatewayError) -> None:
    house = House(Upstream((error,), HELLO))

    found, said = house.failure()

    assert (found, said, house.upstream.opened) == (error, [], 1)


# A second try on the same account

PASSING = [UpstreamBroken("reset"), UpstreamProtocolError("cut off")]


@pytest.mark.parametrize("error", PASSING, ids=repr)
@pytest.mark.parametrize("before", [(), (FLUSH,), (ThoughtDelta("Hm."), FLUSH)], ids=["nothing", "flush", "thoughts"])
def test_a_passing_failure_before_content_is_tried_once_more_on_the_same_account(
    error: GatewayError, before: Script, caplog: pytest.LogCaptureFixture
) -> None:
    house = House(Upstream((*before, error), HELLO), ACCOUNT, OTHER)
    events: list[ChatEvent] = []

    [record] = logged(caplog, lambda: events.extend(house.answer()))

    assert [event.text for event in events if isinstance(event, TextDelta)] == ["Hel", "lo"]
    assert events.count(Started("gemini-auto")) == 1
    assert house.upstream.asked == [("one", "gemini-auto", "s/1"), ("one", "gemini-auto", "s/2")]
    assert house.discarded == [("one", "s/1"), ("one", "s/2")]
    assert trace.current().attempts == 2
    assert record.account == "one"


def test_the_second_try_comes_after_a_short_pause_that_varies() -> None:
    pauses = []
    for _ in range(50):
        house = House(Upstream((UpstreamBroken("reset"),), HELLO))
        house.answer()
        pauses += house.pauses

    assert len(pauses) == 50
    assert all(0.1 <= pause <= 0.4 for pause in pauses)
    assert len(set(pauses)) > 25


def test_a_passing_failure_that_comes_twice_is_told() -> None:
    house = House(Upstream((UpstreamBroken("the first"),), (UpstreamBroken("the second"),), HELLO))

    error, said = house.failure()

    assert (error.message, said) == ("the second", [])
    assert (house.upstream.opened, trace.current().attempts, len(house.pauses)) == (2, 2, 1)


def test_a_session_that_could_not_be_opened_for_once_is_opened_again() -> None:
    house = House(Upstream(opening=UpstreamBroken("busy")))

    house.failure()

    assert trace.current().attempts == 2
    assert house.discarded == []


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
    house = House(Upstream((error,), HELLO))

    found, said = house.failure()

    assert (found, said) == (error, [])
    assert (house.upstream.opened, house.pauses) == (1, [])


def test_each_remedy_is_tried_once() -> None:
    """A lost session, a broken connection, a retired model: all three may be met by one request, none twice."""
    house = House(
        Upstream((SessionGone("gone"),), (UpstreamBroken("reset"),), (RequestRefused("no such model"),), HELLO)
    )

    events = house.answer(model=RETIRED)

    assert events[0] == Started(SUCCESSOR)
    assert house.upstream.models == [RETIRED, RETIRED, RETIRED, SUCCESSOR]
    assert len(house.pauses) == 1


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_content_that_was_said_is_never_asked_for_again(error: GatewayError) -> None:
    house = House(Upstream((TextDelta("Hel"), error), HELLO))

    found, said = house.failure()

    assert (found, said) == (error, [Started("gemini-auto"), TextDelta("Hel")])
    assert (house.upstream.opened, house.pauses) == (1, [])


def test_shown_thoughts_are_content_too() -> None:
    house = House(Upstream((ThoughtDelta("Hm."), UpstreamBroken("reset")), HELLO), show_thoughts=True)

    found, _ = house.failure()

    assert found.message == "reset"
    assert house.upstream.opened == 1


# Retired models


@pytest.mark.parametrize("refused", [(RequestRefused("no"),), (SessionGone("gone"),)], ids=["400", "404"])
def test_a_model_that_is_refused_is_answered_by_its_successor(refused: Script) -> None:
    tries = 2 if isinstance(refused[0], SessionGone) else 1
    house = House(Upstream(*[refused] * tries, HELLO))

    events = house.answer(model=RETIRED)

    assert events[0] == Started(SUCCESSOR)
    assert house.upstream.models == [RETIRED] * tries + [SUCCESSOR]
    assert trace.current().facts["model"] == SUCCESSOR


def test_a_successor_that_worked_is_remembered_for_an_hour(caplog: pytest.LogCaptureFixture) -> None:
    house = House(Upstream((RequestRefused("no"),), HELLO))
    house.answer(model=RETIRED)

    with caplog.at_level(logging.INFO, "gbproxy"):
        house.clock.now += 3599
        within = house.answer(model=RETIRED)
    house.clock.now += 1
    house.answer(model=RETIRED)

    assert within[0] == Started(SUCCESSOR)
    assert house.upstream.models == [RETIRED, SUCCESSOR, SUCCESSOR, RETIRED]
    [mapped] = [record for record in caplog.records if record.message == "model.mapped"]
    assert (mapped.asked, mapped.used, mapped.account) == (RETIRED, SUCCESSOR, "one")


def test_a_successor_is_remembered_for_its_account_only() -> None:
    house = House(Upstream((RequestRefused("no"),), HELLO), ACCOUNT, OTHER)
    house.answer(model=RETIRED)

    with house.pool.lease():
        house.answer(model=RETIRED)

    assert house.upstream.asked[-1][:2] == ("two", RETIRED)


def test_a_successor_is_remembered_for_its_model_only() -> None:
    house = House(Upstream((RequestRefused("no"),), HELLO))
    house.answer(model=RETIRED)

    house.answer(model="gemini-2.5-pro")

    assert house.upstream.models[-1] == "gemini-2.5-pro"


def test_a_successor_that_is_refused_too_is_not_remembered_and_the_first_refusal_is_told() -> None:
    first = RequestRefused("the first refusal")
    house = House(Upstream((first,), (RequestRefused("the second"),), HELLO))

    error, said = house.failure(model=RETIRED)
    house.answer(model=RETIRED)

    assert (error, said) == (first, [])
    assert house.upstream.models == [RETIRED, SUCCESSOR, RETIRED]


def test_a_successor_that_fails_otherwise_is_not_remembered() -> None:
    house = House(Upstream((RequestRefused("no"),), (UpstreamError("broken"),), HELLO))

    error, _ = house.failure(model=RETIRED)
    house.answer(model=RETIRED)

    assert error.message == "broken"
    assert house.upstream.models[-1] == RETIRED


def test_a_successor_whose_answer_nobody_read_to_its_end_is_not_remembered() -> None:
    house = House(Upstream((RequestRefused("no"),), HELLO))
    stream = house.stream(model=RETIRED)
    next(stream)

    stream.close()
    house.answer(model=RETIRED)

    assert house.upstream.models == [RETIRED, SUCCESSOR, RETIRED]


# Cleaning up


@pytest.mark.parametrize(
    "script",
    [HELLO, (UpstreamError("broken"),), (TextDelta("Hel"), UpstreamError("broken")), (RuntimeError("a bug"),)],
    ids=["success", "failure", "failure after content", "bug"],
)
def test_the_session_is_handed_on_and_the_account_given_back_however_the_answer_ended(script: Script) -> None:
    house = House(Upstream(script))

    with suppress(UpstreamError, RuntimeError):
        house.answer()

    assert house.discarded == [("one", "s/1")]
    assert house.upstream.closed == ["s/1"]
    assert house.pool.in_flight() == 0


def test_closing_the_answer_closes_the_upstream_and_hands_the_session_on() -> None:
    house = House(Upstream())
    stream = house.stream()
    next(stream)
    next(stream)
    assert (house.upstream.closed, house.pool.in_flight()) == ([], 1)

    stream.close()

    assert house.upstream.closed == ["s/1"]
    assert house.discarded == [("one", "s/1")]
    assert house.pool.in_flight() == 0


def test_a_session_that_could_not_be_opened_is_not_handed_on() -> None:
    house = House(Upstream(opening=UpstreamError("broken")))

    error, _ = house.failure()

    assert error.message == "broken"
    assert house.discarded == []
    assert house.pool.in_flight() == 0


# Logs


def logged(caplog: pytest.LogCaptureFixture, run: Callable[[], object]) -> list[logging.LogRecord]:
    with caplog.at_level(logging.DEBUG, "gbproxy"):
        run()
    return [record for record in caplog.records if record.message == "attempt.failed"]


def test_a_failed_attempt_is_logged_with_the_facts(caplog: pytest.LogCaptureFixture) -> None:
    house = House(Upstream((QuotaExhausted("the account's quota is used up", retry_after=60.0),)))

    [record] = logged(caplog, house.failure)

    assert record.levelname == "WARNING"
    assert (record.account, record.code, record.retry_after_s) == ("one", "insufficient_quota", 60.0)


@pytest.mark.parametrize("kind", [RequestRefused, ContextLengthExceeded])
def test_the_upstream_s_own_words_about_a_request_are_not_logged(
    caplog: pytest.LogCaptureFixture, kind: type[GatewayError]
) -> None:
    house = House(Upstream((kind("You wrote: my secret diary"),)))

    records = logged(caplog, house.failure)

    assert records
    assert not any("diary" in str(vars(record)) for record in caplog.records)


def test_neither_prompt_nor_answer_nor_cookie_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    house = House(Upstream((SessionGone("gone"),), (ThoughtDelta("a thought"), TextDelta("an answer"), Done())))

    logged(caplog, lambda: house.answer("my secret diary", model="gpt-4o"))

    lines = [str(vars(record)) for record in caplog.records]
    assert lines
    assert not any(word in line for line in lines for word in ("diary", "an answer", "a thought", "CSE."))
