"""Values are added to files that hold others, and change nothing that is there."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gbproxy.connect.merging import CannotMerge, Conflict, merged
from tests.support.json_values import JSON_VALUES

WANTED: dict[str, Any] = {"model": "m", "servers": {"ours": {"url": "u", "on": True}}}


@pytest.mark.parametrize("text", ["", "\n", "{}", '{"a": [1, 2.5, null]}'])
def test_json_is_added_to(text: str) -> None:
    there = json.loads(text or "{}") if text.strip() else {}

    assert json.loads(merged("json", text, WANTED)) == {**there, **WANTED}


def test_json_keeps_its_order_its_indent_and_its_characters() -> None:
    text = '{\n    "z": "é",\n    "servers": {\n        "other": {}\n    },\n    "a": 1\n}\n'

    assert merged("json", text, {"servers": {"ours": {"url": "u"}}}) == (
        '{\n    "z": "é",\n    "servers": {\n        "other": {},\n        "ours": {\n'
        '            "url": "u"\n        }\n    },\n    "a": 1\n}\n'
    )


@pytest.mark.parametrize(
    ("text", "added"),
    [
        ('{"a":1e3,\t"b": 1.0, "c": "\\u00e9" }\n', ', "model": "m"'),
        ('{"a": "\\ud800", "b": 1e999}', ', "model": "m"'),
        ('{\n\t"list": [1,\n\t\t2],\n\n\t"e": {}\n}', ',\n\t"model": "m"'),
        ('{ "a": {"}": "\\"}"}\n    }', ', "model": "m"'),
        ('{\n    "a": 1,\n    "b": 2}', ',\n    "model": "m"'),
        ("{ }", '\n  "model": "m"\n'),
        ("\n {\n }\n", '\n  "model": "m"'),
    ],
)
def test_json_keeps_every_byte_that_is_there(text: str, added: str) -> None:
    result = merged("json", text, {"model": "m"})

    assert result.replace(added, "", 1) == text
    assert json.loads(result) == {**json.loads(text), "model": "m"}


def test_json_is_added_to_in_several_places() -> None:
    text = '{"servers": {"ours": {"on": true}, "x": 1.50},\n  "env": {\n  }\n}'

    assert merged("json", text, {**WANTED, "env": {"A": "b"}}) == (
        '{"servers": {"ours": {"on": true, "url": "u"}, "x": 1.50},\n  "env": {\n    "A": "b"\n  },'
        '\n  "model": "m"\n}'
    )


_TREE = st.recursive(
    st.dictionaries(st.sampled_from("abc"), JSON_VALUES),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner),
)


def both(there: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    return there | {
        name: both(there[name], value) if name in there and isinstance(value, dict) else value
        for name, value in wanted.items()
    }


@settings(max_examples=25)
@given(_TREE, _TREE, st.sampled_from([None, 0, 2, "\t"]), st.booleans())
def test_what_is_added_to_json_reads_as_what_was_wanted(
    there: dict[str, Any], wanted: dict[str, Any], indent: Any, is_ascii: bool
) -> None:
    text = json.dumps(there, indent=indent, ensure_ascii=is_ascii)
    try:
        result = merged("json", text, wanted)
    except Conflict:
        return

    assert json.loads(result) == both(there, wanted)
    assert merged("json", result, wanted) == result
    left = iter(result)
    assert all(character in left for character in text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n  // mine\n  "a": 1\n}', "comments"),
        ('{"a": 1 /* mine */}', "comments"),
        ('{"a": 1,}', "not valid JSON"),
        ("[]", "not a JSON object"),
        ('{"a": 1, "a": 2}', "same name twice"),
        ('{"a": NaN}', "not valid JSON"),
        ('{"a": -Infinity}', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_json_that_would_be_damaged_is_refused(text: str, said: str) -> None:
    with pytest.raises(CannotMerge, match=said):
        merged("json", text, WANTED)


def test_an_address_in_json_is_no_comment() -> None:
    text = '{"url": "http://a.example//b"}'

    assert json.loads(merged("json", text, WANTED))["url"] == "http://a.example//b"


TOML = """\
# mine
approval  =  "never"   # asks nobody
limits = [1e3, 1.0 , 0x1F]

[servers.other]
url = "x"  # theirs

[[hooks]]
run = "a"
"""


def test_toml_keeps_its_comments_and_all_that_is_there() -> None:
    result = merged("toml", TOML, WANTED)

    assert tomllib.loads(result) == {
        **tomllib.loads(TOML),
        "model": "m",
        "servers": {"other": {"url": "x"}, "ours": {"url": "u", "on": True}},
    }
    left = iter(result)
    assert all(character in left for character in TOML)


@pytest.mark.parametrize(
    "text",
    [
        "servers = {other = {url = 'x'}}\n",
        "[servers.other]\nurl = 'x'\n[tui]\na = 1\n[servers.third]\nurl = 'y'\n",
        "[tui]\na = 1",
        "[servers]\n[tui]\na = 1\n",
        "[servers.ours]\n[[hooks]]\n[servers.ours.x]\na = 1\n",
    ],
)
def test_toml_in_any_layout_is_added_to(text: str) -> None:
    before = tomllib.loads(text)

    after = tomllib.loads(merged("toml", text, WANTED))

    servers, ours = before.get("servers", {}), before.get("servers", {}).get("ours", {})
    wanted = {**servers, "ours": {**ours, **WANTED["servers"]["ours"]}}
    assert after == {**before, "model": "m", "servers": wanted}


def test_toml_that_cannot_be_added_to_is_refused_not_damaged() -> None:
    with pytest.raises(CannotMerge, match="arranged"):
        merged("toml", "servers.other.url = 'x'\n", WANTED)


def test_toml_that_is_none_is_refused() -> None:
    with pytest.raises(CannotMerge, match="not valid TOML"):
        merged("toml", "a = ", WANTED)


def test_an_environment_file_keeps_its_lines() -> None:
    text = "# mine\nexport A=1\n\nB='2' # two"

    assert merged("env", text, {"A": "1", "B": "2", "C": "x y", "D": "https://a/b"}) == (
        text + "\nC='x y'\nD=https://a/b\n"
    )


@pytest.mark.parametrize("value", ["a$HOME", r"a\nb", "a`b"])
def test_a_value_is_written_so_that_no_reader_of_the_file_expands_it(value: str) -> None:
    assert merged("env", "", {"A": value}) == f"A='{value}'\n"


def test_a_key_that_no_quotes_can_hold_is_refused() -> None:
    with pytest.raises(CannotMerge, match="quotes"):
        merged("env", "", {"A": "\"'`"})


@pytest.mark.parametrize(
    ("format_", "text"),
    [
        ("json", '{"model": "other", "servers": {"ours": {"url": 1}}}'),
        ("toml", 'model = "other"\n[servers.ours]\nurl = 1\n'),
    ],
)
def test_other_values_are_named_and_stay(format_: Any, text: str) -> None:
    with pytest.raises(Conflict) as caught:
        merged(format_, text, WANTED)

    assert caught.value.taken == {"model": '"other"', "servers.ours.url": "1"}


@pytest.mark.parametrize("there", ["true", "[]", "null", '"servers"'])
def test_a_value_in_the_place_of_an_object_stays(there: str) -> None:
    with pytest.raises(Conflict) as caught:
        merged("json", f'{{"servers": {there}}}', WANTED)

    assert caught.value.taken == {"servers": there}


@pytest.mark.parametrize("line", ["\ufeffA=2", "export A: 2"])
def test_a_variable_is_seen_however_its_line_is_written(line: str) -> None:
    with pytest.raises(Conflict):
        merged("env", f"{line}\n", {"A": "1"})


def test_other_variables_are_named() -> None:
    with pytest.raises(Conflict) as caught:
        merged("env", "A=1\nA = 2 # now\n", {"A": "1", "B": "x"})

    assert caught.value.taken == {"A": '"2"'}


@pytest.mark.parametrize("format_", ["json", "toml", "env"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_twice_is_as_once(format_: Any, line_end: str) -> None:
    wanted = {"A": "b"} if format_ == "env" else WANTED
    start = {"json": '{\n  "x": 1\n}\n', "toml": "x = 1\n", "env": "X=1\n"}[format_]
    text = start.replace("\n", line_end)

    once = merged(format_, text, wanted)

    assert once != text
    assert merged(format_, once, wanted) == once
    assert once.count("\n") == once.count(line_end)
