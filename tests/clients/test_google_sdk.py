"""The official `google-genai` client against the real thing, by the versions of the API that its
releases use: v1beta up to 2.x, v1 since 3.0.
"""

from __future__ import annotations

import asyncio
import enum
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from typing import Any, TypeVar

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from gbproxy.api.gemini.body import IgnoredConfig, IgnoredContent, ImageConfigBody
from gbproxy.simulator import (
    Fin,
    HoldHeaders,
    Pause,
    Text,
    answer,
    http_error,
    overloaded,
    policy_violation,
    quota,
)
from tests.support.chats import used_sessions
from tests.support.gates import Gate
from tests.support.serving import Front, Reply, Served, SharedUpstream, fronting
from tests.support.texts import FRAGMENTS, QUESTION, TEXT

T = TypeVar("T")
USED = "gemini-3.8-flash"
VERSIONS = ("v1", "v1beta")
HEARTBEAT_S = 0.3
HEARTBEAT = b"1\r\n\n\r\n"  # a chunk

# Its converters warn of what other APIs of Google's have.
pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:google.genai")


def client_of(gateway: Served, version: str | None, **options: Any) -> genai.Client:
    base = f"{gateway.url}{options.pop('path', '')}"
    return genai.Client(
        api_key=options.pop("key", gateway.key),
        http_options=types.HttpOptions(base_url=base, api_version=version),
    )


@pytest.fixture(params=VERSIONS)
def google(gateway: Served, request: pytest.FixtureRequest) -> Iterator[genai.Client]:
    with closing(client_of(gateway, request.param)) as made:
        yield made


@pytest.fixture
def newest(gateway: Served) -> Iterator[genai.Client]:
    """With the version that the client uses by itself."""
    with closing(client_of(gateway, None)) as made:
        yield made


def test_an_answer_in_one_piece(google: genai.Client, upstream: SharedUpstream) -> None:
    upstream.script(*answer(*FRAGMENTS))

    response = google.models.generate_content(
        model=USED, contents=QUESTION, config={"system_instruction": "Be brief."}
    )

    assert response.text == TEXT
    assert response.model_version == USED
    assert response.response_id
    [candidate] = response.candidates or ()
    assert candidate.finish_reason == types.FinishReason.STOP
    usage = response.usage_metadata
    assert usage is not None
    assert usage.prompt_token_count
    assert usage.candidates_token_count
    assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count
    [question] = upstream.questions()
    assert question.index("Be brief.") < question.index(QUESTION)


def test_an_answer_as_it_comes(google: genai.Client, upstream: SharedUpstream) -> None:
    upstream.script(*answer(*FRAGMENTS), times=2)

    chunks = list(google.models.generate_content_stream(model=USED, contents=QUESTION))
    whole = google.models.generate_content(model=USED, contents=QUESTION)

    assert "".join(chunk.text or "" for chunk in chunks) == TEXT
    assert {(chunk.response_id, chunk.model_version) for chunk in chunks} == {
        (chunks[0].response_id, USED)
    }
    ends = [each.finish_reason for chunk in chunks for each in chunk.candidates or ()]
    assert ends == [None] * (len(chunks) - 1) + [types.FinishReason.STOP]
    assert chunks[-1].usage_metadata == whole.usage_metadata


def test_thoughts_are_told_when_they_are_asked_for(
    google: genai.Client, upstream: SharedUpstream
) -> None:
    upstream.script(*answer(*FRAGMENTS, thoughts=("Hm. ", "So.")), times=3)
    config = types.GenerateContentConfig(
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=1000)
    )

    whole = google.models.generate_content(model=USED, contents=QUESTION, config=config)
    streamed = list(
        google.models.generate_content_stream(model=USED, contents=QUESTION, config=config)
    )
    without = google.models.generate_content(model=USED, contents=QUESTION)

    for responses in ([whole], streamed):
        parts = parts_of(*responses)
        assert "".join(part.text or "" for part in parts if part.thought) == "Hm. So."
        assert "".join(response.text or "" for response in responses) == TEXT
        assert parts[-1].thought_signature
    assert not any(part.thought for part in parts_of(without))
    assert without.usage_metadata is not None
    assert without.usage_metadata.thoughts_token_count


def parts_of(*responses: types.GenerateContentResponse) -> list[types.Part]:
    contents = [each.content for response in responses for each in response.candidates or ()]
    return [part for content in contents if content for part in content.parts or ()]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_chat_goes_on_in_one_session(
    google: genai.Client, upstream: SharedUpstream, stream: bool
) -> None:
    upstream.script(*answer("Ro", "ck."))
    upstream.script(*answer("Grey."))
    config = types.GenerateContentConfig(
        system_instruction="Be brief.",
        thinking_config=types.ThinkingConfig(include_thoughts=True),
    )
    chat = google.chats.create(model=USED, config=config)

    def say(text: str) -> str:
        if stream:
            return "".join(chunk.text or "" for chunk in chat.send_message_stream(text))
        return chat.send_message(text).text or ""

    assert say("What is it of?") == "Rock."
    assert say("Which colour?") == "Grey."
    [session] = used_sessions(upstream)
    assert session.queries[-1] == "Which colour?"
    assert chat.get_history(curated=True) == chat.get_history()


def get_weather(city: str) -> str:
    """Tells the weather of a city."""
    return "4 C" if city == "Oslo" else "unknown"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_functions_that_the_client_calls_by_itself(
    google: genai.Client, upstream: SharedUpstream, stream: bool
) -> None:
    chat = google.chats.create(model=USED, config=types.GenerateContentConfig(tools=[get_weather]))

    question = "What is the weather in Oslo?"
    if stream:
        said = "".join(chunk.text or "" for chunk in chat.send_message_stream(question))
    else:
        said = chat.send_message(question).text or ""

    assert said == "It says: 4 C"
    assert len(used_sessions(upstream)) == 1


def test_a_call_and_its_result_by_hand(google: genai.Client, upstream: SharedUpstream) -> None:
    declared = types.FunctionDeclaration(
        name="get_weather",
        parameters=types.Schema(
            type=types.Type.OBJECT,
            properties={"city": types.Schema(type=types.Type.STRING)},
            required=["city"],
        ),
    )
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declared])],
        tool_config=types.ToolConfig(
            function_calling_config=types.FunctionCallingConfig(
                mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["get_weather"]
            )
        ),
    )
    contents: list[Any] = [types.UserContent("What is the weather in Oslo?")]

    called = google.models.generate_content(model=USED, contents=contents, config=config)
    [call] = called.function_calls or ()
    result = types.Part.from_function_response(name="get_weather", response={"output": "4 C"})
    assert called.candidates
    contents += [called.candidates[0].content, types.UserContent([result])]
    config.tool_config = None
    answered = google.models.generate_content(model=USED, contents=contents, config=config)

    assert (call.name, call.args) == ("get_weather", {"city": "Oslo"})
    assert parts_of(called)[0].thought_signature
    assert answered.text == "It says: 4 C"


class Fact(BaseModel):
    capital: str


class Instrument(enum.Enum):
    PERCUSSION = "Percussion"
    STRING = "String"


def test_an_answer_that_holds_to_a_schema(google: genai.Client) -> None:
    asked = "What is the capital, Oslo?"
    forms: list[Any] = [
        {"response_schema": Fact},
        {"response_json_schema": Fact.model_json_schema()},
    ]
    for form in forms:
        config = types.GenerateContentConfig(response_mime_type="application/json", **form)
        whole = google.models.generate_content(model=USED, contents=asked, config=config)
        chunks = google.models.generate_content_stream(model=USED, contents=asked, config=config)
        streamed = "".join(chunk.text or "" for chunk in chunks)

        assert Fact.model_validate_json(whole.text or "") == Fact(capital="Oslo")
        assert Fact.model_validate_json(streamed) == Fact(capital="Oslo")
        assert whole.parsed in (Fact(capital="Oslo"), {"capital": "Oslo"})


def test_an_answer_out_of_an_enum(newest: genai.Client, upstream: SharedUpstream) -> None:
    upstream.script(*answer('"Percussion"'))

    response = newest.models.generate_content(
        model=USED,
        contents="What is a drum?",
        config=types.GenerateContentConfig(
            response_mime_type="text/x.enum", response_schema=Instrument
        ),
    )

    assert response.parsed is Instrument.PERCUSSION


def test_several_candidates(google: genai.Client, upstream: SharedUpstream) -> None:
    upstream.script(*answer(*FRAGMENTS), times=4)
    config = types.GenerateContentConfig(candidate_count=2)
    texts = ["", ""]

    whole = google.models.generate_content(model=USED, contents=QUESTION, config=config)
    for chunk in google.models.generate_content_stream(
        model=USED, contents=QUESTION, config=config
    ):
        for candidate in chunk.candidates or ():
            texts[candidate.index or 0] += "".join(
                part.text or ""
                for part in parts_of(chunk.model_copy(update={"candidates": [candidate]}))
            )

    assert [candidate.index for candidate in whole.candidates or ()] == [0, 1]
    assert texts == [TEXT, TEXT]


def test_sources_of_a_search(google: genai.Client, upstream: SharedUpstream) -> None:
    upstream.set(citations=True)
    upstream.script(*answer(*FRAGMENTS), times=2)
    config = types.GenerateContentConfig(tools=[types.Tool(google_search=types.GoogleSearch())])

    whole = google.models.generate_content(model=USED, contents=QUESTION, config=config)
    *_, last = google.models.generate_content_stream(model=USED, contents=QUESTION, config=config)

    for response in (whole, last):
        assert response.candidates
        metadata = response.candidates[0].grounding_metadata
        assert metadata is not None
        [support] = metadata.grounding_supports or ()
        assert support.segment is not None
        cited = (whole.text or "").encode()[support.segment.start_index : support.segment.end_index]
        assert cited.decode() == support.segment.text
        assert [c.web.uri for c in metadata.grounding_chunks or () if c.web]


def test_tokens_are_counted_as_usage_tells_them(google: genai.Client) -> None:
    counted = google.models.count_tokens(model=USED, contents=QUESTION)
    response = google.models.generate_content(model=USED, contents=QUESTION)

    assert response.usage_metadata is not None
    assert counted.total_tokens == response.usage_metadata.prompt_token_count


def test_models_page_by_page(google: genai.Client) -> None:
    listed = list(google.models.list(config={"page_size": 4}))
    retrieved = [google.models.get(model=model.name or "") for model in listed]

    assert [model.name for model in retrieved] == [model.name for model in listed]
    assert {"models/gemini-auto", f"models/{USED}"} <= {model.name for model in listed}
    assert all(model.input_token_limit and model.display_name for model in listed)
    assert all("generateContent" in (model.supported_actions or ()) for model in listed)


def test_a_blocked_answer(google: genai.Client, upstream: SharedUpstream) -> None:
    upstream.script(*policy_violation())

    response = google.models.generate_content(model=USED, contents=QUESTION)

    [candidate] = response.candidates or ()
    assert candidate.finish_reason == types.FinishReason.SAFETY
    assert response.text


@pytest.mark.parametrize("path", ["/gemini", "/gemini/"])
def test_behind_a_path_of_its_own(gateway: Served, path: str) -> None:
    for version in VERSIONS:
        with closing(client_of(gateway, version, path=path)) as google:
            assert google.models.generate_content(model=USED, contents=QUESTION).text
            assert list(google.models.list())


def test_the_asynchronous_client(gateway: Served, upstream: SharedUpstream) -> None:
    upstream.script(*answer(*FRAGMENTS), times=6)

    async def ask(google: genai.Client) -> tuple[str | None, str, str | None]:
        whole = await google.aio.models.generate_content(model=USED, contents=QUESTION)
        streamed = [
            chunk.text or ""
            async for chunk in await google.aio.models.generate_content_stream(
                model=USED, contents=QUESTION
            )
        ]
        chat = google.aio.chats.create(model=USED)
        said = await chat.send_message(QUESTION)
        return whole.text, "".join(streamed), said.text

    for version in VERSIONS:
        assert with_async_client(gateway, version, ask) == (TEXT, TEXT, TEXT)


def with_async_client(
    gateway: Served, version: str, use: Callable[[genai.Client], Awaitable[T]]
) -> T:
    async def run() -> T:
        with closing(client_of(gateway, version)) as google:
            try:
                return await use(google)
            finally:
                await google.aio.aclose()

    return asyncio.run(run())


# Heartbeats


@pytest.fixture(scope="module")
def impatient() -> Iterator[Front]:
    """A gateway whose heartbeat is quick."""
    settings = {"HEARTBEAT_S": str(HEARTBEAT_S)}
    with SharedUpstream() as upstream, fronting(upstream, settings) as front:
        yield front


@pytest.mark.parametrize("version", VERSIONS)
def test_heartbeats_pass_unseen(impatient: Front, version: str) -> None:
    impatient.renew()
    silence = 3 * HEARTBEAT_S
    impatient.upstream.script(HoldHeaders(silence), Text("Hel"), Pause(silence), *answer("lo!"))

    with closing(client_of(impatient.gateway, version)) as google:
        chunks = list(google.models.generate_content_stream(model=USED, contents=QUESTION))

    assert "".join(chunk.text or "" for chunk in chunks) == "Hello!"


def test_an_array_with_heartbeats_is_valid_json(impatient: Front) -> None:
    impatient.renew()
    begins, goes_on = Gate(), Gate()
    impatient.upstream.script(begins.closed, Text("Hel"), goes_on.closed, *answer("lo"))
    body = '{"contents": [{"parts": [{"text": "Hi"}]}]}'
    named = {**impatient.gateway.headers, "Host": "gateway", "Content-Length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    path = f"/v1beta/models/{USED}:streamGenerateContent"

    with impatient.gateway.call() as call:
        call.send(f"POST {path} HTTP/1.1\r\n{lines}\r\n{body}".encode())
        call.wait_for(b"\r\n\r\n", HEARTBEAT)
        begins.open()
        call.wait_for(b"Hel", HEARTBEAT)
        goes_on.open()
        reply = call.reply()

    assert reply.body.startswith(b"\n")
    responses = reply.json()
    parts = [p for r in responses for c in r["candidates"] for p in c["content"]["parts"]]
    assert "".join(part["text"] for part in parts) == "Hello"


# Errors


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("script", "kind", "code", "status"),
    [
        (http_error(400, "INVALID_ARGUMENT"), errors.ClientError, 400, "INVALID_ARGUMENT"),
        (quota(), errors.ClientError, 429, "RESOURCE_EXHAUSTED"),
        (overloaded(), errors.ServerError, 503, "UNAVAILABLE"),
        ((Fin(),), errors.ServerError, 502, "INTERNAL"),
    ],
    ids=["400", "429", "503", "502"],
)
def test_upstream_failures_have_their_classes(
    newest: genai.Client, upstream: SharedUpstream, script: Any, kind: type[errors.APIError],
    code: int, status: str, stream: bool,
) -> None:  # fmt: skip
    upstream.script(*script, times=3)

    def ask() -> object:
        if stream:
            return list(newest.models.generate_content_stream(model=USED, contents=QUESTION))
        return newest.models.generate_content(model=USED, contents=QUESTION)

    with pytest.raises(kind) as raised:
        ask()

    assert (raised.value.code, raised.value.status) == (code, status)
    assert raised.value.message


def test_request_errors_have_their_classes(google: genai.Client, gateway: Served) -> None:
    with pytest.raises(errors.ClientError) as unknown:
        google.models.generate_content(model="none-such", contents=QUESTION)
    with pytest.raises(errors.ClientError) as not_listed:
        google.models.get(model="none-such")
    with pytest.raises(errors.ClientError) as malformed:
        google.models.generate_content(
            model=USED, contents=QUESTION, config=types.GenerateContentConfig(candidate_count=9)
        )
    with pytest.raises(errors.ServerError) as not_offered:
        google.models.embed_content(model=USED, contents=QUESTION)
    with (
        closing(client_of(gateway, "v1", key="sk-wrong")) as stranger,
        pytest.raises(errors.ClientError) as refused,
    ):
        list(stranger.models.list())

    assert (unknown.value.code, unknown.value.status) == (404, "NOT_FOUND")
    assert (not_listed.value.code, not_listed.value.status) == (404, "NOT_FOUND")
    assert (malformed.value.code, malformed.value.status) == (400, "INVALID_ARGUMENT")
    assert "generationConfig.candidateCount" in (malformed.value.message or "")
    assert (not_offered.value.code, not_offered.value.status) == (501, "UNIMPLEMENTED")
    assert (refused.value.code, refused.value.status) == (401, "UNAUTHENTICATED")


def test_an_error_in_the_stream_is_raised(google: genai.Client, upstream: SharedUpstream) -> None:
    upstream.script(Text("Half "), Fin())
    said: list[str] = []

    chunks = google.models.generate_content_stream(model=USED, contents=QUESTION)
    with pytest.raises(errors.ServerError) as raised:
        said.extend(chunk.text or "" for chunk in chunks)

    assert said == ["Half "]
    assert (raised.value.code, raised.value.status) == (502, "INTERNAL")


@pytest.mark.parametrize(
    "head",
    [
        f"POST /v1/models/{USED}:generateContent HTTP/1.1\r\nno header\r\n\r\n",
        "GET /v1beta/models HTTP/1.1\r\nno header\r\n\r\n",
        "GET /v1/models HTTP/1.1\r\nx-goog-api-client: genai\r\nno header\r\n\r\n",
    ],
    ids=["method", "path", "header"],
)
def test_bytes_that_are_no_http(gateway: Served, head: str) -> None:
    reply = Reply.parse(gateway.send(head.encode()))

    assert (reply.status, reply.json()["error"]["code"]) == (400, 400)
    assert reply.json()["error"]["status"] == "INVALID_ARGUMENT"


# The SDK's own types


def test_every_parameter_of_the_sdk_has_an_effect_or_is_named_as_ignored(
    gateway: Served,
) -> None:
    """A new version of the SDK that brings new ones fails here."""
    with_effect = {
        "systemInstruction", "candidateCount", "maxOutputTokens", "stopSequences", "tools",
        "responseLogprobs", "responseMimeType", "responseSchema", "responseJsonSchema",
        "toolConfig", "cachedContent", "responseModalities", "thinkingConfig",
        "imageConfig",
    }  # fmt: skip
    of_the_sdk = {"httpOptions", "shouldReturnHttpResponse", "automaticFunctionCalling"}
    at_top = {
        "safetySettings", "labels", "serviceTier", "store", "continuationToken",
        "automaticContinuation", "modelArmorConfig",
    }  # fmt: skip
    names = {
        field.alias or name for name, field in types.GenerateContentConfig.model_fields.items()
    }
    without = {
        "modelConfig" if name == "modelSelectionConfig" else name
        for name in names - with_effect - of_the_sdk
    }
    known = {**IgnoredConfig.model_fields, **IgnoredContent.model_fields}.values()
    assert without <= {field.alias for field in known}
    body = {
        "contents": [{"parts": [{"text": "Hi"}]}],
        "generationConfig": dict.fromkeys(without - at_top, 1),
        **dict.fromkeys(without & at_top, 1),
    }

    reply = gateway.request(
        "POST", f"/v1/models/{USED}:generateContent", json.dumps(body), gateway.headers
    )

    told = {name.removeprefix("generationConfig.") for name in gateway.log_of(reply)["ignored"]}
    assert without <= told
    assert types.ImageConfig.model_fields.keys() == ImageConfigBody.model_fields.keys()
