"""Which account a request is lent, and that it is given back."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from gbproxy.account_admin import account_input as given
from gbproxy.accounts.pool import Pool
from gbproxy.domain.account import Account
from gbproxy.errors import BadRequest, NoAccountAvailable, Overloaded
from gbproxy.observability import request_context
from tests.support.accounts import widget_account


def account(name: str) -> Account:
    return widget_account(
        id=name,
        name=name,
        csesidx="1",
        config_id="c",
        secure_c_ses="CSE.secret",
        host_c_oses="COS.secret",
    )


A, B, C = account("a"), account("b"), account("c")


def lent(pool: Pool, count: int) -> list[str]:
    """The accounts of so many leases at once, in order."""
    with ExitStack() as leases:
        return [leases.enter_context(pool.lease()).id for _ in range(count)]


def test_the_least_busy_account_is_lent_the_first_of_equals() -> None:
    assert lent(Pool([A, B, C]), 7) == ["a", "b", "c", "a", "b", "c", "a"]


def test_an_account_that_was_given_back_is_lent_again() -> None:
    pool = Pool([A, B])
    with pool.lease(), pool.lease():
        pass

    with pool.lease() as first, pool.lease() as second:
        assert (first, second) == (A, B)


def test_the_account_that_is_free_again_is_taken_before_busy_ones() -> None:
    pool = Pool([A, B])
    with ExitStack() as kept, pool.lease():
        kept.enter_context(pool.lease())

        with pool.lease() as third:
            assert third == A

    assert pool.in_flight() == 0


@pytest.mark.parametrize(
    "error", [RuntimeError("broken"), KeyboardInterrupt(), GeneratorExit()], ids=repr
)
def test_an_account_is_given_back_however_the_answer_ended(error: BaseException) -> None:
    pool = Pool([A])

    with pytest.raises(type(error)), pool.lease():
        raise error

    assert pool.in_flight() == 0


def test_how_many_answers_run_is_the_sum_over_all_accounts() -> None:
    pool = Pool([A, B])

    with pool.lease(), pool.lease(), pool.lease():
        assert pool.in_flight() == 3


def test_without_an_account_the_error_says_what_to_set() -> None:
    with pytest.raises(NoAccountAvailable) as caught, Pool([]).lease():
        pass

    assert (caught.value.status, caught.value.code, caught.value.should_retry) == (
        503,
        "no_account_available",
        False,
    )
    assert "SECURE_C_SES" in caught.value.message


def test_how_many_accounts_could_serve() -> None:
    assert (Pool([]).usable(), Pool([A, B]).usable()) == (0, 2)


def test_many_threads_share_the_accounts_evenly() -> None:
    pool = Pool([A, B, C], concurrency=10)
    all_hold_one = threading.Barrier(30)
    held: list[str] = []

    def answer() -> None:
        with pool.lease() as mine:
            held.append(mine.id)
            all_hold_one.wait(10)

    threads = [threading.Thread(target=answer) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert sorted(held) == ["a"] * 10 + ["b"] * 10 + ["c"] * 10
    assert pool.in_flight() == 0


def test_an_account_does_not_show_its_cookies() -> None:
    assert "secret" not in repr(A)
    assert "secret" not in f"{[A]}"


# The waiting line


def waiting(pool: Pool, count: int) -> None:
    """Come back once so many wait."""
    deadline = time.monotonic() + 10
    while len(pool._waiting) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_more_than_the_places_wait_and_are_called_in_order() -> None:
    pool = Pool([A], concurrency=1)
    served: list[int] = []

    def answer(number: int) -> None:
        with pool.lease():
            served.append(number)

    with pool.lease():
        threads = []
        for number in range(8):
            threads.append(threading.Thread(target=answer, args=(number,)))
            threads[-1].start()
            waiting(pool, number + 1)
        assert pool.in_flight() == 1
    for thread in threads:
        thread.join(10)

    assert served == list(range(8))
    assert pool.in_flight() == 0


def test_a_newcomer_does_not_pass_those_who_wait() -> None:
    pool = Pool([A], concurrency=1)
    order: list[str] = []
    first = ExitStack()
    first.enter_context(pool.lease())
    second = threading.Thread(target=lambda: _note(pool, order, "second"))
    second.start()
    waiting(pool, 1)

    first.close()
    _note(pool, order, "newcomer")
    second.join(10)

    assert order == ["second", "newcomer"]


def test_whichever_account_is_free_first_serves_the_one_that_waits() -> None:
    pool = Pool([A, B], concurrency=1)
    order: list[str] = []
    with ExitStack() as kept:
        kept.enter_context(pool.lease())
        with pool.lease():
            waiter = threading.Thread(target=lambda: _note(pool, order, ""))
            waiter.start()
            waiting(pool, 1)
        waiter.join(10)

    assert order == ["b"]


def test_one_that_waits_in_vain_is_told_so_and_leaves_the_line() -> None:
    pool = Pool([A], concurrency=1, wait_s=0.05)
    measured = request_context.begin("waits")

    with pool.lease(), pytest.raises(Overloaded) as caught, pool.lease():
        pass

    assert (caught.value.status, caught.value.code, caught.value.should_retry) == (
        503,
        "overloaded",
        None,
    )
    assert caught.value.retry_after
    assert "0.05 s" in caught.value.message
    assert measured.queued_s >= 0.05
    assert (len(pool._waiting), pool.in_flight()) == (0, 0)


class Left(BaseException):
    """A client that has left while its request waited."""


def test_one_that_leaves_the_line_gives_its_turn_on() -> None:
    pool = Pool([A], concurrency=1, wait_s=10)
    order: list[str] = []
    holder = ExitStack()
    holder.enter_context(pool.lease())

    with interrupted_after(0.2), pytest.raises(Left), pool.lease():
        raise AssertionError("there was no place")
    behind = threading.Thread(target=lambda: _note(pool, order, "behind"))
    behind.start()
    waiting(pool, 1)
    holder.close()
    behind.join(10)

    assert order == ["behind"]
    assert (len(pool._waiting), pool.in_flight()) == (0, 0)


@pytest.mark.parametrize(("accounts", "concurrency"), [([A], 1), ([A], 3), ([A, B, C], 2)])
def test_under_stress_no_place_is_lost_and_none_is_given_twice(
    accounts: list[Account], concurrency: int
) -> None:
    pool = Pool(accounts, concurrency=concurrency, wait_s=0.004)
    lock = threading.Lock()
    running = {account.id: 0 for account in accounts}
    most = dict(running)
    outcomes: list[str] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(60):
            try:
                with pool.lease() as mine:
                    with lock:
                        running[mine.id] += 1
                        most[mine.id] = max(most[mine.id], running[mine.id])
                    time.sleep(chance.choice([0, 0, 0.001, 0.003]))
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
    assert outcomes.count("served") > 100
    assert set(most.values()) == {concurrency}
    assert (len(pool._waiting), pool.in_flight()) == (0, 0)
    assert (
        lent(pool, len(accounts) * concurrency)
        == [account.id for account in accounts] * concurrency
    )


def _note(pool: Pool, order: list[str], name: str) -> None:
    with pool.lease() as mine:
        order.append(name or mine.id)


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """What this thread does is broken off by `Left`, as gevent breaks off a greenlet."""

    def leave(*_: object) -> None:
        raise Left

    before = signal.signal(signal.SIGALRM, leave)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_account_that_older_rules_let_in_can_still_be_changed() -> None:
    old = widget_account(
        id="old", name="old", csesidx="1", config_id="c-1", secure_c_ses="CSE.old value"
    )

    renamed = given.read({"name": "new", "config_id": "c-1", "csesidx": "1"}, old).account("old")

    assert renamed == replace(old, name="new")
    with pytest.raises(BadRequest, match="config_id: must be"):
        given.read({"config_id": "c-2"}, old)
