"""What a request may say, and how it is told what is wrong with it."""

from __future__ import annotations

import json
import resource
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.fake_upstream import FakeUpstream, api
from tests.support.serving import InProcess, Reply

HI = {"role": "user", "content": "Hi"}
TEXT = {"type": "text", "text": "Hi"}


def assert_bad(reply: Reply, param: str | None = None) -> None:
    assert reply.status == 400, reply.body
    assert reply.error["code"] == "invalid_request_error"
    assert reply.error["type"] == "invalid_request_error"
    assert reply.error["param"] == param
    assert reply.error["message"]
    assert reply.headers["x-request-id"]


BODIES = {
    "empty": b"",
    "white space": b"  \n",
    "not JSON": b"hello",
    "cut off": b'{"messages": [',
    "two values": b"{}{}",
    "single quotes": b"{'messages': []}",
    "NaN": b'{"messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
    "Infinity": b'{"messages": [{"role": "user", "content": "x"}], "x": -Infinity}',
    "a number out of range": b'{"messages": [{"role": "user", "content": "x"}], "x": 1e999}',
    "a number of 5000 digits": (
        b'{"messages": [{"role": "user", "content": "x"}], "x": %b}' % (b"9" * 5000)
    ),
    "UTF-16": '{"messages": []}'.encode("utf-16"),
    "UTF-16 without a mark": '{"messages": []}'.encode("utf-16-le"),
    "UTF-32": '{"messages": []}'.encode("utf-32"),
    "a byte order mark alone": b"\xef\xbb\xbf",
    "two byte order marks": b"\xef\xbb\xbf" * 2 + json.dumps({"messages": [HI]}).encode(),
    "Latin-1": '{"messages": [{"role": "user", "content": "é"}]}'.encode("latin-1"),
    "surrogates as UTF-8": b'{"messages": [{"role": "user", "content": "\xed\xa0\x80"}]}',
    "a raw line end in a text": b'{"messages": [{"role": "user", "content": "a\nb"}]}',
    "an array": b"[]",
    "a string": b'"messages"',
    "a number": b"1",
    "null": b"null",
    "100 000 nested arrays": b"[" * 100_000,
    "100 000 nested arrays inside": b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "100 000 nested objects": b'{"a":' * 100_000,
}


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in BODIES.items()])
def test_a_malformed_body_is_a_bad_request(app: InProcess, body: bytes) -> None:
    reply = app.request("POST", "/v1/chat/completions", body, app.headers)

    assert_bad(reply)


def test_a_byte_order_mark_before_the_body_is_no_part_of_it(app: InProcess) -> None:
    body = b"\xef\xbb\xbf" + json.dumps({"messages": [HI]}).encode()

    assert app.request("POST", "/v1/chat/completions", body, app.headers).succeeded


MESSAGES: list[tuple[str, Any]] = [
    ("messages", None),
    ("messages", []),
    ("messages", "Hi"),
    ("messages", {"role": "user"}),
    ("messages[0]", ["Hi"]),
    ("messages[1]", [HI, 1]),
    ("messages[0].role", [{"content": "Hi"}]),
    ("messages[0].role", [{"role": "human", "content": "Hi"}]),
    ("messages[0].role", [{"role": 1, "content": "Hi"}]),
    ("messages[0].content", [{"role": "user"}]),
    ("messages[0].content", [{"role": "user", "content": None}]),
    ("messages[0].content", [{"role": "user", "content": 1}]),
    ("messages[1].content", [HI, {"role": "user", "content": {"text": "Hi"}}]),
    ("messages[0].content[0]", [{"role": "user", "content": ["Hi"]}]),
    (
        "messages[0].content[1]",
        [{"role": "user", "content": [{"type": "text", "text": "a"}, {"text": "b"}]}],
    ),
    (
        "messages[0].content[0].image_url",
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
    ),
    (
        "messages[0].content[0].file.file_id",
        [{"role": "user", "content": [{"type": "file", "file": {"file_id": ""}}]}],
    ),
    (
        "messages[0].content[0].input_audio",
        [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}],
    ),
    ("messages[0].content[0].type", [{"role": "user", "content": [{"type": "smell"}]}]),
    ("messages[0].content[0].text", [{"role": "user", "content": [{"type": "text"}]}]),
    ("messages[0].content[0].text", [{"role": "user", "content": [{"type": "text", "text": 1}]}]),
    ("messages[0].name", [{**HI, "name": 1}]),
    ("messages[0].tool_calls", [{"role": "assistant", "tool_calls": "x"}]),
    ("messages[0].tool_calls[0]", [{"role": "assistant", "tool_calls": ["x"]}]),
    ("messages[0].tool_calls[0].function", [{"role": "assistant", "tool_calls": [{"id": "a"}]}]),
    ("messages[0].content[0]", [{"role": "assistant", "content": ["Hi"]}]),
    (
        "messages[0].content[0].text",
        [{"role": "assistant", "content": [{"type": "text", "text": 1}]}],
    ),
    (
        "messages[0].content[0]",
        [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
    ),
    (
        "messages[0].content[0].content[1].image_url",
        [
            {
                "role": "user",
                "content": [{"type": "tool_result", "content": [TEXT, {"type": "image_url"}]}],
            }
        ],
    ),
    (
        "messages[0].content[0].type",
        [{"role": "user", "content": [{"type": "thinking", "thinking": "x"}]}],
    ),
    (
        "messages[0].content[0].type",
        [{"role": "tool", "content": [{"type": "tool_use", "name": "x"}]}],
    ),
    (
        "messages[0].content[0].content[1]",
        [
            {
                "role": "user",
                "content": [{"type": "tool_result", "content": [TEXT, {"type": "tool_result"}]}],
            }
        ],
    ),
    (
        "messages[0].tool_calls[0].id",
        [{"role": "assistant", "tool_calls": [{"id": 5, "function": {"name": "f"}}]}],
    ),
    ("messages[0].tool_call_id", [{"role": "tool", "content": "x", "tool_call_id": 1}]),
]


def test_no_name_of_our_own_classes_reaches_a_client(app: InProcess) -> None:
    for body in ({"messages": ["Hi"]}, {"messages": [HI], "response_format": "text"}):
        assert "_" not in app.post(body).error["message"].replace("response_format", "")


@pytest.mark.parametrize(("param", "messages"), MESSAGES)
def test_a_wrong_message_is_named(app: InProcess, param: str, messages: Any) -> None:
    reply = app.post({"messages": messages} if messages is not None else {})

    assert_bad(reply, param)


FIELDS: list[tuple[str, Any]] = [
    ("model", 1),
    ("model", ["gemini-auto"]),
    ("stream", "yes"),
    ("stream", 1),
    ("stream_options", True),
    ("stream_options.include_usage", {"include_usage": "yes"}),
    ("n", True),
    ("n", 1.5),
    ("n", "1"),
    ("n", 0),
    ("n", 5),
    ("max_tokens", 0),
    ("max_tokens", 1.5),
    ("max_tokens", "1"),
    ("max_completion_tokens", True),
    ("stop", 1),
    ("stop", {"a": 1}),
    ("stop", ["a", 1]),
    ("stop", ["a", "b", "c", "d", "e"]),
    ("tools", {}),
    ("tools[0]", ["x"]),
    ("tool_choice", 1),
    ("tool_choice", "required"),
    ("tool_choice.function.name", {"type": "function", "function": {"name": "look"}}),
    ("function_call", 1),
    ("parallel_tool_calls", "yes"),
    ("logprobs", True),
    ("response_format", "text"),
    ("response_format.type", {}),
    ("modalities", ["audio"]),
    ("modalities", "text"),
    ("reasoning", "high"),
    ("reasoning.exclude", {"exclude": 1}),
    ("include_reasoning", "yes"),
]


@pytest.mark.parametrize(("param", "value"), FIELDS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_wrong_field_is_named(
    app: InProcess, fake: FakeUpstream, param: str, value: Any, stream: bool
) -> None:
    field = param.partition(".")[0].partition("[")[0]

    reply = app.post({"messages": [HI], "stream": stream, field: value})

    assert_bad(reply, param)
    assert fake.prompts == []


IGNORED: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 1,
    "frequency_penalty": 0,
    "presence_penalty": -1.5,
    "seed": 10**30,
    "logit_bias": {"1": 2},
    "logprobs": False,
    "top_logprobs": 0,
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning_effort": "low",
    "service_tier": "auto",
    "store": False,
    "metadata": {"a": "b"},
    "user": "me",
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_parameters_without_effect_are_named(app: InProcess, stream: bool) -> None:
    reply = app.post({"messages": [HI], "stream": stream, **IGNORED})

    assert reply.status == 200
    assert set(reply.headers["x-gbproxy-ignored"].split(", ")) == IGNORED.keys()


@pytest.mark.parametrize(
    ("fields", "text", "reason"),
    [
        ({"stop": "lo"}, "Hel", "stop"),
        ({"stop": ["x", "e"]}, "H", "stop"),
        ({"max_tokens": 1}, "Hell", "length"),
        ({"max_completion_tokens": 1, "stop": "el"}, "H", "stop"),
        ({"max_tokens": -1, "stop": []}, "Hello", "stop"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_stops_and_limits_end_the_answer(
    app: InProcess, fields: dict[str, Any], text: str, reason: str, stream: bool
) -> None:
    reply = app.post({"messages": [HI], "stream": stream, **fields})

    assert (reply.text, reply.finish_reason) == (text, reason)


ANY_VALUE: list[Any] = ["x", 1, 1.5, True, [], [None], {}, {"a": {"b": []}}, ""]
OF_ANY_TYPE = (
    "temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty", "seed",
    "logit_bias", "top_logprobs", "reasoning_effort", "verbosity", "prediction", "audio",
    "service_tier", "store", "metadata", "user", "safety_identifier", "prompt_cache_key",
    "prompt_cache_options", "prompt_cache_retention", "moderation",
)  # fmt: skip


@pytest.mark.parametrize("value", ANY_VALUE, ids=repr)
def test_a_field_without_effect_refuses_nothing_for_its_type(app: InProcess, value: Any) -> None:
    together = app.post({"messages": [HI], **dict.fromkeys(OF_ANY_TYPE, value)})

    assert together.status == 200
    assert together.headers["x-gbproxy-ignored"].split(", ") == sorted(
        OF_ANY_TYPE, key=together.headers["x-gbproxy-ignored"].index
    )


@pytest.mark.parametrize(
    "fields",
    [
        {},
        dict.fromkeys(IGNORED),
        {
            "n": 1,
            "max_tokens": 100,
            "max_completion_tokens": -1,
            "stop": ["a", ""],
            "response_format": {"type": "text"},
            "modalities": ["text"],
            "stream_options": None,
        },
        {"": 1, "chat_template_kwargs": None},
        {"stream_options": {"include_usage": True, "include_obfuscation": False}},
    ],
)
def test_what_changes_nothing_is_not_named(app: InProcess, fields: dict[str, Any]) -> None:
    reply = app.post({"messages": [HI], **fields})

    assert reply.status == 200
    assert reply.headers["x-gbproxy-ignored"] is None


@pytest.mark.parametrize(
    ("content", "prompt"),
    [
        ("Hi", "Hi"),
        ([{"type": "text", "text": "Hi"}], "Hi"),
        ([{"type": "text", "text": "Hi"}, {"type": "input_text", "text": "you"}], "Hi\nyou"),
        ([{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}], "Hi"),
        ("", ""),
        ("\\ud83d\\ude00", "😀"),
        ("half \\ud83d pair", "half \ufffd pair"),
        ("\\udc00\\ud83d", "\ufffd\ufffd"),
        ("\\\\ud83d", "\\ud83d"),
    ],
)
def test_content_is_a_text_or_parts(
    app: InProcess, fake: FakeUpstream, content: Any, prompt: str
) -> None:
    text = f'"{content}"' if isinstance(content, str) else json.dumps(content)
    body = f'{{"messages": [{{"role": "user", "content": {text}}}]}}'

    reply = app.request("POST", "/v1/chat/completions", body, app.headers)

    assert reply.status == 200
    assert fake.prompts == [prompt]


def test_developer_means_system(app: InProcess, fake: FakeUpstream) -> None:
    for role in ("system", "developer"):
        app.post({"messages": [{"role": role, "content": "Be brief"}, HI]})

    assert fake.prompts[0] == fake.prompts[1]


def test_old_functions_and_unfinished_calls_are_taken(app: InProcess, fake: FakeUpstream) -> None:
    reply = app.post(
        {
            "messages": [
                HI,
                {
                    "role": "assistant",
                    "content": None,
                    "function_call": {"name": "look", "arguments": "{}"},
                },
                {"role": "function", "name": "look", "content": "seen"},
                {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
                {"role": "user", "content": "Go on"},
            ]
        }
    )

    assert reply.status == 200
    assert all(text in fake.prompts[0] for text in ("look", "seen", "No.", "Go on"))


def history(*turns: Any) -> dict[str, Any]:
    return {"messages": [HI, *turns, {"role": "user", "content": "Go on"}]}


CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sky"}'}}
CALLED = '[called the tool look as c1 with {"at": "sky"}]'
USE = {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": "sky"}}
# turns, what the upstream gets of them, what is named as left out
TURNS: dict[str, tuple[list[Any], str, str]] = {
    "a tool that said nothing": (
        [{"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c1"}],
        f"assistant\n{CALLED}|tool result\n[answer to c1]\n", "",
    ),
    "a tool that said null": (
        [{"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c1", "content": None}],
        f"assistant\n{CALLED}|tool result\n[answer to c1]\n", "",
    ),
    "a tool with a name, and parts": (
        [{"role": "tool", "tool_call_id": "c1", "name": "look", "content": [TEXT, TEXT]}],
        "tool result (look)\n[answer to c1]\nHi\nHi", "",
    ),
    "a tool whose result was not made a text of": (
        [{"role": "tool", "tool_call_id": "c1", "content": {"n": 1}}, {"role": "tool", "tool_call_id": "c2", "content": 5}],
        'tool result\n[answer to c1]\n{"n": 1}|tool result\n[answer to c2]\n5', "",
    ),
    "a function that said null": ([{"role": "function", "name": "look", "content": None}],
        "tool result (look)\n[answer to look]\n", "",
    ),
    "arguments as an object": (
        [{"role": "assistant", "content": "", "tool_calls": [{**CALL, "function": {"name": "look", "arguments": {"at": "sky"}}}]}],
        f"assistant\n\n{CALLED}", "",
    ),
    "arguments of an old function as an object": (
        [{"role": "assistant", "function_call": {"name": "look", "arguments": {"at": ["sky"]}}, "tool_calls": None}],
        'assistant\n[called the tool look as  with {"at": ["sky"]}]', "",
    ),
    "no arguments": (
        [{"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": None}}]}],
        "assistant\n[called the tool look as c1 with {}]", "",
    ),
    "a custom tool": (
        [{"role": "assistant", "tool_calls": [{"id": "c1", "type": "custom", "custom": {"name": "sh", "input": "ls"}}]}],
        "assistant\n[called the tool sh as c1 with ls]", "",
    ),
    "thoughts before the words": (
        [{"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "x"}, {"type": "redacted_thinking", "data": "x"},
            {"type": "reasoning", "summary": []}, {"type": "output_text", "text": "Hello.", "annotations": []},
        ]}],
        "assistant\nHello.", "messages.content",
    ),
    "a call among the parts": (
        [{"role": "assistant", "content": [TEXT, USE]},
         {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": [TEXT]}]}],
        f"assistant\nHi\n{CALLED}|user\n[answer to c1]\nHi", "",
    ),
    "a result that is no text": (
        [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": {"n": 1}}]}],
        'user\n[answer to c1]\n{"n": 1}', "",
    ),
    "a call of another kind among the parts": (
        [{"role": "assistant", "content": [
            {"type": "tool-call", "toolCallId": "c1", "toolName": "look", "args": {"at": "sky"}}, {"type": "tool_use"},
        ]}],
        f"assistant\n{CALLED}", "messages.content",
    ),
    "the same call twice": (
        [{"role": "assistant", "content": [TEXT, USE], "tool_calls": [CALL]}], f"assistant\nHi\n{CALLED}", "",
    ),
    "pictures that another model has made": (
        [{"role": "assistant", "content": [TEXT, {"type": "image_url", "image_url": {"url": "https://x/y"}}],
          "images": [1], "audio": {"id": "a"}, "reasoning_content": "Hm.", "annotations": {}}],
        "assistant\nHi", "messages.content",
    ),
    "a text that is null": (
        [{"role": "assistant", "content": [{"type": "text", "text": None}, TEXT]}], "assistant\nHi", "messages.content",
    ),
    "a refusal beside no content": (
        [{"role": "assistant", "content": None, "refusal": "No."}], "assistant\nNo.", "",
    ),
    "a refusal that the content says too": (
        [{"role": "assistant", "content": "No.", "refusal": "No."}], "assistant\nNo.", "",
    ),
    "nothing at all": ([{"role": "assistant", "content": []}, {"role": "assistant"}], "assistant\n|assistant\n", ""),
}  # fmt: skip


@pytest.mark.parametrize(("turns", "told", "left_out"), TURNS.values(), ids=TURNS.keys())
def test_histories_of_agents_are_taken(
    app: InProcess, fake: FakeUpstream, turns: list[Any], told: str, left_out: str
) -> None:
    reply = app.post(history(*turns))

    assert reply.status == 200, reply.body
    mark = fake.prompts[0].rpartition(" assistant\n")[0].rpartition("\n")[2]
    _, _, *parts = fake.prompts[0].removesuffix(f"\n\n{mark} assistant\n").split(f"\n\n{mark} ")
    assert parts == [*told.split("|"), "user\nGo on"]
    assert (reply.headers["x-gbproxy-ignored"] or "") == left_out


@pytest.mark.parametrize("value", [{}, {"a": 1}, [1], "x", None, 5])
def test_a_call_may_hold_any_json(app: InProcess, value: Any) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": value}}

    assert app.post(history({"role": "assistant", "tool_calls": [call]})).status == 200


def test_arguments_that_are_nested_too_deeply_are_a_bad_request(app: InProcess) -> None:
    places = (
        ('{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":', "}}]}"),
        ('{"role":"user","content":[{"type":"tool_result","content":{"a":', "}}]}"),
    )
    for (head, tail), depth in product(places, (900, 970, 980, 990, 1000, 1010, 1020)):
        body = f'{{"messages":[{head}{"[" * depth}{"]" * depth}{tail}]}}'

        reply = app.request("POST", "/v1/chat/completions", body, app.headers)

        if reply.status != 200:
            assert (reply.status, "nested too deeply" in reply.error["message"]) == (
                400,
                True,
            ), depth


COUNTS: list[tuple[str, dict[str, Any]]] = [
    ("messages", {"messages": [HI] * 10_001}),
    ("messages[0].content", {"messages": [{"role": "user", "content": [TEXT] * 50_001}]}),
    ("messages[2].content", {"messages": [{"role": "user", "content": [TEXT] * 20_000}] * 3}),
    (
        "messages[0].tool_calls",
        {"messages": [{"role": "assistant", "tool_calls": [CALL] * 50_001}]},
    ),
    (
        "tools",
        {"messages": [HI], "tools": [{"type": "function", "function": {"name": "look"}}] * 2_001},
    ),
    ("functions", {"messages": [HI], "functions": [{"name": "look"}] * 2_001}),
]


@pytest.mark.parametrize(("param", "body"), COUNTS, ids=[param for param, _ in COUNTS])
def test_what_is_too_many_is_refused_by_its_name(
    app: InProcess, fake: FakeUpstream, param: str, body: dict[str, Any]
) -> None:
    reply = app.post(body)

    assert_bad(reply, param)
    assert fake.prompts == []


def test_what_is_just_not_too_many_is_taken(app: InProcess) -> None:
    tools = [{"type": "function", "function": {"name": "look"}}] * 2_000
    parts = [{"type": "text", "text": ""}] * 5

    assert (
        app.post({"messages": [{"role": "user", "content": parts}] * 10_000, "tools": tools}).status
        == 200
    )


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content-Type": "application/json; charset=utf-8"}, 200, None),
        ({"Content-Type": "application/vnd.api+json"}, 200, None),
        ({"Content-Type": ""}, 200, None),
        ({"Content-Encoding": "identity"}, 200, None),
        ({"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415, "unsupported_media_type"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415, "unsupported_media_type"),
        ({"Content-Encoding": "gzip"}, 415, "unsupported_media_type"),
        ({"Content-Encoding": "br"}, 415, "unsupported_media_type"),
    ],
)
def test_the_kind_of_body(
    app: InProcess, headers: dict[str, str], status: int, code: str | None
) -> None:
    reply = app.post({"messages": [HI]}, headers)

    assert reply.status == status
    if code is not None:
        assert reply.error["code"] == code


def test_a_body_that_is_too_large() -> None:
    with api(MAX_BODY_MB="0.001") as (app, fake):
        fits = app.post({"messages": [HI]})
        exceeds = app.post({"messages": [{"role": "user", "content": "x" * 2000}]})

    assert fits.status == 200
    assert exceeds.status == 413
    assert exceeds.error["code"] == "request_too_large"
    assert fake.prompts == ["Hi"]


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.sampled_from(["user", "system", "tool", "text", "auto", "gemini-auto", "image_url"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
_MESSAGE = st.dictionaries(
    st.sampled_from(
        ["role", "content", "name", "tool_calls", "tool_call_id", "function_call", "type", "text"]
    ),
    _JSON,
)
_NAMES = sorted(
    {
        *IGNORED,
        "messages",
        "model",
        "stream",
        "stream_options",
        "n",
        "stop",
        "max_tokens",
        "response_format",
        "reasoning",
        "functions",
    }
)
_BODY = st.fixed_dictionaries(
    {}, optional={"messages": st.just([HI]) | st.lists(_MESSAGE, max_size=3) | _JSON, "x": _JSON}
).flatmap(
    lambda body: st.dictionaries(st.sampled_from(_NAMES), _JSON, max_size=4).map(
        lambda fields: {**fields, **body}
    )
)


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(body=_BODY | _JSON)
def test_no_json_breaks_the_gateway(app: InProcess, body: Any) -> None:
    reply = app.post(body)

    # 502: a format was asked for, and this upstream answers in words
    assert reply.status in (200, 400, 404, 502), reply.body
    if reply.status != 200:
        assert reply.error["message"]


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(body=st.binary(max_size=60))
def test_no_bytes_break_the_gateway(app: InProcess, body: bytes) -> None:
    reply = app.request("POST", "/v1/chat/completions", body, app.headers)

    assert reply.status == 400, reply.body
    assert reply.error["code"] == "invalid_request_error"


@pytest.mark.parametrize(
    "fields",
    [{"messages": [0] * 500_000}, {"messages": [HI], "stop": [0] * 500_000}],
    ids=["messages", "stop"],
)
@pytest.mark.timeout(20)
def test_a_million_mistakes_cost_no_more_than_the_first(
    app: InProcess, fields: dict[str, Any]
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    reply = app.post(fields)

    assert reply.status == 400
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kb < 100_000
