"""Runs several pieces of one request's work side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextvars import copy_context
from queue import SimpleQueue
from typing import TypeVar

from gbproxy.observability import request_context

T = TypeVar("T")
Job = Callable[[], T]
Spawn = Callable[[Callable[[], None]], Callable[[], None]]
"""Runs a function aside. What it returns ends that, as far as it can be ended."""


def in_thread(work: Callable[[], None]) -> Callable[[], None]:
    """For programs without an event loop. A thread cannot be ended: it takes no further work."""
    threading.Thread(target=work, name="side by side", daemon=True).start()
    return lambda: None


def results(jobs: Sequence[Job[T]], at_once: int, spawn: Spawn) -> list[T]:
    """The results of all jobs, in their order. A single one is run right here.

    Raises the first error of any of them, and ends the others, as does an exception from outside.
    """
    if len(jobs) == 1:
        return [jobs[0]()]
    waiting = iter(enumerate(jobs))
    arrived: SimpleQueue[tuple[int, T] | Exception] = SimpleQueue()
    lock = threading.Lock()
    context = request_context.current()
    context.begin_wait()
    endings: list[Callable[[], None]] = []
    try:
        for _ in range(min(at_once, len(jobs))):
            worker = copy_context()
            endings.append(spawn(lambda run=worker.run: run(_work, waiting, lock, arrived)))  # type: ignore[misc]
        found: dict[int, T] = {}
        while len(found) < len(jobs):
            result = arrived.get()
            if isinstance(result, Exception):
                raise result
            found[result[0]] = result[1]
        return [found[index] for index in range(len(jobs))]
    finally:
        with lock:  # no job is begun any more
            for _ in waiting:
                pass
        for end in endings:
            end()
        context.end_wait()


def _work(
    waiting: Iterator[tuple[int, Job[T]]],
    lock: threading.Lock,
    arrived: SimpleQueue[tuple[int, T] | Exception],
) -> None:
    with request_context.part():
        while True:
            with lock:
                index, job = next(waiting, (-1, None))
            if job is None:
                return
            try:
                arrived.put((index, job()))
            except Exception as error:  # noqa: BLE001  handed over: raised where it is waited for
                arrived.put(error)
                return
