"""The values of a JSON text are counted before they are made, as many as a decoder makes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gbproxy.domain.json_limit import TooManyValues, refuse_too_many_values

_TEXTS = st.text(alphabet='\\"{}[],:ax é', max_size=12)
_VALUES = st.recursive(
    st.none() | st.integers() | _TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(_TEXTS, inner, max_size=5),
    max_leaves=40,
)


def count(value: Any) -> int:
    """The values in a decoded text."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(count, inner))


def place_of(text: str, most: int) -> str | None:
    """The place that is named, None when there are not too many."""
    try:
        refuse_too_many_values(text.encode(), most, lambda: None)
    except TooManyValues as error:
        return error.place
    return None


@given(_VALUES, st.sampled_from([None, 1]), st.booleans())
def test_no_text_that_holds_more_is_let_through(
    value: Any, indent: int | None, escaped: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=escaped)
    values = count(value)
    assume(values > 1)

    assert place_of(text, values - 1) is not None
    # An empty array or object may be counted as if it held something.
    assert place_of(text, 2 * values) is None


@given(st.lists(_TEXTS, min_size=1, max_size=30))
def test_signs_inside_texts_do_not_count(texts: list[str]) -> None:
    assert place_of(json.dumps(texts), len(texts) + 1) is None


@given(st.text(alphabet='[]{},:"\\a1', max_size=60))
def test_a_text_that_is_not_json_is_counted_or_let_through(text: str) -> None:
    assert place_of(text, 1000) is None
    assert isinstance(place_of(text, 3), str | None)


def hundred(item: str) -> str:
    return ",".join([item] * 100)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"messages": [' + hundred('{"role": "user", "content": "a"}') + "]}", "messages"),
        ('{"messages": [{"a": 1}, {"content": [' + hundred("{}") + "]}]}", "messages[1].content"),
        ('{"tools": [' + hundred("{}") + "]}", "tools"),
        ('{"logit_bias": {' + hundred('"1": 1') + "}}", "logit_bias"),
        ('{"a\\"b, c": [' + hundred("1") + "]}", ""),
        ("[" + hundred("1") + "]", ""),
        ('{"a": [[' + hundred("1") + "]]}", "a[0]"),
    ],
)
def test_the_largest_is_named(text: str, place: str) -> None:
    assert place_of(text, 60) == place


@pytest.mark.parametrize(
    ("text", "least"),
    [
        (b'"' + b"\\" * 3_000_001 + b'"' + b"," * 9, 3),
        (b" " * 3_000_000 + b"[", 3),
        (b'["' + b'\\",' * 300_000, 300),
        (b"[" * 3_000_000, 1),  # soon deeper than anything goes
        (b"", 0),
    ],
    ids=["backslashes", "white space", "quotation marks", "brackets", "nothing"],
)
@pytest.mark.timeout(20)
def test_what_is_long_is_looked_through_in_steps(text: bytes, least: int) -> None:
    rests: list[None] = []

    refuse_too_many_values(text, 2000, lambda: rests.append(None))

    assert len(rests) >= least
