"""Rung by rung: what is mended of a model's JSON, and what never is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.emulation.tool_calls.mending import readings
from tests.support.tool_calls import MARK, called, read, weather

PATTERN = r"\d+"


def block(text: str) -> str:
    return f"{MARK.line}\n```json\n{text}\n```"


@pytest.mark.parametrize(
    "text",
    [
        "{'name': 'get_weather', 'arguments': {'city': 'Oslo'}}",
        '{"name": "get_weather", "arguments": {"city": "Oslo",},}',
        '{"name": "default_api.get_weather", "arguments": {"city": "Oslo"}}',
        '{"name": "functions.get_weather", "parameters": {"city": "Oslo"}}',
        '{"tool": "get_weather", "args": {"city": "Oslo"}}',
        '{"type": "function", "function": {"name": "get_weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}}',
        '{"name": "get_weather", "arguments": {"city": "Oslo"}',
        '{"name": "get_weather", "arguments": {"city": "Oslo"}}}',
        "{&quot;name&quot;: &quot;get_weather&quot;, &quot;arguments&quot;: {&quot;city&quot;: &quot;Oslo&quot;}}",
        '\\{"name": "get\\_weather", "arguments": \\{"city": "Oslo"\\}\\}',
        "default_api.get_weather(city='Oslo')",
        'print(default_api.get_weather(city = "Oslo"))',
        "get_weather(city='Oslo',)",
    ],
)
def test_a_call_is_mended(text: str) -> None:
    assert read(block(text)) == [weather()]


def test_values_keep_their_types() -> None:
    text = "{'name': 'anything', 'arguments': {'a': True, 'b': None, 'c': [1, 2.5, -3], 'd': 'it\\'s \"so\"'}}"

    assert read(block(text)) == [called("anything", a=True, b=None, c=[1, 2.5, -3], d='it\'s "so"')]


def test_code_with_objects_in_lists_is_read_as_the_model_means_it() -> None:
    text = (
        "default_api.write_file(\n    path='a.py',\n"
        '    edits=[default_api.Edit(old="a", new="""b\nc"""), {"old": "x"}],\n)'
    )

    assert read(block(text)) == [
        called("write_file", path="a.py", edits=[{"old": "a", "new": "b\nc"}, {"old": "x"}])
    ]


def test_line_breaks_and_single_backslashes_stay_in_a_text() -> None:
    text = '{"name": "anything", "arguments": {"a": "one\ntwo", "b": "' + PATTERN + '"}}'

    assert read(block(text)) == [called("anything", a="one\ntwo", b=PATTERN)]


def test_what_is_valid_is_never_mended() -> None:
    value = {"a": "&quot; \\_ True, ] }", "b": "default_api.f('x')"}

    assert next(readings(json.dumps(value))) == (value, ())


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        '{"a": 1e999}',
        "{'a': 1e999}",
        "[" * 100_000,
        "-" * 100_000 + "1",
        "__import__('os').system('x')",
        "f(x)",
        "{**{}}",
        "lambda: 1",
        "not json at all",
        "",
    ],
)
def test_what_is_no_value_is_not_made_one(text: str) -> None:
    values = [value for value, _ in readings(text) if value != []]

    assert values == []


@given(
    st.text(
        alphabet=st.sampled_from("{}[]\"'\\,:&quot;default_api.()=1 TrueNone\n\t\x00é"), max_size=60
    )
)
def test_no_text_breaks_the_reading(text: str) -> None:
    for value, _ in readings(text):
        json.dumps(value, allow_nan=False)


def test_half_of_a_surrogate_pair_cannot_be_sent() -> None:
    [found] = read(block('{"name": "anything", "arguments": {"a": "x\\ud800\n"}}'))

    assert found == called("anything", a="x\ufffd\n")
