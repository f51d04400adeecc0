"""Long work takes turns: one at a time, and the others have as long as it took."""

from __future__ import annotations

import threading
import time

import pytest

from gbproxy.domain.slices import SLICE_S, Work


def compute(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def test_short_work_waits_for_nobody() -> None:
    with Work() as long:
        long.begin()
        done = threading.Event()

        def short() -> None:
            with Work() as work:
                work.rest()
                done.set()

        other = threading.Thread(target=short)
        other.start()

        assert done.wait(10)
        other.join()


def test_long_work_is_done_one_at_a_time() -> None:
    inside: list[int] = []
    seen: list[int] = []

    def work(number: int) -> None:
        with Work() as mine:
            mine.begin()
            for _ in range(5):
                inside.append(number)
                compute(SLICE_S)
                seen.append(len(inside))
                inside.remove(number)
                mine.rest()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert seen == [1] * 20


def test_others_have_as_long_as_was_worked() -> None:
    steps, step_s = 5, 4 * SLICE_S
    started = time.perf_counter()

    with Work() as work:
        work.begin()
        for _ in range(steps):
            compute(step_s)
            work.rest()

    assert time.perf_counter() - started >= 2 * steps * step_s


def test_what_fails_lets_the_next_begin() -> None:
    def fail() -> None:
        with Work() as work:
            work.begin()
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()

    begun = threading.Event()

    def follow() -> None:
        with Work() as work:
            work.begin()
            begun.set()

    other = threading.Thread(target=follow)
    other.start()

    assert begun.wait(10)
    other.join()
