"""Several answers to one request, which arrive side by side, as one stream with one usage."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass

from gbproxy.domain.events import (
    Answer,
    ChatEvent,
    ChatStream,
    Done,
    Flush,
    Usage,
    collect,
)


@dataclass(frozen=True, slots=True)
class ChoiceEvent:
    """An event of the `index`-th answer, counted from 0; its `Done` too."""

    index: int
    event: ChatEvent


ChoicesStream = Generator[ChoiceEvent | Usage | Flush | Done]
"""It ends with one `Usage` and one `Done`, or raises a GatewayError, as a ChatStream does."""


def merge(arrivals: Iterable[tuple[int, ChatEvent]], choices: int) -> ChoicesStream:
    """Merge the events of `choices` answers, each with its index, in the order of their arrival.

    Each answer has to end with its `Done`. Reading on behind the last `Done` reads on in
    `arrivals`, which confirms to all answers that they were delivered. What `arrivals` raises is
    raised at once: one answer less would be a wrong number of them.
    """
    usages: dict[int, Usage] = {}
    running = set(range(choices))
    source = iter(arrivals)
    while running:
        index, event = next(source)
        match event:
            case Usage():
                usages[index] = event
            case Flush():
                yield event
            case Done():
                running.discard(index)
                yield ChoiceEvent(index, event)
            case _:
                yield ChoiceEvent(index, event)
    yield total_usage(list(usages.values()))
    yield Done()
    for _ in source:
        pass


def total_usage(usages: Sequence[Usage]) -> Usage:
    """The usage of all answers: their prompt was one, so it counts once."""
    return Usage(
        max((each.input_tokens for each in usages), default=0),
        sum(each.output_tokens for each in usages),
        sum(each.reasoning_tokens for each in usages),
    )


@dataclass(frozen=True, slots=True)
class Answers:
    """The whole answers to one request, as `collect_choices` returns them."""

    choices: tuple[Answer, ...]
    usage: Usage


def collect_choices(events: ChoicesStream) -> Answers:
    """Read a stream up to its `Done`, and no further. Raises what the stream raises."""
    parts: dict[int, list[ChatEvent]] = {}
    usage = Usage(0, 0)
    for event in events:
        match event:
            case ChoiceEvent(index, inner):
                parts.setdefault(index, []).append(inner)
            case Usage():
                usage = event
            case Flush():
                pass
            case Done():
                break
    return Answers(tuple(collect(_stream(parts[index])) for index in sorted(parts)), usage)


def _stream(events: Sequence[ChatEvent]) -> ChatStream:
    yield from events
