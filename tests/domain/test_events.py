"""A stream read to its end as one answer; token estimates, exact in sums and sensible in size."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.domain.chat import ToolCallPart
from gbproxy.domain.events import (
    FLUSH,
    Answer,
    ChatEvent,
    ChatStream,
    Citation,
    Done,
    FileOutput,
    Refusal,
    Started,
    TextDelta,
    ThoughtDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    collect,
    estimate_quarter_tokens,
    whole_tokens,
)
from gbproxy.errors import UpstreamError


def stream(*events: ChatEvent, error: Exception | None = None) -> ChatStream:
    yield from events
    if error is not None:
        raise error


def test_a_whole_answer_is_collected_in_order() -> None:
    source = Citation(0, 5, "https://example.com/", "Example", "example.com")
    events: Iterable[ChatEvent] = (
        Started("gemini-2.5-pro"),
        ThoughtDelta("**Think"),
        FLUSH,
        ThoughtDelta("ing**"),
        TextDelta("Hel"),
        FLUSH,
        TextDelta("lo"),
        source,
        Usage(3, 4, 2),
        Done(),
    )

    answer = collect(stream(*events))

    assert answer == Answer(
        model="gemini-2.5-pro",
        text="Hello",
        thoughts="**Thinking**",
        refusal=None,
        citations=[source],
        usage=Usage(3, 4, 2),
        finish_reason="stop",
    )


def test_calls_are_collected_of_their_deltas() -> None:
    answer = collect(
        stream(
            ToolCallStarted(0, "a", "f"),
            ToolCallDelta(0, '{"x":'),
            ToolCallDelta(0, "1}"),
            ToolCallStarted(1, "b", "patch", is_custom=True),
            ToolCallDelta(1, "+x"),
            Done("tool_calls"),
        )
    )

    assert answer.tool_calls == [
        ToolCallPart("a", "f", '{"x":1}'),
        ToolCallPart("b", "patch", "+x", is_custom=True),
    ]
    assert answer.finish_reason == "tool_calls"


def test_a_refusal_is_both_the_refusal_and_the_text() -> None:
    answer = collect(stream(Started("m"), Refusal("Blocked."), Usage(1, 1), Done("content_filter")))

    assert (answer.refusal, answer.text, answer.finish_reason) == (
        "Blocked.",
        "Blocked.",
        "content_filter",
    )


def test_a_file_leaves_no_trace_in_the_text() -> None:
    answer = collect(
        stream(
            Started("m"),
            TextDelta("Here: "),
            FileOutput("image/png", "f1"),
            TextDelta("done"),
            Done(),
        )
    )

    assert answer.text == "Here: done"


def test_what_the_stream_raises_is_raised_and_no_half_answer_is_given() -> None:
    broken = UpstreamError("the upstream failed")

    with pytest.raises(UpstreamError) as caught:
        collect(stream(Started("m"), TextDelta("Hel"), error=broken))

    assert caught.value is broken


def test_two_answers_share_nothing() -> None:
    first = collect(stream(Started("m"), Citation(0, 1, "u"), Done()))
    second = collect(stream(Started("m"), TextDelta("x"), Done()))

    assert (len(first.citations), second.citations) == (1, [])


PROSE = (
    "The train left the station a little after nine, and by the time it reached the coast most of"
    " the passengers had fallen asleep. Outside, the fields gave way to dunes; a thin rain began,"
    " and nobody in the carriage noticed it. She had meant to read, but the book lay open on the"
    " same page, and she kept thinking about the letter."
)
CODE = '''
def collect(events):
    """Read a stream to its end."""
    answer = Answer()
    for event in events:
        if isinstance(event, TextDelta):
            answer.text += event.text
        elif event.kind == "done":
            return answer
    raise ValueError("the stream was cut off")


class Reader(Base):
    def __init__(self, size=4096):
        self._size = size
        self._buffer = bytearray()
        self._seen = {"first": None, "last": None}
'''
CHINESE = "他在火车上睡着了，醒来时窗外已经是大海。雨下得很小，车厢里没有人注意到。她本来想看书。"
JAPANESE = "彼は電車の中で眠ってしまい、目が覚めると窓の外はもう海だった。小さな雨が降っていた。"
KOREAN = "그는 기차에서 잠이 들었고 깨어났을 때 창밖은 이미 바다였다. 비가 조금씩 내리고 있었다."


def estimate(text: str) -> int:
    return whole_tokens(estimate_quarter_tokens(text))


@given(st.text(), st.text())
def test_the_weights_of_fragments_add_up_to_that_of_the_whole(left: str, right: str) -> None:
    assert estimate_quarter_tokens(left) + estimate_quarter_tokens(
        right
    ) == estimate_quarter_tokens(left + right)


@given(st.lists(st.text(max_size=20), max_size=20))
def test_a_text_weighs_the_same_however_it_was_cut(fragments: list[str]) -> None:
    summed = sum(estimate_quarter_tokens(fragment) for fragment in fragments)

    assert whole_tokens(summed) == estimate("".join(fragments))


@given(st.text(), st.text())
def test_the_estimate_never_falls_as_a_text_grows(text: str, more: str) -> None:
    assert estimate(text + more) >= estimate(text)


@given(st.text(min_size=1))
def test_a_text_is_never_estimated_at_nothing(text: str) -> None:
    assert estimate(text) >= 1


def test_no_text_is_no_tokens() -> None:
    assert estimate("") == 0


def test_a_lone_surrogate_has_a_weight_too() -> None:
    assert estimate("\ud83d") == 1


def test_english_prose_has_about_four_characters_a_token() -> None:
    characters_per_token = len(PROSE) / estimate(PROSE)

    assert 4 * 0.7 <= characters_per_token <= 4 * 1.3


def test_source_code_has_about_three_characters_a_token() -> None:
    characters_per_token = len(CODE) / estimate(CODE)

    assert 3 * 0.8 <= characters_per_token <= 3 * 1.2
    assert characters_per_token < len(PROSE) / estimate(PROSE)


@pytest.mark.parametrize("text", [CHINESE, JAPANESE, KOREAN], ids=["chinese", "japanese", "korean"])
def test_cjk_has_between_half_a_token_and_little_over_one_a_character(text: str) -> None:
    tokens_per_character = estimate(text) / len(text)

    assert 0.5 <= tokens_per_character <= 1.2


@pytest.mark.parametrize(
    ("emoji", "at_most"),
    [("👍", 1), ("🚀", 1), ("❤️", 2), ("👍🏽", 2), ("👨‍👩‍👧‍👦", 7)],
    ids=lambda value: str(value),
)
def test_an_emoji_costs_one_token_for_each_sign_it_is_joined_of(emoji: str, at_most: int) -> None:
    assert 1 <= estimate(emoji) <= at_most
