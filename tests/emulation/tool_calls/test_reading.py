"""What is read of a model's text: content, calls, and what is wrong with them."""

from __future__ import annotations

import json

import pytest

from gbproxy.domain.tools import ToolChoice, Tools
from gbproxy.emulation.tool_calls.assembly import ReadCall
from gbproxy.emulation.tool_calls.reader import NO_BODY, NOT_WHOLE
from tests.support.tool_calls import (
    MARK,
    NONCE,
    TOOLS,
    WEATHER,
    call,
    called,
    calls_of,
    fenced,
    problem_of,
    read,
    reader_of,
    weather,
)

OSLO = {"name": "get_weather", "arguments": {"city": "Oslo"}}
BERN = {"name": "get_weather", "arguments": {"city": "Bern"}}


def patch(text: str) -> ReadCall:
    return ReadCall("apply_patch", text, is_custom=True)


# What opens a call


def test_text_before_a_call_stays_content() -> None:
    assert read(f"Let me look.\n\n{call(city='Oslo')}\n") == ["Let me look.", weather()]


@pytest.mark.parametrize(
    "text",
    [
        "No tools here.",
        "```python\nprint('hello')\n```\n",
        fenced(OSLO) + "\nThat is what a call looks like.",
        f"A call: ⟦call 00000000⟧\n{fenced(OSLO)}",
        f"Write ⟦call nonce⟧, then\n{fenced(OSLO)}",
        '{"a": [1, 2]}',
        "    indented ⟦ and [brackets] \\[here\\] &amp; there\n\n\n",
        "It ends with a bracket [",
        "<tool_call> is a tag of other models.\n\nNothing more.",
    ],
)
def test_whatever_stands_without_the_mark_is_content(text: str) -> None:
    assert read(text) == [text]


@pytest.mark.parametrize(
    "mark",
    [
        f"[call {NONCE}]",
        f"[[call {NONCE}]]",
        f"\\[call {NONCE}\\]",
        f"\\⟦call {NONCE}\\⟧",
        f"&#10214;call {NONCE}&#10215;",
        f"&#x27e6;call&nbsp;{NONCE}&#x27e7;",
        f"&amp;lobrk;call {NONCE}&amp;robrk;",
        f"**⟦call {NONCE}⟧**",
        f"`⟦call {NONCE}⟧`",
        f"- ⟦Call {NONCE}⟧:",
        f"⟦ call {NONCE} ⟧",
        f"⟦call  {NONCE}⟧",
        f"⟦call: {NONCE}⟧",
        f"【call {NONCE}】",
    ],
)
def test_a_mark_is_known_again_however_it_was_escaped(mark: str) -> None:
    found = read(f"{mark}\n{fenced(OSLO)}")

    assert calls_of(found) == [weather()]


def test_a_mark_that_no_call_follows_is_no_content() -> None:
    found = read(f"A line such as {MARK.line} opens a call.\nWhere it helps.")

    assert found == ["A line such as opens a call.\nWhere it helps."]


# Forms of a call


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{MARK.line}\n{json.dumps(OSLO)}\n```",
        f"```\n{MARK.line}\n```\n{fenced(OSLO)}",
        f"```\n{MARK.line}\n{fenced(OSLO)}\n```",
        f"{MARK.line}\n{json.dumps(OSLO)}",
        f"{MARK.line} {json.dumps(OSLO, indent=2)}\n",
        f"{MARK.line}\n\n{fenced(OSLO, '')}",
        f"{MARK.line} {fenced(OSLO, 'tool_call')}",
        f"{MARK.line}\n~~~json\n{json.dumps(OSLO)}\n~~~",
        f"{MARK.line}\n```json\n{json.dumps(OSLO)}```",
        f"{MARK.line}\n```json {json.dumps(OSLO)}\n```",
        f"{MARK.line}\n```json\n{json.dumps(OSLO, indent=4)}",
        f"{MARK.line}\n\\`\\`\\`json\n{json.dumps(OSLO)}\n\\`\\`\\`",
        f"{MARK.line}\nget_weather(city='Oslo')",
        f"{MARK.line}\nprint(default_api.get_weather(city='Oslo'))",
    ],
)
def test_a_call_is_read_in_whatever_fence_it_stands(text: str) -> None:
    assert read(text) == [weather()]


@pytest.mark.parametrize(
    "text",
    [
        f"{call(city='Oslo')}\n{call(city='Bern')}",
        f"{MARK.line}\n{fenced([OSLO, BERN])}",
        f"{MARK.line}\n{fenced(OSLO)}\n{fenced(BERN)}",
        f"{MARK.line}\n{fenced({'tool_calls': [OSLO, BERN]})}",
        f"{MARK.line}\n```json\n{json.dumps(OSLO)}\n{MARK.line}\n{fenced(BERN)}",
        f"```json\n{MARK.line}\n{json.dumps(OSLO)}\n```\n```json\n{MARK.line}\n{json.dumps(BERN)}\n```",
    ],
    ids=["marks", "list", "fences", "object", "unclosed", "outer fences"],
)
def test_an_answer_may_hold_several_calls(text: str) -> None:
    assert read(text) == [weather(), weather("Bern")]


def test_without_parallel_calls_only_the_first_is_taken() -> None:
    one = Tools(TOOLS.declared, is_parallel=False)

    for text in (
        f"{call(city='Oslo')}\n{call(city='Bern')}",
        f"{MARK.line}\n{fenced([OSLO, BERN])}",
        f"{MARK.line}\n{fenced(OSLO)}\n{fenced(BERN)}",
    ):
        reader = reader_of(one)
        assert read(text, tools=one, reader=reader) == [weather()]
        assert reader.reading.is_cut


def test_the_end_of_a_code_block_before_a_call_stays_content() -> None:
    found = read(f"```python\nx = 1\n```\n{call(city='Oslo')}")

    assert found == ["```python\nx = 1\n```", weather()]


# Long texts


def test_a_long_text_stands_in_a_block_of_its_own_as_it_is() -> None:
    text = '# Title\n\n```python\nprint("\\n")\n```\n\n  ⟦call 1f3a9c2e⟧\n'
    body = {"name": "write_file", "arguments": {"path": "a.md", "content": "@1"}}

    found = read(f"{MARK.line}\n{fenced(body)}\n````@1\n{text}\n````\n")

    assert found == [called("write_file", path="a.md", content=text)]


def test_long_texts_go_by_their_labels_or_by_their_order() -> None:
    body = {"name": "write_file", "arguments": {"path": "@2", "content": "@1"}}

    labelled = read(f"{MARK.line}\n{fenced(body)}\n```@2\ntwo\n```\n```@1\none\n```")
    ordered = read(f"{MARK.line}\n{fenced(body)}\n```\none\n```\n**@2**:\n```text\ntwo\n```")

    assert labelled == ordered == [called("write_file", path="two", content="one")]


def test_the_input_of_a_custom_tool_may_be_such_a_text() -> None:
    short = {"name": "apply_patch", "input": "x"}
    long = {"name": "apply_patch", "input": "@1"}

    assert read(f"{MARK.line}\n{fenced(short)}") == [patch("x")]
    assert read(f"{MARK.line}\n{fenced(long)}\n````@1\n*** Begin\n+a\n````") == [
        patch("*** Begin\n+a")
    ]


def test_a_long_text_that_is_missing_or_not_closed_makes_no_call() -> None:
    body = {"name": "write_file", "arguments": {"path": "a", "content": "@1"}}
    begun = f"{MARK.line}\n{fenced(body)}"

    for rest in ("", "\nDone!", f"\n{call(city='Oslo')}"):
        assert problem_of(read(begun + rest)) == "the block of @1 is missing"
    assert problem_of(read(f"{begun}\n````@1\nhalf")) == "the block of @1 was not closed"


# Behind a call


@pytest.mark.parametrize(
    "rest",
    [
        "\nResult: 4 °C",
        "\nResult of get_weather: 4 °C, so take a coat.\n" * 3,
        '\n```json\n{"temperature": 4}\n```\nIt is cold.',
        "\n<result>",
        " and so on",
    ],
)
def test_what_the_model_says_in_place_of_the_tool_is_cut(rest: str) -> None:
    reader = reader_of()

    found = read(call(city="Oslo") + rest, reader=reader)

    assert found == [weather()]
    assert reader.reading.is_cut


def test_reading_ends_with_the_first_word_behind_a_call() -> None:
    reader = reader_of()
    list(reader.feed(f"{call(city='Oslo')}\n"))

    list(reader.feed("R"))

    assert reader.is_over


def test_a_wrong_call_behind_a_good_one_is_dropped() -> None:
    for wrong in (call(town="Bern"), call("no_such_tool"), f"{MARK.line}\n{fenced('{{{')}"):
        assert read(f"{call(city='Oslo')}\n{wrong}") == [weather()]


def test_a_list_with_a_wrong_call_makes_none() -> None:
    found = read(f"{MARK.line}\n{fenced([OSLO, {'name': 'get_weather', 'arguments': {}}])}")

    assert "'city' is a required property" in problem_of(found)


# What is wrong with a call


def test_types_are_kept_and_checked() -> None:
    assert read(call(city="Oslo", days=3)) == [weather(days=3)]
    assert "'3' is not of type 'integer'" in problem_of(read(call(city="Oslo", days="3")))


def test_only_declared_names_are_called_and_of_them_only_those_that_are_allowed() -> None:
    some = Tools(TOOLS.declared, ToolChoice("auto", frozenset({"write_file"})))

    assert problem_of(read(call("rm"))) == "there is no tool rm"
    assert problem_of(read(call(city="Oslo"), tools=some)) == "there is no tool get_weather"


def test_a_custom_input_is_checked_against_its_regular_expression() -> None:
    def dial(text: str) -> str:
        return f"{MARK.line}\n{fenced({'name': 'dial', 'input': text})}"

    assert read(dial("110")) == [ReadCall("dial", "110", is_custom=True)]
    assert problem_of(read(dial("11a"))) == "the input of dial must match [0-9]+"


def test_a_call_that_is_cut_short_is_none() -> None:
    whole = call("write_file", path="a", content="b")

    found = read(whole[:-12], is_whole=False)

    assert problem_of(found) == NOT_WHOLE


def test_a_mark_at_the_end_is_no_call() -> None:
    assert problem_of(read(f"Well.\n{MARK.line}")) == NO_BODY
    assert read(f"Well.\n{MARK.line[:-3]}") == ["Well."]


def test_arguments_may_be_left_out() -> None:
    assert read(f"{MARK.line}\n{fenced({'name': 'anything'})}") == [called("anything")]


def test_a_tool_without_a_schema_of_use_takes_any_object() -> None:
    """A schema that is none is the client's; what it says of patterns may not stop the gateway."""
    for parameters in (
        {"type": "nonsense"},
        {"$ref": "#/nowhere"},
        {"$ref": "https://127.0.0.1:1/schema"},
        {"properties": {"city": {"type": "string", "pattern": "(a+)+$"}}},
        {"properties": {"city": {"type": "string", "pattern": r"^\p{L}+$"}}},
        {"patternProperties": {"^(a*)*$": {}}, "additionalProperties": False},
    ):
        tools = Tools((type(WEATHER)("get_weather", "", parameters),))
        assert read(call(city="a" * 60 + "!"), tools=tools) == [weather("a" * 60 + "!")]


def test_a_pattern_that_can_be_searched_for_is_checked() -> None:
    schema = {"properties": {"city": {"type": "string", "pattern": "^[A-Z][a-z]+$"}}}
    tools = Tools((type(WEATHER)("get_weather", "", schema),))

    assert "does not match" in problem_of(read(call(city="oslo"), tools=tools))


# Foreign forms


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>\n{json.dumps(OSLO)}\n</tool_call>",
        f"```tool_call\n{json.dumps(OSLO)}\n```",
        "```tool_code\nprint(default_api.get_weather(city='Oslo'))\n```\n",
        "default_api.get_weather(city='Oslo')",
        f"<function_call>{json.dumps(OSLO)}</function_call>\n\n",
    ],
)
def test_a_foreign_form_is_taken_at_the_very_end_alone(text: str) -> None:
    reader = reader_of()

    assert read(f"I look.\n\n{text}", reader=reader) == ["I look.", weather()]
    assert reader.reading.forms == {"foreign"}
    assert read(f"{text.rstrip()}\n\nSo it is.") == [f"{text.rstrip()}\n\nSo it is."]


def test_several_foreign_calls_are_taken_together_or_not_at_all() -> None:
    two = f"<tool_call>{json.dumps(OSLO)}</tool_call>\n<tool_call>{json.dumps(BERN)}</tool_call>"
    wrong = two.replace("city", "town", 1)

    assert read(two) == [weather(), weather("Bern")]
    assert read(wrong) == [wrong]


def test_a_call_without_its_mark_is_one_when_it_is_all_of_the_answer() -> None:
    assert read(fenced(OSLO)) == read(json.dumps([OSLO])) == [weather()]
    assert read(f"Like this:\n{fenced(OSLO)}") == [f"Like this:\n{fenced(OSLO)}"]


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "rm", "arguments": {}}\n</tool_call>',
        '<tool_call>\n{"name": "get_weather", "arguments": {}}\n</tool_call>',
        '<tool_call>\n{"name": "get_wea',
        '{"name": "Ada", "age": 36}',
        "default_api.get_weather(",
        f"<tool_call>{'x' * 40_000}</tool_call>",
    ],
)
def test_an_unclear_foreign_form_is_content(text: str) -> None:
    assert read(text) == [text]


def test_a_foreign_form_before_a_call_is_content() -> None:
    foreign = f"<tool_call>{json.dumps(BERN)}</tool_call>"

    assert read(f"{foreign}\n{call(city='Oslo')}") == [foreign, weather()]
