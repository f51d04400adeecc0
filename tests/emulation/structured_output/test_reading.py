"""What of an answer is the JSON that was asked for, and what is mended of it."""

from __future__ import annotations

import json

import pytest

from gbproxy.domain.response_format import JSON_OBJECT, ResponseFormat
from tests.support.structured_output import (
    ANYTHING,
    CITY,
    LIST,
    UNION,
    fed,
    read,
    reader_of,
    valid,
)

OSLO = '{"city": "Oslo"}'


@pytest.mark.parametrize(
    "text",
    [
        OSLO,
        f"\n {OSLO}\n",
        f"```json\n{OSLO}\n```",
        f"~~~~\n{OSLO}\n~~~~",
        f"Here it is:\n\n```json\n{OSLO}\n```\n\nSay if you need {{more}}: {OSLO}",
        f"Here is the JSON: {OSLO} I hope that it helps!",
        f"See [1] and {{x}}, then {OSLO}",
        f"`{OSLO}`",
    ],
)
@pytest.mark.parametrize("form", [JSON_OBJECT, CITY], ids=["any object", "schema"])
def test_only_the_json_is_passed_on(text: str, form: ResponseFormat) -> None:
    assert valid(text, form) == OSLO


def test_json_is_kept_as_the_model_has_written_it() -> None:
    text = '{ "a" : 1.50, "b":-0.0e+05,\n\t"c": ["\\u00e9\\/", "é", [ ], { }], "d": 12345678901234567890 }'

    assert valid(f"```\n{text}\n```") == text


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('{"a": [1, 2,], "b": {"c": 1 , \n}}', '{"a": [1, 2], "b": {"c": 1  \n}}'),
        ("{'a': 'it\\'s \"so\"'}", '{"a": "it\'s \\"so\\""}'),
        ('{"a": True, "b": None, "c": False}', '{"a": true, "b": null, "c": false}'),
        ('{"a": "one\ntwo\t\\d"}', '{"a": "one\\ntwo\\t\\\\d"}'),
        ('{"a": {"b": [1, 2', '{"a": {"b": [1, 2]}}'),
        ('{"a": "\\u12x"}', '{"a": "\\\\u12x"}'),
    ],
)
def test_small_mistakes_are_mended(written: str, meant: str) -> None:
    assert valid(written) == meant
    json.loads(meant)


def test_what_was_mended_is_told() -> None:
    reader = reader_of()

    list(fed(reader, ["{'a': True, 'b': [1,]"]))

    assert reader.repairs == {"quotes", "python words", "commas", "brackets"}
    assert reader.begin is None


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "cut in a te',
        '{"a": ',
        '{"a"',
        '{"a": 1,',
        '{"a": NaN}',
        '{"a": 01}',
        '{"a": 1e999}',
        '{"a" 1}',
        '{"a": 1]',
        '{"a": 1 "b": 2}',
        '{"a": [,]}',
        '{"a": 1, // a comment\n}',
        '{"a": ' + "[" * 300 + "1",
        '{"a": ' + "9" * 5000 + "}",
        "No.",
        "",
        "[1]",
        "```json\n```",
    ],
)
def test_what_is_no_json_object_is_not_made_one(text: str) -> None:
    _, problem = read(text)

    assert problem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"city": 5}', "at $.city: 5 is not of type 'string'"),
        ('{"days": 1}', "at $: 'city' is a required property"),
        ('{"town": "Oslo"}', "at $: "),
        ('{"city": "Oslo", "more": [1]}', "at $.more[0]: 1 is not valid under any"),
        ('{"city": "Oslo', "it is not complete"),
        ('{"city": Oslo}', "it is not valid JSON: there is a value that is none"),
        ('{"city": "Oslo" "days": 1}', 'it is not valid JSON: there is a " where none may be'),
        ("The city is Oslo.", "it holds no JSON that could be read"),
    ],
)
def test_the_problem_is_told_in_the_validators_words(text: str, words: str) -> None:
    _, problem = read(text, form=CITY)

    assert problem is not None
    assert problem.startswith(words)


def test_references_within_a_schema_are_followed() -> None:
    text = '{"city": "Oslo", "more": [null, {"city": "Bern", "more": []}]}'

    assert valid(text, CITY) == text


@pytest.mark.parametrize(
    "text",
    ["[1, 2]", "Here: [1, 2]", "```json\n[1, 2]\n```", "As in [3], it is\n[1, 2]\nor [3]."],
)
def test_an_array_at_the_top_is_told_from_a_footnote(text: str) -> None:
    assert valid(text, LIST) == "[1, 2]"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("null", "null"),
        ("```json\nnull\n```", "null"),
        (' "none"\n', '"none"'),
        ("3", "3"),
        ('Well: {"a/b": 1}', '{"a/b": 1}'),
    ],
)
def test_a_union_may_hold_an_object_or_a_single_value(text: str, meant: str) -> None:
    assert valid(text, UNION) == meant


@pytest.mark.parametrize("text", ["4", '"some"', '{"b": 1}', "[null]", "null, I think"])
def test_what_is_in_no_branch_of_a_union_is_invalid(text: str) -> None:
    assert read(text, form=UNION)[1] is not None


@pytest.mark.parametrize("text", ["{}", "[]", "-1.5", "true", '"a"', '{"a": [{}]}'])
def test_a_schema_that_says_nothing_takes_any_json(text: str) -> None:
    assert valid(text, ANYTHING) == text


def test_the_schema_itself_written_before_the_answer_is_not_taken_for_it() -> None:
    text = f"It has to be {json.dumps(CITY.schema)}, so:\n{OSLO}"

    assert valid(text, CITY) == OSLO


def test_a_first_key_that_the_schema_does_not_name_is_found_at_the_end() -> None:
    form = ResponseFormat({"type": "object", "properties": {"a": {}}, "required": ["a"]})
    reader = reader_of(form)

    assert reader.feed('Here: {"x": 1, "a": 2} Good?') == ""
    assert reader.finish(is_whole=True) == '{"x": 1, "a": 2}'
    assert reader.problem is None


def test_json_that_came_escaped_is_unescaped() -> None:
    assert json.loads(valid("{&quot;city&quot;: &quot;Oslo&quot;}", CITY)) == {"city": "Oslo"}
    assert json.loads(valid('\\{"city": "Oslo"\\}', CITY)) == {"city": "Oslo"}


def test_a_call_in_prose_is_no_json() -> None:
    assert read('dict(a={"b"}) and f({1: 2})')[1] is not None


def test_an_answer_that_was_cut_short_is_passed_on_as_far_as_it_came() -> None:
    reader = reader_of()

    assert reader.feed('Here: {"a": [1, 2, ') == '{"a": [1, 2'
    assert reader.finish(is_whole=False) == ""
    assert reader.problem is None


def test_json_streams_from_its_first_key_on() -> None:
    reader = reader_of(CITY)

    found = [
        reader.feed(text) for text in ("Sure! ```json\n", "{", ' "ci', 'ty"', ": ", '"Os', "lo")
    ]

    assert found == ["", "", "", "", '{ "city": ', '"Os', "lo"]
