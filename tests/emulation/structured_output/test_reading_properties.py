"""For any text of a model, however it is cut: the same result, and never a byte beside the JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gbproxy.domain.response_format import ResponseFormat
from gbproxy.emulation.structured_output.scanner import JsonScanner
from gbproxy.emulation.structured_output.start import MOST_BEHIND
from tests.support.structured_output import ANYTHING, FORMATS, read, reader_of
from tests.support.tool_calls import pieces

cuts = st.lists(st.integers(0, 5000), max_size=40)
forms = st.sampled_from(FORMATS)
prose = st.text(
    alphabet=st.one_of(
        st.characters(codec="utf-8"), st.sampled_from(" \n\n\t`~{}[]\"':,\\0123eE.-truefalsN")
    ),
    max_size=60,
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | prose,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(prose, inner, max_size=3),
    max_leaves=6,
)
layouts = st.sampled_from([None, 0, 2])
bodies = st.builds(
    lambda value, indent, ascii_only: json.dumps(value, indent=indent, ensure_ascii=ascii_only),
    values | st.dictionaries(st.sampled_from(["city", "a", "a/b"]), values, min_size=1),
    layouts,
    st.booleans(),
)
fragments = st.one_of(
    prose,
    bodies,
    bodies.map(lambda body: f"```json\n{body}\n```"),
    bodies.map(lambda body: body.replace('"', "'").replace("true", "True")),
    bodies.map(lambda body: body[: len(body) // 2]),
    st.sampled_from(
        ["```", "\n", "Here it is: ", "[1]", "{}", "{x}", '{"city"', "&quot;", "\\u12"]
    ),
)
scripts = st.lists(fragments, max_size=6).map("".join)


@given(scripts, cuts, forms)
def test_the_result_does_not_depend_on_how_the_text_was_cut(
    text: str, cuts: Sequence[int], form: ResponseFormat
) -> None:
    assert read(text, cuts, form) == read(text, form=form)


@settings(max_examples=50)
@given(scripts, forms)
def test_nor_does_it_when_every_character_comes_alone(text: str, form: ResponseFormat) -> None:
    assert read(text, range(len(text)), form) == read(text, form=form)


@given(scripts, cuts, forms)
def test_what_has_no_problem_is_json(text: str, cuts: Sequence[int], form: ResponseFormat) -> None:
    passed, problem = read(text, cuts, form)

    if problem is None:
        json.loads(passed)
        assert passed == passed.strip()


words = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="{[`:"), max_size=60)


@given(words, bodies.filter(lambda body: body[0] in "{["), words, cuts)
def test_valid_json_is_passed_on_as_it_is_without_what_stands_around_it(
    before: str, body: str, behind: str, cuts: Sequence[int]
) -> None:
    for text in (body, f"{before}\n{body}{behind}", f"{before}\n```json\n{body}\n```\n{behind}"):
        reader = reader_of(ANYTHING)

        passed = "".join([reader.feed(piece) for piece in pieces(text, cuts)])
        passed += reader.finish(is_whole=True)

        assert (passed, reader.problem) == (body, None)
        assert text[reader.begin or 0 :].startswith(body)


@given(bodies.filter(lambda body: body[0] in "{["), cuts)
def test_json_is_held_back_by_a_word_or_its_first_key_at_most(
    body: str, cuts: Sequence[int]
) -> None:
    reader = reader_of(ANYTHING)
    fed = shown = 0

    for piece in pieces(body, cuts):
        fed += len(piece)
        shown += len(reader.feed(piece))
        assert fed - shown <= MOST_BEHIND


@given(prose, cuts)
def test_no_text_breaks_the_scanner(text: str, cuts: Sequence[int]) -> None:
    scanner = JsonScanner()

    passed = "".join(scanner.feed(piece) for piece in pieces(f"[{text}", cuts)) + scanner.finish()

    assert scanner.is_over is (scanner.problem is None)
    if scanner.is_over:
        json.loads(passed, parse_int=str, parse_float=str)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "word {x} [y] " * n,
        lambda n: "{" * 10 * n,
        lambda n: '{"' * 10 * n,
        lambda n: "[\n" * 10 * n,
        lambda n: '{"a": "' + "x" * 10 * n + '"}',
        lambda n: '{"a": [1,' + " " * 10 * n + "2]}",
        lambda n: '{"a": [' + "12, " * 3 * n + "2]}",
    ],
    ids=["prose", "braces", "keys", "brackets", "string", "space", "items"],
)
def test_the_text_that_is_kept_does_not_grow_with_the_answer(make: Callable[[int], str]) -> None:
    """Of what is looked at again and again, a bounded stretch is kept."""
    reader = reader_of(ANYTHING)
    text = make(300)

    for start in range(0, len(text), 4):
        reader.feed(text[start : start + 4])

    assert reader.unread <= 2 * MOST_BEHIND
