"""What becomes of an answer before a surface renders it."""

from __future__ import annotations

import pytest

from gbproxy.domain import usage
from gbproxy.domain.events import (
    FLUSH,
    ChatEvent,
    Citation,
    Done,
    FileOutput,
    Refusal,
    Started,
    TextDelta,
    ThoughtDelta,
    Usage,
)
from gbproxy.domain.shaping import Shaper

PICTURE = FileOutput("image/png", "f1", "cat.png")
NAMED = "[The model made a file (cat.png, image/png), which cannot be passed on yet.]"


def shaped(*events: ChatEvent, shows_thoughts: bool = True) -> list[ChatEvent]:
    shaper = Shaper(shows_thoughts)
    return [event for event in map(shaper.shape, events) if event is not None]


def text_of(*events: ChatEvent) -> str:
    return "".join(event.text for event in shaped(*events) if isinstance(event, TextDelta))


# Thoughts


def test_hidden_thoughts_are_dropped_and_everything_else_stays_in_order() -> None:
    kept: list[ChatEvent] = [
        Started("m"),
        TextDelta("a"),
        FLUSH,
        Citation(0, 1, "u"),
        Refusal("no"),
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
    shaper = Shaper(shows_thoughts=False)

    for event in (ThoughtDelta("Hm, hm."), TextDelta("Hello"), FLUSH, Refusal("No."), PICTURE):
        shaper.shape(event)

    thoughts, said = (
        usage.weight("Hm, hm."),
        usage.weight("Hello")
        + usage.weight("No.")
        + usage.weight(NAMED + "\n")
        + 2 * usage.weight("\n"),
    )
    reasoning = usage.tokens(thoughts)
    assert shaper.usage(40) == Usage(10, usage.tokens(said) + reasoning, reasoning)
    assert shaper.characters == len("HelloNo.") + len(NAMED) + 3


# Files


def test_a_file_is_named_with_its_name_and_type() -> None:
    assert text_of(PICTURE) == f"{NAMED}\n"


def test_a_file_without_a_name_is_named_by_its_type() -> None:
    file = FileOutput("video/mp4", data=b"x")

    assert text_of(file) == "[The model made a file (video/mp4), which cannot be passed on yet.]\n"


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


def test_no_file_object_and_no_other_change_comes_out() -> None:
    events = [Started("m"), ThoughtDelta("t"), PICTURE, FLUSH, Done()]

    assert shaped(*events) == [
        Started("m"),
        ThoughtDelta("t"),
        TextDelta(f"{NAMED}\n"),
        FLUSH,
        Done(),
    ]
