"""Answers as responses of the Gemini API, frame by frame and whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from gbproxy.api.gemini import grounding
from gbproxy.api.gemini.candidate import SIGNATURE
from gbproxy.api.gemini.encoder import CandidatesEncoder, ContentEncoder
from gbproxy.api.gemini.framing import HEARTBEAT, Array, Events, Framing
from gbproxy.api.gemini.request import parse
from gbproxy.domain.choices import Answers, ChoiceEvent
from gbproxy.domain.events import (
    ChatEvent,
    ChatStream,
    Citation,
    Done,
    FileOutput,
    Refusal,
    Started,
    TextDelta,
    ThoughtDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    collect,
)
from gbproxy.errors import UpstreamBroken, UpstreamOverloaded

USAGE = Usage(10, 7, 2)
HELLO: tuple[ChatEvent, ...] = (
    Started("gemini-auto"),
    TextDelta("Hel"),
    TextDelta("lo"),
    USAGE,
    Done(),
)
CALLS: tuple[ChatEvent, ...] = (
    Started("gemini-auto"),
    TextDelta("Let me see."),
    ToolCallStarted(0, "call_a", "look"),
    ToolCallDelta(0, '{"at":'),
    ToolCallDelta(0, '"it\u2028"}'),
    ToolCallStarted(1, "call_b", "wait"),
    ToolCallDelta(1, ""),
    USAGE,
    Done("tool_calls"),
)


def encoder(framing: Framing | None = None, **config: Any) -> ContentEncoder:
    body = {"contents": {"parts": {"text": "Hi"}}, "generationConfig": config}
    return ContentEncoder(parse(body), framing or Events())


def streamed(*events: ChatEvent, **config: Any) -> list[dict[str, Any]]:
    encode = encoder(**config)
    data = b"".join(map(encode.feed, events)).decode()
    frames = data.split("\n\n")
    assert frames.pop() == ""
    assert all(frame.startswith("data: {") and "\n" not in frame for frame in frames)
    assert len(data.splitlines()) == 2 * len(frames)  # no line end of Unicode's either
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def stream_of(*events: ChatEvent) -> ChatStream:
    yield from events


def whole(*events: ChatEvent, **config: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encoder(**config).whole(collect(stream_of(*events))))
    return found


def parts_of(*responses: dict[str, Any]) -> list[dict[str, Any]]:
    return [p for each in responses for c in each["candidates"] for p in c["content"]["parts"]]


def test_a_stream_frame_by_frame() -> None:
    encode = encoder()
    frames = [encode.feed(event) for event in HELLO]
    response_id = json.loads(frames[1].removeprefix(b"data: "))["responseId"]

    tail = f'"modelVersion":"gemini-auto","responseId":"{response_id}"'
    usage = '"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":5,"totalTokenCount":17,"thoughtsTokenCount":2,"gbproxyEstimated":true}'
    assert b"".join(frames).decode() == (
        f'data: {{"candidates":[{{"content":{{"parts":[{{"text":"Hel"}}],"role":"model"}},"index":0}}],{tail}}}\n\n'
        f'data: {{"candidates":[{{"content":{{"parts":[{{"text":"lo"}}],"role":"model"}},"index":0}}],{tail}}}\n\n'
        f'data: {{"candidates":[{{"content":{{"parts":[{{"text":""}}],"role":"model"}},"finishReason":"STOP","index":0}}],{usage},{tail}}}\n\n'
    )
    assert frames[0] == b""


def test_the_whole_answer_says_the_same() -> None:
    found, frames = whole(*HELLO), streamed(*HELLO)

    assert found["candidates"] == [
        {
            "content": {"parts": [{"text": "Hello"}], "role": "model"},
            "finishReason": "STOP",
            "index": 0,
        }
    ]
    assert found["usageMetadata"] == frames[-1]["usageMetadata"]
    assert found["modelVersion"] == "gemini-auto"
    assert found["responseId"]


def test_calls_come_whole_and_the_first_is_signed() -> None:
    frames = streamed(*CALLS)

    calls = [
        {
            "functionCall": {"id": "call_a", "name": "look", "args": {"at": "it\u2028"}},
            "thoughtSignature": SIGNATURE,
        },
        {"functionCall": {"id": "call_b", "name": "wait", "args": {}}},
    ]
    assert parts_of(*frames) == [{"text": "Let me see."}, *calls, {"text": ""}]
    assert frames[-1]["candidates"][0]["finishReason"] == "STOP"
    assert parts_of(whole(*CALLS)) == [{"text": "Let me see."}, *calls]


@pytest.mark.parametrize(
    ("reason", "finish_reason", "calls"),
    [("length", "MAX_TOKENS", 1), ("tool_calls", "MALFORMED_FUNCTION_CALL", 1)],
)
def test_a_call_that_is_not_complete_is_left_out(
    reason: Any, finish_reason: str, calls: int
) -> None:
    events = (*CALLS[:-3], ToolCallDelta(1, '{"at'), USAGE, Done(reason))

    for found in (streamed(*events), [whole(*events)]):
        assert len([part for part in parts_of(*found) if "functionCall" in part]) == calls
        assert found[-1]["candidates"][0]["finishReason"] == finish_reason


def test_thoughts_are_marked_and_the_answer_behind_them_signed() -> None:
    events = (Started("m"), ThoughtDelta("Hm."), *HELLO[1:])

    assert parts_of(*streamed(*events)) == [
        {"text": "Hm.", "thought": True},
        {"text": "Hel"},
        {"text": "lo"},
        {"text": "", "thoughtSignature": SIGNATURE},
    ]
    assert parts_of(whole(*events)) == [
        {"text": "Hm.", "thought": True},
        {"text": "Hello", "thoughtSignature": SIGNATURE},
    ]


@pytest.mark.parametrize(
    ("events", "reason", "text"),
    [
        ((Refusal("Blocked."), USAGE, Done("content_filter")), "SAFETY", "Blocked."),
        ((Refusal("No JSON.", is_content=False), USAGE, Done()), "OTHER", ""),
        ((TextDelta("Hel"), USAGE, Done("length")), "MAX_TOKENS", "Hel"),
    ],
)
def test_other_ends(events: tuple[ChatEvent, ...], reason: str, text: str) -> None:
    for found in (streamed(Started("m"), *events), [whole(Started("m"), *events)]):
        last = found[-1]["candidates"][0]
        assert last["finishReason"] == reason
        assert "".join(part["text"] for part in parts_of(*found)) == text
        assert last.get("finishMessage") == next(
            (e.text for e in events if isinstance(e, Refusal)), None
        )


def test_sources_stand_in_the_last_response() -> None:
    text = "Thé: 茶. Tea."
    events = (
        Started("m"),
        TextDelta(text[:4]),
        TextDelta(text[4:]),
        Citation(5, 6, "https://a", "A", "a.org"),
        Citation(8, 11, "https://b"),
        Citation(8, 11, "https://a", "A", "a.org"),
        Citation(8, 11, "", "no address"),
        USAGE,
        Done(),
    )
    expected = {
        "groundingChunks": [
            {"web": {"uri": "https://a", "title": "A", "domain": "a.org"}},
            {"web": {"uri": "https://b", "title": "https://b"}},
        ],
        "groundingSupports": [
            {
                "segment": {"startIndex": 6, "endIndex": 9, "text": "茶"},
                "groundingChunkIndices": [0],
            },
            {
                "segment": {"startIndex": 11, "endIndex": 14, "text": "Tea"},
                "groundingChunkIndices": [1, 0],
            },
        ],
    }

    frames = streamed(*events)

    assert [
        c["groundingMetadata"] for f in frames for c in f["candidates"] if "groundingMetadata" in c
    ] == [expected]
    assert frames[-1]["candidates"][0]["groundingMetadata"] == expected
    assert whole(*events)["candidates"][0]["groundingMetadata"] == expected
    for support in expected["groundingSupports"]:
        segment: Any = support["segment"]
        assert (
            text.encode()[segment["startIndex"] : segment["endIndex"]].decode() == segment["text"]
        )


def test_of_a_very_long_answer_the_sources_are_told_and_not_their_places() -> None:
    piece = "x" * (grounding.MOST_KEPT_CHARS // 2 + 1)
    frames = streamed(
        Started("m"), TextDelta(piece), TextDelta(piece), Citation(0, 1, "https://a"), USAGE, Done()
    )

    assert frames[-1]["candidates"][0]["groundingMetadata"].keys() == {"groundingChunks"}


@pytest.mark.parametrize("text", ['"Percussion"', ' "Percussion"\n', "Percussion"])
def test_a_value_of_an_enum_is_given_without_its_quotes(text: str) -> None:
    config = {
        "responseMimeType": "text/x.enum",
        "responseSchema": {"type": "STRING", "enum": ["Percussion"]},
    }
    events = (Started("m"), TextDelta(text[:3]), TextDelta(text[3:]), USAGE, Done())

    assert [part["text"] for part in parts_of(*streamed(*events, **config))] == ["Percussion", ""]
    assert parts_of(whole(*events, **config)) == [{"text": "Percussion"}]


# Framing


def test_an_array_is_valid_json_however_it_ends() -> None:
    encode = encoder(Array())
    begun = [HEARTBEAT, *(encode.feed(event) + HEARTBEAT for event in HELLO[:3])]
    failed = json.loads(b"".join([*begun, encode.error(UpstreamBroken("broken"))]))

    whole_encoder = encoder(Array())
    ended = json.loads(b"".join([HEARTBEAT, *(whole_encoder.feed(e) + HEARTBEAT for e in HELLO)]))
    at_once = json.loads(HEARTBEAT + encoder(Array()).error(UpstreamBroken("broken")))

    assert [list(each) for each in failed] == [["candidates", "modelVersion", "responseId"]] * 2 + [
        ["error"]
    ]
    assert parts_of(*ended) == [{"text": "Hel"}, {"text": "lo"}, {"text": ""}]
    assert at_once == [failed[-1]]


def test_an_error_in_a_stream_of_events() -> None:
    error = UpstreamOverloaded("busy", retry_after=1.5)

    assert json.loads(encoder().error(error).decode().removeprefix("data: ")) == {
        "error": {
            "code": 503,
            "message": "busy",
            "status": "UNAVAILABLE",
            "details": [
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.5s"}
            ],
        }
    }


# Several candidates


@pytest.mark.parametrize("framing", [Events, Array])
def test_several_candidates(framing: Callable[[], Framing]) -> None:
    body = {"contents": {"parts": {"text": "Hi"}}, "generationConfig": {"candidateCount": 2}}
    encoder = partial(CandidatesEncoder, parse(body), framing())
    each = ChoiceEvent
    events = [
        each(0, Started("m")),
        each(1, Started("m")),
        each(1, TextDelta("One")),
        each(0, TextDelta("Zero")),
        each(1, Done("length")),
        each(0, ToolCallStarted(0, "a", "look")),
        each(0, ToolCallDelta(0, "{}")),
        each(0, Done("tool_calls")),
        USAGE,
        Done(),
    ]

    written = encoder()
    data = b"".join(written.feed(event) for event in events).decode()
    responses = (
        json.loads(data)
        if framing is Array
        else [json.loads(f[6:]) for f in data.split("\n\n")[:-1]]
    )

    said = [
        (c["index"], p)
        for r in responses[:-1]
        for c in r["candidates"]
        for p in c["content"]["parts"]
    ]
    assert [(index, part.get("text")) for index, part in said] == [
        (1, "One"),
        (0, "Zero"),
        (0, None),
    ]
    ends = {c["index"]: c["finishReason"] for c in responses[-1]["candidates"]}
    assert ends == {0: "STOP", 1: "MAX_TOKENS"}
    assert responses[-1]["usageMetadata"]["totalTokenCount"] == 17

    answers = tuple(collect(stream_of(Started("m"), TextDelta(text), Done())) for text in "ab")
    found = json.loads(encoder().whole(Answers(answers, USAGE)))
    assert [(c["index"], c["content"]["parts"]) for c in found["candidates"]] == [
        (0, [{"text": "a"}]),
        (1, [{"text": "b"}]),
    ]


PICTURE = FileOutput("image/png", "f1", "fox.png", b"png bytes")
BLOB = {"inlineData": {"mimeType": "image/png", "data": "cG5nIGJ5dGVz"}}
LINK = FileOutput("image/png", "f1", url="https://ai.example/media/t")


def test_a_picture_is_a_part_with_its_bytes() -> None:
    events = (Started("gemini-auto"), TextDelta("Here."), PICTURE, USAGE, Done())

    for responses in (streamed(*events), [whole(*events)]):
        assert [p for p in parts_of(*responses) if p != {"text": ""}] == [{"text": "Here."}, BLOB]


def test_a_picture_without_its_bytes_is_a_link() -> None:
    part = {"fileData": {"mimeType": "image/png", "fileUri": LINK.url}}
    film = FileOutput("video/mp4", "f2", url="https://ai.example/media/u")  # which the text has

    assert parts_of(whole(Started("m"), LINK, film, USAGE, Done())) == [part]
    assert part in parts_of(*streamed(Started("m"), LINK, film, USAGE, Done()))
    with_text = whole(Started("m"), LINK, USAGE, Done(), responseModalities=["TEXT"])
    assert parts_of(with_text) == []


@pytest.mark.parametrize(
    ("events", "modalities", "reason"),
    [
        ((PICTURE, Done()), ["IMAGE"], "STOP"),
        ((TextDelta("No."), Done()), ["IMAGE"], "NO_IMAGE"),
        ((TextDelta("No."), Done()), ["TEXT", "IMAGE"], "STOP"),
        ((TextDelta("No"), Done("length")), ["IMAGE"], "MAX_TOKENS"),
        ((Refusal("Blocked."), Done("content_filter")), ["IMAGE"], "SAFETY"),
    ],
)
def test_an_answer_without_the_picture_that_it_was_to_be(
    events: tuple[ChatEvent, ...], modalities: list[str], reason: str
) -> None:
    asked = {"responseModalities": modalities}
    for response in (
        whole(Started("m"), *events, **asked),
        streamed(Started("m"), *events, **asked)[-1],
    ):
        [candidate] = response["candidates"]
        assert candidate["finishReason"] == reason
        assert ("finishMessage" in candidate) == (reason in ("NO_IMAGE", "SAFETY"))
