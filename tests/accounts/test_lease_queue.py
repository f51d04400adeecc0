"""Requests that wait for an account: in order, and no slot is lost."""

from __future__ import annotations

import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from traceback import walk_stack

import pytest

from gbproxy.accounts.lease_queue import LeaseQueue
from gbproxy.accounts.pool import Pool
from gbproxy.domain.account import Account
from gbproxy.errors import (
    Overloaded,
    QuotaExhausted,
    UpstreamOverloaded,
)
from gbproxy.observability import request_context
from tests.support.clock import Clock
from tests.support.delays import Delays
from tests.support.polling import until
from tests.support.pools import BUSY, EMPTY, A, B, C, Request, in_flight, leased, pool


def test_an_account_that_was_given_back_is_leased_again() -> None:
    accounts = pool(A, B)
    with accounts.lease(), accounts.lease():
        pass

    with accounts.lease() as first, accounts.lease() as second:
        assert (first, second) == (A, B)


def test_the_account_that_is_free_again_is_taken_before_busy_ones() -> None:
    accounts = pool(A, B)
    with ExitStack() as kept, accounts.lease():
        kept.enter_context(accounts.lease())

        with accounts.lease() as third:
            assert third == A

    assert in_flight(accounts) == 0


@pytest.mark.parametrize(
    "error", [RuntimeError("broken"), KeyboardInterrupt(), GeneratorExit()], ids=repr
)
def test_an_account_is_given_back_however_the_answer_ended(error: BaseException) -> None:
    accounts = pool(A)

    with pytest.raises(type(error)), accounts.lease():
        raise error

    assert in_flight(accounts) == 0


def test_many_threads_share_the_accounts_evenly() -> None:
    accounts = pool(A, B, C, concurrency=10)
    all_hold_one = threading.Barrier(30)
    held: list[str] = []

    def answer() -> None:
        with accounts.lease() as mine:
            held.append(mine.id)
            all_hold_one.wait(30)

    threads = [threading.Thread(target=answer) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(held) == ["a"] * 10 + ["b"] * 10 + ["c"] * 10
    assert in_flight(accounts) == 0


# Waiting


def test_more_than_the_slots_wait_and_are_served_in_order() -> None:
    accounts = pool(A, concurrency=1, wait_s=60)
    served: list[int] = []

    with accounts.lease():
        requests = [
            Request(accounts, on_lease=partial(served.append, number)) for number in range(8)
        ]
        assert in_flight(accounts) == 1
    for request in requests:
        request.wait()

    assert served == list(range(8))
    until(lambda: in_flight(accounts) == 0)


def test_a_newcomer_does_not_pass_those_who_wait() -> None:
    accounts = pool(A, concurrency=1, wait_s=60)
    with accounts.lease():
        first = Request(accounts, hold=True)

    newcomer = Request(accounts)

    assert (first.wait(), newcomer.served) == ("a", False)
    first.end()
    assert newcomer.wait() == "a"


def test_whichever_account_is_free_first_serves_the_one_that_waits() -> None:
    accounts = pool(A, B, concurrency=1, wait_s=60)

    with accounts.lease():
        with accounts.lease():
            waiter = Request(accounts)

        assert waiter.wait() == "b"


def test_one_that_waits_in_vain_is_told_so_and_leaves_the_queue() -> None:
    accounts = pool(A, concurrency=1, wait_s=0.05)
    measured = request_context.begin("waits")

    with accounts.lease(), pytest.raises(Overloaded) as caught, accounts.lease():
        pass

    assert (caught.value.status, caught.value.code, caught.value.should_retry) == (
        503,
        "overloaded",
        None,
    )
    assert caught.value.retry_after
    assert "0.05 s" in caught.value.message
    assert measured.queued_s >= 0.05
    assert in_flight(accounts) == 0


def test_time_alone_wakes_those_who_wait() -> None:
    accounts = Pool([A, B], concurrency=1, wait_s=60)

    with Delays() as machine:
        started = time.monotonic()
        accounts.failed(B, "text", UpstreamOverloaded("busy", retry_after=1.0))
        with accounts.lease():
            other = Request(accounts)

            assert other.wait() == "b"
        took_s = time.monotonic() - started

    assert 0.5 < took_s < 4 + machine.total_s


def test_a_slot_goes_to_the_first_who_can_use_it() -> None:
    accounts = pool(A, B, concurrency=1, wait_s=60)
    with ExitStack() as a, ExitStack() as b:
        a.enter_context(accounts.lease(required=A.account_key))
        b.enter_context(accounts.lease(required=B.account_key))
        waiting = [
            Request(accounts, hold=True, required=B.account_key),
            Request(accounts, hold=True, excluded=["a"]),
            Request(accounts, hold=True),
        ]

        a.close()
        assert waiting[2].wait() == "a"
        assert not waiting[0].served
        b.close()
        assert waiting[0].wait() == "b"
        waiting[0].end()
        assert waiting[1].wait() == "b"

    for request in waiting:
        request.end()
    assert in_flight(accounts) == 0


def test_one_who_waits_for_an_account_that_cools_down_meanwhile_is_told() -> None:
    accounts = pool(A, B, concurrency=1, wait_s=60)

    with accounts.lease() as first, accounts.lease():
        stubborn, patient = Request(accounts, required=A.account_key), Request(accounts, hold=True)
        accounts.failed(first, "text", EMPTY)
        told = stubborn.wait()
        assert not patient.served

    assert isinstance(told, QuotaExhausted)
    assert patient.wait() == "b"
    patient.end()


def test_a_newcomer_does_not_pass_those_who_wait_when_time_alone_has_opened_a_slot() -> None:
    clock = Clock()
    accounts = pool(A, B, clock=clock, concurrency=1, wait_s=60)
    accounts.failed(B, "text", BUSY)

    with accounts.lease():
        first = Request(accounts, hold=True)
        clock.now += 10
        newcomer = Request(accounts)
        assert first.wait() == "b"
        assert not newcomer.served
        first.end()
        assert newcomer.wait() == "b"


# Leaving


class Left(BaseException):
    """A client that has left while its request waited."""


def waits_in_the_queue(ident: int) -> bool:
    """True if this thread does, and holds no lock."""
    top = sys._current_frames()[ident]
    is_waiting = top.f_code is threading.Condition.wait.__code__ and "saved_state" in top.f_locals
    return is_waiting and any(
        frame.f_code is LeaseQueue._wait.__code__ for frame, _ in walk_stack(top)
    )


@contextmanager
def interrupted(first: Callable[[], None] = lambda: None) -> Iterator[None]:
    """What this thread waits for in the queue is broken off by `Left`, as gevent breaks off a
    greenlet.
    """
    waiting = threading.get_ident()

    def leave(*_: object) -> None:
        first()
        raise Left

    def interrupt() -> None:
        until(lambda: waits_in_the_queue(waiting))
        signal.pthread_kill(waiting, signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, leave)
    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    try:
        yield
    finally:
        interrupting.join()
        signal.signal(signal.SIGALRM, before)


def test_one_that_leaves_the_queue_gives_its_turn_on() -> None:
    accounts = pool(A, concurrency=1, wait_s=60)

    with accounts.lease():
        with interrupted(), pytest.raises(Left), accounts.lease():
            raise AssertionError("there was no slot")
        behind = Request(accounts)

    assert behind.wait() == "a"
    until(lambda: in_flight(accounts) == 0)


def test_one_that_leaves_just_when_it_is_served_gives_its_slot_on() -> None:
    accounts = pool(A, concurrency=1, wait_s=60)
    holder = ExitStack()
    holder.enter_context(accounts.lease())
    behind: list[Request] = []

    def serve() -> None:
        behind.append(Request(accounts))
        holder.close()  # the slot goes to the one that leaves now
        assert in_flight(accounts) == 1
        assert not behind[0].served

    with interrupted(serve), pytest.raises(Left), accounts.lease():
        raise AssertionError("it left before")

    assert behind[0].wait() == "a"
    until(lambda: in_flight(accounts) == 0)


@pytest.mark.parametrize(("given", "concurrency"), [([A], 1), ([A], 3), ([A, B, C], 2)])
def test_under_stress_no_slot_is_lost_and_none_is_leased_twice(
    given: list[Account], concurrency: int
) -> None:
    accounts = Pool(given, concurrency=concurrency, wait_s=0.004)
    lock = threading.Lock()
    running = {account.id: 0 for account in given}
    most = dict(running)
    outcomes: list[str] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(60):
            try:
                with accounts.lease() as mine:
                    with lock:
                        running[mine.id] += 1
                        most[mine.id] = max(most[mine.id], running[mine.id])
                    time.sleep(chance.choice([0, 0, 0.001, 0.003]))  # an answer that takes so long
                    with lock:
                        running[mine.id] -= 1
                    if chance.random() < 0.2:
                        raise RuntimeError("broken")
                outcomes.append("served")
            except Overloaded:
                outcomes.append("in vain")
            except RuntimeError:
                outcomes.append("broken")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(outcomes) == 16 * 60
    assert outcomes.count("served") > 0
    assert set(most.values()) == {concurrency}
    assert in_flight(accounts) == 0
    assert (
        leased(accounts, len(given) * concurrency)
        == [account.id for account in given] * concurrency
    )
