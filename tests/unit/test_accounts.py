"""Which account a request is lent, and that it is given back."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from gbproxy.accounts import Pool
from gbproxy.domain.account import Account
from gbproxy.errors import NoAccountAvailable


def account(name: str) -> Account:
    return Account(id=name, name=name, csesidx="1", config_id="c", secure_c_ses="CSE.secret", host_c_oses="COS.secret")


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


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt(), GeneratorExit()], ids=repr)
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

    assert (caught.value.status, caught.value.code, caught.value.should_retry) == (503, "no_account_available", False)
    assert "SECURE_C_SES" in caught.value.message


def test_how_many_accounts_could_serve() -> None:
    assert (Pool([]).usable(), Pool([A, B]).usable()) == (0, 2)


def test_many_threads_share_the_accounts_evenly() -> None:
    pool = Pool([A, B, C])
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
