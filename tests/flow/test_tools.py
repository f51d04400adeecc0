"""Function calling and structured output as clients meet them, on an upstream that has neither."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest

from gbproxy.simulator import Stall, Text, answer
from tests.support.serving import DONE, Reply, Served, SharedUpstream

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
QUESTION = "What is the weather in Oslo?"
SAID_ONCE = "The program that shows your answers"


def function(name: str, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


WEATHER = function("get_weather", city={"type": "string"})
STEP = function("next_step", number={"type": "integer"})
PATCH = {"type": "custom", "custom": {"name": "apply_patch"}}
FACT = {
    "type": "object",
    "properties": {"capital": {"type": "string"}},
    "required": ["capital"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "fact", "schema": FACT, "strict": True}}


def calls(reply: Reply) -> list[dict[str, Any]]:
    """The calls of an answer, a streamed one's put together."""
    found: list[dict[str, Any]] = []
    for choice in reply.choices:
        delta = choice.get("delta") or choice.get("message") or {}
        for part in copy.deepcopy(delta.get("tool_calls", [])):
            index = part.pop("index", len(found))
            if index == len(found):
                found.append(part)
            else:
                found[index]["function"]["arguments"] += part["function"]["arguments"]
    return found


def named(reply: Reply) -> list[tuple[str, Any]]:
    return [
        (call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in calls(reply)
    ]


OSLO = [("get_weather", {"city": "Oslo"})]


@streamed_or_not
@pytest.mark.parametrize(
    ("manner", "turns", "text"),
    [
        ("as_told", 1, ""),
        ("other_fence", 1, ""),
        ("chatter", 1, "Let me look that up."),
        ("wrong_name", 2, ""),
        ("wrong_json", 1, ""),
        ("broken_json", 1, ""),
        ("answers_itself", 1, ""),
        ("escaped", 1, ""),
    ],
)
def test_a_model_that_can_be_told_calls_functions_in_whichever_manner(
    gateway: Served, upstream: SharedUpstream, manner: str, turns: int, text: str, stream: bool
) -> None:
    upstream.set(tool_manner=manner)

    reply = gateway.ask(QUESTION, tools=[WEATHER], stream=stream)

    assert named(reply) == OSLO
    assert (reply.text.strip(), reply.finish_reason) == (text, "tool_calls")
    assert [call["type"] for call in calls(reply)] == ["function"]
    assert len(upstream.questions()) == turns
    logged = gateway.log_of(reply, "tool.emulated")
    assert (logged["turns"], logged["calls"], logged["outcome"]) == (turns, 1, "calls")


@streamed_or_not
def test_words_before_a_call_that_has_to_be_corrected_stay(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    """What was shown is not taken back, and nothing of the wrong call is."""
    upstream.set(tool_manner="wrong_name", status_lines="joined")

    reply = gateway.ask(QUESTION, tools=[WEATHER], stream=stream, include_reasoning=True)

    assert (named(reply), reply.finish_reason) == (OSLO, "tool_calls")
    if stream:
        roles = [choice["delta"].get("role") for choice in reply.choices]
        assert roles.count("assistant") == 1


@streamed_or_not
@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "get_weather"}])
def test_a_required_call_is_asked_for_again_where_the_model_answers_in_words(
    gateway: Served, upstream: SharedUpstream, choice: object, stream: bool
) -> None:
    upstream.set(tool_manner="prose")

    reply = gateway.ask("Hi there", tools=[WEATHER], tool_choice=choice, stream=stream)

    assert [name for name, _ in named(reply)] == ["get_weather"]
    assert reply.text == ""
    assert len(upstream.questions()) == 2


@streamed_or_not
def test_a_required_call_that_never_comes_is_an_honest_failure(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    upstream.set(tool_manner="never")

    reply = gateway.ask(QUESTION, tools=[WEATHER], tool_choice="required", stream=stream)

    assert (reply.status, reply.error["code"]) == (502, "upstream_error")
    assert reply.headers["x-should-retry"] == "false"
    assert len(upstream.questions()) == 2
    assert upstream.wait_for(lambda: len(upstream.alive_sessions()) <= 1)


def test_without_a_need_the_model_answers_in_words(
    gateway: Served, upstream: SharedUpstream
) -> None:
    reply = gateway.ask("Say: hello", tools=[WEATHER])
    none = gateway.ask(QUESTION, tools=[WEATHER], tool_choice="none")

    assert (reply.text, reply.finish_reason) == ("hello", "stop")
    assert (calls(none), none.finish_reason) == ([], "stop")
    assert gateway.events("tool.emulated", lambda line: line["request_id"] in ids(reply)) == []


def ids(*replies: Reply) -> list[str]:
    return [str(reply.headers["x-request-id"]) for reply in replies]


def test_the_upstreams_own_tools_are_left_out_but_for_a_search(
    gateway: Served, upstream: SharedUpstream
) -> None:
    gateway.ask(QUESTION, tools=[WEATHER])
    gateway.ask(QUESTION, tools=[WEATHER, {"type": "web_search"}])

    sent = [call.body["streamAssistRequest"] for call in upstream.calls("widgetStreamAssist")]
    assert [set(body["toolsSpec"]) for body in sent] == [set(), {"webGroundingSpec"}]


def test_functions_and_custom_tools_are_called_in_their_own_forms(gateway: Served) -> None:
    old = gateway.ask(QUESTION, functions=[WEATHER["function"]])
    custom = gateway.ask("Please patch it", tools=[PATCH])

    [choice] = old.choices
    assert choice["finish_reason"] == "function_call"
    assert json.loads(choice["message"]["function_call"]["arguments"]) == {"city": "Oslo"}
    assert [call["custom"] for call in calls(custom)] == [
        {"name": "apply_patch", "input": "Please patch it"}
    ]


def agent_loop(gateway: Served, tools: list[dict[str, Any]], turns: int) -> list[Reply]:
    """As agents do it: the whole history with each request, each call's result behind it."""
    history: list[dict[str, Any]] = [
        {"role": "system", "content": "You are an agent."},
        {"role": "user", "content": "Take the next step, number 1."},
    ]
    replies = []
    for number in range(1, turns + 1):
        reply = gateway.ask(history, tools=tools, stream=number % 2 == 0)
        replies.append(reply)
        assert named(reply) == [("next_step", {"number": number})]
        [call] = calls(reply)
        # Agents write arguments anew, in their own way.
        call["function"]["arguments"] = json.dumps(
            json.loads(call["function"]["arguments"]), indent=1
        )
        history += [
            {"role": "assistant", "content": reply.text or None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": f"once more: {number + 1}"},
        ]
    history[-1]["content"] = "Finished."
    replies.append(gateway.ask(history, tools=tools))
    return replies


@pytest.mark.parametrize("others", [0, 99])
def test_an_agents_loop_stays_in_one_session_and_sends_nothing_twice(
    gateway: Served, upstream: SharedUpstream, others: int
) -> None:
    schema = {f"field_{n}": {"type": "string", "description": "x" * 40} for n in range(8)}
    tools = [STEP, *(function(f"tool{n}", **schema) for n in range(others))]

    replies = agent_loop(gateway, tools, 10)

    assert (replies[-1].text, replies[-1].finish_reason) == ("It says: Finished.", "stop")
    questions = upstream.questions()
    assert len(questions) == 11
    assert len({call.body["streamAssistRequest"]["session"] for call in asked(upstream)}) == 1
    assert [SAID_ONCE in question for question in questions] == [True, *[False] * 10]
    assert all(len(question) < 600 for question in questions[1:])
    logged = [gateway.log_of(reply) for reply in replies]
    assert [line["continued"] for line in logged] == [False, *[True] * 10]


def asked(upstream: SharedUpstream) -> list[Any]:
    return list(upstream.calls("widgetStreamAssist"))


def test_other_tools_begin_a_session_that_is_told_of_them(
    gateway: Served, upstream: SharedUpstream
) -> None:
    first = gateway.ask("Say: hello", tools=[WEATHER])
    history = [
        {"role": "user", "content": "Say: hello"},
        {"role": "assistant", "content": first.text},
        {"role": "user", "content": QUESTION},
    ]

    for tools in (None, [STEP, WEATHER], [WEATHER]):
        gateway.ask(history, tools=tools)

    told = [SAID_ONCE in question for question in upstream.questions()]
    assert told == [True, False, True, False]
    assert upstream.questions()[3].startswith(QUESTION)


def test_a_conversation_by_its_id_is_told_of_tools_when_they_come(
    gateway: Served, upstream: SharedUpstream
) -> None:
    first = gateway.ask("Say: hello")
    named_one = {"X-Conversation-Id": str(first.headers["X-Conversation-Id"])}

    later = [gateway.ask(QUESTION, headers=named_one, tools=[WEATHER]) for _ in range(2)]

    assert [named(reply) for reply in later] == [OSLO, OSLO]
    assert [SAID_ONCE in question for question in upstream.questions()] == [False, True, False]
    assert len({call.body["streamAssistRequest"]["session"] for call in asked(upstream)}) == 1


def test_an_answer_that_was_cut_at_its_call_is_not_continued(
    gateway: Served, upstream: SharedUpstream
) -> None:
    """The session holds a result that the model has made up."""
    upstream.set(tool_manner="answers_itself")

    reply = gateway.ask(QUESTION, tools=[WEATHER])

    assert named(reply) == OSLO
    assert reply.headers["X-Conversation-Id"] is None


# What is not read any more is not waited for


@streamed_or_not
@pytest.mark.parametrize(
    ("fields", "text", "reason"),
    [({"max_tokens": 2}, "One, two", "length"), ({"stop": [", th"]}, "One, two", "stop")],
    ids=["max_tokens", "stop"],
)
def test_an_answer_that_has_reached_its_limit_leaves_the_upstream(
    gateway: Served,
    upstream: SharedUpstream,
    fields: dict[str, Any],
    text: str,
    reason: str,
    stream: bool,
) -> None:
    upstream.script(Text("One, two, three, "), Text("four"), Stall())

    reply = gateway.ask(stream=stream, **fields)

    assert (reply.text, reply.finish_reason) == (text, reason)
    assert upstream.wait_for(lambda: upstream.open_streams == 0)


@streamed_or_not
def test_a_model_that_goes_on_behind_its_call_is_left(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    first = gateway.ask(QUESTION, tools=[WEATHER])
    [call] = calls(first)
    history = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "4 °C"},
    ]
    [mark] = {*re.findall(r"⟦call \w+⟧", upstream.questions()[0])}
    written = json.dumps({"name": "get_weather", "arguments": {"city": "Bergen"}})
    upstream.script(
        Text(f"{mark}\n```json\n{written}\n```"), Text("\n\nResult of"), Text(" it: 5"), Stall()
    )

    reply = gateway.ask(history, tools=[WEATHER], stream=stream)

    assert named(reply) == [("get_weather", {"city": "Bergen"})]
    assert (reply.text, reply.finish_reason) == ("", "tool_calls")
    assert gateway.log_of(reply, "tool.emulated")["cut"] is True
    assert upstream.wait_for(lambda: upstream.open_streams == 0)


# Structured output


@streamed_or_not
@pytest.mark.parametrize(
    ("manner", "turns"),
    [("fenced", 1), ("bare", 1), ("chatter", 1), ("prose", 2)],
)
def test_only_the_json_that_was_asked_for_is_the_answer(
    gateway: Served, upstream: SharedUpstream, manner: str, turns: int, stream: bool
) -> None:
    upstream.set(json_manner=manner)

    reply = gateway.ask("What is the capital, Oslo?", response_format=FORMAT, stream=stream)

    assert json.loads(reply.text) == {"capital": "Oslo"}
    assert len(upstream.questions()) == turns
    logged = gateway.log_of(reply, "structured_output.emulated")
    assert (logged["turns"], logged["outcome"]) == (turns, "json")


def test_json_that_never_comes_is_a_refusal_or_the_end_of_the_stream(
    gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.set(json_manner="never")

    whole = gateway.ask(QUESTION, response_format=FORMAT)
    streamed = gateway.ask(QUESTION, response_format=FORMAT, stream=True)

    [choice] = whole.choices
    assert (whole.status, choice["message"]["content"]) == (200, None)
    assert choice["message"]["refusal"]
    assert streamed.error["param"] == "response_format"
    assert DONE.encode() not in streamed.body


def test_json_that_turns_out_wrong_ends_its_stream_with_an_error(
    gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.script(*answer('Here: {"capital": "Os', 'lo", "more": 1} Yes?', pause_s=0.1))

    reply = gateway.ask(QUESTION, response_format=FORMAT, stream=True)

    assert (reply.status, reply.text) == (200, '{"capital": "Oslo", "more": 1}')
    assert reply.error["param"] == "response_format"
    assert DONE.encode() not in reply.body
    assert reply.finish_reason is None
    assert gateway.log_of(reply, "structured_output.emulated")["outcome"] == "failed"


def test_json_goes_on_in_its_session_without_its_schema(
    gateway: Served, upstream: SharedUpstream
) -> None:
    first = gateway.ask("What is the capital, Oslo?", response_format=FORMAT)
    gateway.ask(
        [
            {"role": "user", "content": "What is the capital, Oslo?"},
            {"role": "assistant", "content": first.text},
            {"role": "user", "content": "And now, Bergen?"},
        ],
        response_format=FORMAT,
    )

    questions = upstream.questions()
    assert ["additionalProperties" in question for question in questions] == [True, False]
    assert questions[1].startswith("And now, Bergen?")


@streamed_or_not
def test_json_and_tools_in_one_request(gateway: Served, stream: bool) -> None:
    both = {"tools": [WEATHER], "response_format": FORMAT, "stream": stream}

    called = gateway.ask(QUESTION, **both)
    answered = gateway.ask("What is the capital, Oslo?", **both)

    assert (named(called), called.text) == (OSLO, "")
    assert json.loads(answered.text) == {"capital": "Oslo"}


# Several answers


@streamed_or_not
def test_several_answers_to_one_request(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    one = gateway.ask("Say: hello")
    upstream.reset()

    reply = gateway.ask(
        "Say: hello", n=3, stream=stream, stream_options={"include_usage": True} if stream else None
    )

    texts = ["", "", ""]
    reasons = {}
    for choice in reply.choices:
        said = choice["delta"] if stream else choice["message"]
        texts[choice["index"]] += said.get("content") or ""
        if choice["finish_reason"]:
            reasons[choice["index"]] = choice["finish_reason"]
    assert (texts, reasons) == (["hello"] * 3, dict.fromkeys(range(3), "stop"))
    bodies = reply.chunks if stream else [reply.json()]
    [usage] = [body["usage"] for body in bodies if body.get("usage")]
    single = one.json()["usage"]
    assert usage["prompt_tokens"] == single["prompt_tokens"]
    assert usage["completion_tokens"] == 3 * single["completion_tokens"]
    assert reply.headers["X-Conversation-Id"] is None
    sessions = [call.body["streamAssistRequest"]["session"] for call in asked(upstream)]
    assert len(set(sessions)) == 3
    assert gateway.log_of(reply)["attempts"] == 3


def test_each_of_several_answers_can_be_continued(
    gateway: Served, upstream: SharedUpstream
) -> None:
    gateway.ask("Say: hello", n=2)

    reply = gateway.ask(
        [
            {"role": "user", "content": "Say: hello"},
            {"role": "assistant", "content": "hello"},
            {"role": "user", "content": "Say: bye"},
        ]
    )

    assert gateway.log_of(reply)["continued"] is True
    assert upstream.questions()[-1] == "Say: bye"


def test_several_answers_in_a_named_conversation_are_refused(gateway: Served) -> None:
    first = gateway.ask("Say: hello")

    reply = gateway.ask(
        "Say: bye", n=2, headers={"X-Conversation-Id": str(first.headers["X-Conversation-Id"])}
    )

    assert (reply.status, reply.error["param"]) == (400, "n")
