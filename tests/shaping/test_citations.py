"""Sources stand where the client's text has what they are for, whatever was inserted or cut."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gbproxy.domain.events import (
    FLUSH,
    ChatEvent,
    Citation,
    Done,
    FileOutput,
    SessionNamed,
    TextDelta,
    UpstreamStream,
)
from gbproxy.shaping.transform import AnswerTransform

SOURCE = Citation(0, 0, "https://example.com/", "Example", "example.com")
PICTURE = FileOutput("image/png", "f1", "cat.png")


def cites(start: int, end: int) -> Citation:
    return replace(SOURCE, start=start, end=end)


def stream(*events: ChatEvent) -> UpstreamStream:
    yield from events


def transformed(*events: ChatEvent, **options: object) -> list[ChatEvent | SessionNamed]:
    return list(AnswerTransform(**options).apply(stream(*events, Done())))  # type: ignore[arg-type]


def text_of(events: list[ChatEvent | SessionNamed]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def cited(events: list[ChatEvent | SessionNamed]) -> list[str]:
    """The parts of the client's text for which sources are named."""
    text = text_of(events)
    return [text[each.start : each.end] for each in events if isinstance(each, Citation)]


def test_sources_follow_all_text_right_before_the_end() -> None:
    events = transformed(TextDelta("Tea "), cites(0, 3), TextDelta("is old."), FLUSH)

    assert events == [
        TextDelta("Tea "),
        TextDelta("is old."),
        FLUSH,
        cites(0, 3),
        Done(),
    ]


def test_a_line_about_a_file_moves_what_is_behind_it() -> None:
    events = transformed(
        TextDelta("Here: "), PICTURE, TextDelta("Tea is old."), cites(6, 9), cites(0, 4)
    )

    assert cited(events) == ["Tea", "Here"]


def test_a_part_around_a_line_about_a_file_stays_one_part() -> None:
    events = transformed(TextDelta("Tea"), PICTURE, TextDelta(" is old."), cites(0, 6))

    [part] = cited(events)
    assert part.startswith("Tea")
    assert part.endswith(" is")


def test_a_source_is_named_once_though_the_upstream_repeats_it() -> None:
    events = transformed(TextDelta("Tea"), cites(0, 3), cites(0, 3), cites(1, 3))

    assert cited(events) == ["Tea", "ea"]


def test_what_was_cut_off_has_no_source() -> None:
    events = transformed(
        TextDelta("Tea is "),
        cites(0, 3),
        cites(4, 11),
        cites(7, 9),
        TextDelta("|old."),
        stop=("|",),
    )

    assert text_of(events) == "Tea is "
    assert cited(events) == ["Tea", "is "]


def test_a_source_in_the_middle_of_a_stop_sequence_does_not_let_it_pass() -> None:
    events = transformed(TextDelta("Tea EN"), cites(0, 3), TextDelta("D of it"), stop=("END",))

    assert (text_of(events), cited(events)) == ("Tea ", ["Tea"])


def test_a_source_for_no_part_stays_at_the_end() -> None:
    events = transformed(TextDelta("Tea"), PICTURE, cites(3, 3))

    [source] = [event for event in events if isinstance(event, Citation)]
    assert source.start == source.end == len(text_of(events))


@given(
    st.lists(st.one_of(st.text(max_size=8), st.none()), max_size=8),
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(0, 12),
)
def test_a_part_is_found_again_with_whatever_stands_inside(
    pieces: list[str | None], start: int, end: int, most_tokens: int
) -> None:
    """None stands for a file. The cited part loses nothing but what was cut."""
    said = "".join(filter(None, pieces))
    start, end = sorted((min(start, len(said)), min(end, len(said))))
    events = [PICTURE if piece is None else TextDelta(piece) for piece in pieces]

    whole = transformed(*events, cites(start, end))
    cut = transformed(*events, cites(start, end), max_tokens=most_tokens)

    bare = transformed(*events)
    [part] = cited(whole)
    if None not in pieces:
        assert part == said[start:end]
    else:
        assert text_of(whole) == text_of(bare)
        remaining = iter(part)
        assert all(character in remaining for character in said[start:end])
    for source in (each for each in cut if isinstance(each, Citation)):
        assert 0 <= source.start <= source.end <= len(text_of(cut))
        assert part.startswith(text_of(cut)[source.start : source.end])
