"""The features that every official SDK of OpenAI is tried with: what is asked, by which manner of the
model behind the simulator, and what a program must see of it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gbproxy.simulator import answer
from tests.support.serving import SharedUpstream

Said = Mapping[str, Any]
WHOLE, STREAMED, HELPER = "whole", "streamed", "helper"
ANYHOW = (WHOLE, STREAMED, HELPER)
MODEL = "gemini-3.8-flash"
NOTES = "The heron stands."


def _nothing(upstream: SharedUpstream) -> None:
    del upstream


@dataclass(frozen=True)
class Feature:
    """`check`: asserts what was said; `prepare`: the upstream; `questions`: how often it is asked."""

    name: str
    check: Callable[[Said], None]
    params: Mapping[str, Any] = field(default_factory=dict)
    call: str = "chat"
    modes: tuple[str, ...] = ANYHOW
    prepare: Callable[[SharedUpstream], None] = _nothing
    questions: int = 1


def asked(question: str, **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": question}], **fields}


def manner(**switches: Any) -> Callable[[SharedUpstream], None]:
    return lambda upstream: upstream.set(**switches)


def script(
    *texts: str, times: int = 1, pause_s: float = 0.0, **switches: Any
) -> Callable[[SharedUpstream], None]:
    def prepare(upstream: SharedUpstream) -> None:
        upstream.set(**switches)
        upstream.script(*answer(*texts, pause_s=pause_s), times=times)

    return prepare


# What must be seen


def choice_of(said: Said) -> Mapping[str, Any]:
    assert said["error"] is None, said
    [choice] = said["choices"]
    assert isinstance(choice, dict)
    return choice


def calls(*expected: tuple[str, Any], text: str = "") -> Callable[[Said], None]:
    """These calls of functions, behind this text."""

    def check(said: Said) -> None:
        choice = choice_of(said)
        found = [(call["name"], json.loads(call["text"])) for call in choice["calls"]]
        assert found == list(expected)
        assert {call["type"] for call in choice["calls"]} == {"function"}
        assert len({call["id"] for call in choice["calls"]}) == len(expected)
        assert (choice["text"].strip(), choice["finish_reason"]) == (text, "tool_calls")

    return check


def words(text: str, reason: str = "stop") -> Callable[[Said], None]:
    def check(said: Said) -> None:
        choice = choice_of(said)
        assert (choice["text"], choice["calls"]) == (text, [])
        assert choice["finish_reason"] == reason

    return check


def capital(city: str) -> Callable[[Said], None]:
    def check(said: Said) -> None:
        assert json.loads(choice_of(said)["text"]) == {"capital": city}

    return check


def error(status: int | None, code: str, param: str | None = None) -> Callable[[Said], None]:
    """An error; in a stream that has begun it has no status."""

    def check(said: Said) -> None:
        found = said["error"]
        assert found is not None, said
        assert (found["status"], found["code"], found["param"]) == (status, code, param)

    return check


def _custom_call(said: Said) -> None:
    choice = choice_of(said)
    found = [(call["type"], call["name"], call["text"]) for call in choice["calls"]]
    assert found == [("custom", "apply_patch", "Please patch it")]
    assert choice["finish_reason"] == "tool_calls"


def _function_call(said: Said) -> None:
    choice = choice_of(said)
    assert choice["function_call"]["name"] == "get_weather"
    assert json.loads(choice["function_call"]["arguments"]) == {"city": "Oslo"}
    assert (choice["calls"], choice["finish_reason"]) == ([], "function_call")


def _refusal(said: Said) -> None:
    choice = choice_of(said)
    assert (choice["text"], choice["finish_reason"]) == ("", "stop")
    assert "form that was asked for" in choice["refusal"]


def _four(said: Said) -> None:
    assert [choice["text"] for choice in said["choices"]] == [TEXT] * 4
    assert {choice["finish_reason"] for choice in said["choices"]} == {"stop"}
    assert said["usage"]["completion_tokens"] % 4 == 0
    # the question counts once
    assert 0 < said["usage"]["prompt_tokens"] < said["usage"]["completion_tokens"]


def _sources(said: Said) -> None:
    choice = choice_of(said)
    text = "".join(SEARCHED)
    assert choice["text"] == text
    [source] = choice["annotations"]
    assert text[source["start_index"] : source["end_index"]] == text[len(text) // 2 :]
    assert source["url"].startswith("https://")
    assert source["title"]


def _ignored(said: Said) -> None:
    assert choice_of(said)["text"] == "hello"
    assert set(said["ignored"].split(", ")) == set(WITHOUT_EFFECT)


def _models(said: Said) -> None:
    found = {model["id"]: model for model in said["models"]}
    assert {"gemini-auto", MODEL} <= set(found)
    for model in found.values():
        assert (model["object"], model["owned_by"]) == ("model", "google")
        assert model["context_length"] >= 1000
        assert {"tools", "response_format", "stop"} <= set(model["supported_parameters"])


def _file(said: Said) -> None:
    made = said["made"]
    assert (made["filename"], made["bytes"]) == ("notes.txt", len(NOTES))
    assert said["read"]["id"] == made["id"]
    assert (said["content"], said["is_listed"]) == (NOTES, True)
    assert said["chat"]
    assert said["response"]
    assert (said["deleted"]["id"], said["deleted"]["deleted"]) == (made["id"], True)


def _picture(said: Said) -> None:
    for data in (said["made"], said["edited"]):
        assert base64.b64decode(data).startswith(b"\x89PNG")


def response(*items: str, **expected: Any) -> Callable[[Said], None]:
    """A response of these kinds of items, with what else is told of it."""

    def check(said: Said) -> None:
        assert (said["error"], said["status"], said["items"]) == (None, "completed", list(items))
        assert said["last"] in (None, "response.completed")
        assert {name: said[name] for name in expected} == expected

    return check


def _called(said: Said) -> None:
    response("function_call", text="")(said)
    [call] = said["calls"]
    assert (call["name"], json.loads(call["arguments"])) == OSLO


def _stored(said: Said) -> None:
    assert said["texts"] == ["one", "two"]
    assert said["listed"] == ["Say: one", "one", "Say: two"]
    assert said["follows"]
    assert said["is_gone"]


def _model(said: Said) -> None:
    assert [model["id"] for model in said["models"]] == [MODEL]


# What is asked


def function(name: str, **properties: Any) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "strict": True, "parameters": schema}}


WEATHER = function("get_weather", city={"type": "string"})
TIME = function("get_time", zone={"type": "string"})
PATCH = {"type": "custom", "custom": {"name": "apply_patch"}}
FACT = {
    "type": "object",
    "properties": {"capital": {"type": "string"}},
    "required": ["capital"],
    "additionalProperties": False,
}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "fact", "schema": FACT, "strict": True}}
IN_OSLO = "What is the weather in Oslo?"
IN_TWO = "What is the weather in Oslo and Bergen?"
OSLO = ("get_weather", {"city": "Oslo"})
BERGEN = ("get_weather", {"city": "Bergen"})
CAPITAL = "What is the capital, Oslo?"
TEXT = "One, two, three, four."
SEARCHED = ("Tee 🍵 ist alt, ", "茶是一种", "饮料。👩\u200d🚀 Ende.")
RESULT = [
    {"role": "user", "content": IN_OSLO},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "4 °C"},
]
WITHOUT_EFFECT = {
    "temperature": 0.2,
    "top_p": 0.9,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "seed": 7,
    "user": "anna",
    "metadata": {"of": "tests"},
}
ALLOWED = {
    "type": "allowed_tools",
    "allowed_tools": {
        "mode": "required",
        "tools": [{"type": "function", "function": {"name": "get_weather"}}],
    },
}
NAMED = {"type": "function", "function": {"name": "get_weather"}}

FEATURES = (
    # Responses
    Feature(
        "response",
        response("message", text=TEXT, thoughts=[]),
        {"model": MODEL, "input": "Count."},
        call="response",
        prepare=script("One, ", "two, ", "three, four."),
    ),
    Feature(
        "response with sealed thoughts",
        response("reasoning", "message", text="hello", thoughts=[]),
        {"model": MODEL, "input": "Say: hello", "include": ["reasoning.encrypted_content"]},
        call="response",
    ),
    Feature(
        "response with thoughts",
        response("reasoning", "message", text=TEXT, thoughts=["Hm."]),
        {"model": MODEL, "input": "Count.", "reasoning": {"summary": "auto"}},
        call="response",
        prepare=lambda upstream: upstream.script(*answer(TEXT, thoughts=("Hm.",))),
    ),
    Feature(
        "response that calls",
        _called,
        {
            "model": MODEL,
            "input": IN_OSLO,
            "tools": [{"type": "function", **WEATHER["function"]}],
            "tool_choice": "required",
        },
        call="response",
    ),
    Feature(
        "response that never is json",
        error(502, "upstream_error", "text.format"),
        {
            "model": MODEL,
            "input": CAPITAL,
            "text": {"format": {"type": "json_schema", **SCHEMA["json_schema"]}},
        },
        call="response",
        modes=(STREAMED,),
        prepare=manner(json_manner="never"),
        questions=2,
    ),
    Feature(
        "response with a search",
        response("message", "web_search_call", text="".join(SEARCHED)),
        {"model": MODEL, "input": "Tea?", "tools": [{"type": "web_search"}]},
        call="response",
        prepare=script(*SEARCHED, citations=True),
    ),
    Feature(
        "a stored response",
        _stored,
        {"model": MODEL, "input": "Say: one", "further": "Say: two"},
        call="stored response",
        modes=(HELPER,),
        questions=2,
    ),
    # Function calling
    Feature("call", calls(OSLO), asked(IN_OSLO, tools=[WEATHER])),
    Feature(
        "words before a call",
        calls(OSLO, text="Let me look that up."),
        asked(IN_OSLO, tools=[WEATHER]),
        prepare=manner(tool_manner="chatter"),
    ),
    Feature(
        "several calls",
        calls(OSLO, BERGEN),
        asked(IN_TWO, tools=[WEATHER]),
        prepare=manner(tool_manner="all_at_once"),
    ),
    Feature(
        "one call where they are not parallel",
        calls(OSLO),
        asked(IN_TWO, tools=[WEATHER], parallel_tool_calls=False),
        prepare=manner(tool_manner="all_at_once"),
    ),
    Feature(
        "required",
        calls(OSLO),
        asked("I am in Oslo.", tools=[TIME, WEATHER], tool_choice=ALLOWED),
        prepare=manner(tool_manner="prose"),
        questions=2,
    ),
    Feature("named", calls(OSLO), asked("Now in Oslo.", tools=[TIME, WEATHER], tool_choice=NAMED)),
    Feature("none", words("hello"), asked("Say: hello", tools=[WEATHER], tool_choice="none")),
    Feature(
        "never a call that is required",
        error(502, "upstream_error"),
        asked(IN_OSLO, tools=[WEATHER], tool_choice="required"),
        prepare=manner(tool_manner="never"),
        questions=2,
    ),
    Feature(
        "a call that is corrected",
        calls(OSLO),
        asked(IN_OSLO, tools=[WEATHER]),
        prepare=manner(tool_manner="wrong_name"),
        questions=2,
    ),
    Feature(
        "a result that is made up",
        calls(OSLO),
        asked(IN_OSLO, tools=[WEATHER]),
        prepare=manner(tool_manner="answers_itself"),
    ),
    Feature(
        "a result",
        words("It says: 4 °C"),
        {"model": MODEL, "messages": RESULT, "tools": [WEATHER]},
    ),
    Feature(
        "custom tool",
        _custom_call,
        asked("Please patch it", tools=[PATCH]),
        modes=(WHOLE, STREAMED),  # the SDKs' helpers take functions alone
    ),
    Feature(
        "functions",
        _function_call,
        asked(IN_OSLO, functions=[WEATHER["function"]]),
        modes=(WHOLE, STREAMED),
    ),
    Feature(
        "a tool without a name",
        error(400, "invalid_request_error", "tools[0].function.name"),
        asked(IN_OSLO, tools=[{"type": "function", "function": {"name": ""}}]),
        modes=(WHOLE, STREAMED),
        questions=0,
    ),
    # Structured output
    Feature(
        "any json object",
        lambda said: json.loads(choice_of(said)["text"])["answer"],
        asked(CAPITAL, response_format={"type": "json_object"}),
    ),
    Feature("json by a schema", capital("Oslo"), asked(CAPITAL, response_format=SCHEMA)),
    Feature(
        "json among words",
        capital("Oslo"),
        asked(CAPITAL, response_format=SCHEMA),
        prepare=manner(json_manner="chatter"),
    ),
    Feature(
        "json that is corrected",
        capital("Oslo"),
        asked(CAPITAL, response_format=SCHEMA),
        prepare=manner(json_manner="prose"),
        questions=2,
    ),
    Feature(
        "never json",
        _refusal,
        asked(CAPITAL, response_format=SCHEMA),
        modes=(WHOLE,),
        prepare=manner(json_manner="never"),
        questions=2,
    ),
    Feature(
        "never json in a stream",
        error(502, "upstream_error", "response_format"),
        asked(CAPITAL, response_format=SCHEMA),
        modes=(STREAMED,),
        prepare=manner(json_manner="never"),
        questions=2,
    ),
    Feature(
        "json that turns out wrong in a stream",
        error(None, "upstream_error", "response_format"),
        asked(CAPITAL, response_format=SCHEMA),
        modes=(STREAMED,),
        prepare=script('{"capital": "Os', 'lo", "more": 1}', pause_s=0.1),
    ),
    # Limits
    Feature(
        "stop",
        words("One, two"),
        asked("Count.", stop=[", three", "four"]),
        prepare=script("One, two, ", "thr", "ee, four."),
    ),
    Feature(
        "max_tokens",
        words("One, two", "length"),
        asked("Count.", max_tokens=2),
        modes=(WHOLE, STREAMED),  # Python's helper raises an error of its own
        prepare=script("One, ", "two, three, four."),
    ),
    Feature(
        "no limit",
        words(TEXT),
        asked("Count.", max_tokens=-1, max_completion_tokens=-1),
        prepare=script(TEXT),
    ),
    Feature(
        "four answers",
        _four,
        asked("Count.", n=4),
        modes=(WHOLE,),
        prepare=script(TEXT, times=4),
        questions=4,
    ),
    Feature(
        "four answers in a stream",
        _four,
        asked("Count.", n=4, stream_options={"include_usage": True}),
        modes=(STREAMED, HELPER),
        prepare=script("One, two,", " three, four.", times=4),
        questions=4,
    ),
    Feature(
        "what has no effect",
        _ignored,
        asked("Say: hello", **WITHOUT_EFFECT),
        modes=(WHOLE, STREAMED),
    ),
    *(
        Feature(
            f"{name} {value}",
            error(400, "invalid_request_error", name),
            asked("Count.", **{name: value}),
            modes=(WHOLE, STREAMED),
            questions=0,
        )
        for name, value in (
            ("n", 5),
            ("n", 0),
            ("max_tokens", 0),
            ("max_completion_tokens", -2),
            ("stop", ["a", "b", "c", "d", "e"]),
            ("logprobs", True),
            ("modalities", ["text", "audio"]),
        )
    ),
    *(
        Feature(
            f"no {call}",
            error(501, "not_implemented"),
            params,
            call=call,
            modes=(WHOLE,),
            questions=0,
        )
        for call, params in (
            ("embeddings", {"model": "text-embedding-3-small", "input": ["x", "y"]}),
            ("moderations", {"input": "x"}),
            ("speech", {"model": "tts-1", "voice": "alloy", "input": "x"}),
            ("transcription", {"model": "whisper-1"}),
        )
    ),
    # Web search
    Feature(
        "sources",
        _sources,
        asked("Tea?", web_search_options={}),
        modes=(WHOLE, STREAMED),  # the helper for Node knows no annotations
        prepare=script(*SEARCHED, citations=True),
    ),
    Feature(
        "a model's name that asks for a search",
        _sources,
        {**asked("Tea?"), "model": f"{MODEL}-search"},
        modes=(WHOLE, STREAMED),
        prepare=script(*SEARCHED, citations=True),
    ),
    # Files and pictures
    Feature(
        "a stored file",
        _file,
        {"model": MODEL, "name": "notes.txt", "text": NOTES},
        call="file",
        modes=(WHOLE,),
        questions=2,
    ),
    Feature(
        "a picture, made and edited",
        _picture,
        {"model": "gpt-image-2", "prompt": "A red fox", "size": "1024x1024"},
        call="picture",
        modes=(WHOLE, STREAMED),
        questions=2,
    ),
    # Models
    Feature("models", _models, call="models", modes=(WHOLE,), questions=0),
    Feature("one model", _model, {"model": MODEL}, call="model", modes=(WHOLE,), questions=0),
    Feature(
        "an unknown model",
        error(404, "model_not_found", "model"),
        {**asked("Hi"), "model": "none-such"},
        modes=(WHOLE, STREAMED),
        questions=0,
    ),
)
