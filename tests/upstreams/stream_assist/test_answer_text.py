"""An answer of which little is kept, and headlines (gbproxy/upstreams/stream_assist/answer_text.py)."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.upstreams.stream_assist.answer_text import AnswerText, normalized, normalized_all

texts = st.text(st.sampled_from("a语🍵 \n"), max_size=12)


def said(*fragments: str, kept_chars: int = 4) -> AnswerText:
    made = AnswerText(kept_chars)
    for fragment in fragments:
        made.add(fragment)
    return made


@given(st.lists(texts, max_size=12))
def test_a_text_is_known_again_however_little_of_it_is_kept(fragments: list[str]) -> None:
    fragments = [*fragments, "end"]
    whole = "begin" + "".join(fragments)

    for spaced in (whole, f"\n {whole} ", whole.strip()):
        assert said("begin", *fragments).is_again(spaced)


@given(st.lists(texts, min_size=1, max_size=12), st.data())
def test_another_text_is_not_taken_for_it(fragments: list[str], data: st.DataObject) -> None:
    whole = "begin" + "".join(fragments) + "end"
    at = data.draw(st.integers(0, len(whole) - 1))
    others = (
        whole[:at] + "x" + whole[at + 1 :],
        whole[:at] + whole[at + 1 :],
        whole + "x",
        "x" + whole,
        "end",
        "",
    )

    answer = said("begin", *fragments, "end")

    assert not any(answer.is_again(other) for other in others if other.strip() != whole)


def test_all_of_a_short_answer_is_kept() -> None:
    answer = said("Tea ", "is ", "old.", kept_chars=100)

    assert (answer.whole, answer.characters, answer.fragments) == ("Tea is old.", 11, 3)
    assert said("Tea is", " old, and dear.").whole is None


def test_a_long_answer_takes_little_room() -> None:
    answer = AnswerText()
    tracemalloc.start()
    for number in range(300_000):
        answer.add(f"{number} words ")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert answer.characters > 3_000_000
    assert most < 1_000_000


@pytest.mark.parametrize(
    "arrived",
    ["Assessing the Request", "\n**Assessing   the Request**\n\n", "** ASSESSING THE REQUEST **"],
)
def test_case_stars_and_white_space_do_not_count(arrived: str) -> None:
    assert normalized(arrived) in normalized_all(("**Assessing  the Request**",))


def test_casefolding_is_that_of_unicode() -> None:
    assert normalized("** STRASSE **") == normalized("Straße")


def test_a_headline_without_words_is_none() -> None:
    assert normalized_all(("**", " ", "Musing")) == {"musing"}
