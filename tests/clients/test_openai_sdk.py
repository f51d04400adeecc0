"""The official `openai` client against the real thing: what its users see is what the upstream
said.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, get_type_hints

import openai
import pytest
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from pydantic import BaseModel

from gbproxy.api.openai.request import CompletionBody
from gbproxy.simulator import (
    Fin,
    Final,
    Text,
    answer,
    http_error,
    overloaded,
    policy_violation,
    quota,
)
from tests.support.chats import used_sessions
from tests.support.messages_with_files import (
    MP3,
    PDF,
    PNG,
    file,
    files_of,
    image,
    questions,
    says,
    text,
)
from tests.support.serving import Served, SharedUpstream
from tests.support.texts import FRAGMENTS, QUESTION, TEXT

T = TypeVar("T")
ASKED: Any = [{"role": "user", "content": QUESTION}]
USED = "gemini-3.8-flash"
VOICE = ("voice.wav", b"RIFF" + b"x" * 100_000)


def test_an_answer_in_one_piece(client: openai.OpenAI, upstream: SharedUpstream) -> None:
    upstream.script(*answer(*FRAGMENTS))

    completion = client.chat.completions.create(model=USED, messages=ASKED)

    assert completion.choices[0].message.content == TEXT
    assert completion.choices[0].message.role == "assistant"
    assert completion.choices[0].message.refusal is None
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == USED
    assert completion.usage is not None
    assert (
        completion.usage.total_tokens
        == completion.usage.prompt_tokens + completion.usage.completion_tokens
        > 0
    )
    assert upstream.questions() == [QUESTION]


def test_an_answer_as_it_comes(client: openai.OpenAI, upstream: SharedUpstream) -> None:
    upstream.script(*answer(*FRAGMENTS))

    with client.chat.completions.create(model=USED, messages=ASKED, stream=True) as stream:
        chunks = list(stream)

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + [
        "stop"
    ]
    assert {(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks} == {
        (chunks[0].id, chunks[0].created, USED, "chat.completion.chunk")
    }
    assert all(chunk.usage is None for chunk in chunks)


def test_usage_is_the_same_streamed_and_not(
    client: openai.OpenAI, upstream: SharedUpstream
) -> None:
    upstream.script(*answer(*FRAGMENTS), times=2)

    whole = client.chat.completions.create(model=USED, messages=ASKED)
    with client.chat.completions.create(
        model=USED, messages=ASKED, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)

    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_the_stream_helper(client: openai.OpenAI, upstream: SharedUpstream) -> None:
    upstream.script(*answer(*FRAGMENTS))

    with client.chat.completions.stream(
        model=USED, messages=ASKED, stream_options={"include_usage": True}
    ) as stream:
        kinds = [event.type for event in stream]
        completion = stream.get_final_completion()

    assert completion.choices[0].message.content == TEXT
    assert completion.usage is not None
    assert "content.delta" in kinds
    assert "content.done" in kinds


def test_the_asynchronous_client(gateway: Served, upstream: SharedUpstream) -> None:
    upstream.script(*answer(*FRAGMENTS), times=3)

    async def ask(client: openai.AsyncOpenAI) -> tuple[str | None, str, str | None]:
        whole = await client.chat.completions.create(model=USED, messages=ASKED)
        async with await client.chat.completions.create(
            model=USED, messages=ASKED, stream=True
        ) as stream:
            streamed = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        async with client.chat.completions.stream(model=USED, messages=ASKED) as helper:
            final = await helper.get_final_completion()
        return whole.choices[0].message.content, streamed, final.choices[0].message.content

    assert with_async_client(gateway, ask) == (TEXT, TEXT, TEXT)


def test_many_asynchronous_streams_at_once(gateway: Served, upstream: SharedUpstream) -> None:
    upstream.script(*answer("a", "b", "c", "d", pause_s=0.05), times=20)

    async def one(client: openai.AsyncOpenAI) -> str:
        async with await client.chat.completions.create(
            model=USED, messages=ASKED, stream=True
        ) as stream:
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def all_of_them(client: openai.AsyncOpenAI) -> list[str]:
        return await asyncio.gather(*(one(client) for _ in range(20)))

    assert with_async_client(gateway, all_of_them) == ["abcd"] * 20


def test_a_conversation(client: openai.OpenAI, upstream: SharedUpstream) -> None:
    upstream.script(*answer("Rock."))
    upstream.script(*answer("Grey."))
    messages: list[Any] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "What is it of?"},
    ]

    first = client.chat.completions.create(model=USED, messages=messages)
    messages += [first.choices[0].message, {"role": "user", "content": "Which colour?"}]
    second = client.chat.completions.create(model=USED, messages=messages)

    assert second.choices[0].message.content == "Grey."
    (session,) = used_sessions(upstream)
    opening, going_on = session.queries
    places = [opening.index(text) for text in ("Be brief.", "What is it of?")]
    assert places == sorted(places)
    assert going_on == "Which colour?"


def test_sources_of_a_search(client: openai.OpenAI, upstream: SharedUpstream) -> None:
    upstream.set(citations=True)
    upstream.script(*answer(*FRAGMENTS), times=2)

    whole = client.chat.completions.create(model=USED, messages=ASKED, web_search_options={})
    with client.chat.completions.create(
        model=f"{USED}-search", messages=ASKED, stream=True
    ) as stream:
        deltas = [choice.delta for chunk in stream for choice in chunk.choices]

    message = whole.choices[0].message
    assert message.content is not None
    assert message.annotations is not None
    [source] = [annotation.url_citation for annotation in message.annotations]
    assert TEXT.endswith(message.content[source.start_index : source.end_index])
    # The SDK keeps in a delta what its types do not name.
    [streamed] = [
        found for delta in deltas if (found := (delta.model_extra or {}).get("annotations"))
    ]
    assert streamed == [annotation.model_dump() for annotation in message.annotations]


WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
ABOUT_OSLO: Any = [{"role": "user", "content": "What is the weather in Oslo?"}]


class Fact(BaseModel):
    capital: str


def test_a_call_and_its_result(client: openai.OpenAI, upstream: SharedUpstream) -> None:
    called = client.chat.completions.create(model=USED, messages=ABOUT_OSLO, tools=[WEATHER])
    [choice] = called.choices
    assert choice.message.tool_calls is not None
    [call] = choice.message.tool_calls
    assert call.type == "function"
    history = [
        *ABOUT_OSLO,
        choice.message,
        {"role": "tool", "tool_call_id": call.id, "content": "4 C"},
    ]
    answered = client.chat.completions.create(model=USED, messages=history, tools=[WEATHER])

    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert json.loads(call.function.arguments) == {"city": "Oslo"}
    assert answered.choices[0].message.content == "It says: 4 C"
    assert len(used_sessions(upstream)) == 1


def test_a_streamed_call_is_put_together(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model=USED, messages=ABOUT_OSLO, tools=[WEATHER], tool_choice="required"
    ) as stream:
        kinds = [event.type for event in stream]
        [choice] = stream.get_final_completion().choices

    assert "tool_calls.function.arguments.done" in kinds
    assert choice.message.tool_calls is not None
    [call] = choice.message.tool_calls
    assert call.function.parsed_arguments == {"city": "Oslo"}


def test_an_answer_is_parsed_into_a_model(client: openai.OpenAI) -> None:
    asked: Any = [{"role": "user", "content": "What is the capital, Oslo?"}]
    whole = client.chat.completions.parse(model=USED, messages=asked, response_format=Fact)
    with client.chat.completions.stream(model=USED, messages=asked, response_format=Fact) as stream:
        streamed = stream.get_final_completion()

    assert whole.choices[0].message.parsed == Fact(capital="Oslo")
    assert streamed.choices[0].message.parsed == Fact(capital="Oslo")


def test_an_answer_that_cannot_be_parsed_is_a_refusal(
    client: openai.OpenAI, upstream: SharedUpstream
) -> None:
    upstream.set(json_manner="never")

    [choice] = client.chat.completions.parse(
        model=USED, messages=ASKED, response_format=Fact
    ).choices

    assert choice.message.parsed is None
    assert choice.message.refusal


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_several_answers(client: openai.OpenAI, upstream: SharedUpstream, stream: bool) -> None:
    upstream.script(*answer(*FRAGMENTS), times=2)
    texts = ["", ""]

    if stream:
        for chunk in client.chat.completions.create(model=USED, messages=ASKED, n=2, stream=True):
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
    else:
        found = client.chat.completions.create(model=USED, messages=ASKED, n=2).choices
        texts = [choice.message.content or "" for choice in found]

    assert texts == [TEXT, TEXT]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_pictures_sounds_and_files(
    client: openai.OpenAI, upstream: SharedUpstream, stream: bool
) -> None:
    upstream.script(*answer(*FRAGMENTS))
    sound = {"data": base64.b64encode(MP3).decode(), "format": "mp3"}
    asked: Any = [
        says(
            text(QUESTION),
            image(PNG),
            {"type": "input_audio", "input_audio": sound},
            file(PDF, "report.pdf"),
        )
    ]

    answered = client.chat.completions.create(model=USED, messages=asked, stream=stream)

    if stream:
        said = "".join(chunk.choices[0].delta.content or "" for chunk in answered)
    else:
        said = answered.choices[0].message.content
    assert said == TEXT
    [question] = questions(upstream)
    assert files_of(upstream, question) == [
        ("file.png", "image/png", PNG),
        ("audio.mp3", "audio/mpeg", MP3),
        ("report.pdf", "application/pdf", PDF),
    ]


def test_models(client: openai.OpenAI) -> None:
    models = client.models.list().data
    retrieved = [client.models.retrieve(model.id) for model in models]

    assert retrieved == models
    assert {"gemini-auto", USED} <= {model.id for model in models}


def test_a_blocked_answer(client: openai.OpenAI, upstream: SharedUpstream) -> None:
    upstream.script(*policy_violation())

    choice = client.chat.completions.create(model=USED, messages=ASKED).choices[0]

    assert choice.finish_reason == "content_filter"
    assert choice.message.refusal


# Errors


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("script", "kind", "status", "code"),
    [
        pytest.param(
            http_error(400, "INVALID_ARGUMENT"),
            openai.BadRequestError,
            400,
            "invalid_request_error",
            id="400",
        ),
        pytest.param(quota(), openai.RateLimitError, 429, "insufficient_quota", id="429"),
        pytest.param(
            overloaded(), openai.InternalServerError, 503, "upstream_overloaded", id="503"
        ),
        pytest.param((Fin(),), openai.InternalServerError, 502, "upstream_error", id="502"),
    ],
)
def test_upstream_failures_have_their_classes(
    client: openai.OpenAI, upstream: SharedUpstream, script: Any, kind: type[openai.APIStatusError], status: int,
    code: str, stream: bool,
) -> None:  # fmt: skip
    upstream.script(*script, times=3)

    with pytest.raises(kind) as raised:
        client.chat.completions.create(model=USED, messages=ASKED, stream=stream)

    assert raised.value.status_code == status
    assert raised.value.code == code
    assert raised.value.request_id


def test_request_errors_have_their_classes(client: openai.OpenAI) -> None:
    wrong: Any = [
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}],
        }
    ]
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="none-such", messages=ASKED)
    with pytest.raises(openai.NotFoundError) as not_listed:
        client.models.retrieve("none-such")
    with pytest.raises(openai.BadRequestError) as malformed:
        client.chat.completions.create(model=USED, messages=wrong)
    with pytest.raises(openai.AuthenticationError) as stranger:
        client.with_options(api_key="sk-wrong").models.list()
    with pytest.raises(openai.APIStatusError) as not_offered:
        client.embeddings.create(model="x", input="x")

    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    assert (not_listed.value.code, not_listed.value.param) == ("model_not_found", "model")
    assert (malformed.value.code, malformed.value.param) == (
        "invalid_request_error",
        "messages[0].content[0].image_url",
    )
    assert stranger.value.code == "invalid_api_key"
    assert (not_offered.value.status_code, not_offered.value.code) == (501, "not_implemented")


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.embeddings.create(model="text-embedding-3-small", input=["x", "y"]),
        lambda client: client.moderations.create(input="x"),
        lambda client: client.audio.speech.create(model="tts-1", voice="alloy", input="x"),
        lambda client: client.audio.transcriptions.create(model="whisper-1", file=VOICE),
    ],
    ids=["embeddings", "moderations", "speech", "transcriptions"],
)
def test_what_the_upstream_cannot_do_is_told_to_those_with_a_key(
    gateway: Served, upstream: SharedUpstream, call: Callable[[openai.OpenAI], object]
) -> None:
    """Nothing is invented, and the SDK does not ask again."""
    sent: list[object] = []

    with (
        openai.DefaultHttpxClient(event_hooks={"request": [sent.append]}) as counted,
        openai.OpenAI(
            base_url=f"{gateway.url}/v1", api_key=gateway.key, http_client=counted
        ) as client,
    ):
        with pytest.raises(openai.InternalServerError) as not_offered:
            call(client)
        with pytest.raises(openai.AuthenticationError) as stranger:
            call(client.with_options(api_key="sk-wrong"))

    assert not_offered.value.status_code == 501
    assert (not_offered.value.code, not_offered.value.type) == ("not_implemented", "server_error")
    assert stranger.value.code == "invalid_api_key"
    assert len(sent) == 2
    assert upstream.calls("widgetStreamAssist") == []


def test_an_error_in_the_stream_is_raised(client: openai.OpenAI, upstream: SharedUpstream) -> None:
    upstream.script(Text("Half "), Fin())
    said: list[str] = []

    with (
        client.chat.completions.create(model=USED, messages=ASKED, stream=True) as stream,
        pytest.raises(openai.APIError) as raised,
    ):
        said.extend(chunk.choices[0].delta.content or "" for chunk in stream)

    assert said[-1] == "Half "
    assert raised.value.code == "upstream_error"


@pytest.mark.parametrize(
    ("script", "tries"),
    [
        pytest.param(quota(), 1, id="quota"),
        pytest.param((Fin(),), 2, id="cut"),
        pytest.param(http_error(500, "INTERNAL"), 2, id="500"),
    ],
)
def test_the_sdks_own_retries_do_not_multiply_ours(
    gateway: Served, upstream: SharedUpstream, script: Any, tries: int
) -> None:
    upstream.script(*script, times=10)

    with (
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key) as client,
        pytest.raises(openai.APIStatusError),
    ):
        client.chat.completions.create(model=USED, messages=ASKED)

    assert len(upstream.calls("widgetStreamAssist")) == tries


def test_an_overload_is_tried_again_when_it_says_so(
    gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.script(*overloaded(0.2))
    upstream.script(Text("Now."), Final())

    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key) as client:
        completion = client.chat.completions.create(model=USED, messages=ASKED)

    assert completion.choices[0].message.content == "Now."


def test_the_id_of_a_request_is_known(client: openai.OpenAI, gateway: Served) -> None:
    completion = client.chat.completions.create(model=USED, messages=ASKED)

    assert completion._request_id
    line = gateway.wait_for_event(
        "request.done", lambda line: line["request_id"] == completion._request_id
    )
    assert line["model"] == USED


# The SDK's own types


def test_bodies_are_strictly_what_the_types_of_the_sdk_say(
    client: openai.OpenAI, upstream: SharedUpstream
) -> None:
    upstream.script(*answer(*FRAGMENTS))
    upstream.script(*policy_violation())

    for _ in range(2):
        raw = client.chat.completions.with_raw_response.create(model=USED, messages=ASKED)
        ChatCompletion.model_validate_json(raw.text, strict=True)
    listed = client.models.with_raw_response.list()

    for model in listed.http_response.json()["data"]:
        Model.model_validate(model, strict=True)


@pytest.mark.parametrize(
    "script", [answer(*FRAGMENTS, thoughts=("Hm.",)), policy_violation()], ids=["answer", "blocked"]
)
def test_chunks_are_strictly_what_the_types_of_the_sdk_say(
    gateway: Served, upstream: SharedUpstream, script: Any
) -> None:
    upstream.script(*script)

    reply = gateway.ask(stream=True, stream_options={"include_usage": True}, include_reasoning=True)

    assert len(reply.chunks) > 2
    for chunk in reply.chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)


def with_async_client(gateway: Served, use: Callable[[openai.AsyncOpenAI], Awaitable[T]]) -> T:
    async def run() -> T:
        async with openai.AsyncOpenAI(
            base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0
        ) as client:
            return await use(client)

    return asyncio.run(run())


def test_every_parameter_of_the_sdk_has_an_effect_or_is_named_as_ignored(gateway: Served) -> None:
    """A new version of the SDK that brings new ones fails here."""
    parameters = get_type_hints(CompletionCreateParamsBase)
    with_effect = {
        "messages",
        "model",
        "n",
        "response_format",
        "modalities",
        "stream_options",
        "stop",
        "max_tokens",
        "max_completion_tokens",
        "web_search_options",
        "tools",
        "functions",
    }

    typed = {
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "function_call": "auto",
    }
    without = set(parameters) - with_effect
    assert without <= CompletionBody.model_fields.keys()

    reply = gateway.ask(**{name: typed.get(name, 1) for name in without})

    assert without <= set(gateway.log_of(reply)["ignored"])
