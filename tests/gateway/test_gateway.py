"""One request: which accounts and sessions it meets, what is said, what is counted, and what is
kept of the answer.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext, suppress

import pytest

from gbproxy.accounts.available_models import AvailableModels
from gbproxy.accounts.model_support import ModelSupport
from gbproxy.accounts.pool import Pool
from gbproxy.conversations import Conversations
from gbproxy.domain.account import Account, id_of
from gbproxy.domain.capabilities import Capabilities
from gbproxy.domain.chat import ChatRequest, Message, Role, TextPart
from gbproxy.domain.claim import Claimed, NoClaim
from gbproxy.domain.events import (
    FLUSH,
    ChatEvent,
    ChatStream,
    Citation,
    Done,
    FileOutput,
    Flush,
    Refusal,
    SessionNamed,
    Started,
    TextDelta,
    ThoughtDelta,
    UpstreamStream,
    Usage,
)
from gbproxy.domain.models import ALL_TOOLS, Catalogue, Model
from gbproxy.domain.principal import KeyPolicy, Principal
from gbproxy.domain.session import Session
from gbproxy.domain.usage import tokens, weight
from gbproxy.errors import (
    ContextLengthExceeded,
    ConversationBusy,
    ConversationNotFound,
    CredentialRefused,
    GatewayError,
    ModelNotFound,
    NoAccountAvailable,
    QuotaExhausted,
    RateLimitExceeded,
    RequestRefused,
    SessionDenied,
    SessionGone,
    StorageUnavailable,
    TokenRefused,
    UpstreamBroken,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnclear,
)
from gbproxy.gateway import Gateway
from gbproxy.observability import request_context
from gbproxy.rate_limits.limiter import Limiter, Rules
from gbproxy.rate_limits.memory_store import MemoryCounters
from gbproxy.storage.sessions import SessionRows
from gbproxy.upstreams.widget.credential import with_values
from tests.support.accounts import widget_account
from tests.support.background import THEM, US, FragileDatabase, session_rows
from tests.support.clock import Clock as StillClock
from tests.support.memory_rows import MemoryRows

ONE, TWO, THREE = (
    widget_account(id=name, name=name, csesidx="1", config_id="c", secure_c_ses="CSE.secret")
    for name in ("one", "two", "three")
)
KEY, OTHER_KEY = b"k" * 32, b"o" * 32
TIMEOUT_S = 1800.0
RETIRED, SUCCESSOR = "gemini-3-pro-preview", "gemini-3.1-pro-preview"
HELLO: tuple[ChatEvent, ...] = (TextDelta("Hel"), TextDelta("lo"), FLUSH, Done())
Script = tuple[ChatEvent | SessionNamed | Exception, ...]


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


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
        self.on_ask: Callable[[], None] = lambda: None
        self._scripts = list(scripts or [HELLO])
        self._opening = opening
        self._names = names

    def open_session(self, account: Account) -> str:
        if self._opening is not None:
            raise self._opening
        if not self._names:
            return ""
        self.opened += 1
        return f"s/{self.opened}"

    def stream(self, prompt: str, model: Model, account: Account, session: str) -> UpstreamStream:
        self.on_ask()
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

    def probe(self, account: Account) -> None:
        raise AssertionError("the gateway probes nothing")

    @property
    def accounts(self) -> list[str]:
        return [account for account, _, _ in self.asked]

    @property
    def models(self) -> list[str]:
        return [model for _, model, _ in self.asked]

    @property
    def sessions(self) -> list[str]:
        return [session for _, _, session in self.asked]


class SessionSource:
    """What the sweeper is to the gateway: a stock of sessions, and somebody who makes them and
    notes.
    """

    def __init__(self, upstream: Upstream) -> None:
        self.open = upstream.open_session
        self.stock: dict[str, list[Session]] = {}
        self.noted: list[str] = []
        self.distrusted: list[str] = []

    def take(self, account: Account) -> Session | None:
        stocked = self.stock.get(account.id)
        return stocked.pop(0) if stocked else None

    def distrust(self, account: Account) -> None:
        self.distrusted.append(account.id)
        self.stock.pop(account.id, None)

    def note_use(self, account_id: str = "") -> None:
        self.noted.append(account_id)


class House:
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
    ) -> None:
        self.upstream = upstream
        self.clock = Clock()
        self.counters = MemoryCounters(self.clock)
        self.pool = Pool(
            accounts or [ONE],
            concurrency=concurrency,
            wait_s=0.05,
            clock=self.clock,
            random=random.Random(1),
        )
        self.rows = MemoryRows(self.clock)
        self.ahead = SessionSource(upstream)
        self.discarded: list[str] = []  # without a word in the records
        self.pauses: list[float] = []
        self.conversations = Conversations(
            rows or self.rows,
            session_timeout_s=TIMEOUT_S,
            discard=lambda session: self.discarded.append(session.name),
            clock=self.clock,
        )
        self.support = ModelSupport(clock=self.clock)
        for account in self.pool.accounts():  # no refusal is put down to a tool
            self.support.note_capabilities(account, Capabilities(tools_on=frozenset(ALL_TOOLS)))
        self.gateway = Gateway(
            AvailableModels(Catalogue(), self.support, self.pool.enabled),
            self.pool,
            upstream,
            self.conversations,
            self.ahead,
            Limiter(self.counters, Rules(model_interval_s=model_interval_s), self.clock),
            show_thoughts=show_thoughts,
            prompt_max_chars=prompt_max_chars,
            max_attempts=max_attempts,
            request_timeout_s=request_timeout_s,
            pause=self.pauses.append,
        )

    def stock(self, account: Account, *names: str) -> None:
        self.ahead.stock[account.id] = [
            self.rows.add(account.account_key, name, stock=True) for name in names
        ]

    def stream(
        self,
        *said: str | Message,
        model: str | None = None,
        show_thoughts: bool | None = None,
        caller: bytes = b"",
        conversation: str | None = None,
    ) -> ChatStream:
        messages = tuple(_message(each) for each in said or ("Hi",))
        return self.gateway.stream(
            ChatRequest(messages, model, show_thoughts, Principal(caller), conversation)
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
        started = self.answer(*said, caller=KEY, **how)[0]
        assert isinstance(started, Started)
        assert started.conversation is not None
        return started.conversation

    @property
    def states(self) -> dict[str, str]:
        """What the records say of each session."""
        return {row.session.name: row.state for row in self.rows.rows.values()}

    @property
    def doomed(self) -> list[tuple[str, str]]:
        return [
            (id_of(row.session.account_key), row.session.name)
            for row in self.rows.rows.values()
            if row.state == "doomed"
        ]

    @property
    def accounts(self) -> list[str]:
        """The states of the accounts."""
        return [view.state for view in self.pool.snapshot()]


@pytest.fixture(autouse=True)
def _request() -> None:
    request_context.begin("req-1")


def says(role: Role, text: str) -> Message:
    return Message(role, (TextPart(text),))


def _message(said: str | Message) -> Message:
    return says("user", said) if isinstance(said, str) else said


def text_of(events: Sequence[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


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


def test_a_mapped_name_is_logged_with_what_was_asked_and_used(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "gbproxy"):
        House(Upstream()).answer(model="gpt-4o")

    [record] = [record for record in caplog.records if record.message == "model.mapped"]
    assert (record.asked, record.used) == ("gpt-4o", "gemini-auto")


def test_the_whole_conversation_is_in_the_prompt() -> None:
    house = House(Upstream())

    house.answer(says("system", "Be brief."), "Why?")

    [prompt] = house.upstream.prompts
    assert "Be brief." in prompt
    assert "Why?" in prompt


def test_without_an_account_the_request_is_refused() -> None:
    house = House(Upstream())
    house.pool.replace([])

    error, said = house.failure()

    assert (type(error), said, house.upstream.opened) == (NoAccountAvailable, [], 0)


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


def test_too_long_a_prompt_costs_no_session() -> None:
    house = House(Upstream(), prompt_max_chars=100)
    house.stock(ONE, "stock/1")

    house.failure("x" * 101)

    assert house.upstream.opened == 0
    assert house.states == {"stock/1": "stock"}
    assert house.accounts == ["ready"]
    assert request_context.current().attempts == 0


def test_too_long_a_prompt_is_told_also_where_no_account_can_be_asked() -> None:
    house = House(Upstream(), prompt_max_chars=100)
    cool(house, ONE)

    error, _ = house.failure("x" * 101)

    assert isinstance(error, ContextLengthExceeded)


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
def test_the_request_decides_about_thoughts_before_the_setting(
    setting: bool, asked: bool | None, shown: bool
) -> None:
    house = House(Upstream(THINKING), show_thoughts=setting)

    events = house.answer(show_thoughts=asked)

    assert (ThoughtDelta("Hm.") in events) is shown
    assert text_of(events) == "Hello"


def test_a_shown_thought_is_content() -> None:
    house = House(Upstream((ThoughtDelta("Hm."), UpstreamError("broken"))), show_thoughts=True)

    _, said = house.failure()

    assert said == [Started("gemini-auto"), ThoughtDelta("Hm.")]


@pytest.mark.parametrize("show", [True, False])
def test_thoughts_are_counted_shown_or_not(show: bool) -> None:
    house = House(Upstream((ThoughtDelta("Let me think."), *HELLO)), show_thoughts=show)

    [usage] = [event for event in house.answer() if isinstance(event, Usage)]

    reasoning = tokens(weight("Let me think."))
    assert (usage.reasoning_tokens, usage.output_tokens) == (
        reasoning,
        reasoning + tokens(weight("Hello")),
    )


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
    house = House(
        Upstream(
            (ThoughtDelta("A long first thought."), SessionGone("gone")),
            (ThoughtDelta("Hm."), *HELLO),
        )
    )

    [usage] = [event for event in house.answer() if isinstance(event, Usage)]

    assert usage.reasoning_tokens == tokens(weight("Hm."))


def test_the_request_s_trace_holds_what_is_logged_of_it() -> None:
    request_context.begin("req-1")
    house = House(Upstream((SessionGone("gone"),), THINKING))

    house.answer("Hi", model=RETIRED)

    noted = request_context.current()
    assert noted.attempts == 2
    assert noted.ttft_ms is not None
    assert noted.facts == {
        "model": RETIRED,
        "prompt_chars": 2,
        "account": "one",
        "continued": False,
        "answer_chars": 5,
        "input_tokens": tokens(weight("Hi")),
        "output_tokens": tokens(weight("Hm.")) + tokens(weight("Hello")),
    }


def test_what_was_said_before_a_failure_is_noted_too() -> None:
    request_context.begin("req-1")
    house = House(Upstream((TextDelta("Hel"), UpstreamError("broken"))))

    house.failure()

    assert request_context.current().facts["answer_chars"] == 3


# Sessions that the upstream makes and names while it answers


@pytest.mark.parametrize(
    "script",
    [(SessionNamed("s/theirs"), *HELLO), (*HELLO[:-1], SessionNamed("s/theirs"), Done())],
    ids=["first", "last"],
)
def test_a_session_is_continued_under_the_name_that_the_upstream_gives_it(script: Script) -> None:
    house = House(Upstream(script, HELLO, names=False))

    conversation = house.begun("Hi")
    house.answer("More", caller=KEY, conversation=conversation)

    assert house.upstream.asked == [("one", "gemini-auto", ""), ("one", "gemini-auto", "s/theirs")]
    assert house.upstream.prompts == ["Hi", "More"]
    assert house.states == {"s/theirs": "idle"}


def test_what_names_a_session_is_not_said_to_the_client() -> None:
    house = House(Upstream((SessionNamed("s/theirs"), *HELLO), names=False))

    events = house.answer("Hi", caller=KEY)

    assert [type(event) for event in events] == [Started, TextDelta, TextDelta, Usage, Done]


def test_a_session_whose_name_is_never_told_is_not_continued() -> None:
    house = House(Upstream(HELLO, names=False))

    events = house.answer("Hi", caller=KEY)

    assert text_of(events) == "Hello"
    assert request_context.current().conversation is None
    assert house.states == {"": "doomed"}


def test_a_session_that_was_named_before_the_answer_broke_is_deleted() -> None:
    house = House(
        Upstream((SessionNamed("s/theirs"), TextDelta("Hel"), UpstreamError("broken")), names=False)
    )

    house.failure("Hi", caller=KEY)

    assert house.doomed == [("one", "s/theirs")]


def test_a_session_whose_name_cannot_be_recorded_is_discarded_by_its_name() -> None:
    house = House(Upstream((TextDelta("Hello"), SessionNamed("s/theirs"), Done()), names=False))
    events = house.stream("Hi", caller=KEY)
    next(events)
    house.rows.away = True

    rest = list(events)

    assert rest[-1] == Done()
    assert house.discarded == ["s/theirs"]


def test_while_a_session_has_no_name_others_see_that_its_conversation_is_in_use() -> None:
    house = House(Upstream((TextDelta("Hello"), SessionNamed("s/theirs"), Done()), names=False))
    events = house.stream("Hi", caller=KEY)
    started = next(events)
    assert isinstance(started, Started)
    assert started.conversation is not None

    claim = house.rows.claim_conversation(started.conversation, KEY)

    assert claim is NoClaim.BUSY
    events.close()


# Lost sessions


def test_a_lost_session_gets_one_fresh_session() -> None:
    house = House(Upstream((SessionGone("gone"),), HELLO))

    events = house.answer()

    assert events[0] == Started("gemini-auto")
    assert text_of(events) == "Hello"
    assert house.upstream.asked == [("one", "gemini-auto", "s/1"), ("one", "gemini-auto", "s/2")]
    assert house.doomed == [("one", "s/1"), ("one", "s/2")]
    assert house.ahead.distrusted == []  # the stock has nothing to do with it


def test_a_session_that_is_lost_twice_is_an_error() -> None:
    house = House(Upstream((SessionGone("gone"),)))

    error, said = house.failure()

    assert (type(error), error.status, said) == (SessionGone, 502, [])
    assert house.upstream.opened == 2


def test_a_session_lost_after_hidden_thoughts_is_tried_again_too() -> None:
    house = House(Upstream((ThoughtDelta("Hm."), FLUSH, SessionGone("gone")), HELLO))

    assert house.answer()[-1] == Done()
    assert house.upstream.opened == 2


AFTER_CONTENT = [
    SessionGone("gone"),
    RequestRefused("no"),
    UpstreamError("broken"),
    UpstreamOverloaded("busy"),
]


@pytest.mark.parametrize("error", AFTER_CONTENT, ids=repr)
def test_nothing_is_tried_again_after_content(error: GatewayError) -> None:
    house = House(Upstream((TextDelta("Hel"), error), HELLO), ONE, TWO)

    found, said = house.failure(model=RETIRED)

    assert found is error
    assert said == [Started(RETIRED), TextDelta("Hel")]
    assert house.upstream.accounts == ["one"]


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
    house = House(Upstream((error,), HELLO))

    found, said = house.failure()

    assert (found, said, house.upstream.opened) == (error, [], 1)


# A second try

PASSING = [UpstreamBroken("reset"), UpstreamProtocolError("cut off")]
BEFORE: list[Script] = [(), (FLUSH,), (ThoughtDelta("Hm."), FLUSH)]


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
    house = House(Upstream((*before, error), HELLO), *accounts)
    events: list[ChatEvent] = []

    [record] = logged(caplog, lambda: events.extend(house.answer()))

    assert text_of(events) == "Hello"
    assert events.count(Started("gemini-auto")) == 1
    assert house.upstream.asked == [("one", "gemini-auto", "s/1"), (second, "gemini-auto", "s/2")]
    assert house.doomed == [("one", "s/1"), (second, "s/2")]
    assert request_context.current().attempts == 2
    assert len(house.pauses) == (0 if second == "two" else 1)
    assert record.account == "one"
    assert set(house.accounts) == {"ready"}


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
    assert (house.upstream.opened, request_context.current().attempts, len(house.pauses)) == (
        2,
        2,
        1,
    )


def test_a_session_that_could_not_be_opened_for_once_is_opened_again() -> None:
    house = House(Upstream(opening=UpstreamBroken("busy")))

    house.failure()

    assert request_context.current().attempts == 2
    assert house.states == {}


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
    """A lost session, a broken connection, a retired model: all three may be met by one request,
    none twice.
    """
    house = House(
        Upstream(
            (SessionGone("gone"),),
            (UpstreamBroken("reset"),),
            (RequestRefused("no such model"),),
            HELLO,
        )
    )

    events = house.answer(model=RETIRED)

    assert events[0] == Started(SUCCESSOR)
    assert house.upstream.models == [RETIRED, RETIRED, RETIRED, SUCCESSOR]
    assert len(house.pauses) == 1


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_content_that_was_said_is_never_asked_for_again(error: GatewayError) -> None:
    house = House(Upstream((TextDelta("Hel"), error), HELLO), ONE, TWO)

    found, said = house.failure()

    assert (found, said) == (error, [Started("gemini-auto"), TextDelta("Hel")])
    assert (house.upstream.opened, house.pauses) == (1, [])


def test_shown_thoughts_are_content_too() -> None:
    house = House(
        Upstream((ThoughtDelta("Hm."), UpstreamBroken("reset")), HELLO),
        ONE,
        TWO,
        show_thoughts=True,
    )

    found, _ = house.failure()

    assert found.message == "reset"
    assert house.upstream.opened == 1


# Failing over


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


@pytest.mark.parametrize(("error", "state"), ELSEWHERE, ids=lambda given: type(given).__name__)
@pytest.mark.parametrize("before", BEFORE, ids=["nothing", "flush", "thoughts"])
def test_what_one_account_cannot_do_another_does_unseen(
    error: GatewayError, state: str, before: Script
) -> None:
    house = House(Upstream((*before, error), HELLO), ONE, TWO)

    events = house.answer()

    assert events == [
        Started("gemini-auto"),
        TextDelta("Hel"),
        TextDelta("lo"),
        Usage(tokens(weight("Hi")), tokens(weight("Hello"))),
        Done(),
    ]
    assert house.upstream.asked == [("one", "gemini-auto", "s/1"), ("two", "gemini-auto", "s/2")]
    assert house.doomed == [("one", "s/1"), ("two", "s/2")]
    assert (house.accounts, house.pauses, house.pool.in_flight()) == ([state, "ready"], [], 0)
    assert (request_context.current().attempts, request_context.current().facts["account"]) == (
        2,
        "two",
    )


def test_an_account_that_cannot_open_a_session_is_got_over_too() -> None:
    house = House(Upstream(opening=QuotaExhausted("empty")), ONE, TWO)
    house.stock(TWO, "stock/1")

    events = house.answer()

    assert text_of(events) == "Hello"
    assert house.upstream.asked == [("two", "gemini-auto", "stock/1")]
    assert house.accounts == ["cooling", "ready"]


@pytest.mark.parametrize(
    "error", [RequestRefused("policy"), ContextLengthExceeded("long")], ids=repr
)
def test_the_request_s_own_fault_is_told_at_once_and_costs_no_account_anything(
    error: GatewayError,
) -> None:
    house = House(Upstream((error,), HELLO), ONE, TWO)

    found, said = house.failure()

    assert (found, said) == (error, [])
    assert house.upstream.accounts == ["one"]
    assert house.accounts == ["ready", "ready"]


@pytest.mark.parametrize(
    ("most", "asked"), [(1, ["one"]), (2, ["one", "two"]), (9, ["one", "two", "three"])]
)
def test_at_most_so_many_accounts_are_asked(most: int, asked: list[str]) -> None:
    house = House(Upstream((UpstreamTimeout("silent"),)), ONE, TWO, THREE, max_attempts=most)

    error, said = house.failure()

    assert (type(error), said) == (UpstreamTimeout, [])
    assert house.upstream.accounts == asked
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
    house = House(Upstream(*[(error,) for error in met]), ONE, TWO, THREE)

    error, said = house.failure()

    assert (type(error), error.retry_after, said) == (kind, retry_after, [])
    assert house.upstream.accounts == ["one", "two", "three"]
    assert house.doomed == [("one", "s/1"), ("two", "s/2"), ("three", "s/3")]


@pytest.mark.parametrize(
    "error", [UpstreamUnclear("FAILED"), UpstreamUnclear("empty")], ids=["FAILED", "empty"]
)
def test_what_fails_on_two_accounts_alike_is_put_down_to_the_request(error: GatewayError) -> None:
    house = House(Upstream((error,), (error,), HELLO), ONE, TWO, THREE)

    found, said = house.failure()

    assert (found.status, found.code, found.should_retry, said) == (
        502,
        "upstream_error",
        False,
        [],
    )
    assert house.upstream.accounts == ["one", "two"]
    assert house.accounts == ["ready"] * 3


def test_after_many_poisoned_requests_a_good_one_is_answered_at_once() -> None:
    house = House(Upstream(*[(UpstreamUnclear("FAILED"),)] * 200, HELLO), ONE, TWO)

    failures = [house.failure("poison")[0] for _ in range(100)]

    assert {type(error) for error in failures} == {UpstreamUnclear}
    assert house.accounts == ["ready", "ready"]
    assert text_of(house.answer()) == "Hello"
    assert len(house.upstream.asked) == 201


def test_a_request_that_finds_every_account_cooling_asks_none() -> None:
    house = House(Upstream((QuotaExhausted("empty", retry_after=90.0),), HELLO), ONE)
    house.failure()
    asked = len(house.upstream.asked)

    error, _ = house.failure()

    assert (type(error), error.retry_after, len(house.upstream.asked)) == (
        QuotaExhausted,
        90.0,
        asked,
    )


def test_an_answer_makes_an_account_forget_how_often_it_was_out_of_quota() -> None:
    house = House(Upstream((QuotaExhausted("empty"),), HELLO, (QuotaExhausted("empty"),)))

    cooled_s = [house.failure()[0].retry_after]
    house.clock.now += 61
    house.answer()
    for _ in range(2):
        cooled_s.append(house.failure()[0].retry_after)
        house.clock.now += 61

    assert cooled_s == [60.0, 60.0, 240.0]


def test_a_session_that_is_never_there_is_put_down_to_the_request() -> None:
    house = House(Upstream((SessionGone("gone"),)), ONE, TWO, THREE)

    error, _ = house.failure(*HISTORY, caller=KEY)

    assert (type(error), error.should_retry) == (UpstreamUnclear, False)
    assert house.upstream.accounts == ["one", "one", "two", "two"]
    assert house.accounts == ["ready"] * 3


def test_what_an_attempt_on_another_account_had_thought_is_not_counted() -> None:
    house = House(
        Upstream((ThoughtDelta("A long first thought."), UpstreamTimeout("silent")), HELLO),
        ONE,
        TWO,
    )

    [usage] = [event for event in house.answer() if isinstance(event, Usage)]

    assert (usage.output_tokens, usage.reasoning_tokens) == (tokens(weight("Hello")), 0)


def test_each_account_is_asked_for_the_model_itself_first() -> None:
    """One account's refusal of a retired model says nothing of another's."""
    house = House(Upstream((RequestRefused("no"),), (UpstreamTimeout("silent"),), HELLO), ONE, TWO)

    events = house.answer(model=RETIRED)

    assert events[0] == Started(RETIRED)
    assert [(account, model) for account, model, _ in house.upstream.asked] == [
        ("one", RETIRED),
        ("one", SUCCESSOR),
        ("two", RETIRED),
    ]


# Sessions made ahead


def test_a_session_in_stock_is_used_and_none_is_opened() -> None:
    house = House(Upstream())
    house.stock(ONE, "stock/1", "stock/2")

    house.answer(caller=KEY)

    assert (house.upstream.sessions, house.upstream.opened) == (["stock/1"], 0)
    assert house.states == {"stock/1": "idle", "stock/2": "stock"}


def test_without_stock_a_session_is_opened_and_recorded() -> None:
    house = House(Upstream())
    stream = house.stream(caller=KEY)

    next(stream)

    assert (house.upstream.sessions, house.upstream.opened) == (["s/1"], 1)
    assert house.states == {"s/1": "running"}


def test_another_account_is_asked_in_its_own_stock() -> None:
    house = House(Upstream((UpstreamTimeout("silent"),), HELLO), ONE, TWO)
    house.stock(ONE, "stock/1")
    house.stock(TWO, "stock/2")

    house.answer()

    assert house.upstream.asked == [
        ("one", "gemini-auto", "stock/1"),
        ("two", "gemini-auto", "stock/2"),
    ]


@pytest.mark.parametrize("error", [SessionGone("gone"), SessionDenied("denied")], ids=repr)
def test_when_a_session_of_the_stock_was_gone_the_rest_of_it_is_not_used(
    error: GatewayError,
) -> None:
    house = House(Upstream((error,), HELLO), ONE, TWO)
    house.stock(ONE, "stock/1", "stock/2")

    events = house.answer()

    assert text_of(events) == "Hello"
    assert house.ahead.distrusted == ["one"]
    assert house.upstream.sessions == ["stock/1", "s/1"]


def test_other_failures_leave_the_stock_as_it_is() -> None:
    house = House(Upstream((UpstreamBroken("reset"),), HELLO))
    house.stock(ONE, "stock/1", "stock/2")

    house.answer()

    assert house.ahead.distrusted == []
    assert house.upstream.sessions == ["stock/1", "stock/2"]


def test_each_request_and_each_account_that_it_is_lent_are_noted() -> None:
    house = House(Upstream((UpstreamTimeout("silent"),), HELLO), ONE, TWO)

    house.answer()

    assert house.ahead.noted == ["", "one", "two"]


def test_a_request_that_finds_no_account_is_noted_too() -> None:
    house = House(Upstream((CredentialRefused("Renew it."),)))
    house.failure()
    house.ahead.noted.clear()

    house.failure()

    assert house.ahead.noted == [""]


# Retired models


@pytest.mark.parametrize(
    "refused", [(RequestRefused("no"),), (SessionGone("gone"),)], ids=["400", "404"]
)
def test_a_model_that_is_refused_is_answered_by_its_successor(refused: Script) -> None:
    tries = 2 if isinstance(refused[0], SessionGone) else 1
    house = House(Upstream(*[refused] * tries, HELLO))

    events = house.answer(model=RETIRED)

    assert events[0] == Started(SUCCESSOR)
    assert house.upstream.models == [RETIRED] * tries + [SUCCESSOR]
    assert request_context.current().facts["model"] == SUCCESSOR


def test_a_successor_that_worked_is_remembered_for_an_hour(
    caplog: pytest.LogCaptureFixture,
) -> None:
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
    house = House(Upstream((RequestRefused("no"),), HELLO), ONE, TWO)
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
    house = House(
        Upstream((first,), (RequestRefused("the second"),), (RequestRefused("the third"),), HELLO)
    )

    error, said = house.failure(model=RETIRED)
    house.answer(model=RETIRED)

    assert (error, said) == (first, [])
    assert house.upstream.models == [RETIRED, SUCCESSOR, "gemini-auto", RETIRED]


def test_a_successor_that_is_refused_too_is_followed_by_the_upstreams_own_choice() -> None:
    house = House(Upstream((RequestRefused("no"),), (RequestRefused("no"),), HELLO))

    events = [house.answer(model=name) for name in (RETIRED, RETIRED, SUCCESSOR)]

    assert [each[0] for each in events] == [Started("gemini-auto")] * 3
    assert house.upstream.models == [RETIRED, SUCCESSOR, *["gemini-auto"] * 3]


def test_an_unknown_name_goes_upstream_and_is_used_from_then_on_if_it_is_taken() -> None:
    house = House(Upstream(HELLO))

    events = [house.answer(model="gemini-9-new") for _ in range(2)]

    assert [each[0] for each in events] == [Started("gemini-9-new")] * 2
    assert house.upstream.models == ["gemini-9-new"] * 2


def test_an_unknown_name_that_is_refused_is_answered_by_the_default_for_an_hour(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House(Upstream((RequestRefused("no"),), HELLO))

    with caplog.at_level(logging.INFO, "gbproxy"):
        events = [house.answer(model="gemini-9-new") for _ in range(2)]
    house.clock.now += 3600
    house.answer(model="gemini-9-new")

    assert [each[0] for each in events] == [Started("gemini-auto")] * 2
    assert house.upstream.models == ["gemini-9-new", "gemini-auto", "gemini-auto", "gemini-9-new"]
    mapped = [(r.asked, r.used, r.reason) for r in caplog.records if r.message == "model.mapped"]
    assert mapped == [("gemini-9-new", "gemini-auto", "retired")] * 2


def test_a_key_for_certain_models_asks_for_no_other_by_a_name_that_nobody_knows() -> None:
    house = House(Upstream(HELLO))
    principal = Principal(KEY, "key", KeyPolicy(models=frozenset({"gemini-auto"})))

    with pytest.raises(ModelNotFound):
        list(
            house.gateway.stream(
                ChatRequest((_message("Hi"),), "gemini-9-new", principal=principal)
            )
        )

    assert house.upstream.models == []


def test_names_that_nobody_knows_count_as_one_model_where_models_are_limited() -> None:
    house = House(Upstream(HELLO), model_interval_s=60.0)
    list(_limited(house, "gemini-9-new"))

    with pytest.raises(RateLimitExceeded):
        list(_limited(house, "gemini-9-newer"))


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
    house = House(Upstream(script))

    with suppress(UpstreamError, RuntimeError):
        house.answer()

    assert house.doomed == [("one", "s/1")]
    assert house.upstream.closed == ["s/1"]
    assert house.pool.in_flight() == 0


def test_closing_the_answer_closes_the_upstream_and_has_the_session_deleted() -> None:
    house = House(Upstream())
    stream = house.stream()
    next(stream)
    next(stream)
    assert (house.upstream.closed, house.pool.in_flight()) == ([], 1)

    stream.close()

    assert house.upstream.closed == ["s/1"]
    assert house.doomed == [("one", "s/1")]
    assert house.pool.in_flight() == 0


def test_a_session_that_could_not_be_opened_leaves_nothing_behind() -> None:
    house = House(Upstream(opening=UpstreamError("broken")))

    error, _ = house.failure()

    assert error.message == "broken"
    assert house.states == {}
    assert house.pool.in_flight() == 0


# Conversations that continue

SYSTEM, HELLO_SAID = says("system", "Be brief."), says("assistant", "Hello")
HISTORY = ("Hi", HELLO_SAID, "Why?")  # of the conversation that `begun` begins


def conversation_of(events: Sequence[ChatEvent]) -> str | None:
    [started] = [event for event in events if isinstance(event, Started)]
    return started.conversation


def test_the_beginning_of_an_answer_says_how_it_can_be_continued() -> None:
    house = House(Upstream())

    conversation = conversation_of(house.answer(caller=KEY))

    assert conversation is not None
    assert request_context.current().conversation == conversation
    assert isinstance(house.rows.claim_conversation(conversation, KEY), Claimed)


@pytest.mark.parametrize("failures", [0, 1], ids=["at once", "after another account"])
@pytest.mark.parametrize("stocked", [False, True], ids=["opened", "stocked"])
def test_every_worker_sees_that_a_new_conversation_is_in_use(
    failures: int, stocked: bool, database: FragileDatabase, clock: StillClock
) -> None:
    ours, theirs = (session_rows(database, clock, worker) for worker in (US, THEM))
    house = House(Upstream(*[(UpstreamTimeout("silent"),)] * failures, HELLO), ONE, TWO, rows=ours)
    other = House(Upstream(), ONE, TWO, rows=theirs)
    if stocked:
        house.ahead.stock = {
            each.id: [ours.add(each.account_key, f"stock/{each.id}", stock=True)]
            for each in (ONE, TWO)
        }
    stream = house.stream(caller=KEY)

    conversation = conversation_of([next(stream)])
    busy, _ = other.failure("Why?", caller=KEY, conversation=conversation)
    unknown, _ = other.failure("Why?", caller=OTHER_KEY, conversation=conversation)
    list(stream)

    assert (type(busy), type(unknown)) == (ConversationBusy, ConversationNotFound)
    assert text_of(other.answer("Why?", caller=KEY, conversation=conversation)) == "Hello"
    assert len(set(house.upstream.sessions[-1:] + other.upstream.sessions)) == 1


def test_every_worker_sees_that_a_conversation_is_in_use_which_goes_on_in_a_fresh_session(
    database: FragileDatabase, clock: StillClock
) -> None:
    ours, theirs = (session_rows(database, clock, worker) for worker in (US, THEM))
    house = House(Upstream(HELLO, (SessionGone("gone"),), HELLO), rows=ours)
    other = House(Upstream(), rows=theirs)
    conversation = house.begun()
    house.ahead.stock = {"one": [ours.add(ONE.account_key, "stock/1", stock=True)]}

    stream = house.stream(*HISTORY, caller=KEY)
    started = conversation_of([next(stream)])
    busy, _ = other.failure("Why?", caller=KEY, conversation=conversation)

    assert (started, type(busy)) == (conversation, ConversationBusy)


def test_an_id_that_the_client_has_been_told_stays_whatever_session_answers_in_the_end() -> None:
    house = House(Upstream((UpstreamTimeout("silent"),), HELLO), ONE, TWO)
    told: list[str | None] = []

    def send_headers() -> None:
        told.append(request_context.current().conversation)
        request_context.current().has_told_conversation = True

    house.upstream.on_ask = send_headers
    events = house.answer(caller=KEY)
    house.answer("Why?", caller=KEY, conversation=told[0])

    assert [conversation_of(events), request_context.current().conversation] == [told[0]] * 2
    assert house.upstream.sessions == ["s/1", "s/2", "s/2"]


def test_nobody_in_particular_continues_nothing() -> None:
    house = House(Upstream())

    assert house.answer()[0] == Started("gemini-auto", None)
    assert request_context.current().conversation is None
    assert house.states == {"s/1": "doomed"}


@pytest.mark.parametrize("why", ["disabled", "busy"])
def test_of_several_sessions_that_hold_the_same_one_is_taken_whose_account_can_answer(
    why: str,
) -> None:
    house = House(Upstream(), ONE, TWO, concurrency=1)
    house.begun()
    with house.pool.lease(wanted=ONE.account_key):
        house.begun()
    if why == "disabled":
        house.pool.disable("one")

    with house.pool.lease(wanted=ONE.account_key) if why == "busy" else nullcontext():
        house.answer(*HISTORY, caller=KEY)

    assert (house.upstream.accounts, house.upstream.prompts[2]) == (["one", "two", "two"], "Why?")
    assert house.states == {"s/1": "idle", "s/2": "idle"}


def test_in_a_continued_conversation_only_what_is_new_is_sent_into_its_session() -> None:
    house = House(Upstream(), ONE, TWO)
    conversation = house.begun(SYSTEM, "Hi")
    house.rows.calls.clear()

    events = house.answer(SYSTEM, *HISTORY, caller=KEY)

    assert house.upstream.prompts[1:] == ["Why?"]
    assert house.upstream.asked == [("one", "gemini-auto", "s/1")] * 2
    assert conversation_of(events) == conversation
    assert house.rows.calls == ["claim_head", "keep"]
    assert request_context.current().facts["continued"] is True


def test_a_continued_conversation_is_counted_as_its_whole_prompt() -> None:
    """What a client is told does not depend on what the gateway happens to have at hand."""
    house = House(Upstream())
    house.begun()

    [continued] = [
        event for event in house.answer(*HISTORY, caller=KEY) if isinstance(event, Usage)
    ]
    [fresh] = [
        event for event in house.answer(*HISTORY, caller=OTHER_KEY) if isinstance(event, Usage)
    ]

    assert house.upstream.sessions == ["s/1", "s/1", "s/2"]
    assert continued == fresh


def test_a_new_message_alone_goes_on_in_the_conversation_that_is_named() -> None:
    house = House(Upstream(), ONE, TWO)
    conversation = house.begun()

    events = house.answer("Why?", caller=KEY, conversation=conversation)

    assert (house.upstream.prompts[1:], house.upstream.sessions) == (["Why?"], ["s/1", "s/1"])
    assert conversation_of(events) == conversation


@pytest.mark.parametrize(
    "messages",
    [
        ("Hi!", HELLO_SAID, "Why?"),
        ("Hi", says("assistant", "Hell"), "Why?"),
        (SYSTEM, *HISTORY),
        (HELLO_SAID, "Why?"),
    ],
    ids=["edited", "edited answer", "other system text", "window"],
)
def test_any_other_history_gets_a_fresh_session_and_all_of_it(
    messages: tuple[str | Message, ...],
) -> None:
    house = House(Upstream())
    conversation = house.begun()

    events = house.answer(*messages, caller=KEY)

    assert house.upstream.sessions == ["s/1", "s/2"]
    assert all(text in house.upstream.prompts[1] for text in ("Hell", "Why?"))
    assert conversation_of(events) not in (None, conversation)
    assert house.states == {"s/1": "idle", "s/2": "idle"}


@pytest.mark.parametrize(
    "other",
    [{"caller": OTHER_KEY}, {"caller": b""}, {"caller": KEY, "model": "gemini-2.5-pro"}],
    ids=repr,
)
def test_another_key_or_model_has_a_session_of_its_own(other: dict[str, object]) -> None:
    house = House(Upstream())
    house.begun()

    house.answer(*HISTORY, **other)

    assert house.upstream.sessions == ["s/1", "s/2"]
    assert "Hello" in house.upstream.prompts[1]


def test_two_requests_with_the_same_history_never_share_a_session() -> None:
    house = House(Upstream())
    house.begun()
    first, second = house.stream(*HISTORY, caller=KEY), house.stream(*HISTORY, caller=KEY)

    next(first)
    next(second)

    assert house.upstream.sessions == ["s/1", "s/1", "s/2"]
    assert [house.upstream.prompts[1], house.upstream.prompts[2].count("Hello")] == ["Why?", 1]


def test_a_conversation_in_which_a_request_runs_is_busy_and_nothing_is_asked() -> None:
    house = House(Upstream())
    stream = house.stream(caller=KEY)
    conversation = conversation_of([next(stream)])

    error, _ = house.failure("Why?", caller=KEY, conversation=conversation)

    assert (type(error), len(house.upstream.asked)) == (ConversationBusy, 1)


# What is kept


def test_an_answer_can_be_continued_before_its_last_frame_goes_out() -> None:
    house = House(Upstream())
    stream = house.stream(caller=KEY)

    states = [(type(event).__name__, house.states["s/1"]) for event in stream]

    assert states == [
        ("Started", "running"),
        ("TextDelta", "running"),
        ("TextDelta", "running"),
        ("Flush", "running"),
        ("Usage", "idle"),
        ("Done", "idle"),
    ]


def test_a_quick_client_goes_on_while_its_last_frame_is_still_on_the_way() -> None:
    house = House(Upstream())
    stream = house.stream(caller=KEY)
    while next(stream) != Done():
        pass

    house.answer(*HISTORY, caller=KEY)

    assert (house.upstream.sessions, house.upstream.prompts[1]) == (["s/1", "s/1"], "Why?")


@pytest.mark.parametrize("last", [Usage, Done])
def test_an_answer_whose_last_frame_could_not_be_written_is_not_continued(
    last: type[ChatEvent],
) -> None:
    house = House(Upstream())
    stream = house.stream(caller=KEY)
    while not isinstance(next(stream), last):
        pass

    stream.close()

    assert house.states == {"s/1": "doomed"}
    assert (house.upstream.closed, house.pool.in_flight()) == (["s/1"], 0)


def test_what_ends_a_request_behind_its_last_frame_takes_the_answer_not_back() -> None:
    class LeftError(BaseException):
        pass

    class Slow(Upstream):
        def stream(self, prompt: str, model: Model, account: Account, session: str) -> ChatStream:
            yield from super().stream(prompt, model, account, session)
            raise LeftError  # the client hangs up while things are put away

    house = House(Slow())
    stream = house.stream(caller=KEY)
    while next(stream) != Done():
        pass

    with pytest.raises(LeftError):
        next(stream)

    assert house.states == {"s/1": "idle"}


def test_what_another_request_has_gone_on_from_is_not_withdrawn() -> None:
    house = House(Upstream())
    stream = house.stream(caller=KEY)
    while next(stream) != Done():
        pass
    house.answer(*HISTORY, caller=KEY)

    stream.close()

    assert house.states == {"s/1": "idle"}


NOT_KEPT: dict[str, Script] = {
    "filtered": (Refusal("Blocked."), Done("content_filter")),
    "filtered after text": (TextDelta("Hel"), Refusal("Blocked."), Done("content_filter")),
    "failed": (UpstreamUnclear("FAILED"),),
    "failed after text": (TextDelta("Hel"), UpstreamUnclear("FAILED")),
    "cut off": (TextDelta("Hel"), UpstreamProtocolError("cut off")),
    "refused": (RequestRefused("policy"),),
    "without an end": (TextDelta("Hel"),),
    "a bug": (TextDelta("Hel"), RuntimeError("a bug")),
}


@pytest.mark.parametrize("script", NOT_KEPT.values(), ids=NOT_KEPT)
@pytest.mark.parametrize("continued", [False, True], ids=["fresh", "continued"])
def test_an_answer_that_is_not_whole_is_never_kept(script: Script, continued: bool) -> None:
    house = House(Upstream(*[HELLO] * continued, script))
    messages: tuple[str | Message, ...] = ("Hi",)
    if continued:
        house.begun()
        messages = HISTORY

    with suppress(GatewayError, RuntimeError):
        house.answer(*messages, caller=KEY)

    assert set(house.states.values()) == {"doomed"}


def test_of_an_answer_that_cannot_be_continued_no_id_is_told() -> None:
    house = House(Upstream((TextDelta("Hel"), Refusal("Blocked."), Done("content_filter"))))

    house.answer(caller=KEY)

    assert request_context.current().conversation is None


@pytest.mark.parametrize("events", [1, 2, 3])
def test_an_answer_that_its_client_left_is_never_kept(events: int) -> None:
    house = House(Upstream())
    stream = house.stream(caller=KEY)
    for _ in range(events):
        next(stream)

    stream.close()

    assert house.states == {"s/1": "doomed"}


@pytest.mark.parametrize("shown", [False, True])
def test_thoughts_are_no_part_of_what_is_kept(shown: bool) -> None:
    house = House(Upstream(THINKING), show_thoughts=shown)
    house.begun()

    house.answer(*HISTORY, caller=KEY)

    assert house.upstream.sessions == ["s/1", "s/1"]


def test_a_file_is_kept_as_the_line_that_the_client_was_shown() -> None:
    house = House(Upstream((FileOutput("image/png", "f1", "cat.png"), Done()), HELLO))
    shown = text_of(house.answer(caller=KEY))

    house.answer("Hi", says("assistant", shown), "Why?", caller=KEY)

    assert house.upstream.sessions == ["s/1", "s/1"]


def test_only_the_attempt_that_answered_is_kept() -> None:
    house = House(Upstream((ThoughtDelta("Hm."), UpstreamTimeout("silent")), HELLO), ONE, TWO)
    house.begun()

    house.answer(*HISTORY, caller=KEY)

    assert house.upstream.asked[1:] == [("two", "gemini-auto", "s/2")] * 2
    assert house.states == {"s/1": "doomed", "s/2": "idle"}


# Conversations whose session or account is lost


@pytest.mark.parametrize("error", [SessionGone("gone"), SessionDenied("denied")], ids=repr)
@pytest.mark.parametrize("before", BEFORE, ids=["nothing", "flush", "thoughts"])
def test_a_conversation_whose_session_is_lost_goes_on_in_a_fresh_one_with_its_whole_history(
    error: GatewayError, before: Script
) -> None:
    house = House(Upstream(HELLO, (*before, error), HELLO), ONE, TWO)
    conversation = house.begun(SYSTEM, "Hi")

    events = house.answer(SYSTEM, *HISTORY, caller=KEY)
    house.answer(SYSTEM, *HISTORY, HELLO_SAID, "And?", caller=KEY)

    assert text_of(events) == "Hello"
    assert conversation_of(events) == conversation
    assert house.upstream.asked == [
        ("one", "gemini-auto", name) for name in ("s/1", "s/1", "s/2", "s/2")
    ]
    assert [house.upstream.prompts[1], house.upstream.prompts[3]] == ["Why?", "And?"]
    assert all(text in house.upstream.prompts[2] for text in ("Be brief.", "Hi", "Hello", "Why?"))
    assert house.states == {"s/1": "doomed", "s/2": "idle"}
    assert (house.accounts, house.ahead.distrusted) == (["ready", "ready"], [])


@pytest.mark.parametrize(
    "error", [error for error, _ in ELSEWHERE if type(error) is not SessionDenied], ids=repr
)
def test_a_conversation_whose_account_fails_goes_on_elsewhere_with_its_whole_history(
    error: GatewayError,
) -> None:
    house = House(Upstream(HELLO, (error,), HELLO), ONE, TWO)
    conversation = house.begun()

    events = house.answer(*HISTORY, caller=KEY)

    assert conversation_of(events) == conversation
    assert house.upstream.asked[1:] == [
        ("one", "gemini-auto", "s/1"),
        ("two", "gemini-auto", "s/2"),
    ]
    assert all(text in house.upstream.prompts[2] for text in ("Hi", "Hello", "Why?"))
    assert house.states == {"s/1": "doomed", "s/2": "idle"}


def test_with_one_account_a_conversation_is_tried_once_more_in_a_fresh_session_with_its_whole_history() -> (
    None
):
    house = House(Upstream(HELLO, (UpstreamBroken("reset"),), HELLO))
    conversation = house.begun()

    events = house.answer(*HISTORY, caller=KEY)

    assert conversation_of(events) == conversation
    assert house.upstream.sessions == ["s/1", "s/1", "s/2"]
    assert all(text in house.upstream.prompts[2] for text in ("Hi", "Hello", "Why?"))


def test_a_conversation_whose_model_has_retired_goes_on_with_the_successor_in_a_fresh_session() -> (
    None
):
    house = House(Upstream(HELLO, (RequestRefused("no"),), HELLO))
    house.begun(model=RETIRED)

    events = house.answer(*HISTORY, caller=KEY, model=RETIRED)

    assert events[0] == Started(SUCCESSOR, conversation_of(events))
    assert house.upstream.asked[1:] == [("one", RETIRED, "s/1"), ("one", SUCCESSOR, "s/2")]
    assert "Hello" in house.upstream.prompts[2]


def cool(house: House, account: Account) -> None:
    house.pool.failed(account, "text", QuotaExhausted("empty", retry_after=90.0))


def disable(house: House, account: Account) -> None:
    house.pool.disable(account.id)


@pytest.mark.parametrize("away", [cool, disable])
def test_a_conversation_whose_account_cannot_be_asked_goes_on_elsewhere(
    away: Callable[[House, Account], None],
) -> None:
    house = House(Upstream(), ONE, TWO)
    conversation = house.begun()
    away(house, ONE)

    events = house.answer(*HISTORY, caller=KEY)

    assert conversation_of(events) == conversation
    assert house.upstream.asked[1:] == [("two", "gemini-auto", "s/2")]
    assert all(text in house.upstream.prompts[1] for text in ("Hi", "Hello", "Why?"))
    assert house.states == {"s/1": "doomed", "s/2": "idle"}


def test_another_account_under_the_same_name_continues_no_conversation() -> None:
    house = House(Upstream())
    conversation = house.begun()
    house.pool.replace([with_values(ONE, config_id="another")])

    error, _ = house.failure("Why?", caller=KEY, conversation=conversation)
    house.answer(*HISTORY, caller=KEY)

    assert isinstance(error, NoAccountAvailable)
    assert house.upstream.asked[1:] == [("one", "gemini-auto", "s/2")]
    assert all(text in house.upstream.prompts[1] for text in ("Hi", "Hello", "Why?"))


def test_new_cookies_of_the_same_account_continue_its_conversations() -> None:
    house = House(Upstream())
    house.begun()
    house.pool.replace([with_values(ONE, secure_c_ses="CSE.new")])

    house.answer(*HISTORY, caller=KEY)

    assert house.upstream.asked[1:] == [("one", "gemini-auto", "s/1")]
    assert house.upstream.prompts[1] == "Why?"


def test_a_conversation_whose_account_is_busy_does_not_wait_for_it() -> None:
    house = House(Upstream(), ONE, TWO, concurrency=1)
    house.begun()

    with house.pool.lease(wanted=ONE.account_key):
        house.answer(*HISTORY, caller=KEY)

    assert house.upstream.asked[1:] == [("two", "gemini-auto", "s/2")]
    assert "Hello" in house.upstream.prompts[1]


def test_a_conversation_is_asked_on_its_own_account_though_another_is_less_busy() -> None:
    house = House(Upstream(), ONE, TWO)
    house.begun()

    with house.pool.lease(wanted=ONE.account_key):
        house.answer(*HISTORY, caller=KEY)

    assert house.upstream.asked[1:] == [("one", "gemini-auto", "s/1")]


def test_a_conversation_for_which_there_is_no_account_stays_as_it_is() -> None:
    house = House(Upstream())
    house.begun()
    cool(house, ONE)
    error, _ = house.failure(*HISTORY, caller=KEY)

    house.clock.now += 91
    house.answer(*HISTORY, caller=KEY)

    assert isinstance(error, QuotaExhausted)
    assert house.upstream.sessions == ["s/1", "s/1"]


def test_too_long_a_prompt_leaves_the_conversation_as_it_is() -> None:
    house = House(Upstream(), prompt_max_chars=100)
    house.begun()

    error, _ = house.failure("Hi", HELLO_SAID, "x" * 101, caller=KEY)

    assert isinstance(error, ContextLengthExceeded)
    assert house.states == {"s/1": "idle"}
    house.answer(*HISTORY, caller=KEY)
    assert house.upstream.sessions == ["s/1", "s/1"]


# Conversations of which the gateway alone has the history


@pytest.mark.parametrize("error", [SessionGone("gone"), SessionDenied("denied")], ids=repr)
def test_without_a_history_a_lost_session_is_not_found_and_never_silently_forgotten(
    error: GatewayError,
) -> None:
    house = House(Upstream(HELLO, (error,), HELLO), ONE, TWO)
    conversation = house.begun()

    found, said = house.failure("Why?", caller=KEY, conversation=conversation)
    again, _ = house.failure("Why?", caller=KEY, conversation=conversation)

    assert (type(found), type(again), said) == (ConversationNotFound, ConversationNotFound, [])
    assert house.upstream.sessions == ["s/1", "s/1"]
    assert house.states == {"s/1": "doomed"}
    assert house.accounts == ["ready", "ready"]


WITHOUT_HISTORY = [
    UpstreamBroken("reset"),
    UpstreamTimeout("silent"),
    UpstreamUnclear("FAILED"),
    UpstreamOverloaded("busy"),
    RequestRefused("no"),
]


@pytest.mark.parametrize("error", WITHOUT_HISTORY, ids=repr)
def test_without_a_history_a_failure_is_told_as_it_is_and_nothing_else_is_tried(
    error: GatewayError,
) -> None:
    house = House(Upstream(HELLO, (error,), HELLO), ONE, TWO)
    conversation = house.begun(model=RETIRED)

    found, said = house.failure("Why?", caller=KEY, conversation=conversation, model=RETIRED)

    assert (type(found), said) == (type(error), [])
    assert house.upstream.sessions == ["s/1", "s/1"]
    # whether the turn stays in there is unknown (docs/upstream.md)
    assert house.states == {"s/1": "doomed"}


@pytest.mark.parametrize(
    "error",
    [
        SessionGone("gone"),
        SessionDenied("denied"),
        CredentialRefused("no"),
        UpstreamBroken("reset"),
    ],
    ids=repr,
)
def test_without_a_history_a_failure_after_content_is_told_as_it_is_and_ends_the_conversation(
    error: GatewayError,
) -> None:
    house = House(Upstream(HELLO, (TextDelta("Hel"), error)), ONE, TWO)
    conversation = house.begun()

    found, said = house.failure("Why?", caller=KEY, conversation=conversation)

    assert (found, text_of(said)) == (error, "Hel")
    assert house.states == {"s/1": "doomed"}


NOT_TAKEN = [
    CredentialRefused("Renew it."),
    UpstreamOverloaded("busy"),
    UpstreamBroken("no connection"),
]


@pytest.mark.parametrize("error", NOT_TAKEN, ids=repr)
def test_without_a_history_what_the_upstream_took_nothing_of_leaves_the_conversation_as_it_is(
    error: UpstreamError,
) -> None:
    error.was_taken = False
    house = House(Upstream(HELLO, (error,), HELLO), ONE, TWO)
    conversation = house.begun()

    found, _ = house.failure("Why?", caller=KEY, conversation=conversation)

    assert type(found) is type(error)
    assert house.states == {"s/1": "idle"}
    house.pool.accepted(ONE)
    house.clock.now += 91
    assert text_of(house.answer("Why?", caller=KEY, conversation=conversation)) == "Hello"
    assert house.upstream.sessions == ["s/1"] * 3


def test_without_a_history_a_credential_refused_amid_the_answer_ends_the_conversation() -> None:
    """The upstream has thought about the question, so it stands in the session: nobody may go on
    from its old head.
    """
    house = House(
        Upstream(HELLO, (ThoughtDelta("Hm."), FLUSH, CredentialRefused("Renew it."))), ONE, TWO
    )
    conversation = house.begun()

    house.failure("Why?", caller=KEY, conversation=conversation)

    assert house.states == {"s/1": "doomed"}


@pytest.mark.parametrize(("away", "kind"), [(cool, QuotaExhausted), (disable, NoAccountAvailable)])
def test_without_a_history_an_account_that_cannot_be_asked_is_told_and_the_conversation_stays(
    away: Callable[[House, Account], None], kind: type[GatewayError]
) -> None:
    house = House(Upstream(), ONE, TWO)
    conversation = house.begun()
    away(house, ONE)

    error, said = house.failure("Why?", caller=KEY, conversation=conversation)

    assert (type(error), said, len(house.upstream.asked)) == (kind, [], 1)
    assert house.states == {"s/1": "idle"}
    house.pool.enable("one")
    house.clock.now += 91
    assert text_of(house.answer("Why?", caller=KEY, conversation=conversation)) == "Hello"


@pytest.mark.parametrize("conversation", ["f" * 32, "nonsense"])
def test_without_a_history_an_unknown_conversation_is_not_found_and_costs_nothing(
    conversation: str,
) -> None:
    house = House(Upstream())

    error, _ = house.failure("Why?", caller=KEY, conversation=conversation)

    assert isinstance(error, ConversationNotFound)
    assert (house.upstream.asked, house.upstream.opened, house.pool.in_flight()) == ([], 0, 0)


def test_without_a_history_another_key_s_conversation_is_not_found() -> None:
    house = House(Upstream())
    conversation = house.begun()

    error, _ = house.failure("Why?", caller=OTHER_KEY, conversation=conversation)

    assert isinstance(error, ConversationNotFound)
    assert house.states == {"s/1": "idle"}


# Without storage


def test_without_storage_a_request_is_answered_in_a_session_that_is_deleted() -> None:
    house = House(Upstream())
    house.rows.away = True

    events = house.answer(*HISTORY, caller=KEY)

    assert text_of(events) == "Hello"
    assert conversation_of(events) is None
    assert house.discarded == ["s/1"]


def test_storage_that_goes_away_amid_an_answer_does_not_disturb_it() -> None:
    house = House(Upstream())
    stream = house.stream(caller=KEY)
    events = [next(stream)]
    house.rows.away = True

    events += stream

    assert (text_of(events), events[-1]) == ("Hello", Done())
    assert house.discarded == ["s/1"]


def test_without_storage_a_conversation_without_history_is_told_so() -> None:
    house = House(Upstream())
    conversation = house.begun()
    house.rows.away = True

    error, _ = house.failure("Why?", caller=KEY, conversation=conversation)

    assert (type(error), len(house.upstream.asked)) == (StorageUnavailable, 1)


# Logs


def logged(caplog: pytest.LogCaptureFixture, run: Callable[[], object]) -> list[logging.LogRecord]:
    with caplog.at_level(logging.DEBUG, "gbproxy"):
        run()
    return [record for record in caplog.records if record.message == "attempt.failed"]


def test_a_failed_attempt_is_logged_with_the_facts(caplog: pytest.LogCaptureFixture) -> None:
    house = House(Upstream((QuotaExhausted("the account's quota is used up", retry_after=60.0),)))

    [record] = logged(caplog, house.failure)

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
    house = House(Upstream((kind("You wrote: my secret diary"),)))

    records = logged(caplog, house.failure)

    assert records
    assert not any("diary" in str(vars(record)) for record in caplog.records)


def test_neither_prompt_nor_answer_nor_cookie_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    house = House(
        Upstream(
            (SessionGone("gone"),), (ThoughtDelta("a thought"), TextDelta("an answer"), Done())
        )
    )

    logged(caplog, lambda: house.answer("my secret diary", model="gpt-4o"))

    lines = [str(vars(record)) for record in caplog.records]
    assert lines
    assert not any(
        word in line for line in lines for word in ("diary", "an answer", "a thought", "CSE.")
    )


# What callers are held to


LIMITED = Principal(KEY, "key", KeyPolicy(tokens_per_day=1000, concurrent_streams=1))


def _limited(house: House, model: str | None = None, *, streamed: bool = True) -> ChatStream:
    return house.gateway.stream(
        ChatRequest((_message("Hi"),), model, principal=LIMITED, is_streamed=streamed)
    )


def _charged(house: House) -> int:
    return house.counters.read("tokens:key:key:2027-01-15")


def test_an_answer_is_charged_and_its_place_given_back_before_its_last_event_is_read() -> None:
    house = House(Upstream())
    first = _limited(house)

    read = [next(first) for _ in range(5)]

    assert isinstance(read[-1], Usage)  # Done comes next
    assert _charged(house) == read[-1].input_tokens + read[-1].output_tokens > 0
    with closing(_limited(house)) as second:
        next(second)
    first.close()


def test_a_client_who_leaves_is_charged_what_was_made_and_frees_its_place() -> None:
    house = House(Upstream())
    stream = _limited(house)
    heard = [next(stream), next(stream)]

    stream.close()

    assert heard[-1] == TextDelta("Hel")
    assert _charged(house) == tokens(weight("Hi")) + tokens(weight("Hel"))
    with closing(_limited(house)) as again:
        next(again)


@pytest.mark.parametrize("error", [UpstreamOverloaded("busy"), RequestRefused("no")])
def test_an_answer_that_never_began_costs_nothing_and_holds_no_place(error: GatewayError) -> None:
    house = House(Upstream((error,)))

    for _ in range(2):
        with pytest.raises(type(error)):
            list(_limited(house))

    assert _charged(house) == 0


def test_a_tried_again_answer_is_charged_once() -> None:
    house = House(Upstream((ThoughtDelta("Hm"), QuotaExhausted("no more")), HELLO), ONE, TWO)

    list(_limited(house))

    assert _charged(house) == tokens(weight("Hi")) + tokens(weight("Hello"))


def test_only_streams_take_a_place() -> None:
    house = House(Upstream())
    first, second = (_limited(house, streamed=False) for _ in range(2))

    next(first)
    next(second)

    first.close()
    second.close()


def test_a_stream_too_many_is_refused_before_anything_is_done() -> None:
    house = House(Upstream())
    with closing(_limited(house)) as running:
        next(running)
        with pytest.raises(RateLimitExceeded) as caught:
            next(_limited(house))

    assert caught.value.retry_after == 1
    assert len(house.upstream.asked) == 1


def test_a_model_that_was_just_asked_waits_and_takes_no_place() -> None:
    house = House(Upstream(), model_interval_s=5.0)
    list(_limited(house, "gemini-auto"))
    house.clock.now += 2

    with pytest.raises(RateLimitExceeded) as caught:
        next(_limited(house, "gemini-auto"))
    list(_limited(house, "gemini-2.5-pro"))
    house.clock.now += 3
    list(_limited(house, "gemini-auto"))

    assert caught.value.retry_after == 3
    assert house.upstream.models == ["gemini-auto", "gemini-2.5-pro", "gemini-auto"]


def test_a_model_that_a_key_may_not_use_does_not_exist_for_it() -> None:
    house = House(Upstream())
    principal = Principal(KEY, "key", KeyPolicy(models=frozenset({"gemini-2.5-pro"})))

    with pytest.raises(ModelNotFound):
        next(
            house.gateway.stream(ChatRequest((_message("Hi"),), "gemini-auto", principal=principal))
        )

    assert house.upstream.asked == []


@pytest.mark.parametrize(
    "refused", [(RequestRefused("no"),), (SessionGone("gone"),)], ids=["400", "404"]
)
def test_a_key_for_a_retired_model_gets_no_successor_that_it_may_not_use(refused: Script) -> None:
    house = House(Upstream(refused))
    principal = Principal(KEY, "key", KeyPolicy(models=frozenset({RETIRED})))

    with pytest.raises(GatewayError):
        list(house.gateway.stream(ChatRequest((_message("Hi"),), RETIRED, principal=principal)))

    assert set(house.upstream.models) == {RETIRED}


def test_what_others_have_learnt_of_a_successor_opens_it_to_nobody() -> None:
    house = House(Upstream((RequestRefused("no"),), HELLO))
    principal = Principal(KEY, "key", KeyPolicy(models=frozenset({RETIRED})))
    house.answer(model=RETIRED)

    list(house.gateway.stream(ChatRequest((_message("Hi"),), RETIRED, principal=principal)))

    assert house.upstream.models == [RETIRED, SUCCESSOR, RETIRED]


# The time that one request may take


def over() -> None:
    """Let all of the time be over at this moment."""
    request_context.current().until = time.monotonic()


def test_a_request_has_its_deadline_from_its_beginning() -> None:
    house = House(Upstream(HELLO), request_timeout_s=60)
    left_s: list[float] = []
    house.upstream.on_ask = lambda: left_s.append(
        request_context.current().until - time.monotonic()
    )

    house.answer("Hi")

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
    house = House(Upstream((error,), HELLO), ONE, TWO, request_timeout_s=60)
    house.upstream.on_ask = over

    told, said = house.failure("Hi")

    assert (type(told), told.message, said) == (
        UpstreamTimeout,
        "the answer took longer than 60 s",
        [],
    )
    assert (house.upstream.accounts, house.pauses) == (["one"], [])


def test_when_the_time_is_over_in_a_stream_its_error_says_so() -> None:
    house = House(Upstream((TextDelta("Half"), UpstreamTimeout("silent"))), request_timeout_s=60)
    house.upstream.on_ask = over

    told, said = house.failure("Hi")

    assert told.message == "the answer took longer than 60 s"
    assert said[-1] == TextDelta("Half")


def test_the_request_s_own_fault_is_told_also_when_the_time_is_over() -> None:
    house = House(Upstream((ContextLengthExceeded("long"),)), request_timeout_s=60)
    house.upstream.on_ask = over

    told, _ = house.failure("Hi")

    assert type(told) is ContextLengthExceeded


def test_nobody_waits_in_line_beyond_the_end_of_the_request() -> None:
    house = House(Upstream(HELLO), concurrency=1, request_timeout_s=0.02)

    with house.pool.lease():
        told, _ = house.failure("Hi")

    assert (type(told), told.message) == (UpstreamTimeout, "the answer took longer than 0.02 s")


def test_a_conversation_of_which_the_upstream_took_nothing_goes_on_after_the_time_was_over() -> (
    None
):
    untaken = UpstreamTimeout("the sign-in took longer")
    untaken.was_taken = False
    house = House(Upstream(HELLO, (untaken,), HELLO))
    conversation = house.begun("Hi")
    house.upstream.on_ask = over
    house.failure("More", caller=KEY, conversation=conversation)
    house.upstream.on_ask = lambda: None

    house.answer("More", caller=KEY, conversation=conversation)

    assert len(set(house.upstream.sessions)) == 1


def test_only_a_request_that_another_account_may_serve_has_somewhere_to_go() -> None:
    house = House(Upstream(HELLO), ONE, TWO)
    has_elsewhere: list[bool] = []
    house.upstream.on_ask = lambda: has_elsewhere.append(request_context.current().has_elsewhere())

    house.answer("Hi")
    conversation = house.begun("Hi")
    house.answer("More", caller=KEY, conversation=conversation)
    house.pool.disable("two")
    house.answer("Hi")

    assert has_elsewhere == [True, True, False, False]
