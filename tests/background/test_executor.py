"""The background executor: few threads, in order, bounded, and in nobody's way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator

import pytest

from gbproxy.background.executor import BackgroundExecutor
from tests.support.background import logged
from tests.support.delays import Delays
from tests.support.polling import until

Make = Callable[..., BackgroundExecutor]


@pytest.fixture
def executor_of() -> Iterator[Make]:
    """Makes executors that are shut down after the test."""
    made: list[BackgroundExecutor] = []

    def make(width: int = 2, capacity: int = 100) -> BackgroundExecutor:
        made.append(BackgroundExecutor(width=width, capacity=capacity))
        return made[-1]

    yield make
    for executor in made:
        executor.shutdown(30)


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
            assert self.go_on.wait(30)
            self.done.append(name)

        return work


def begun_since(before: Collection[threading.Thread]) -> list[threading.Thread]:
    """The threads of executors that were not there then. Others come and go meanwhile: those of
    servers that other tests share.
    """
    return [
        each
        for each in threading.enumerate()
        if each.name == "background job" and each not in before
    ]


def test_jobs_run_in_few_other_threads(executor_of: Make) -> None:
    jobs = Jobs()
    executor = executor_of(width=2)

    for number in range(20):
        assert executor.submit(jobs.job(str(number)))

    until(lambda: len(jobs.done) == 20)
    assert threading.get_ident() not in jobs.threads
    assert len(jobs.threads) <= 2


def test_what_waits_is_run_in_order(executor_of: Make) -> None:
    jobs = Jobs()
    executor = executor_of(width=1)

    for name in "abcdef":
        executor.submit(jobs.job(name))

    until(lambda: jobs.done == [*"abcdef"])


def test_no_thread_runs_before_anything_is_submitted(executor_of: Make) -> None:
    before = threading.enumerate()

    executor_of()

    assert begun_since(before) == []


def test_a_free_thread_is_used_again(executor_of: Make) -> None:
    jobs = Jobs()
    executor = executor_of(width=8)
    before = threading.enumerate()

    for number in range(5):
        executor.submit(jobs.job(str(number)))
        until(lambda number=number: len(jobs.done) == number + 1)

    assert len(begun_since(before)) <= 2


def test_submitting_does_not_wait_for_slow_jobs_and_is_refused_when_too_many_wait(
    executor_of: Make,
) -> None:
    jobs = Jobs()
    jobs.go_on.clear()
    executor = executor_of(width=2, capacity=3)
    for name in ("busy 1", "busy 2"):
        executor.submit(jobs.job(name))
    until(lambda: len(jobs.begun) == 2)

    taken = [executor.submit(jobs.job(str(number))) for number in range(5)]

    assert taken == [True, True, True, False, False]
    jobs.go_on.set()
    until(lambda: sorted(jobs.done) == ["0", "1", "2", "busy 1", "busy 2"])


def test_a_bug_in_a_job_is_logged_and_ends_nothing(
    executor_of: Make, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("a bug")

    jobs = Jobs()
    executor = executor_of(width=1)

    with caplog.at_level(logging.ERROR, "gbproxy"):
        for _ in range(3):
            executor.submit(fail)
        executor.submit(jobs.job("good"))
        until(lambda: jobs.done == ["good"])

    assert len(logged(caplog, "sweeper.failed")) == 3
    assert executor.shutdown(10)


def test_a_shutdown_runs_what_still_waits_and_ends_the_threads(executor_of: Make) -> None:
    before = threading.enumerate()
    jobs = Jobs()
    executor = executor_of()
    for number in range(50):
        executor.submit(jobs.job(str(number)))

    assert executor.shutdown(10)

    assert len(jobs.done) == 50
    assert begun_since(before) == []


def test_after_a_shutdown_nothing_is_accepted(executor_of: Make) -> None:
    jobs = Jobs()
    executor = executor_of()
    executor.shutdown(10)

    assert not executor.submit(jobs.job("late"))
    assert executor.shutdown(10)
    assert jobs.begun == []


def test_a_shutdown_takes_no_longer_than_it_may_and_tells_that_something_is_left(
    executor_of: Make,
) -> None:
    jobs = Jobs()
    jobs.go_on.clear()
    executor = executor_of()
    for number in range(5):
        executor.submit(jobs.job(str(number)))

    with Delays() as machine:
        started = time.monotonic()
        done = executor.shutdown(0.1)
        took_s = time.monotonic() - started

    assert not done
    assert took_s - machine.total_s < 1
    jobs.go_on.set()


def test_the_shutdown_of_an_executor_that_waits_or_never_ran_is_quick(executor_of: Make) -> None:
    jobs = Jobs()
    idle, new = executor_of(), executor_of()
    idle.submit(jobs.job("one"))
    until(lambda: jobs.done == ["one"])

    with Delays() as machine:
        started = time.monotonic()
        ended = [idle.shutdown(30), new.shutdown(30)]
        took_s = time.monotonic() - started

    assert ended == [True, True]
    assert took_s - machine.total_s < 1
