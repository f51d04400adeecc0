"""Work of one request that is done side by side, in threads and in greenlets."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from gbproxy.errors import BadRequest
from gbproxy.gateway.side_by_side import in_thread, results
from gbproxy.observability import request_context


def test_results_come_in_the_order_of_the_jobs() -> None:
    first_is_done = threading.Event()

    def waiting() -> str:
        assert first_is_done.wait(10)
        return "waited"

    def quick() -> str:
        first_is_done.set()
        return "quick"

    assert results([waiting, quick, lambda: "third"], 2, in_thread) == ["waited", "quick", "third"]


def test_no_more_run_at_once_than_may() -> None:
    lock, running, most = threading.Lock(), [0], [0]
    full = threading.Barrier(3, timeout=10)

    def job() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        full.wait()
        with lock:
            running[0] -= 1
        full.wait()

    results([job] * 6, 3, in_thread)

    assert most == [3]


def test_the_first_error_is_raised_and_no_further_job_begun() -> None:
    begun: list[int] = []

    def job(number: int) -> Callable[[], None]:
        def run() -> None:
            begun.append(number)
            raise BadRequest("no")

        return run

    with pytest.raises(BadRequest):
        results([job(number) for number in range(50)], 1, in_thread)

    assert begun == [0]


def test_jobs_know_the_request_and_its_time_and_count_nothing_twice() -> None:
    context = request_context.begin("req-7")
    context.limit_time(60)
    seen: list[tuple[str, float]] = []

    def job() -> None:
        own = request_context.current()
        seen.append((own.request_id, own.until))
        own.upstream_s += 1000

    results([job, job], 2, in_thread)

    assert seen == [("req-7", context.until)] * 2
    assert context.upstream_s < 1000


def test_a_single_job_runs_where_it_is_asked_for() -> None:
    assert results([threading.get_ident], 4, in_thread) == [threading.get_ident()]
