"""Tool calls in chat completions, chunk by chunk and whole."""

from __future__ import annotations

import json
from typing import Any

from gbproxy.api.openai.chat import CompletionEncoder

from gbproxy.api.openai.request import parse
from gbproxy.domain.events import (
    ChatEvent,
    ChatStream,
    Done,
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


def encoder() -> CompletionEncoder:
    return CompletionEncoder(parse({"messages": [{"role": "user", "content": "Hi"}]}))


def choices(*events: ChatEvent) -> list[dict[str, Any]]:
    encode = encoder()
    frames = b"".join(encode.feed(event) for event in events).decode().split("\n\n")
    chunks = [
        json.loads(frame.removeprefix("data: ")) for frame in frames if frame.startswith("data: {")
    ]
    return [chunk["choices"][0] for chunk in chunks]


def whole(*events: ChatEvent) -> dict[str, Any]:
    def stream() -> ChatStream:
        yield from events

    choice: dict[str, Any] = json.loads(encoder().whole(collect(stream())))["choices"][0]
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
