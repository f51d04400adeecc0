"""Strict JSON: what Python's own decoder lets through beside it is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.domain import jsontext
from gbproxy.domain.jsontext import decode


def values_with(integers: st.SearchStrategy[int]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none()
        | st.booleans()
        | integers
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    )


values = values_with(st.integers())


@given(values, st.booleans())
def test_every_json_value_is_decoded_as_it_was_written(value: Any, escaped: bool) -> None:
    assert decode(json.dumps(value, ensure_ascii=escaped)) == value


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", '{"a": NaN}', "[1, -Infinity]"])
def test_python_s_own_constants_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not valid JSON"):
        decode(text)


@pytest.mark.parametrize("text", ["1e999", "-1e999", '{"n": 2.0e400}'])
def test_a_number_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not valid JSON"):
        decode(text)


@pytest.mark.parametrize("depth", [100_000, 1_000_000])
@pytest.mark.parametrize("sign", ["[", '{"a":'])
def test_too_deep_nesting_is_refused_like_any_other_mistake(sign: str, depth: int) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        decode(sign * depth)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "[1,]",
        "{'a': 1}",
        '{"a": 1} {"b": 2}',
        "tru",
        '"\n"',
        '"\\x"',
        '\ufeff{"a": 1}',
        "1" * 5000,
    ],
    ids=repr,
)
def test_what_is_no_json_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'"\ud83d"', "\ufffd"),
        (r'"\uDE00"', "\ufffd"),
        (r'"a\ud83db"', "a\ufffdb"),
        (r'"\ud83d\ud83d\ude00"', "\ufffd😀"),
        (r'"\ude00\ud83d"', "\ufffd\ufffd"),
        (r'{"\ud800": "\udfff"}', {"\ufffd": "\ufffd"}),
    ],
)
def test_half_a_surrogate_pair_becomes_the_replacement_character(
    text: str, expected: object
) -> None:
    assert decode(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'"\ud83d\ude00"', "😀"),
        (r'"\uD83D\uDE00"', "😀"),
        (r'"\\ud83d"', r"\ud83d"),
        (r'"\\\ud83d\ude00"', r"\😀"),
        (r'"\\\\ud83d \ud83d"', "\\\\ud83d \ufffd"),
    ],
)
def test_whole_pairs_and_escaped_backslashes_are_left_alone(text: str, expected: str) -> None:
    assert decode(text) == expected


@given(st.text(alphabet='\\ud83deE0"{}[]:,a', max_size=30))
def test_what_is_decoded_can_always_be_sent_on(text: str) -> None:
    try:
        value = decode(f'"{text}"')
    except ValueError:
        return

    assert json.dumps(value, ensure_ascii=False).encode()


# In bytes, with and without orjson

LONE = json.dumps("a\ud83d, \udc00b")


@given(values_with(st.integers(-(2**63), 2**64 - 1)))
def test_bytes_are_decoded_alike_with_and_without_orjson(value: Any) -> None:
    data = json.dumps(value).encode()

    assert jsontext.decode_bytes_quickly(data) == jsontext.decode_bytes_plainly(data)


@pytest.mark.parametrize(
    "decode_bytes", [jsontext.decode_bytes_quickly, jsontext.decode_bytes_plainly]
)
def test_half_a_surrogate_pair_becomes_a_replacement_character(decode_bytes: Any) -> None:
    assert decode_bytes(LONE.encode()) == "a\ufffd, \ufffdb"


@pytest.mark.parametrize(
    "decode_bytes", [jsontext.decode_bytes_quickly, jsontext.decode_bytes_plainly]
)
@pytest.mark.parametrize(
    "data", [b"NaN", b"1e999", b"{} {}", b"", b"[" * 100_000, b'"\xff"', b'{"a":1,}']
)
def test_what_is_not_json_is_refused(decode_bytes: Any, data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  UnicodeDecodeError is one, too
        decode_bytes(data)


@pytest.mark.parametrize(
    "decode_bytes", [jsontext.decode_bytes_quickly, jsontext.decode_bytes_plainly]
)
@given(text=st.text(alphabet='\\\\ud83deE0é"{}[]:,a', max_size=30))
def test_bytes_are_mended_as_texts_are(decode_bytes: Any, text: str) -> None:
    try:
        expected = decode(f'"{text}"')
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011
            decode_bytes(f'"{text}"'.encode())
        return

    assert decode_bytes(f'"{text}"'.encode()) == expected


def test_a_text_of_many_halves_is_mended_in_steps() -> None:
    rests: list[None] = []

    value = jsontext.decode_bytes(b'"' + rb"\ud83d\n" * 5_000 + b'"', lambda: rests.append(None))

    assert value == "\ufffd\n" * 5_000
    assert len(rests) > 5


@given(st.text())
def test_a_text_is_encoded_alike_with_and_without_orjson(text: str) -> None:
    quoted = jsontext.encode_bytes_quickly(text)

    assert json.loads(quoted) == text
    assert json.loads(jsontext.encode_bytes_plainly(text)) == text


def test_half_a_surrogate_pair_is_encoded_all_the_same() -> None:
    assert jsontext.encode_bytes_quickly("a\ud83d") == jsontext.encode_bytes_plainly("a\ud83d")


@given(st.text(), st.booleans())
def test_the_last_of_several_texts_is_decoded_as_any_other_and_taken_out(
    text: str, is_large: bool
) -> None:
    file = "QUJD" * (700_000 if is_large else 1)
    data = json.dumps({"file": file, "text": text}).encode()
    texts = [b"[]", data]

    assert jsontext.decode_last(texts) == jsontext.decode_bytes(data)
    assert texts == [b"[]"]


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 25 * 10**18 + 1, 10**400, 2**64 - 1])
@pytest.mark.parametrize("before", ["", "QUJD" * 700_000], ids=["small", "large"])
def test_a_number_of_the_last_of_several_texts_is_exact(before: str, number: int) -> None:
    value = {"before": before, "args": {"amount": number}}

    assert jsontext.decode_last([json.dumps(value).encode()]) == value


@given(values)
def test_the_last_of_several_texts_says_what_the_plain_decoder_says(value: Any) -> None:
    data = json.dumps(value).encode()

    assert jsontext.decode_last([data]) == jsontext.decode_bytes_plainly(data)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_the_last_of_several_texts_may_have_so_many_levels(opening: str, closing: str) -> None:
    levels = 200 // len(closing)
    text = opening * levels + "1" + closing * levels

    assert json.dumps(jsontext.decode_last([text.encode()]), separators=(",", ":")) == text
    with pytest.raises(ValueError, match="nested too deeply"):
        jsontext.decode_last([f"[{text}]".encode()])


@pytest.mark.parametrize("text", [b'{"a":', b'{"a":"\xff"}', b'{"a":NaN}'])
def test_the_last_of_several_texts_is_refused_as_any_other(text: bytes) -> None:
    large = text + b" " * 3_000_000

    with pytest.raises(ValueError) as expected:  # noqa: PT011  it is the other one's
        jsontext.decode_bytes(large)
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        jsontext.decode_last([large])

    assert str(raised.value) == str(expected.value)
