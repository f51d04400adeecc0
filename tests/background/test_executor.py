"""The hands for the work between requests: few threads, in order, bounded, and in nobody's way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from gbproxy.background.executor import BackgroundExecutor
from tests.support.background import logged
from tests.support.pools import until

Make = Callable[..., BackgroundExecutor]


@pytest.fixture
def crew_of() -> Iterator[Make]:
    """Makes crews that are told to end after the test."""
    made: list[BackgroundExecutor] = []

    def make(width: int = 2, capacity: int = 100) -> BackgroundExecutor:
        made.append(BackgroundExecutor(width=width, capacity=capacity))
        return made[-1]

    yield make
    for crew in made:
        crew.end(10)


class Jobs:
    """Jobs that note who does them; while `go_on` is cleared, they wait."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.done: list[str] = []
        self.threads: set[int] = set()
        self.go_on = threading.Event()
        self.go_on.set()

    def job(self, name: str) -> Callable[[], None]:
        def work() -> None:
            self.begun.append(name)
            self.threads.add(threading.get_ident())
            assert self.go_on.wait(10)
            self.done.append(name)

        return work


def test_what_is_put_down_is_done_by_few_other_threads(crew_of: Make) -> None:
    jobs = Jobs()
    crew = crew_of(width=2)

    for number in range(20):
        assert crew.put(jobs.job(str(number)))

    until(lambda: len(jobs.done) == 20)
    assert threading.get_ident() not in jobs.threads
    assert len(jobs.threads) <= 2


def test_what_waits_is_done_in_order(crew_of: Make) -> None:
    jobs = Jobs()
    crew = crew_of(width=1)

    for name in "abcdef":
        crew.put(jobs.job(name))

    until(lambda: jobs.done == [*"abcdef"])


def test_no_thread_runs_before_anything_was_put_down(crew_of: Make) -> None:
    before = threading.active_count()

    crew_of()

    assert threading.active_count() == before


def test_a_free_hand_is_used_again(crew_of: Make) -> None:
    jobs = Jobs()
    crew = crew_of(width=8)
    before = threading.active_count()

    for number in range(5):
        crew.put(jobs.job(str(number)))
        until(lambda number=number: len(jobs.done) == number + 1)

    assert threading.active_count() - before <= 2


def test_putting_down_does_not_wait_for_slow_jobs_and_is_refused_when_too_many_wait(
    crew_of: Make,
) -> None:
    jobs = Jobs()
    jobs.go_on.clear()
    crew = crew_of(width=2, capacity=3)
    for name in ("busy 1", "busy 2"):
        crew.put(jobs.job(name))
    until(lambda: len(jobs.begun) == 2)

    taken = [crew.put(jobs.job(str(number))) for number in range(5)]

    assert taken == [True, True, True, False, False]
    jobs.go_on.set()
    until(lambda: sorted(jobs.done) == ["0", "1", "2", "busy 1", "busy 2"])


def test_a_bug_in_a_job_is_logged_and_ends_nothing(
    crew_of: Make, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("a bug")

    jobs = Jobs()
    crew = crew_of(width=1)

    with caplog.at_level(logging.ERROR, "gbproxy"):
        for _ in range(3):
            crew.put(fail)
        crew.put(jobs.job("good"))
        until(lambda: jobs.done == ["good"])

    assert len(logged(caplog, "sweeper.failed")) == 3
    assert crew.end(10)


def test_ending_does_what_still_waits_and_ends_the_threads(crew_of: Make) -> None:
    before = threading.active_count()
    jobs = Jobs()
    crew = crew_of()
    for number in range(50):
        crew.put(jobs.job(str(number)))

    assert crew.end(10)

    assert len(jobs.done) == 50
    assert threading.active_count() == before


def test_after_the_end_nothing_is_taken(crew_of: Make) -> None:
    jobs = Jobs()
    crew = crew_of()
    crew.end(10)

    assert not crew.put(jobs.job("late"))
    assert crew.end(10)
    assert jobs.begun == []


def test_ending_takes_no_longer_than_it_may_and_tells_that_something_is_left(crew_of: Make) -> None:
    jobs = Jobs()
    jobs.go_on.clear()
    crew = crew_of()
    for number in range(5):
        crew.put(jobs.job(str(number)))

    started = time.monotonic()
    done = crew.end(0.1)

    assert not done
    assert time.monotonic() - started < 1
    jobs.go_on.set()


def test_ending_a_crew_that_waits_or_never_worked_is_quick(crew_of: Make) -> None:
    jobs = Jobs()
    idle, new = crew_of(), crew_of()
    idle.put(jobs.job("one"))
    until(lambda: jobs.done == ["one"])

    started = time.monotonic()
    ended = [idle.end(30), new.end(30)]

    assert ended == [True, True]
    assert time.monotonic() - started < 1
