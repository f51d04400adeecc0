"""Sources: Google's byte offsets become characters of the answer."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.domain.events import Citation
from gbproxy.upstreams.stream_assist.answer_text import AnswerText
from gbproxy.upstreams.stream_assist.grounding import citations

EXAMPLE = {
    "documentMetadata": {
        "uri": "https://example.com/r",
        "title": "Example",
        "domain": "example.com",
    }
}
OTHER = {"documentMetadata": {"uri": "https://other.org/r"}}
ONE = [EXAMPLE]


def segment(start: object, end: object, *references: object) -> dict[str, Any]:
    return {"startIndex": start, "endIndex": end, "referenceIndices": list(references)}


def cite(
    fragment: str, *segments: dict[str, Any], before: str = "", references: object = ONE
) -> list[Citation]:
    metadata = {"segments": list(segments), "references": references}
    return citations(metadata, fragment=fragment, said=said(before, fragment), at_most=1000)


def said(*fragments: str) -> AnswerText:
    made = AnswerText()
    for fragment in fragments:
        made.add(fragment)
    return made


def places(found: list[Citation]) -> list[tuple[int, int]]:
    return [(citation.start, citation.end) for citation in found]


def test_a_source_carries_address_title_and_the_real_site() -> None:
    found = cite("Hello", segment("0", "5", 0))

    assert found == [Citation(0, 5, "https://example.com/r", "Example", "example.com")]


def test_what_a_source_does_not_say_is_empty() -> None:
    found = cite("Hello", segment("0", "5", 0), references=[OTHER])

    assert found == [Citation(0, 5, "https://other.org/r", "", "")]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("Tea is old.", "is"),
        ("茶是一种饮料。", "饮料"),
        ("Tea 🍵 and 👩‍🚀 fly", "fly"),
        ("naïve café", "café"),
        ("שלום עולם", "עולם"),
    ],
)
def test_byte_offsets_become_characters(text: str, part: str) -> None:
    start = text.encode().index(part.encode())

    found = cite(text, segment(str(start), str(start + len(part.encode())), 0))

    [citation] = found
    assert text[citation.start : citation.end] == part


@given(st.text(min_size=1), st.data())
def test_every_part_of_every_text_is_found_again(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    first, last = len(text[:start].encode()), len(text[:end].encode())

    found = cite(text, segment(str(first), str(last), 0))

    assert places(found) == [(start, end)]


def test_numbers_come_as_strings_or_as_numbers() -> None:
    as_strings = cite("Hello", segment("1", "4", "0"))
    as_numbers = cite("Hello", segment(1, 4, 0))

    assert places(as_strings) == places(as_numbers) == [(1, 4)]


def test_a_missing_start_is_the_beginning() -> None:
    found = cite("Hello", {"endIndex": "4", "referenceIndices": [0]})

    assert places(found) == [(0, 4)]


def test_a_segment_counts_from_its_own_fragment() -> None:
    found = cite("世界!", segment("0", "6", 0), before="你好，")

    assert places(found) == [(3, 5)]


def test_a_segment_that_reaches_beyond_its_fragment_counts_from_the_answer_s_beginning() -> None:
    found = cite("!", segment("6", "13", 0), before="Hello world")

    assert places(found) == [(6, 12)]


def test_a_segment_that_comes_without_text_counts_from_the_answer_s_beginning() -> None:
    found = cite("", segment("6", "11", 0), before="Hello world")

    assert places(found) == [(6, 11)]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("3", "999", (3, 5)),
        ("99", "999", (5, 5)),
        ("4", "2", (4, 4)),
        ("-3", "4", (0, 4)),
        (-3, 4, (0, 4)),
        (-3, -1, (0, 0)),
        ("x", None, (0, 0)),
        (1.5, {}, (0, 0)),
        (True, [], (0, 0)),
        (0, "9" * 19, (0, 5)),
        (0, 10**30, (0, 5)),
        (0, "9" * 400, (0, 0)),
        (0, "٣", (0, 0)),
    ],
)
def test_a_place_outside_the_answer_is_moved_into_it(
    start: object, end: object, expected: tuple[int, int]
) -> None:
    found = cite("Hello", segment(start, end, 0))

    assert places(found) == [expected]


def test_an_offset_inside_a_character_is_its_beginning() -> None:
    found = cite("你好", segment("1", "5", 0))

    assert places(found) == [(0, 1)]


def test_a_segment_may_have_several_sources_and_a_source_several_segments() -> None:
    found = cite(
        "Hello world", segment("0", "5", 0, 1), segment("6", "11", 1), references=[EXAMPLE, OTHER]
    )

    assert [(c.start, c.end, c.uri) for c in found] == [
        (0, 5, "https://example.com/r"),
        (0, 5, "https://other.org/r"),
        (6, 11, "https://other.org/r"),
    ]


def test_a_source_that_no_segment_names_stands_at_the_end_of_the_answer() -> None:
    found = cite(" world", segment("1", "6", 1), before="Hello", references=[EXAMPLE, OTHER])

    assert [(c.start, c.end, c.uri) for c in found] == [
        (6, 11, "https://other.org/r"),
        (11, 11, "https://example.com/r"),
    ]


@pytest.mark.parametrize("index", [1, -1, "1", "x", None, 10**20])
def test_an_index_of_no_source_is_passed_over(index: object) -> None:
    found = cite("Hello", segment("0", "5", index))

    assert places(found) == [(5, 5)]


@pytest.mark.parametrize(
    "junk", [None, True, 7, 1.5, "x", [], {}, [None], [7], ["x"], [[]], {"a": 1}]
)
def test_junk_names_no_source(junk: object) -> None:
    everywhere = [
        citations(
            {"segments": junk, "references": [EXAMPLE]},
            fragment="Hello",
            said=said("Hello"),
            at_most=9,
        ),
        citations(
            {"segments": [{"referenceIndices": junk}], "references": []},
            fragment="",
            said=said("Hello"),
            at_most=9,
        ),
    ]

    assert [places(found) for found in everywhere] == [[(5, 5)], []]


@pytest.mark.parametrize(
    "junk", [None, True, 7, 1.5, "x", [], {}, [None], [7], ["x"], [[]], {"a": 1}]
)
def test_references_that_are_none_are_passed_over(junk: object) -> None:
    assert cite("Hello", segment("0", "5", 0), references=junk) == []


@given(st.text(max_size=60), st.text(max_size=30), st.integers(0, 300), st.integers(0, 300))
def test_a_place_is_where_it_is_when_all_is_looked_through(
    before: str, fragment: str, start: int, end: int
) -> None:
    before, fragment = before * 50, fragment * 3
    data, offset = fragment.encode(), len(before)
    if end > len(data):
        data, offset = (before + fragment).encode(), 0
        start, end = start * 30, end * 30
    if end <= len(fragment.encode()):
        return

    [found] = cite(fragment, segment(start, end, 0), before=before)

    expected = [
        offset + len(data[:size].decode("utf-8", "ignore")) for size in (start, max(start, end))
    ]
    assert [found.start, found.end] == expected


def test_very_many_segments_cost_little_and_are_not_all_taken() -> None:
    text = "茶" * 100_000
    segments = [segment(number, 250_000 + number, *[0] * 10) for number in range(10_000)]
    metadata = {"segments": segments, "references": ONE * 10}

    started = time.process_time()
    found = citations(metadata, fragment="", said=said(text), at_most=1000)

    assert len(found) == 1000
    assert time.process_time() - started < 1


def test_where_the_beginning_of_a_long_answer_is_gone_a_source_is_named_at_its_end() -> None:
    long = said("x" * 1_000_000, "Tea is old.")
    metadata = {"segments": [segment(0, 3, 0), segment(7, 900, 0)], "references": ONE}

    found = citations(metadata, fragment="Tea is old.", said=long, at_most=9)

    assert places(found) == [(1_000_000, 1_000_003), (1_000_011, 1_000_011)]
