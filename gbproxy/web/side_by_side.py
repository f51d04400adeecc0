"""Reads several answers to one request side by side, each in a greenlet of its own, and runs so
what else a request does at once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, closing
from contextvars import copy_context

import gevent
from gevent.event import Event
from gevent.queue import Queue

from gbproxy.domain.choices import ChoicesStream, merge
from gbproxy.domain.events import ChatEvent, ChatStream, Done
from gbproxy.observability import request_context

_MOST_WAITING = 64  # events: a client that reads slowly holds the upstream back

Arrival = tuple[int, ChatEvent | Exception]


def merged(streams: Callable[[], AbstractContextManager[Sequence[ChatStream]]]) -> ChoicesStream:
    """The events of all answers as one stream. Raises the first error of any of them, and closes
    the others.
    """
    with streams() as answers, closing(_arrivals(answers)) as arrivals:
        yield from merge(arrivals, len(answers))


def spawn(work: Callable[[], None]) -> Callable[[], None]:
    """Run a part of a request aside. What it returns ends that, wherever it waits."""
    ending: Callable[[], None] = gevent.spawn(work).kill
    return ending


def _arrivals(answers: Sequence[ChatStream]) -> Generator[tuple[int, ChatEvent]]:
    queue: Queue[Arrival] = Queue(_MOST_WAITING)
    delivered = Event()
    readers = [
        gevent.spawn(copy_context().run, _read, index, answer, queue, delivered)
        for index, answer in enumerate(answers)
    ]
    running = len(readers)
    try:
        while running:
            index, event = queue.get()
            if isinstance(event, Exception):
                raise event
            running -= type(event) is Done
            yield index, event
        delivered.set()
        gevent.joinall(readers)
    finally:
        gevent.killall(readers)


def _read(index: int, answer: ChatStream, queue: Queue[Arrival], delivered: Event) -> None:
    """Read on behind `Done`, which confirms the delivery, once all answers were delivered."""
    with request_context.child(), closing(answer):
        try:
            for event in answer:
                queue.put((index, event))
                if type(event) is Done:
                    delivered.wait()
        except Exception as error:  # noqa: BLE001  handed over: raised where the answers are merged
            queue.put((index, error))
