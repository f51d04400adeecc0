"""Anthropic's API over a real connection: heartbeats, a full gateway, what is no HTTP, and the
requests that Claude Code sends.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from gbproxy.simulator import Stall, Text, answer, image_reply, overloaded
from tests.support.chats import used_sessions
from tests.support.gates import Gate
from tests.support.polling import until
from tests.support.prometheus import METRICS_KEY, answers_in_flight
from tests.support.serving import Call, Front, Reply, Served, SharedUpstream, fronting

HEARTBEAT_S = 0.3
PLACES = 2
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
MESSAGES = "/v1/messages"
HI = {"role": "user", "content": "Hello"}
USED = "gemini-3.8-flash"
MODELS = json.dumps([{"id": USED, "aliases": ["claude-flash"]}])


@pytest.fixture(scope="module", params=[0])
def front(request: pytest.FixtureRequest) -> Iterator[Front]:
    """A gateway with few places; without a heartbeat, which may come at any time on a busy machine,
    but where a test is about it.
    """
    settings = {
        "HEARTBEAT_S": str(request.param),
        "WORKER_CONNECTIONS": str(PLACES),
        "ACCOUNT_CONCURRENCY": "100",
        "METRICS_KEY": METRICS_KEY,
        "MODELS": MODELS,
    }
    with SharedUpstream() as upstream, fronting(upstream, settings) as made:
        yield made


@pytest.fixture
def upstream(front: Front) -> SharedUpstream:
    # With all places free: a client has its answer, or has left, a little before that.
    until(lambda: answers_in_flight(front.gateway) == 0)
    front.renew()
    return front.upstream


@pytest.fixture
def served(front: Front) -> Served:
    return front.gateway


def ask(served: Served, *messages: Any, path: str = MESSAGES, **fields: Any) -> Reply:
    body = {"model": USED, "max_tokens": 4096, "messages": list(messages or (HI,)), **fields}
    headers = {**served.headers, "anthropic-version": "2023-06-01"}
    return served.request("POST", path, json.dumps(body), headers)


def begin(call: Call, key: str) -> Call:
    """Ask for a stream on a raw connection."""
    body = json.dumps({"stream": True, "messages": [HI]})
    call.send(
        f"POST {MESSAGES} HTTP/1.1\r\nHost: gateway\r\nx-api-key: {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    return call


def events(reply: Reply) -> list[tuple[str, Any]]:
    """The name and the data of every event of a stream."""
    assert reply.body.endswith(b"\n\n")
    found = []
    for event in reply.body.decode().split("\n\n")[:-1]:
        name, data = event.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
        assert found[-1][0] == found[-1][1]["type"]
    return found


def text_of(message: Any) -> str:
    return "".join(block["text"] for block in message["content"] if block["type"] == "text")


def assert_told(reply: Reply, status: int, type_: str) -> None:
    assert (reply.status, reply.json()["error"]["type"]) == (status, type_)
    assert reply.json()["request_id"] == reply.headers["request-id"]


def test_a_stream_is_written_in_the_format_s_way(served: Served, upstream: SharedUpstream) -> None:
    upstream.script(*answer("All is ", "well."))

    found = events(ask(served, stream=True))

    names = [name for name, _ in found]
    assert names[:3] == ["message_start", "ping", "content_block_start"]
    assert set(names[3:-3]) == {"content_block_delta"}
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    deltas = [data["delta"] for name, data in found if name == "content_block_delta"]
    assert {delta["type"] for delta in deltas} == {"text_delta"}
    assert "".join(delta["text"] for delta in deltas) == "All is well."
    assert dict(found)["message_delta"]["delta"] == {
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "stop_details": None,
    }


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_picture_is_a_link_in_the_text(
    served: Served, upstream: SharedUpstream, stream: bool
) -> None:
    upstream.script(*image_reply("Here: ", content=b"\x89PNG\r\n\x1a\n"))
    upstream.script(*image_reply("Here: ", content=b"\x89PNG\r\n\x1a\n", inline=True))

    linked, named = (ask(served, stream=stream).body.decode() for _ in range(2))

    assert f"]({served.url}/media/" in linked
    assert "[The model made a file (" in named


@pytest.mark.parametrize("front", [HEARTBEAT_S], indirect=True)
def test_its_heartbeat_begins_the_response_and_goes_on(
    served: Served, upstream: SharedUpstream
) -> None:
    begins = Gate()
    upstream.script(begins.closed, Text("Half "), Stall())

    with served.call() as call:
        head = begin(call, served.key).read_until(b"\r\n\r\n")
        before = call.read_until(PING)
        begins.open()
        call.read_until(b"message_start")
        call.read_until(b"Half ")
        call.read_until(PING)
        call.read_until(PING)

    assert b"request-id: " in head
    assert b"message_start" not in before


@pytest.mark.parametrize("front", [HEARTBEAT_S], indirect=True)
def test_an_error_behind_a_heartbeat_is_an_event(served: Served, upstream: SharedUpstream) -> None:
    fails = Gate()
    upstream.script(fails.closed, *overloaded(), times=3)

    with served.call() as call:
        begin(call, served.key).wait_for(PING)
        fails.open()
        reply = call.reply()

    assert reply.status == 200
    name, error = events(reply)[-1]
    assert (name, error["error"]["type"]) == ("error", "overloaded_error")
    assert error["request_id"] == reply.headers["request-id"]


def test_a_full_gateway_is_overloaded(served: Served, upstream: SharedUpstream) -> None:
    upstream.script(Text("Half "), Stall(), times=PLACES)

    with ExitStack() as stack:
        for _ in range(PLACES):
            begin(stack.enter_context(served.call()), served.key).read_until(b"Half ")
        refused = ask(served)

    assert_told(refused, 529, "overloaded_error")
    assert refused.headers["Retry-After"]
    assert upstream.wait_for(lambda: upstream.open_streams == 0)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /v1/messages HTTP/9.9\r\n\r\n", 400),
        (b"POST /v1/messages HTTP/1.1\r\nno header\r\n\r\n", 400),
        (b"GET /nothing HTTP/9.9\r\nanthropic-version: 2023-06-01\r\n\r\n", 400),
        (b"POST /v1/messages?" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"POST /v1/messages HTTP/1.1\r\nx: " + b"x" * 9000 + b"\r\n\r\n", 431),
    ],
)
def test_what_is_no_http_is_told_in_its_words(served: Served, sent: bytes, status: int) -> None:
    assert_told(Reply.parse(served.send(sent)), status, "invalid_request_error")


def test_a_conversation_goes_on_from_one_format_to_another(
    served: Served, upstream: SharedUpstream
) -> None:
    upstream.script(*answer("Rock."))
    upstream.script(*answer("Grey."))
    upstream.script(*answer("Round."))
    system = {"role": "system", "content": "Be brief."}

    first = ask(served, HI, system="Be brief.").json()
    history = [HI, {"role": "assistant", "content": first["content"]}]
    texts = [HI, {"role": "assistant", "content": text_of(first)}]
    second = served.ask([system, *texts, {"role": "user", "content": "Colour?"}], model=USED)
    more = [
        {"role": "user", "content": "Colour?"},
        {"role": "assistant", "content": second.text},
        {"role": "user", "content": "Form?"},
    ]
    third = ask(served, *history, *more, system="Be brief.", stream=True)

    assert (text_of(first), second.text) == ("Rock.", "Grey.")
    assert b"Round." in third.body
    [session] = used_sessions(upstream)
    assert session.queries[1:] == ["Colour?", "Form?"]


def test_a_call_made_in_one_format_is_answered_in_another(
    served: Served, upstream: SharedUpstream
) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    asked = {"role": "user", "content": "What is the weather in Oslo?"}
    function = {"name": "get_weather", "parameters": schema}
    called = ask(served, asked, tools=[{"name": "get_weather", "input_schema": schema}]).json()
    [call] = called["content"]

    arguments = json.dumps(call["input"])
    made = {"id": call["id"], "type": "function", "function": {"name": "get_weather", "arguments": arguments}}  # fmt: skip
    answered = served.ask(
        [
            asked,
            {"role": "assistant", "content": None, "tool_calls": [made]},
            {"role": "tool", "tool_call_id": call["id"], "content": "4 C"},
        ],
        model=USED,
        tools=[{"type": "function", "function": function}],
    )

    assert answered.text == "It says: 4 C"
    assert len(used_sessions(upstream)) == 1


# Claude Code


BASH = {
    "name": "Bash",
    "description": "Runs a command.",
    "input_schema": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"command": {"type": "string"}},
        "required": ["command"],
        "additionalProperties": False,
    },
    "eager_input_streaming": True,
    "cache_control": {"type": "ephemeral"},
}


def claude_code(served: Served, *messages: Any, number: int = 1, **fields: Any) -> Reply:
    """A request as Claude Code sends it: its headers, and its many fields."""
    billing = f"x-anthropic-billing-header: cc_version=2.1.177.0{number}c; cc_entrypoint=cli; cch=3{number}ee5;"  # fmt: skip
    cached = {"type": "ephemeral"}
    body = {
        "model": "claude-flash",
        "max_tokens": 32000,
        "stream": True,
        "system": [
            {"type": "text", "text": billing},
            {"type": "text", "text": "You are Claude Code.", "cache_control": cached},
        ],
        "messages": list(messages),
        "tools": [BASH, {"type": "tool_search_tool_regex_20251119", "name": "tool_search"}],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "metadata": {"user_id": "user_0_account__session_0"},
        "temperature": 1,
        **fields,
    }
    headers = {
        "authorization": f"Bearer {served.key}",
        "content-type": "application/json",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,some-2031-01-01",
        "anthropic-dangerous-direct-browser-access": "true",
        "user-agent": "claude-cli/2.1.177 (external, cli)",
        "x-app": "cli",
        "x-stainless-helper-method": "stream",
    }
    return served.request("POST", f"{MESSAGES}?beta=true", json.dumps(body), headers)


def message_of(reply: Reply) -> list[dict[str, Any]]:
    """The content that a client puts together of a stream."""
    blocks: list[dict[str, Any]] = []
    for name, data in events(reply):
        if name == "content_block_start":
            blocks.append(data["content_block"])
        elif name == "content_block_delta":
            block, (kind, more) = blocks[data["index"]], list(data["delta"].items())[-1]
            field = {"partial_json": "input_json", "citation": "citations"}.get(kind, kind)
            block[field] = block[field] + more if field in block else more
    for block in blocks:
        if "input_json" in block:
            block["input"] = json.loads(block.pop("input_json"))
    return blocks


def test_claude_code_calls_tools_in_one_conversation(
    served: Served, upstream: SharedUpstream
) -> None:
    question = {
        "role": "user",
        "content": [
            {"type": "text", "text": "<system-reminder>\nIt is Sunday.\n</system-reminder>"},
            {"type": "text", "text": "Use bash in Oslo", "cache_control": {"type": "ephemeral"}},
        ],
    }

    first = claude_code(served, question)
    content = message_of(first)
    call = content[-1]
    result = {
        "type": "tool_result",
        "tool_use_id": call["id"],
        "content": [{"type": "text", "text": "4 C"}],
        "is_error": False,
    }
    history = [question, {"role": "assistant", "content": content}]
    second = claude_code(served, *history, {"role": "user", "content": [result]}, number=2)

    assert first.status == 200, first.body
    assert (call["type"], call["name"]) == ("tool_use", "Bash")
    assert dict(events(first))["message_delta"]["delta"]["stop_reason"] == "tool_use"
    assert events(first)[0][1]["message"]["model"] == USED
    assert message_of(second)[-1]["text"] == "It says: 4 C"
    assert len(used_sessions(upstream)) == 1
    assert "billing" not in "".join(used_sessions(upstream)[0].queries)
    assert set(first.headers["x-gbproxy-ignored"].split(", ")) == {
        "temperature",
        "metadata",
        "context_management",
        "output_config.effort",
        "tools.tool_search_tool_regex_20251119",
        "system.x-anthropic-billing-header",
    }


def test_claude_code_asks_for_titles_tokens_and_models(
    served: Served, upstream: SharedUpstream
) -> None:
    schema = {
        "type": "object",
        "properties": {"title": {"type": "string"}},
        "required": ["title"],
        "additionalProperties": False,
    }
    form = {"format": {"type": "json_schema", "schema": schema}}

    title = claude_code(served, HI, tools=[], thinking={"type": "disabled"}, output_config=form)
    counted = ask(served, path=f"{MESSAGES}/count_tokens?beta=true", tools=[BASH])
    headers = {"x-api-key": served.key, "anthropic-version": "2023-06-01"}
    models = served.request("GET", "/v1/models?limit=1000", headers=headers)
    reached = served.request("HEAD", "/")

    [block] = message_of(title)
    assert json.loads(block["text"]).keys() == {"title"}
    assert counted.json()["input_tokens"] > 0
    assert "claude-flash" in [entry["id"] for entry in models.json()["data"]]
    assert models.json()["has_more"] is False
    assert reached.status == 200


def test_claude_code_searches(served: Served, upstream: SharedUpstream) -> None:
    upstream.set(citations=True)
    upstream.script(*answer("Tea is ", "green."))
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}

    reply = claude_code(
        served, HI, tools=[search], tool_choice={"type": "tool", "name": "web_search"}
    )

    kinds = [block["type"] for block in message_of(reply) if block["type"] != "thinking"]
    assert kinds == ["text", "server_tool_use", "web_search_tool_result"]
    assert message_of(reply)[-3]["citations"]["url"]
    [asked] = upstream.calls("widgetStreamAssist")
    assert list(asked.body["streamAssistRequest"]["toolsSpec"]) == ["webGroundingSpec"]
