"""The official `anthropic` client against the real thing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar, get_type_hints

import anthropic
import pytest
from anthropic.types import Message, ModelInfo, RawMessageStreamEvent
from anthropic.types.beta.message_create_params import MessageCreateParamsBase
from pydantic import BaseModel, TypeAdapter

from gbproxy.api.anthropic.request import MessagesBody
from gbproxy.simulator import (
    Fin,
    Text,
    answer,
    http_error,
    overloaded,
    policy_violation,
    quota,
)
from tests.support.chats import used_sessions
from tests.support.serving import Served, SharedUpstream
from tests.support.texts import FRAGMENTS, QUESTION, TEXT

T = TypeVar("T")
ASKED: Any = [{"role": "user", "content": QUESTION}]
USED = "gemini-3.8-flash"
THINKING: Any = {"type": "enabled", "budget_tokens": 1024}
ABOUT_OSLO: Any = [{"role": "user", "content": "What is the weather in Oslo?"}]
WEATHER: Any = {
    "name": "get_weather",
    "description": "Tells the weather.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
SEARCH: Any = {"type": "web_search_20260318", "name": "web_search", "max_uses": 3}
streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


class Fact(BaseModel):
    capital: str


@pytest.fixture
def claude(gateway: Served) -> Iterator[anthropic.Anthropic]:
    """The official client, without retries of its own."""
    with anthropic.Anthropic(base_url=gateway.url, api_key=gateway.key, max_retries=0) as made:
        yield made


def ask(client: anthropic.Anthropic, *, stream: bool, **fields: Any) -> Message:
    """One message, whole or put together from its stream by the SDK's helper."""
    asked = {"model": USED, "max_tokens": 4096, "messages": ASKED, **fields}
    if not stream:
        return client.messages.create(**asked)
    with client.messages.stream(**asked) as events:
        return events.get_final_message()


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


@streamed_or_not
def test_a_message(claude: anthropic.Anthropic, upstream: SharedUpstream, stream: bool) -> None:
    upstream.script(*answer(*FRAGMENTS))

    message = ask(claude, stream=stream)

    [block] = message.content
    assert (block.type, text_of(message)) == ("text", TEXT)
    assert (message.role, message.model, message.type) == ("assistant", USED, "message")
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    assert upstream.questions() == [QUESTION]


def test_the_events_of_a_stream(claude: anthropic.Anthropic, upstream: SharedUpstream) -> None:
    upstream.script(*answer(*FRAGMENTS, thoughts=("Hm.",)))

    with claude.messages.create(
        model=USED, max_tokens=4096, messages=ASKED, thinking=THINKING, stream=True
    ) as stream:
        events = list(stream)

    kinds = [
        f"{event.type}:{event.delta.type}" if event.type == "content_block_delta" else event.type
        for event in events
    ]
    assert list(dict.fromkeys(kinds)) == [
        "message_start",
        "content_block_start",
        "content_block_delta:thinking_delta",
        "content_block_delta:signature_delta",
        "content_block_stop",
        "content_block_delta:text_delta",
        "message_delta",
        "message_stop",
    ]
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 2
    for event in events:
        TypeAdapter(RawMessageStreamEvent).validate_python(event.to_dict(), strict=True)


@streamed_or_not
def test_usage_is_told_at_the_beginning_and_at_the_end(
    claude: anthropic.Anthropic, upstream: SharedUpstream, stream: bool
) -> None:
    upstream.script(*answer(*FRAGMENTS), times=2)

    whole = ask(claude, stream=False)
    with claude.messages.create(model=USED, max_tokens=4096, messages=ASKED, stream=True) as events:
        told = [event for event in events if event.type in ("message_start", "message_delta")]

    start, end = told
    assert start.type == "message_start"
    assert end.type == "message_delta"
    assert start.message.usage.input_tokens == end.usage.input_tokens == whole.usage.input_tokens
    assert end.usage.output_tokens == whole.usage.output_tokens


@streamed_or_not
@pytest.mark.parametrize(
    ("thinking", "shown"),
    [
        (THINKING, True),
        ({"type": "adaptive"}, True),
        ({"type": "adaptive", "display": "omitted"}, False),
        ({"type": "disabled"}, False),
        ({"type": "between_tools"}, False),
        (None, False),
    ],
)
def test_thoughts_are_shown_where_they_are_asked_for(
    claude: anthropic.Anthropic,
    upstream: SharedUpstream,
    thinking: Any,
    shown: bool,
    stream: bool,
) -> None:
    upstream.script(*answer(*FRAGMENTS, thoughts=("Hm.",)))

    message = ask(claude, stream=stream, **({"thinking": thinking} if thinking else {}))

    thoughts = [block for block in message.content if block.type == "thinking"]
    assert [block.type for block in message.content] == [*["thinking"] * shown, "text"]
    assert all("Hm." in block.thinking and block.signature for block in thoughts)
    assert text_of(message) == TEXT
    assert message.usage.output_tokens_details is not None
    assert message.usage.output_tokens_details.thinking_tokens > 0


def test_a_conversation_goes_on_with_thoughts_handed_back(
    claude: anthropic.Anthropic, upstream: SharedUpstream
) -> None:
    upstream.script(*answer("Rock.", thoughts=("Hm.",)))
    upstream.script(*answer("Grey."))
    first = ask(claude, stream=True, system="Be brief.", thinking=THINKING)

    history = [*ASKED, first.to_param(), {"role": "user", "content": "Which colour?"}]
    second = ask(claude, stream=False, system="Be brief.", thinking=THINKING, messages=history)

    assert text_of(second) == "Grey."
    [session] = used_sessions(upstream)
    opening, going_on = session.queries
    assert "Be brief." in opening
    assert going_on == "Which colour?"


@streamed_or_not
def test_a_stop_sequence_is_named(
    claude: anthropic.Anthropic, upstream: SharedUpstream, stream: bool
) -> None:
    upstream.script(*answer("One ", "two ", "three ", "four"))

    message = ask(claude, stream=stream, stop_sequences=["nine", "three"])

    assert text_of(message) == "One two "
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "three")


@streamed_or_not
def test_the_limit_of_tokens(
    claude: anthropic.Anthropic, upstream: SharedUpstream, stream: bool
) -> None:
    upstream.script(*answer(*FRAGMENTS))

    message = ask(claude, stream=stream, max_tokens=2)

    assert message.stop_reason == "max_tokens"
    assert TEXT.startswith(text_of(message))
    assert message.usage.output_tokens == 2


@streamed_or_not
def test_no_tokens_are_answered_at_once_and_without_the_upstream(
    claude: anthropic.Anthropic, upstream: SharedUpstream, stream: bool
) -> None:
    message = ask(claude, stream=stream, max_tokens=0)

    assert (message.content, message.stop_reason, message.model) == ([], "max_tokens", USED)
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens == 0
    assert upstream.calls("widgetStreamAssist") == []


@streamed_or_not
def test_a_blocked_answer_is_a_refusal(
    claude: anthropic.Anthropic, upstream: SharedUpstream, stream: bool
) -> None:
    upstream.script(*policy_violation())

    message = ask(claude, stream=stream)

    assert message.stop_reason == "refusal"
    assert message.stop_details is not None
    assert message.stop_details.explanation == text_of(message) != ""


# Tools


@streamed_or_not
def test_a_call_and_its_result(
    claude: anthropic.Anthropic, upstream: SharedUpstream, stream: bool
) -> None:
    called = ask(claude, stream=stream, messages=ABOUT_OSLO, tools=[WEATHER])
    [call] = called.content
    assert call.type == "tool_use"
    result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": "4 C"}
    history = [*ABOUT_OSLO, called.to_param(), {"role": "user", "content": [result]}]
    answered = ask(claude, stream=stream, messages=history, tools=[WEATHER])

    assert (called.stop_reason, call.name, call.input) == (
        "tool_use",
        "get_weather",
        {"city": "Oslo"},
    )
    assert text_of(answered) == "It says: 4 C"
    assert len(used_sessions(upstream)) == 1


def test_a_tool_choice_is_held_to(claude: anthropic.Anthropic, upstream: SharedUpstream) -> None:
    hi: Any = [{"role": "user", "content": "Hello"}]

    named = ask(
        claude,
        stream=False,
        messages=hi,
        tools=[WEATHER],
        tool_choice={"type": "tool", "name": "get_weather"},
    )
    none = ask(
        claude, stream=False, messages=ABOUT_OSLO, tools=[WEATHER], tool_choice={"type": "none"}
    )

    assert [block.type for block in named.content] == ["tool_use"]
    assert [block.type for block in none.content] == ["text"]


def test_the_tool_runner_runs_a_function_and_keeps_the_history_itself(
    claude: anthropic.Anthropic,
) -> None:
    asked: list[str] = []

    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """Tells the weather."""
        asked.append(city)
        return "4 C"

    runner = claude.beta.messages.tool_runner(
        model=USED, max_tokens=4096, tools=[get_weather], messages=ABOUT_OSLO
    )
    last = runner.until_done()

    assert asked == ["Oslo"]
    assert [block.text for block in last.content if block.type == "text"] == ["It says: 4 C"]


@streamed_or_not
def test_sources_of_a_search(
    claude: anthropic.Anthropic, upstream: SharedUpstream, stream: bool
) -> None:
    upstream.set(citations=True)
    upstream.script(*answer(*FRAGMENTS))

    message = ask(claude, stream=stream, tools=[SEARCH])

    text, use, result = message.content
    assert text.type == "text"
    assert text.text.startswith(TEXT[:10])
    assert text.citations
    assert {each.type for each in text.citations} == {"web_search_result_location"}
    assert use.type == "server_tool_use"
    assert result.type == "web_search_tool_result"
    assert result.tool_use_id == use.id
    assert isinstance(result.content, list)
    assert {page.url for page in result.content} == {each.url for each in text.citations}  # type: ignore[union-attr]
    assert [block.type for block in message.content].count("tool_use") == 0


def test_server_tools_that_are_not_offered_are_named_and_left_out(
    claude: anthropic.Anthropic, upstream: SharedUpstream
) -> None:
    upstream.script(*answer(*FRAGMENTS))

    raw = claude.messages.with_raw_response.create(
        model=USED,
        max_tokens=4096,
        messages=ASKED,
        tools=[{"type": "code_execution_20260521", "name": "code_execution"}, SEARCH],
    )

    assert text_of(raw.parse()).startswith(TEXT[:10])
    assert raw.headers["x-gbproxy-ignored"].split(", ") == [
        "tools.code_execution_20260521",
        "web_search.max_uses",
    ]


# Structured output


@streamed_or_not
def test_an_answer_is_parsed_into_a_model(claude: anthropic.Anthropic, stream: bool) -> None:
    asked: Any = {
        "model": USED,
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": "What is the capital, Oslo?"}],
        "output_format": Fact,
    }
    if stream:
        with claude.messages.stream(**asked) as events:
            parsed = events.get_final_message()
    else:
        parsed = claude.messages.parse(**asked)

    assert parsed.parsed_output == Fact(capital="Oslo")


def test_an_answer_that_cannot_be_parsed_is_a_refusal(
    claude: anthropic.Anthropic, upstream: SharedUpstream
) -> None:
    upstream.set(json_manner="never")

    parsed = claude.messages.parse(model=USED, max_tokens=4096, messages=ASKED, output_format=Fact)

    assert (parsed.parsed_output, parsed.stop_reason) == (None, "refusal")


# Tokens and models


def test_the_tokens_of_a_request_are_those_that_its_answer_tells(
    claude: anthropic.Anthropic, upstream: SharedUpstream
) -> None:
    asked: Any = {"system": "Be brief.", "messages": ABOUT_OSLO, "tools": [WEATHER]}

    counted = claude.messages.count_tokens(model=USED, **asked)

    assert upstream.calls("widgetStreamAssist") == []
    assert counted.input_tokens == ask(claude, stream=False, **asked).usage.input_tokens > 0


def test_models(claude: anthropic.Anthropic) -> None:
    models = list(claude.models.list())
    retrieved = [claude.models.retrieve(model.id) for model in models]

    assert retrieved == models
    assert {"gemini-auto", USED} <= {model.id for model in models}


def test_models_by_pages_in_both_directions(claude: anthropic.Anthropic) -> None:
    ids = [model.id for model in claude.models.list()]

    forwards = list(claude.models.list(limit=5))
    page = claude.models.list(limit=5)
    backwards = claude.models.list(limit=5, before_id=ids[-1])

    assert [model.id for model in forwards] == ids
    assert (page.has_more, page.first_id, page.last_id) == (True, ids[0], ids[4])
    assert [model.id for model in backwards.data] == ids[-6:-1]
    assert backwards.has_more is True


# Errors


@streamed_or_not
@pytest.mark.parametrize(
    ("script", "kind", "status", "type_"),
    [
        pytest.param(
            http_error(400, "INVALID_ARGUMENT"),
            anthropic.BadRequestError,
            400,
            "invalid_request_error",
            id="400",
        ),
        pytest.param(quota(), anthropic.RateLimitError, 429, "rate_limit_error", id="429"),
        pytest.param(overloaded(), anthropic.OverloadedError, 529, "overloaded_error", id="529"),
        pytest.param((Fin(),), anthropic.InternalServerError, 502, "api_error", id="502"),
    ],
)
def test_upstream_failures_have_their_classes(
    claude: anthropic.Anthropic, upstream: SharedUpstream, script: Any,
    kind: type[anthropic.APIStatusError], status: int, type_: str, stream: bool,
) -> None:  # fmt: skip
    upstream.script(*script, times=3)

    with pytest.raises(kind) as raised:
        ask(claude, stream=stream)

    assert (raised.value.status_code, raised.value.type) == (status, type_)
    body: Any = raised.value.body
    assert body["request_id"] == raised.value.request_id != None  # noqa: E711


def test_request_errors_have_their_classes(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as unknown:
        ask(claude, stream=False, model="none-such")
    with pytest.raises(anthropic.NotFoundError):
        claude.models.retrieve("none-such")
    with pytest.raises(anthropic.BadRequestError) as malformed:
        ask(claude, stream=False, messages=[{"role": "user", "content": [{"type": "text"}]}])
    with pytest.raises(anthropic.AuthenticationError) as stranger:
        claude.with_options(api_key="sk-wrong").models.list()
    with pytest.raises(anthropic.HTTPNotImplementedError):
        claude.messages.batches.list()

    assert unknown.value.type == "not_found_error"
    assert malformed.value.api_message is not None
    assert malformed.value.api_message.startswith("messages.0.content.0.text ")
    assert stranger.value.type == "authentication_error"


def test_an_error_in_the_stream_is_raised(
    claude: anthropic.Anthropic, upstream: SharedUpstream
) -> None:
    upstream.script(Text("Half "), Fin())
    said: list[str] = []

    with (
        claude.messages.stream(model=USED, max_tokens=4096, messages=ASKED) as stream,
        pytest.raises(anthropic.APIError) as raised,
    ):
        said.extend(stream.text_stream)

    assert said[-1] == "Half "
    body: Any = raised.value.body
    assert body["error"]["type"] == "api_error"


def test_the_sdks_own_retries_do_not_multiply_ours(
    gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.script(*quota(), times=10)

    with (
        anthropic.Anthropic(base_url=gateway.url, api_key=gateway.key) as client,
        pytest.raises(anthropic.RateLimitError),
    ):
        ask(client, stream=False)

    assert len(upstream.calls("widgetStreamAssist")) == 1


def test_the_id_of_a_request_is_known(claude: anthropic.Anthropic, gateway: Served) -> None:
    message = ask(claude, stream=False)

    assert message._request_id
    line = gateway.wait_for_event(
        "request.done", lambda line: line["request_id"] == message._request_id
    )
    assert line["model"] == USED


# The SDK itself


def test_the_asynchronous_client(gateway: Served, upstream: SharedUpstream) -> None:
    upstream.script(*answer(*FRAGMENTS), times=2)

    async def use(client: anthropic.AsyncAnthropic) -> tuple[str, str, int, list[str]]:
        asked: Any = {"model": USED, "max_tokens": 4096, "messages": ASKED}
        whole = await client.messages.create(**asked)
        async with client.messages.stream(**asked) as stream:
            streamed = await stream.get_final_text()
        counted = await client.messages.count_tokens(model=USED, messages=ASKED)
        ids = [model.id async for model in client.models.list(limit=3)]
        return text_of(whole), streamed, counted.input_tokens, ids

    whole, streamed, counted, ids = with_async_client(gateway, use)

    assert (whole, streamed) == (TEXT, TEXT)
    assert counted > 0
    assert USED in ids


def test_a_key_may_come_as_bearer(gateway: Served) -> None:
    with anthropic.Anthropic(base_url=gateway.url, auth_token=gateway.key) as client:
        assert client.models.list().data


def test_bodies_are_strictly_what_the_types_of_the_sdk_say(
    claude: anthropic.Anthropic, upstream: SharedUpstream
) -> None:
    upstream.set(citations=True)
    upstream.script(*answer(*FRAGMENTS, thoughts=("Hm.",)))
    upstream.script(*policy_violation())

    for tools in ([SEARCH], [WEATHER]):
        raw = claude.messages.with_raw_response.create(
            model=USED, max_tokens=4096, messages=ASKED, thinking=THINKING, tools=tools
        )
        Message.model_validate_json(raw.text(), strict=True)
    listed = claude.models.with_raw_response.list()

    for model in json.loads(listed.text())["data"]:
        ModelInfo.model_validate_json(json.dumps(model), strict=True)


def test_every_parameter_of_the_sdk_has_an_effect_or_is_named_as_ignored(
    claude: anthropic.Anthropic,
) -> None:
    """A new version of the SDK that brings new ones fails here."""
    with_effect = {
        "messages", "model", "max_tokens", "system", "stop_sequences", "tools", "tool_choice",
        "thinking", "output_config", "thread",
    }  # fmt: skip
    without = set(get_type_hints(MessageCreateParamsBase)) - with_effect
    assert without <= MessagesBody.model_fields.keys()

    raw = claude.messages.with_raw_response.create(
        model=USED, max_tokens=16, messages=ASKED, extra_body=dict.fromkeys(without, 1)
    )

    assert without <= set(raw.headers["x-gbproxy-ignored"].split(", "))


def with_async_client(
    gateway: Served, use: Callable[[anthropic.AsyncAnthropic], Awaitable[T]]
) -> T:
    async def run() -> T:
        async with anthropic.AsyncAnthropic(
            base_url=gateway.url, api_key=gateway.key, max_retries=0
        ) as client:
            return await use(client)

    return asyncio.run(run())
