"""What workers tell each other of their accounts."""

from __future__ import annotations

import logging

import pytest

from gbproxy.accounts.health import AccountHealth
from gbproxy.domain.account import QuotaClass
from gbproxy.errors import (
    GatewayError,
    QuotaExhausted,
    UpstreamTimeout,
)
from gbproxy.upstreams.widget.credential import with_values
from tests.support.clock import NOON, Clock
from tests.support.pools import (
    DEAD,
    EMPTY,
    MIDNIGHT,
    A,
    B,
    Request,
    Workers,
    account,
    in_flight,
    leased,
    pool,
    probe_due,
    refusal,
    struck,
)


def test_what_one_worker_learns_the_others_know_after_a_poll() -> None:
    workers = Workers([A, B])
    one, two = workers.pools

    one.failed(A, "text", EMPTY)
    one.failed(B, "text", DEAD)
    before = (two.is_ready("a"), two.is_ready("b"))
    workers.poll()

    assert before == (True, True)
    assert type(refusal(two)) is QuotaExhausted
    assert two.rejected() == (B,)


def test_one_request_of_all_workers_is_let_through() -> None:
    workers = Workers([A])
    one, two = workers.pools
    one.failed(A, "text", EMPTY)
    workers.poll()
    workers.clock.now += 60

    with one.lease() as probe:
        other = Request(two)
        assert not other.served
        one.succeeded(probe, "text")
        workers.poll()
        assert other.wait() == "a"


def test_a_probe_elsewhere_is_not_ended_by_those_who_were_turned_away() -> None:
    workers = Workers([A])
    one, two = workers.pools
    one.failed(A, "text", EMPTY)
    workers.poll()
    workers.clock.now += 60

    with one.lease():
        turned_away = refusal(two)  # waits in vain
        rows = list(workers.store.read())
        workers.poll()

    assert turned_away.code == "overloaded"
    assert [row.probe_until for row in rows] == [workers.clock.now + 30]


def test_a_probe_of_a_killed_worker_ends_by_time() -> None:
    workers = Workers([A])
    one, two = workers.pools
    one.failed(A, "text", EMPTY)
    workers.poll()
    workers.clock.now += 60
    workers.store.try_probe(
        A.account_key, "text", workers.clock.now + 30
    )  # by somebody who is no more
    workers.poll()

    before = refusal(two).code
    workers.clock.now += 30

    assert (before, leased(two)) == ("overloaded", ["a"])


def test_a_success_anywhere_is_a_success_everywhere() -> None:
    workers = Workers([A])
    one, two = workers.pools
    one.failed(A, "text", EMPTY)
    workers.poll()
    workers.clock.now += 60

    with two.lease() as probe:
        two.succeeded(probe, "text")
    workers.poll()

    assert leased(one, 3) == ["a"] * 3
    assert struck(one, workers.clock) == 60


def test_a_row_that_is_older_than_what_is_known_changes_nothing() -> None:
    workers = Workers([A])
    one, _ = workers.pools
    old = list(workers.store.read())
    one.failed(A, "text", EMPTY)
    stale = [AccountHealth(A.account_key, "text", changed_at=NOON - 1), *old]

    one.refresh(stale)

    assert not one.is_ready("a")


def test_rows_that_were_read_just_before_a_probe_began_do_not_end_it() -> None:
    workers = Workers([A])
    one, _ = workers.pools
    one.failed(A, "text", EMPTY)
    workers.clock.now += 60
    rows = list(workers.store.read())

    with one.lease():
        one.refresh(rows)

        assert not one.is_ready("a")


def test_what_was_known_before_a_restart_is_taken_over() -> None:
    workers = Workers([A], count=1)
    workers.pools[0].failed(A, "text", EMPTY)

    fresh = pool(A, clock=workers.clock, store=workers.store)
    fresh.refresh(workers.store.read())

    assert refusal(fresh).retry_after == 60


def test_a_refusal_of_a_credential_that_was_replaced_before_the_restart_is_not() -> None:
    workers = Workers([A], count=1)
    workers.pools[0].failed(A, "text", DEAD)

    fresh = pool(account("a", secret="CSE.new"), clock=workers.clock, store=workers.store)
    fresh.refresh(workers.store.read())

    assert leased(fresh) == ["a"]


def test_rows_of_accounts_that_are_not_here_are_passed_over() -> None:
    accounts = pool(A)

    accounts.refresh(
        [
            AccountHealth(
                account("z").account_key,
                "text",
                state="cooling",
                cooling_until=MIDNIGHT,
                changed_at=NOON,
            )
        ]
    )

    assert leased(accounts) == ["a"]


def test_another_account_under_the_same_name_inherits_no_state() -> None:
    workers = Workers([A], count=1)
    workers.pools[0].failed(A, "text", EMPTY)
    other = with_values(A, csesidx="2")

    fresh = pool(other, clock=workers.clock, store=workers.store)
    fresh.refresh(workers.store.read())
    fresh.failed(A, "text", EMPTY)

    assert leased(fresh) == ["a"]


def test_new_cookies_of_the_same_identity_keep_its_state() -> None:
    workers = Workers([A], count=1)
    workers.pools[0].failed(A, "text", EMPTY)

    renewed = pool(account("a", secret="CSE.new"), clock=workers.clock, store=workers.store)
    renewed.refresh(workers.store.read())

    assert isinstance(refusal(renewed), QuotaExhausted)


# Without the store


def test_without_the_store_each_worker_goes_on_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    workers = Workers([A, B])
    one, _ = workers.pools
    workers.store.is_away = True

    with caplog.at_level(logging.WARNING):
        one.failed(A, "text", EMPTY)
        workers.clock.now += 60

        assert leased(one, 2) == ["a", "b"]

    assert {record.message for record in caplog.records} == {"account.cooling", "pool.unshared"}


@pytest.mark.parametrize(
    "row",
    [None, AccountHealth(A.account_key, "text", changed_at=NOON - 1)],
    ids=["nothing", "something older"],
)
def test_a_cooldown_that_the_store_never_heard_of_ends_all_the_same(
    row: AccountHealth | None,
) -> None:
    workers = Workers([A])
    one, two = workers.pools
    if row is not None:
        workers.store.publish(row)
    workers.store.is_away = True
    one.failed(A, "text", EMPTY)
    workers.store.is_away = False
    workers.clock.now += 60

    with one.lease() as probe:
        workers.poll()
        assert not two.is_ready("a")
        one.succeeded(probe, "text")
    workers.poll()

    assert (leased(one, 2), leased(two, 2)) == (["a", "a"], ["a", "a"])


def test_the_store_is_never_asked_on_the_plain_way() -> None:
    workers = Workers([A, B])
    one, _ = workers.pools
    workers.store.is_away = True

    for _ in range(10):
        with one.lease() as mine:
            one.succeeded(mine, "text")

    assert workers.store.published == []


def test_a_request_that_leaves_while_the_store_is_asked_gives_its_slot_back() -> None:
    class Left(BaseException):
        pass

    class Slow:
        def publish(self, change: AccountHealth) -> None: ...

        def try_probe(self, account_id: str, quota: QuotaClass, until: float) -> bool:
            raise Left

        def read(self) -> tuple[AccountHealth, ...]:
            return ()

    accounts, _ = probe_due(store=Slow())

    with pytest.raises(Left), accounts.lease():
        pass

    assert in_flight(accounts) == 0
    assert accounts.is_ready("a")


def test_what_an_account_has_met_last_is_told_with_the_next_round() -> None:
    workers = Workers([A, B], count=1)
    (accounts,) = workers.pools

    accounts.failed(A, "text", UpstreamTimeout("Silence."))
    at_once = dict(workers.store.errors)
    workers.store.is_away = True
    with pytest.raises(GatewayError):
        accounts.flush()
    workers.store.is_away = False
    accounts.flush()

    assert (at_once, workers.store.errors) == ({}, {"a": ("Silence.", NOON)})
    assert workers.store.kinds == {"a": "UpstreamTimeout"}


def test_a_recovery_is_told_too_but_nothing_of_an_account_that_is_gone() -> None:
    workers = Workers([A, B], count=1)
    (accounts,) = workers.pools
    accounts.failed(A, "text", DEAD)
    accounts.failed(B, "text", EMPTY)

    accounts.accepted(A)
    accounts.replace([A])
    accounts.flush()

    assert workers.store.errors == {"a": (None, NOON)}


# Logs


def test_each_change_of_a_state_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    accounts = pool(A, clock=clock)

    with caplog.at_level(logging.INFO, "gbproxy"):
        struck(accounts, clock)
        accounts.succeeded(A, "text")
        accounts.succeeded(A, "text")
        accounts.failed(A, "text", DEAD)
        accounts.failed(A, "text", DEAD)

    cooling, ready, refused = caplog.records
    assert (cooling.message, cooling.account, cooling.quota, cooling.seconds, cooling.cause, cooling.strikes) == (
        "account.cooling", "a", "text", 60, "quota", 1,
    )  # fmt: skip
    assert (ready.message, ready.account, ready.quota) == ("account.ready", "a", "text")
    assert (refused.message, refused.account, refused.reason) == (
        "account.refused",
        "a",
        "Renew it.",
    )
