"""A stream read to its end as one answer."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

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
    Usage,
    collect,
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
