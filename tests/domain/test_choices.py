"""Several answers as one stream: each in its order, with one usage and one end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.domain.choices import ChoiceEvent, collect_choices, merge, total_usage
from gbproxy.domain.events import (
    FLUSH,
    ChatEvent,
    Done,
    Started,
    TextDelta,
    ThoughtDelta,
    Usage,
)
from gbproxy.errors import UpstreamBroken

texts = st.lists(st.text(max_size=3), max_size=5)


def answer(*texts: str, tokens: int = 1) -> list[ChatEvent]:
    return [Started("m"), *map(TextDelta, texts), Usage(7, tokens, 1), Done()]


def side_by_side(answers: list[list[ChatEvent]], order: list[int]) -> list[tuple[int, ChatEvent]]:
    """The events of all answers; `order` says whose is next, as long as it has some."""
    left = {i: list(events) for i, events in enumerate(answers)}
    arrivals = []
    for index in [*order, *sorted(left) * max(map(len, answers))]:
        if left.get(index):
            arrivals.append((index, left[index].pop(0)))
    return arrivals


@given(st.lists(texts, min_size=1, max_size=4), st.lists(st.integers(0, 3), max_size=30))
def test_each_answer_comes_in_its_order_with_one_usage_and_one_end(
    said: list[list[str]], order: list[int]
) -> None:
    answers = [answer(*each, tokens=i + 1) for i, each in enumerate(said)]

    events = list(merge(side_by_side(answers, order), len(answers)))

    for i, each in enumerate(answers):
        found = [e.event for e in events if isinstance(e, ChoiceEvent) and e.index == i]
        assert found == [event for event in each if not isinstance(event, Usage)]
    total = sum(range(1, len(answers) + 1))
    assert events[-2:] == [Usage(7, total, len(answers)), Done()]
    assert sum(isinstance(event, Usage) for event in events) == 1


def test_a_flush_passes() -> None:
    arrivals: list[tuple[int, ChatEvent]] = [(0, TextDelta("a")), (0, FLUSH), (0, Done())]

    assert list(merge(arrivals, 1))[1] == FLUSH


def test_reading_on_behind_the_end_confirms_the_delivery_of_all_answers() -> None:
    confirmed = []

    def arrivals() -> Iterator[tuple[int, ChatEvent]]:
        yield 0, Done()
        yield 1, Done()
        confirmed.append(True)

    events = merge(arrivals(), 2)

    while not isinstance(next(events), Done):
        assert not confirmed
    assert not confirmed
    assert next(events, None) is None
    assert confirmed == [True]


def test_one_answer_that_fails_is_the_failure_of_all() -> None:
    def arrivals() -> Iterator[tuple[int, ChatEvent]]:
        yield 0, TextDelta("a")
        raise UpstreamBroken("gone")

    events = merge(arrivals(), 2)

    assert next(events) == ChoiceEvent(0, TextDelta("a"))
    with pytest.raises(UpstreamBroken):
        next(events)


def test_whole_answers_are_collected_one_by_one() -> None:
    answers = [
        [Started("a"), ThoughtDelta("hm"), TextDelta("x"), Usage(3, 2), Done("length")],
        [Started("b"), TextDelta("y"), Usage(3, 1), Done()],
    ]

    found = collect_choices(merge(side_by_side(answers, [1, 0, 0, 1]), 2))

    assert [(each.model, each.text, each.finish_reason) for each in found.choices] == [
        ("a", "x", "length"),
        ("b", "y", "stop"),
    ]
    assert found.usage == Usage(3, 3)


def test_the_prompt_of_all_answers_counts_once() -> None:
    assert total_usage([Usage(5, 1, 1), Usage(6, 2)]) == Usage(6, 3, 1)
    assert total_usage([]) == Usage(0, 0)
