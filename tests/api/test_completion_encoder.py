"""Tool calls and refusals in chat completions, chunk by chunk and whole."""

from __future__ import annotations

import json
from typing import Any

from gbproxy.api.openai.encoder import CompletionEncoder
from gbproxy.api.openai.request import parse
from gbproxy.domain.events import (
    ChatEvent,
    ChatStream,
    Done,
    Refusal,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    collect,
)

CALLS: tuple[ChatEvent, ...] = (
    ToolCallStarted(0, "call_a", "get_weather"),
    ToolCallDelta(0, '{"city":'),
    ToolCallDelta(0, '"Oslo"}'),
    ToolCallStarted(1, "call_b", "patch", is_custom=True),
    ToolCallDelta(1, "+é\n"),
    Done("tool_calls"),
)


def encoder(**fields: Any) -> CompletionEncoder:
    return CompletionEncoder(parse({"messages": [{"role": "user", "content": "Hi"}], **fields}))


def choices(*events: ChatEvent, **fields: Any) -> list[dict[str, Any]]:
    encode = encoder(**fields)
    frames = b"".join(encode.feed(event) for event in events).decode().split("\n\n")
    chunks = [
        json.loads(frame.removeprefix("data: ")) for frame in frames if frame.startswith("data: {")
    ]
    return [chunk["choices"][0] for chunk in chunks]


def whole(*events: ChatEvent, **fields: Any) -> dict[str, Any]:
    def stream() -> ChatStream:
        yield from events

    choice: dict[str, Any] = json.loads(encoder(**fields).whole(collect(stream())))["choices"][0]
    return choice


def test_a_streamed_call_comes_with_index_id_and_name_first() -> None:
    *deltas, last = choices(*CALLS)

    assert [delta["delta"]["tool_calls"] for delta in deltas] == [
        [
            {
                "index": 0,
                "id": "call_a",
                "type": "function",
                "function": {"name": "get_weather", "arguments": ""},
            }
        ],
        [{"index": 0, "function": {"arguments": '{"city":'}}],
        [{"index": 0, "function": {"arguments": '"Oslo"}'}}],
        [{"index": 1, "id": "call_b", "type": "custom", "custom": {"name": "patch", "input": ""}}],
        [{"index": 1, "custom": {"input": "+é\n"}}],
    ]
    assert (last["delta"], last["finish_reason"]) == ({}, "tool_calls")


def test_a_whole_answer_has_its_calls_and_no_content_without_a_text() -> None:
    silent = whole(Started("m"), *CALLS)
    spoken = whole(Started("m"), TextDelta("Well."), *CALLS)

    assert silent["message"]["content"] is None
    assert spoken["message"]["content"] == "Well."
    assert silent["finish_reason"] == "tool_calls"
    assert (
        spoken["message"]["tool_calls"]
        == silent["message"]["tool_calls"]
        == [
            {
                "id": "call_a",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'},
            },
            {"id": "call_b", "type": "custom", "custom": {"name": "patch", "input": "+é\n"}},
        ]
    )


def test_an_answer_without_calls_has_no_list_of_them() -> None:
    message = whole(Started("m"), Done())["message"]

    assert message["content"] == ""
    assert "tool_calls" not in message


FUNCTIONS = [{"name": "get_weather"}]


def test_a_client_of_functions_reads_a_function_call() -> None:
    first, *deltas, last = choices(*CALLS[:3], CALLS[-1], functions=FUNCTIONS)
    message = whole(Started("m"), *CALLS[:3], CALLS[-1], functions=FUNCTIONS)

    assert first["delta"] == {"function_call": {"name": "get_weather", "arguments": ""}}
    assert [each["delta"]["function_call"]["arguments"] for each in deltas] == [
        '{"city":',
        '"Oslo"}',
    ]
    assert last["finish_reason"] == message["finish_reason"] == "function_call"
    assert message["message"]["function_call"] == {
        "name": "get_weather",
        "arguments": '{"city":"Oslo"}',
    }
    assert "tool_calls" not in message["message"]


def test_a_refusal_in_place_of_json_is_no_content() -> None:
    refusal = Refusal("Not so.", is_content=False)

    first, last = choices(refusal, Done())
    message = whole(Started("m"), refusal, Done())["message"]

    assert first["delta"] == {"refusal": "Not so."}
    assert last["finish_reason"] == "stop"
    assert (message["content"], message["refusal"]) == (None, "Not so.")


def test_a_refusal_in_words_is_content_too() -> None:
    first, _ = choices(Refusal("No."), Done("content_filter"))
    message = whole(Started("m"), Refusal("No."), Done("content_filter"))["message"]

    assert first["delta"] == {"content": "No.", "refusal": "No."}
    assert (message["content"], message["refusal"]) == ("No.", "No.")
