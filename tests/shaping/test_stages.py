"""What becomes of an answer before a surface renders it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gbproxy.domain.events import (
    FLUSH,
    ChatEvent,
    Citation,
    Done,
    FileOutput,
    FinishReason,
    Refusal,
    SessionNamed,
    Started,
    TextDelta,
    ThoughtDelta,
    ToolCallDelta,
    ToolCallStarted,
    UpstreamStream,
    Usage,
    estimate_quarter_tokens,
    whole_tokens,
)
from gbproxy.domain.media import APART, IN_TEXT, MediaDelivery
from gbproxy.shaping.transform import AnswerTransform

PICTURE = FileOutput("image/png", "f1", "cat.png")
CALL = ToolCallStarted(0, "c", "abcd")
ARGUMENTS = ToolCallDelta(0, "abcdefgh")
NAMED = "[The model made a file (cat.png, image/png), which cannot be passed on.]"


def shaped(*events: ChatEvent, **options: Any) -> list[ChatEvent | SessionNamed]:
    return list(AnswerTransform(**options).apply(stream(*events)))


def stream(*events: ChatEvent) -> UpstreamStream:
    yield from events


def text_of(*events: ChatEvent) -> str:
    return "".join(event.text for event in shaped(*events) if isinstance(event, TextDelta))


# Thoughts


def test_hidden_thoughts_are_dropped_and_everything_else_stays_in_order() -> None:
    kept: list[ChatEvent] = [
        Started("m"),
        TextDelta("a"),
        FLUSH,
        Refusal("no"),
        Citation(0, 1, "u"),
        Done(),
    ]
    mixed = [
        event for pair in zip([ThoughtDelta("t")] * len(kept), kept, strict=True) for event in pair
    ]

    assert shaped(*mixed, shows_thoughts=False) == kept


def test_shown_thoughts_stay() -> None:
    assert shaped(ThoughtDelta("t"), TextDelta("a")) == [ThoughtDelta("t"), TextDelta("a")]


# What an answer weighs


def test_everything_that_was_said_is_counted_shown_or_not() -> None:
    transform = AnswerTransform(shows_thoughts=False)
    events = (ThoughtDelta("Hm, hm."), TextDelta("Hello"), FLUSH, Refusal("No."), PICTURE)

    list(transform.apply(stream(*events)))

    thoughts, said = (
        estimate_quarter_tokens("Hm, hm."),
        estimate_quarter_tokens("Hello")
        + estimate_quarter_tokens("No.")
        + estimate_quarter_tokens(NAMED + "\n")
        + 2 * estimate_quarter_tokens("\n"),
    )
    reasoning = whole_tokens(thoughts)
    assert transform.usage(40) == Usage(10, whole_tokens(said) + reasoning, reasoning)
    assert transform.characters == len("HelloNo.") + len(NAMED) + 3


# Files


def test_a_file_is_named_with_its_name_and_type() -> None:
    assert text_of(PICTURE) == f"{NAMED}\n"


def test_a_file_without_a_name_is_named_by_its_type() -> None:
    file = FileOutput("video/mp4", data=b"x")

    assert text_of(file) == "[The model made a file (video/mp4), which cannot be passed on.]\n"


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (["Here it is:"], f"Here it is:\n\n{NAMED}\n"),
        (["Here it is:\n"], f"Here it is:\n{NAMED}\n"),
        (["Here it is:\n", ""], f"Here it is:\n{NAMED}\n"),
        (["Here", " it is:"], f"Here it is:\n\n{NAMED}\n"),
        ([""], f"{NAMED}\n"),
    ],
)
def test_the_line_stands_on_a_line_of_its_own(before: list[str], expected: str) -> None:
    assert text_of(*map(TextDelta, before), PICTURE) == expected


def test_what_follows_a_file_begins_on_a_new_line() -> None:
    assert text_of(TextDelta("A"), PICTURE, TextDelta("B")) == f"A\n\n{NAMED}\nB"


def test_several_files_stand_one_below_the_other() -> None:
    assert text_of(TextDelta("A"), PICTURE, PICTURE, TextDelta("B"), PICTURE) == (
        f"A\n\n{NAMED}\n{NAMED}\nB\n\n{NAMED}\n"
    )


def test_thoughts_and_flushes_between_do_not_count_as_text() -> None:
    events = [TextDelta("A\n"), ThoughtDelta("hm"), FLUSH, PICTURE]

    assert text_of(*events) == f"A\n{NAMED}\n"


def test_no_file_without_a_way_to_the_client_comes_out() -> None:
    events = [Started("m"), ThoughtDelta("t"), PICTURE, FLUSH, Done()]

    assert shaped(*events) == [
        Started("m"),
        ThoughtDelta("t"),
        TextDelta(f"{NAMED}\n"),
        FLUSH,
        Done(),
    ]


def linked(file: FileOutput) -> FileOutput:
    return replace(file, url="https://ai.example/media/t")


def published(
    *events: ChatEvent, delivery: MediaDelivery = IN_TEXT
) -> list[ChatEvent | SessionNamed]:
    return list(AnswerTransform().apply(stream(*events), linked, delivery))


@pytest.mark.parametrize(
    ("file", "line"),
    [
        (PICTURE, "![cat.png](https://ai.example/media/t)"),
        (FileOutput("image/png", "f1"), "![image](https://ai.example/media/t)"),
        (FileOutput("image/png", "f1", "a](x)\n<b>"), "![axb](https://ai.example/media/t)"),
        (FileOutput("video/mp4", "f1"), "[video](https://ai.example/media/t)"),
        (FileOutput("text/csv", "f1", "table.csv"), "[table.csv](https://ai.example/media/t)"),
    ],
)
def test_a_file_is_markdown_and_an_event(file: FileOutput, line: str) -> None:
    assert published(TextDelta("See:"), file) == [
        TextDelta("See:"),
        TextDelta(f"\n\n{line}\n"),
        linked(file),
    ]


def test_a_file_stands_in_no_text_where_it_has_a_place_of_its_own() -> None:
    film = FileOutput("video/mp4", "f2")

    assert published(PICTURE, film, delivery=APART) == [linked(PICTURE), linked(film)]


def test_what_came_with_its_bytes_is_in_no_text() -> None:
    sent_along = FileOutput("image/png", data=b"png")

    assert list(AnswerTransform().apply(stream(sent_along), lambda file: file)) == [sent_along]


# Stop sequences


STOPS = ("STOP", "\nUser:")


@pytest.mark.parametrize("pieces", [["One STOP two"], ["One S", "TO", "P two"], [*"One STOP two"]])
def test_the_answer_ends_before_a_stop_sequence_however_its_text_is_cut(pieces: list[str]) -> None:
    transform = AnswerTransform(stop=STOPS)

    events = list(transform.apply(stream(*map(TextDelta, pieces), Done())))

    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "One "
    assert events[-1] == Done("stop", "STOP")
    assert (transform.is_whole, transform.answer) == (False, "One ")


def test_what_only_begins_like_a_stop_sequence_is_shown_before_what_follows() -> None:
    refusal = Refusal("no")

    assert shaped(TextDelta("One ST"), refusal, TextDelta("OP"), Done(), stop=STOPS) == [
        TextDelta("One "),
        TextDelta("ST"),
        refusal,
        TextDelta("OP"),
        Done(),
    ]


def test_a_thought_or_a_flush_does_not_let_go_of_a_text_that_is_held_back() -> None:
    events = [TextDelta("ST"), FLUSH, ThoughtDelta("hm"), TextDelta("OP."), Done()]

    assert shaped(*events, stop=STOPS) == [FLUSH, ThoughtDelta("hm"), Done("stop", "STOP")]


@given(st.lists(st.text("STOP", max_size=5)), st.lists(st.text("STOP", min_size=1), min_size=1))
@example(["TO", "T"], ["O", "TOT"])
@example(["TO"], ["O", "TOT"])
def test_of_a_text_all_is_shown_up_to_the_first_stop_sequence(
    pieces: list[str], stops: list[str]
) -> None:
    text = "".join(pieces)
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    transform = AnswerTransform(stop=tuple(stops))

    events = list(transform.apply(stream(*map(TextDelta, pieces), Done())))

    shown = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert shown == text[: min(found, default=len(text))]
    assert transform.is_whole is not bool(found)
    [ended_by] = [event.stop_sequence for event in events if isinstance(event, Done)]
    assert (ended_by in stops and text.startswith(ended_by, min(found))) if found else not ended_by


stop_sequences = st.lists(st.text("STOP", min_size=1), min_size=1, max_size=4)


@given(st.lists(st.text("STOP", max_size=5)), stop_sequences)
def test_no_more_is_held_back_than_a_stop_sequence_without_its_last_character(
    pieces: list[str], stops: list[str]
) -> None:
    fed = 0

    def source() -> UpstreamStream:
        nonlocal fed
        for piece in pieces:
            fed += len(piece)
            yield TextDelta(piece)
            yield FLUSH  # all that is to be shown of the piece was shown

    shown = 0
    for event in AnswerTransform(stop=tuple(stops)).apply(source()):
        shown += len(event.text) if isinstance(event, TextDelta) else 0
        if event is FLUSH:
            assert fed - shown < max(map(len, stops))


def test_the_stream_is_read_no_further_than_a_stop_sequence() -> None:
    read: list[str] = []

    def pieces() -> UpstreamStream:
        for piece in ("One ST", "OP", "two"):
            read.append(piece)
            yield TextDelta(piece)

    list(AnswerTransform(stop=STOPS).apply(pieces()))

    assert read == ["One ST", "OP"]


def test_what_is_held_back_goes_before_a_call() -> None:
    events = [TextDelta("One ST"), CALL, Done("tool_calls")]

    assert shaped(*events, stop=STOPS) == [TextDelta("One "), TextDelta("ST"), *events[1:]]


# A limit of tokens


@pytest.mark.parametrize(
    ("most", "shown", "reason"), [(5, "abcdefgh" * 2, "stop"), (4, "abcdefgh" * 2, "stop"),
    (3, "abcdefghabcd", "length"), (2, "abcdefgh", "length"), (1, "abcd", "length")]
)  # fmt: skip
def test_the_answer_ends_where_its_tokens_exceed_the_limit(
    most: int, shown: str, reason: FinishReason
) -> None:
    transform = AnswerTransform(max_tokens=most)

    events = list(transform.apply(stream(*[TextDelta("abcdefgh")] * 2, Done())))

    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == shown
    assert events[-1] == Done(reason)
    assert transform.is_whole is (reason == "stop")
    assert transform.usage(0).output_tokens <= most


@pytest.mark.parametrize("thoughts", range(1, 9))
def test_what_keeps_to_the_limit_is_never_counted_above_it(thoughts: int) -> None:
    transform = AnswerTransform(max_tokens=5)

    events = list(
        transform.apply(stream(ThoughtDelta("t" * thoughts), TextDelta("a" * 40), Done()))
    )

    assert events[-1] == Done("length")
    usage = transform.usage(0)
    assert usage.output_tokens == 5
    assert 0 < usage.reasoning_tokens < 5


def test_thoughts_count_toward_the_limit_shown_or_not() -> None:
    events = [ThoughtDelta("abcdefgh"), TextDelta("abcdefgh"), Done()]

    assert shaped(*events, max_tokens=3, shows_thoughts=False) == [
        TextDelta("abcd"),
        Done("length"),
    ]


@pytest.mark.parametrize(
    ("most", "shown"),
    [
        (5, [TextDelta("abcd"), CALL, ARGUMENTS, Done("tool_calls")]),
        (4, [TextDelta("abcd"), CALL, ARGUMENTS, Done("tool_calls")]),
        (3, [TextDelta("abcd"), CALL, ToolCallDelta(0, "abcd"), Done("length")]),
        (2, [TextDelta("abcd"), CALL, Done("length")]),
        (1, [TextDelta("abcd"), Done("length")]),
    ],
)
def test_calls_count_toward_the_limit(most: int, shown: list[ChatEvent]) -> None:
    events = [TextDelta("abcd"), CALL, ARGUMENTS, Done("tool_calls")]

    assert shaped(*events, max_tokens=most) == shown


def test_calls_are_counted_and_are_no_text() -> None:
    transform = AnswerTransform()

    list(transform.apply(stream(CALL, ARGUMENTS, Done("tool_calls"))))

    assert transform.usage(0).output_tokens == 3
    assert transform.characters == 0


def test_a_refusal_that_is_no_content_stays_so_when_it_is_cut() -> None:
    events = [Refusal("abcdefgh", is_content=False), Done()]

    assert shaped(*events, max_tokens=1) == [Refusal("abcd", is_content=False), Done("length")]


def test_nothing_is_read_behind_a_cut() -> None:
    read: list[str] = []

    def pieces() -> UpstreamStream:
        for piece in ("abcd", "efgh", "ijkl"):
            read.append(piece)
            yield TextDelta(piece)

    list(AnswerTransform(max_tokens=1).apply(pieces()))

    assert read == ["abcd", "efgh"]
