"""What a body says of tools, the form, the length and the number of answers."""

from __future__ import annotations

from typing import Any

import pytest

from gbproxy.api.openai.request import ParsedCompletion, parse
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.response_format import JSON_OBJECT, ResponseFormat
from gbproxy.domain.tools import CustomTool, FunctionTool, Grammar, ToolChoice, Tools
from gbproxy.errors import BadRequest

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
LOOK = {
    "type": "function",
    "function": {"name": "look", "description": "Look", "parameters": SCHEMA, "strict": True},
}
PATCH = {"type": "custom", "custom": {"name": "patch"}}
GRAMMAR = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "[0-9]+"}}
SEARCH = {"type": "web_search_preview"}
DECLARED = (FunctionTool("look", "Look", SCHEMA), CustomTool("patch"))


def parsed(**fields: Any) -> ParsedCompletion:
    return parse({"messages": [{"role": "user", "content": "Hi"}], **fields})


def chat(**fields: Any) -> ChatRequest:
    return parsed(**fields).chat


def wrong(**fields: Any) -> BadRequest:
    with pytest.raises(BadRequest) as raised:
        parsed(**fields)
    assert str(raised.value.param) in raised.value.message
    return raised.value


def named(kind: str, name: str) -> dict[str, Any]:
    return {"type": kind, kind: {"name": name}}


def test_a_body_that_asks_for_nothing_bounds_nothing() -> None:
    found = chat()

    assert (found.stop, found.max_tokens, found.choices) == ((), None, 1)
    assert (found.response_format, found.tools) == (None, Tools())


# Tools


def test_tools_are_functions_and_custom_ones() -> None:
    dial = {"type": "custom", "custom": {"name": "dial", "format": GRAMMAR}}
    texts = {"type": "custom", "custom": {"name": "say", "format": {"type": "text"}}}

    tools = chat(tools=[LOOK, PATCH, dial, texts, {"function": {"name": "bare"}}]).tools

    assert tools.declared == (
        *DECLARED,
        CustomTool("dial", grammar=Grammar("regex", "[0-9]+")),
        CustomTool("say"),
        FunctionTool("bare"),
    )
    assert tools.choice == ToolChoice()
    assert tools.is_parallel


def test_a_tool_without_its_inner_level_and_one_given_twice_are_taken() -> None:
    flat = {"type": "function", **LOOK["function"]}  # type: ignore[dict-item]

    assert chat(tools=[flat, LOOK, PATCH]).tools.declared == DECLARED


def test_a_tool_of_an_unknown_kind_is_left_out_and_named() -> None:
    found = parsed(tools=[{"type": "file_search"}, SEARCH, LOOK])

    assert found.chat.tools.declared == DECLARED[:1]
    assert found.ignored == ("tools.type",)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", ToolChoice()),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        (named("function", "look"), ToolChoice.named("look")),
        (named("custom", "patch"), ToolChoice.named("patch")),
        ({"type": "function", "name": "look"}, ToolChoice.named("look")),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [LOOK]}},
            ToolChoice("required", frozenset({"look"})),
        ),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [LOOK, PATCH], "name": ""},
            ToolChoice("auto", frozenset({"look", "patch"})),
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [SEARCH]}},
            ToolChoice("auto", frozenset()),
        ),
    ],
)
def test_tool_choice(choice: Any, expected: ToolChoice) -> None:
    assert chat(tools=[LOOK, PATCH, SEARCH], tool_choice=choice).tools.choice == expected


@pytest.mark.parametrize(("value", "expected"), [(None, True), (True, True), (False, False)])
def test_parallel_tool_calls(value: bool | None, expected: bool) -> None:
    assert chat(tools=[LOOK], parallel_tool_calls=value).tools.is_parallel is expected


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (None, ToolChoice()),
        ("auto", ToolChoice()),
        ("none", ToolChoice("none")),
        ({"name": "look"}, ToolChoice.named("look")),
    ],
)
def test_functions_are_tools_of_which_one_is_called(call: Any, expected: ToolChoice) -> None:
    found = parsed(functions=[LOOK["function"]], function_call=call)

    assert found.chat.tools == Tools(DECLARED[:1], expected, is_parallel=False)
    assert found.has_functions


def test_tools_go_before_functions() -> None:
    found = parsed(tools=[LOOK], functions=[{"name": "old"}])

    assert found.chat.tools.declared == DECLARED[:1]
    assert not found.has_functions


def test_a_choice_without_tools_chooses_nothing() -> None:
    for fields in ({"tools": []}, {"tools": None}, {}, {"tools": [SEARCH]}):
        assert chat(**fields, tool_choice="auto", parallel_tool_calls=False).tools == Tools()


TOOLS: list[tuple[str, Any]] = [
    ("tools[0].type", [{"type": 1}]),
    ("tools[1].function", [LOOK, {"type": "function"}]),
    ("tools[0].function", [{"type": "function", "function": "look"}]),
    ("tools[0].function.name", [{"function": {}}]),
    ("tools[0].function.name", [{"function": {"name": "a b"}}]),
    ("tools[0].function.name", [{"function": {"name": "x" * 129}}]),
    ("tools[0].function.description", [{"function": {"name": "a", "description": 1}}]),
    ("tools[0].function.parameters", [{"function": {"name": "a", "parameters": []}}]),
    ("tools[1]", [LOOK, {"function": {"name": "look"}}]),
    ("tools[0].custom", [{"type": "custom"}]),
    ("tools[0].custom.format", [{"type": "custom", "custom": {"name": "a", "format": "text"}}]),
    (
        "tools[0].custom.format.type",
        [{"type": "custom", "custom": {"name": "a", "format": {"type": "xml"}}}],
    ),
    (
        "tools[0].custom.format.grammar",
        [{"type": "custom", "custom": {"name": "a", "format": {**GRAMMAR, "grammar": 1}}}],
    ),
    (
        "tools[0].custom.format.grammar.syntax",
        [{"type": "custom", "custom": {"name": "a", "format": {**GRAMMAR, "grammar": {}}}}],
    ),
    (
        "tools[0].custom.format.grammar.definition",
        [
            {
                "type": "custom",
                "custom": {"name": "a", "format": {**GRAMMAR, "grammar": {"syntax": "lark"}}},
            }
        ],
    ),
]


@pytest.mark.parametrize(("param", "tools"), TOOLS)
def test_a_wrong_tool_is_named(param: str, tools: Any) -> None:
    assert wrong(tools=tools).param == param


CHOICES: list[tuple[str, Any]] = [
    ("tool_choice", "any"),
    ("tool_choice", {}),
    ("tool_choice", SEARCH),
    ("tool_choice.function", {"type": "function"}),
    ("tool_choice.function.name", named("function", "other")),
    ("tool_choice.custom.name", {"type": "custom", "custom": {"name": 1}}),
    ("tool_choice.allowed_tools", {"type": "allowed_tools"}),
    ("tool_choice.allowed_tools.mode", {"type": "allowed_tools", "allowed_tools": {"mode": "no"}}),
    ("tool_choice.allowed_tools.tools", {"type": "allowed_tools", "allowed_tools": {}}),
    (
        "tool_choice.allowed_tools.tools[1]",
        {"type": "allowed_tools", "allowed_tools": {"tools": [LOOK, "look"]}},
    ),
    (
        "tool_choice.allowed_tools.tools",
        {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [SEARCH]}},
    ),
]


@pytest.mark.parametrize(("param", "choice"), CHOICES)
def test_a_wrong_choice_is_named(param: str, choice: Any) -> None:
    assert wrong(tools=[LOOK, PATCH, SEARCH], tool_choice=choice).param == param


@pytest.mark.parametrize("tools", [None, [], [SEARCH]])
def test_what_is_not_there_cannot_be_required(tools: Any) -> None:
    assert wrong(tools=tools, tool_choice="required").param == "tool_choice"


@pytest.mark.parametrize(
    ("param", "call"),
    [("function_call", "required"), ("function_call.name", {"name": "x"})],
)
def test_a_wrong_function_call_is_named(param: str, call: Any) -> None:
    assert wrong(functions=[{"name": "look"}], function_call=call).param == param


# The form


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, JSON_OBJECT),
        ({"type": "json_object", "schema": SCHEMA}, ResponseFormat(SCHEMA)),
        (
            {
                "type": "json_schema",
                "json_schema": {
                    "name": "city",
                    "description": "Where",
                    "schema": SCHEMA,
                    "strict": True,
                },
            },
            ResponseFormat(SCHEMA, "city", "Where", strict=True),
        ),
        ({"type": "json_schema", "json_schema": {"name": "city"}}, ResponseFormat(name="city")),
    ],
)
def test_response_format(form: Any, expected: ResponseFormat | None) -> None:
    assert chat(response_format=form).response_format == expected


def schema(schema: Any, **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, **more}}


FORMS: list[tuple[str, Any]] = [
    ("response_format", "json_object"),
    ("response_format.type", {}),
    ("response_format.type", {"type": "grammar"}),
    ("response_format.json_schema", {"type": "json_schema"}),
    ("response_format.json_schema.name", schema({}, name=1)),
    ("response_format.json_schema.strict", schema({}, strict="yes")),
    ("response_format.json_schema.schema", schema("object")),
    ("response_format.json_schema.schema", schema({"type": "objekt"})),
    ("response_format.json_schema.schema", schema({"$ref": "https://example.com/schema"})),
    ("response_format.json_schema.schema", schema({"anyOf": [{}] * 5_000})),
    ("response_format.schema", {"type": "json_object", "schema": []}),
]


@pytest.mark.parametrize(("param", "form"), FORMS)
def test_a_wrong_form_is_named(param: str, form: Any) -> None:
    assert wrong(response_format=form).param == param


def test_what_is_wrong_with_a_schema_is_told() -> None:
    message = wrong(response_format=schema({"type": "objekt"})).message

    assert "is no JSON schema, at $.type: it must be one of object, array" in message


# Length and number


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x", ("x",)),
        (["a", "b", "c", "d"], ("a", "b", "c", "d")),
        (["a", "", "a"], ("a",)),
        ("", ()),
        ([], ()),
        (None, ()),
    ],
)
def test_stop(value: Any, expected: tuple[str, ...]) -> None:
    assert chat(stop=value).stop == expected


@pytest.mark.parametrize("value", [["a", "b", "c", "d", "e"], "x" * 257])
def test_too_many_or_too_long_stops_are_refused(value: Any) -> None:
    assert wrong(stop=value).param == "stop"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 6}, 6),
        ({"max_tokens": 5, "max_completion_tokens": 4}, 4),
        ({"max_tokens": -1, "max_completion_tokens": 4}, 4),
        ({"max_tokens": -1}, None),
        ({"max_tokens": None}, None),
    ],
)
def test_the_least_of_the_token_limits_counts(fields: Any, expected: int | None) -> None:
    assert chat(**fields).max_tokens == expected


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("value", [0, -2, 1.5, "5", True])
def test_a_wrong_limit_is_named(name: str, value: Any) -> None:
    assert wrong(**{name: value}).param == name


@pytest.mark.parametrize(("n", "expected"), [(None, 1), (1, 1), (4, 4)])
def test_n(n: int | None, expected: int) -> None:
    assert chat(n=n).choices == expected


@pytest.mark.parametrize("n", [0, -1, 5, True, 1.0, "1"])
def test_a_wrong_n_is_named(n: Any) -> None:
    assert wrong(n=n).param == "n"


# What is refused, and what is ignored


@pytest.mark.parametrize(
    ("param", "value"), [("logprobs", True), ("modalities", ["text", "audio"])]
)
def test_what_is_not_offered_is_refused(param: str, value: Any) -> None:
    assert wrong(**{param: value}).param == param


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        (
            {"stream_options": {"include_obfuscation": True}},
            ("stream_options.include_obfuscation",),
        ),
        ({"reasoning": {"effort": "high"}}, ("reasoning.effort",)),
        ({"verbosity": "low", "prompt_cache_key": "k"}, ("verbosity", "prompt_cache_key")),
        ({"logprobs": False, "stop": "x", "max_tokens": 1, "n": 1}, ("logprobs",)),
    ],
)
def test_what_has_no_effect_is_named(fields: Any, names: tuple[str, ...]) -> None:
    assert parsed(**fields).ignored == names
