"""Events of an answer become a response: streamed in OpenAI's order and as its SDK describes each
event, or whole, with the same output.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gbproxy.api.openai.responses.encoder import ResponseEncoder
from gbproxy.api.openai.responses.summary_encoder import SummaryEncoder, SummaryStreamEncoder
from gbproxy.domain.chat import ToolCallPart
from gbproxy.domain.events import (
    Answer,
    ChatEvent,
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
from gbproxy.domain.tools import canonical_arguments
from gbproxy.errors import (
    ContextLengthExceeded,
    GatewayError,
    QuotaExhausted,
    StructuredOutputInvalid,
    UpstreamBroken,
    UpstreamError,
)
from gbproxy.simulator.widget.files import picture
from tests.support.responses import (
    Events,
    chat_of,
    check_order,
    check_response,
    events_of,
    kinds,
    parsed,
)

MODEL = "gemini-auto"
USAGE = Usage(12, 7, 3)
MESSAGE = [
    "output_item.added",
    "content_part.added",
    "output_text.delta",
    "output_text.done",
    "content_part.done",
    "output_item.done",
]
REASONING = [
    "output_item.added",
    "reasoning_summary_part.added",
    "reasoning_summary_text.delta",
    "reasoning_summary_text.done",
    "reasoning_summary_part.done",
    "output_item.done",
]

CITED = [*MESSAGE[:3], "output_text.annotation.added", *MESSAGE[3:]]
SEARCHED = [
    "output_item.added",
    "web_search_call.in_progress",
    "web_search_call.searching",
    "web_search_call.completed",
    "output_item.done",
]


def call(kind: str) -> list[str]:
    return ["output_item.added", f"{kind}.delta", f"{kind}.done", "output_item.done"]


class Kept:
    def __init__(self, succeeds: bool = True) -> None:
        self.responses: list[dict[str, Any]] = []
        self._succeeds = succeeds

    def __call__(self, token: str, response: dict[str, Any], _: object) -> bool:
        self.responses.append(dict(response))
        return self._succeeds


def streamed(
    *events: ChatEvent, kept: Kept | None = None, reason: Any = "stop", **fields: Any
) -> Events:
    encoder = ResponseEncoder(parsed({"input": "Hi", **fields}), kept or Kept())
    fed = [Started(MODEL), *events, USAGE, Done(reason)]
    found = events_of(b"".join(encoder.feed(event) for event in fed))
    check_order(found)
    return found


def whole(*events: ChatEvent, reason: Any = "stop", **fields: Any) -> dict[str, Any]:
    def stream() -> Any:
        yield from (Started(MODEL), *events, USAGE, Done(reason))

    encoder = ResponseEncoder(parsed({"input": "Hi", **fields}), Kept())
    response: dict[str, Any] = json.loads(encoder.whole(collect(stream())))
    check_response(response)
    return response


def without_ids(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**item, "id": ""} for item in items]


WEATHER = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}
PATCH = {"type": "custom", "name": "apply_patch"}
SEALED = ["reasoning.encrypted_content"]
AGENTS = {"type": "namespace", "name": "agents", "description": "Agents", "tools": [
    {"type": "function", "name": "spawn", "parameters": {"type": "object"}},
]}  # fmt: skip
CALL = (
    ToolCallStarted(0, "call_1", "get_weather"),
    ToolCallDelta(0, '{"city":'),
    ToolCallDelta(0, '"Oslo"}'),
)
PATCHED = (
    ToolCallStarted(0, "call_1", "apply_patch", is_custom=True),
    ToolCallDelta(0, "*** Begin"),
)
SPAWNED = (ToolCallStarted(0, "call_1", "agents.spawn"), ToolCallDelta(0, "{}"))
SHELL = (ToolCallStarted(0, "call_1", "shell"), ToolCallDelta(0, '{"commands":["ls"]}'))
LOCAL = (ToolCallStarted(0, "call_1", "local_shell"), ToolCallDelta(0, '{"command":["ls"]}'))
EDITED = (
    ToolCallStarted(0, "call_1", "apply_patch"),
    ToolCallDelta(0, '{"type":"delete_file","path":"a"}'),
)
SOURCE = Citation(0, 2, "https://example.org/a", "A")
SEARCH = {"type": "web_search"}


@pytest.mark.parametrize(
    ("events", "fields", "order"),
    [
        ((TextDelta("Hel"), TextDelta("lo")), {}, MESSAGE),
        ((ThoughtDelta("Hm"), TextDelta("Hello")), {}, [*REASONING, *MESSAGE]),
        (CALL, {"tools": [WEATHER]}, call("function_call_arguments")),
        ((TextDelta("So"), *CALL), {"tools": [WEATHER]}, [*MESSAGE, *call("function_call_arguments")]),
        (PATCHED, {"tools": [PATCH]}, call("custom_tool_call_input")),
        (SPAWNED, {"tools": [AGENTS]}, call("function_call_arguments")),
        (SHELL, {"tools": [{"type": "shell"}]}, ["output_item.added", "output_item.done"]),
        (LOCAL, {"tools": [{"type": "local_shell"}]}, ["output_item.added", "output_item.done"]),
        (EDITED, {"tools": [{"type": "apply_patch"}]}, ["output_item.added", "output_item.done"]),
        (
            (TextDelta("Tea"), SOURCE, Citation(0, 3, "")),
            {"tools": [SEARCH]},
            [*CITED, *SEARCHED],
        ),
        ((TextDelta("Tea"), SOURCE), {}, CITED),
        ((TextDelta("Tea"), Citation(0, 3, "")), {"tools": [SEARCH]}, MESSAGE),
        (
            (TextDelta("Tea"), SOURCE, *CALL),
            {"tools": [SEARCH, WEATHER]},
            [*CITED, *call("function_call_arguments"), *SEARCHED],
        ),
        (
            (Refusal("No.", is_content=False),),
            {},
            ["output_item.added", "content_part.added", "refusal.delta", "refusal.done", *MESSAGE[4:]],
        ),
        ((), {}, MESSAGE),
        ((TextDelta("a"), ThoughtDelta("b"), TextDelta("c")), {}, [*MESSAGE, *REASONING, *MESSAGE]),
    ],
)  # fmt: skip
def test_every_kind_of_answer_comes_in_order_and_is_the_same_as_a_whole(
    events: tuple[ChatEvent, ...], fields: dict[str, Any], order: list[str]
) -> None:
    found = streamed(*events, **fields)

    assert kinds(found) == ["created", "in_progress", *order, "completed"]
    response = found[-1]["response"]
    assert response["status"] == "completed"
    if not (events and isinstance(events[0], TextDelta) and ThoughtDelta("b") in events):
        assert without_ids(whole(*events, **fields)["output"]) == without_ids(response["output"])


def output(*events: ChatEvent, **fields: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = streamed(*events, **fields)[-1]["response"]["output"]
    return found


def test_calls_are_told_as_the_items_of_their_tools() -> None:
    [function] = output(*CALL, tools=[WEATHER])
    [custom] = output(*PATCHED, tools=[PATCH])
    [spawned] = output(*SPAWNED, tools=[AGENTS])
    [shell] = output(*SHELL, tools=[{"type": "shell"}])
    [local] = output(*LOCAL, tools=[{"type": "local_shell"}])
    [edited] = output(*EDITED, tools=[{"type": "apply_patch"}])

    assert (function["type"], function["arguments"]) == ("function_call", '{"city":"Oslo"}')
    assert (custom["type"], custom["input"]) == ("custom_tool_call", "*** Begin")
    assert (spawned["namespace"], spawned["name"]) == ("agents", "spawn")
    assert (shell["type"], shell["action"]["commands"]) == ("shell_call", ["ls"])
    assert local["action"] == {"type": "exec", "env": {}, "command": ["ls"]}
    assert edited["operation"] == {"type": "delete_file", "path": "a"}
    assert {each["call_id"] for each in (function, custom, spawned, shell, local, edited)} == {
        "call_1"
    }
    assert {each["status"] for each in (function, custom, spawned, shell, local, edited)} == {
        "completed"
    }


def test_what_was_written_is_read_again_as_the_same_call() -> None:
    for events, tool in (
        (CALL, WEATHER),
        (PATCHED, PATCH),
        (SPAWNED, AGENTS),
        (SHELL, {"type": "shell"}),
        (LOCAL, {"type": "local_shell"}),
        (EDITED, {"type": "apply_patch"}),
    ):
        called = collect(iter((Started(MODEL), *events, Done())))  # type: ignore[arg-type]

        [message] = chat_of(*output(*events, tools=[tool])).messages

        [part], [made] = message.parts, called.tool_calls
        assert isinstance(part, ToolCallPart)
        assert replace(part, arguments="") == replace(made, arguments="")
        assert canonical_arguments(part.arguments) == canonical_arguments(made.arguments)


@pytest.mark.parametrize(
    ("reason", "why"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_answer_that_was_ended_is_incomplete(reason: str, why: str) -> None:
    found = streamed(TextDelta("Hel"), reason=reason)

    assert kinds(found) == ["created", "in_progress", *MESSAGE, "incomplete"]
    response = found[-1]["response"]
    assert response["incomplete_details"] == {"reason": why}
    assert response["output"][0]["status"] == "incomplete"
    assert response["completed_at"] is None


def test_a_blocked_answer_tells_why_to_those_who_read_refusals_and_those_who_do_not() -> None:
    [message] = output(Refusal("Not here."), reason="content_filter")

    text, refusal = message["content"]
    assert (text["text"], refusal["refusal"]) == ("Not here.", "Not here.")
    [read] = chat_of(message).messages
    assert [part.text for part in read.parts] == ["Not here."]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UpstreamBroken("It broke."), "server_error"),
        (QuotaExhausted("Used up."), "insufficient_quota"),
        (ContextLengthExceeded("Too long."), "context_length_exceeded"),
    ],
)
@pytest.mark.parametrize("begun", [True, False])
def test_a_stream_that_breaks_ends_with_a_failed_response(
    error: GatewayError, code: str, begun: bool
) -> None:
    kept = Kept()
    encoder = ResponseEncoder(parsed({"input": "Hi", "model": MODEL}), kept)
    written = encoder.feed(Started(MODEL)) + encoder.feed(TextDelta("Hel")) if begun else b""

    body = written + encoder.error(error)

    found = events_of(body)
    check_order(found)
    failed = found[-1]["response"]
    assert (failed["status"], failed["error"]["code"]) == ("failed", code)
    assert failed["error"]["message"] == error.message
    assert (failed["store"], kept.responses) == (False, [])
    assert [item["status"] for item in failed["output"]] == ["incomplete"] * begun
    assert [item["content"][0]["text"] for item in failed["output"]] == ["Hel"] * begun


@pytest.mark.parametrize(
    ("events", "kept"),
    [
        ((ThoughtDelta("Hm"),), {"summary": [{"type": "summary_text", "text": "Hm"}]}),
        (
            (ToolCallStarted(0, "call_1", "get_weather"), ToolCallDelta(0, '{"ci')),
            {"arguments": '{"ci'},
        ),
    ],
)
def test_what_a_broken_stream_has_begun_is_closed(
    events: tuple[ChatEvent, ...], kept: dict[str, Any]
) -> None:
    encoder = ResponseEncoder(parsed({"input": "Hi", "tools": [WEATHER]}), Kept())
    written = b"".join(map(encoder.feed, (Started(MODEL), *events)))

    found = events_of(written + encoder.error(UpstreamBroken("It broke.")))

    check_order(found)
    [item] = found[-1]["response"]["output"]
    assert item["status"] == "incomplete"
    assert {name: item[name] for name in kept} == kept


def test_half_a_call_of_which_nothing_was_told_is_left_out_of_a_broken_stream() -> None:
    encoder = ResponseEncoder(parsed({"input": "Hi", "tools": [{"type": "shell"}]}), Kept())
    events = (Started(MODEL), ToolCallStarted(0, "call_1", "shell"), ToolCallDelta(0, '{"comm'))
    written = b"".join(map(encoder.feed, events))

    found = events_of(written + encoder.error(UpstreamBroken("It broke.")))

    check_order(found)
    assert found[-1]["response"]["output"] == []


@pytest.mark.parametrize("kind", ["shell", "local_shell", "apply_patch"])
@pytest.mark.parametrize("before", [(), (TextDelta("Look:"),)])
def test_half_a_call_is_left_out_of_an_answer_that_was_cut_off(
    kind: str, before: tuple[ChatEvent, ...]
) -> None:
    events = (*before, ToolCallStarted(0, "call_1", kind), ToolCallDelta(0, '{"comm'))

    told = streamed(*events, reason="length", tools=[{"type": kind}])[-1]["response"]
    whole_ = whole(*events, reason="length", tools=[{"type": kind}])

    for response in (told, whole_):
        assert response["status"] == "incomplete"
        [message] = response["output"]
        assert message["content"][0]["text"] == "Look:" * len(before)


@pytest.mark.parametrize(
    ("error", "param"),
    [
        (StructuredOutputInvalid("No.", param="response_format"), "text.format"),
        (ContextLengthExceeded("Too long.", param="messages"), "input"),
        (UpstreamBroken("It broke."), None),
    ],
)
def test_a_failed_response_names_the_field_as_this_api_does(
    error: GatewayError, param: str | None
) -> None:
    encoder = ResponseEncoder(parsed({"input": "Hi"}), Kept())

    [failed] = [e["response"] for e in events_of(encoder.error(error)) if "failed" in e["type"]]

    assert failed["error"]["param"] == param


def test_a_response_tells_what_was_asked_for_and_what_it_took() -> None:
    given = {
        "instructions": "Be brief.",
        "metadata": {"a": "b"},
        "max_output_tokens": 100,
        "parallel_tool_calls": False,
        "tool_choice": "required",
        "tools": [WEATHER],
        "user": "me",
        "text": {"format": {"type": "json_schema", "name": "f", "schema": {"type": "object"}}},
    }

    response = whole(TextDelta("Hello"), **given, temperature="warm", reasoning={"effort": "high"})

    assert {name: response[name] for name in given} == given
    assert (response["temperature"], response["reasoning"]["effort"]) == (None, "high")
    usage = response["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (12, 7, 19)
    assert usage["input_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 0}
    assert usage["output_tokens_details"] == {"reasoning_tokens": 3}


def test_thoughts_are_sealed_for_those_who_send_them_back() -> None:
    [open_, _] = output(ThoughtDelta("Hm"), TextDelta("Hello"))
    [sealed, _] = output(ThoughtDelta("Hm"), TextDelta("Hello"), include=SEALED)

    assert "encrypted_content" not in open_
    assert sealed["summary"] == [{"type": "summary_text", "text": "Hm"}]
    assert sealed["encrypted_content"]


@pytest.mark.parametrize("events", [(TextDelta("Hello"),), CALL, ()])
def test_thoughts_that_nobody_asks_to_see_are_sealed_all_the_same(
    events: tuple[ChatEvent, ...],
) -> None:
    told = streamed(*events, tools=[WEATHER], include=SEALED)[-1]["response"]["output"]
    whole_ = whole(*events, tools=[WEATHER], include=SEALED)["output"]

    assert without_ids(told)[1:] == without_ids(whole_)[1:]
    for thought, answered in (told, whole_):
        assert (thought["type"], thought["summary"]) == ("reasoning", [])
        assert thought["id"].startswith("rs_")
        assert thought["encrypted_content"]
        assert answered["type"] in ("message", "function_call")


def test_thoughts_that_are_to_be_seen_and_that_nobody_had_are_no_item() -> None:
    [message] = output(TextDelta("Hello"), include=SEALED, reasoning={"summary": "auto"})

    assert message["type"] == "message"


def test_a_response_is_kept_once_it_has_ended_unless_it_must_not_be() -> None:
    kept, away, unwanted = Kept(), Kept(succeeds=False), Kept()

    stored = streamed(TextDelta("Hello"), kept=kept)[-1]["response"]
    lost = streamed(TextDelta("Hello"), kept=away)[-1]["response"]
    not_stored = streamed(TextDelta("Hello"), kept=unwanted, store=False)[-1]["response"]

    assert kept.responses == [stored]
    assert [each["store"] for each in (stored, lost, not_stored)] == [True, False, False]
    assert unwanted.responses == []


def test_a_summary_takes_the_place_of_a_conversation() -> None:
    body = {"input": [{"role": "user", "content": "Hi"}, {"type": "compaction_trigger"}]}
    encoder = SummaryStreamEncoder(parsed(body), Kept())
    fed = (Started(MODEL), TextDelta("They "), TextDelta("met."), USAGE, Done())

    found = events_of(b"".join(encoder.feed(event) for event in fed))

    check_order(found)
    assert kinds(found) == [
        "created",
        "in_progress",
        "output_item.added",
        "output_item.done",
        "completed",
    ]
    [item] = found[-1]["response"]["output"]
    [message] = chat_of(item).messages
    assert message.parts[0].text.endswith("They met.")  # type: ignore[union-attr]
    assert "They met." not in json.dumps(item)


@pytest.mark.parametrize("answer", [Answer(), Answer(text="Half", finish_reason="length")])
def test_no_summary_is_no_success(answer: Answer) -> None:
    encoder = SummaryEncoder(parsed({"input": "Hi"}), Kept())

    with pytest.raises(UpstreamError):
        encoder.whole(answer)


def test_a_search_tells_its_pages_to_those_who_want_them() -> None:
    events = (TextDelta("Tea"), SOURCE, Citation(2, 3, "https://example.org/b"), SOURCE)
    wanted = ["web_search_call.action.sources"]

    _, silent = output(*events, tools=[SEARCH])
    _, told = output(*events, tools=[SEARCH], include=wanted)

    assert (silent["type"], silent["status"]) == ("web_search_call", "completed")
    assert silent["id"].startswith("ws_")
    assert silent["action"] == {"type": "search", "query": ""}
    assert told["action"]["sources"] == [
        {"type": "url", "url": "https://example.org/a"},
        {"type": "url", "url": "https://example.org/b"},
    ]
    assert parsed({"input": "Hi", "include": wanted}).ignored == ()


def test_a_search_that_was_done_is_whole_in_an_answer_that_is_not() -> None:
    message, search = output(TextDelta("Te"), SOURCE, tools=[SEARCH], reason="length")

    assert (message["status"], search["status"]) == ("incomplete", "completed")


def test_a_picture_is_an_item_behind_the_text() -> None:
    asked = parsed({"input": "A fox", "tools": [{"type": "image_generation", "size": "1024x1024"}]})
    file = FileOutput("image/png", "f1", "fox.png", b"png bytes")
    events = (Started(MODEL), TextDelta("Here."), file, USAGE, Done())

    encoder = ResponseEncoder(asked, Kept())
    streamed = events_of(b"".join(map(encoder.feed, events)))
    whole = json.loads(ResponseEncoder(asked, Kept()).whole(collect(each for each in events)))

    check_order(streamed)
    check_response(whole)
    assert kinds(streamed)[2:-1] == [
        *MESSAGE,
        "output_item.added",
        "image_generation_call.in_progress",
        "image_generation_call.generating",
        "image_generation_call.completed",
        "output_item.done",
    ]
    assert streamed[-6]["item"]["result"] is None
    for response in (streamed[-1]["response"], whole):
        said, made = response["output"]
        assert said["content"][0]["text"] == "Here."
        assert made.pop("id").startswith("ig_")
        assert made == {
            "type": "image_generation_call",
            "status": "completed",
            "result": "cG5nIGJ5dGVz",
            "output_format": "png",
        }


def test_a_picture_has_the_size_and_format_that_came() -> None:
    tool = {"type": "image_generation", "size": "1024x1024", "quality": "high"}
    file = FileOutput("image/webp", "f1", "fox.webp", picture(side=64))

    [made] = output(file, tools=[tool])

    assert {"size", "quality", "output_format"} & made.keys() == {"size", "output_format"}
    assert (made["size"], made["output_format"]) == ("64x64", "png")


def test_a_drawing_is_told_as_what_it_is() -> None:
    drawing = FileOutput("image/svg+xml", "f1", "fox.svg", b"<svg/>")

    [made] = output(drawing, tools=[{"type": "image_generation", "output_format": "svg"}])

    assert made["output_format"] == "svg"
    assert "size" not in made


DRAWN: Any = {"tools": [{"type": "image_generation"}], "tool_choice": "required"}


@pytest.mark.parametrize("choice", [{"type": "image_generation"}, "required"])
def test_an_answer_that_had_to_be_a_picture_and_is_none_has_failed(choice: Any) -> None:
    asked = parsed({"input": "A fox", **DRAWN, "tool_choice": choice})
    kept = Kept()
    encoder = ResponseEncoder(asked, kept)
    sent = encoder.feed(Started(MODEL)) + encoder.feed(TextDelta("Which fox?"))

    with pytest.raises(UpstreamError) as raised:
        encoder.feed(Done())
    with pytest.raises(UpstreamError, match=r"no image; it said: Which fox\?"):
        ResponseEncoder(asked, kept).whole(Answer(text="Which fox?"))

    failed = events_of(sent + encoder.error(raised.value))
    check_order(failed)
    [said] = failed[-1]["response"]["output"]
    assert failed[-1]["response"]["error"]["type"] == "upstream_error"
    assert (said["status"], said["content"][0]["text"]) == ("incomplete", "Which fox?")
    assert kept.responses == []


def test_a_picture_that_has_to_come_may_be_a_link_be_blocked_or_be_cut_off() -> None:
    link = FileOutput("image/png", "f1", url="https://ai.example/media/t")

    linked = whole(link, **DRAWN)
    blocked = whole(Refusal("No."), reason="content_filter", **DRAWN)
    refused = whole(Refusal("No."), **DRAWN)
    cut = whole(TextDelta("A f"), reason="length", **DRAWN)

    assert [each["status"] for each in (linked, blocked, refused, cut)] == [
        "completed",
        "incomplete",
        "completed",
        "incomplete",
    ]


def test_a_picture_whose_bytes_are_not_to_be_had_is_a_link() -> None:
    link = FileOutput("image/png", "f1", url="https://ai.example/media/t")
    for tools, text in (
        ([{"type": "image_generation"}], "![image](https://ai.example/media/t)\n"),
        ([], ""),  # it stands in the text, which the gateway has made
    ):
        encoder = ResponseEncoder(parsed({"input": "A fox", "tools": tools}), Kept())
        streamed = events_of(b"".join(map(encoder.feed, (Started(MODEL), link, USAGE, Done()))))
        check_order(streamed)
        [said] = streamed[-1]["response"]["output"]
        assert "".join(part["text"] for part in said["content"]) == text
