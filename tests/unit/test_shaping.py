"""What becomes of an answer before a surface renders it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gbproxy.domain.events import (
    FLUSH,
    ChatEvent,
    ChatStream,
    Citation,
    Done,
    FileOutput,
    Refusal,
    Started,
    TextDelta,
    ThoughtDelta,
)
from gbproxy.domain.shaping import hide_thoughts, name_files
from gbproxy.errors import UpstreamError

PICTURE = FileOutput("image/png", "f1", "cat.png")
NAMED = "[The model made a file (cat.png, image/png), which cannot be passed on yet.]"


class Source:
    """A stream that tells whether it was closed."""

    def __init__(self, *events: ChatEvent, error: Exception | None = None) -> None:
        self.closed = False
        self._events = events
        self._error = error

    def stream(self) -> ChatStream:
        try:
            yield from self._events
            if self._error is not None:
                raise self._error
        finally:
            self.closed = True


def text_of(*events: ChatEvent) -> str:
    shaped = name_files(Source(*events).stream())
    return "".join(event.text for event in shaped if isinstance(event, TextDelta))


# Thoughts


def test_hidden_thoughts_are_dropped_and_everything_else_stays_in_order() -> None:
    kept: list[ChatEvent] = [Started("m"), TextDelta("a"), FLUSH, Citation(0, 1, "u"), PICTURE, Refusal("no"), Done()]
    mixed = [event for pair in zip([ThoughtDelta("t")] * len(kept), kept, strict=True) for event in pair]

    shown = list(hide_thoughts(Source(*mixed).stream()))

    assert shown == kept


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
    source = Source(Started("m"), ThoughtDelta("t"), PICTURE, FLUSH, Done())

    shaped = list(name_files(source.stream()))

    assert shaped == [Started("m"), ThoughtDelta("t"), TextDelta(f"{NAMED}\n"), FLUSH, Done()]


# Closing


@pytest.mark.parametrize("shape", [hide_thoughts, name_files])
def test_closing_early_closes_the_stream_inside(shape: Callable[[ChatStream], ChatStream]) -> None:
    source = Source(TextDelta("a"), TextDelta("b"))
    shaped = shape(source.stream())
    next(shaped)

    shaped.close()

    assert source.closed


@pytest.mark.parametrize("shape", [hide_thoughts, name_files])
def test_an_error_passes_through_and_closes_the_stream_inside(shape: Callable[[ChatStream], ChatStream]) -> None:
    broken = UpstreamError("the upstream failed")
    source = Source(TextDelta("a"), error=broken)

    with pytest.raises(UpstreamError) as caught:
        list(shape(source.stream()))

    assert caught.value is broken
    assert source.closed
