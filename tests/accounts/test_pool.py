"""Accounts that change while requests run, and what can be seen of them."""

from __future__ import annotations

from gbproxy.domain.account import QUOTA_CLASSES
from gbproxy.errors import (
    CredentialRefused,
    NoAccountAvailable,
)
from gbproxy.upstreams.widget.credential import with_values
from tests.support.clock import NOON, Clock
from tests.support.pools import (
    DEAD,
    EMPTY,
    A,
    B,
    C,
    Request,
    Workers,
    disable_only,
    in_flight,
    leased,
    pool,
    refusal,
)


def test_an_account_that_is_added_serves_those_who_wait() -> None:
    accounts = pool(A, concurrency=1, wait_s=5)

    with accounts.lease():
        other = Request(accounts)
        accounts.replace([A, B])

        assert other.wait() == "b"


def test_an_account_that_is_removed_is_leased_no_more_and_given_back_in_peace() -> None:
    accounts = pool(A, B, concurrency=1, wait_s=5)

    with accounts.lease() as first, accounts.lease():
        waiting = Request(accounts, required=A.account_key)
        accounts.replace([B])
        told = waiting.wait()

    assert first == A
    assert isinstance(told, NoAccountAvailable)
    assert [view.id for view in accounts.snapshot()] == ["b"]
    assert (leased(accounts), in_flight(accounts)) == (["b"], 0)


def test_an_account_that_is_changed_into_another_identity_begins_anew() -> None:
    accounts = pool(A)
    accounts.failed(A, "text", EMPTY)

    accounts.replace([with_values(A, config_id="another")])

    assert leased(accounts) == ["a"]
    assert isinstance(refusal(accounts, required=A.account_key), NoAccountAvailable)


def test_what_cools_stays_so_when_accounts_are_replaced() -> None:
    accounts = pool(A)
    accounts.failed(A, "text", EMPTY)

    accounts.replace([A, B], disabled=["b"])

    assert refusal(accounts).retry_after == 60


def test_an_administrator_clears_a_cooldown_but_no_refusal() -> None:
    workers = Workers([A, B])
    one, two = workers.pools
    one.failed(A, "text", EMPTY)
    one.failed(A, "images", EMPTY)
    one.failed(B, "text", DEAD)
    workers.poll()

    one.clear_cooldown("a")
    one.clear_cooldown("b")
    one.clear_cooldown("z")
    workers.poll()

    assert [each.is_ready("a", quota) for each in (one, two) for quota in QUOTA_CLASSES] == [
        True
    ] * 6
    assert not one.is_ready("b")
    assert leased(one, 3) == ["a"] * 3


def test_those_who_wait_are_told_when_the_last_account_is_gone() -> None:
    accounts = pool(A, B, concurrency=1, wait_s=5)

    with accounts.lease(), accounts.lease():
        waiting = Request(accounts)
        disable_only(accounts, "a")
        assert not waiting.served
        accounts.failed(B, "text", DEAD)

        assert isinstance(waiting.wait(), CredentialRefused)


# Views


def test_a_snapshot_tells_what_is_known_of_each_account() -> None:
    clock = Clock()
    accounts = pool(A, B, C, clock=clock)
    accounts.failed(A, "images", EMPTY)
    accounts.failed(B, "text", DEAD)
    disable_only(accounts, "c")

    with accounts.lease():
        clock.now += 5
        a, b, c = accounts.snapshot()

    assert (a.state, a.states["text"], a.states["images"]) == ("cooling", "ready", "cooling")
    assert (a.cooling_until, a.in_flight, a.last_used_at, a.last_error) == (
        {"images": NOON + 60},
        1,
        NOON,
        "empty",
    )
    assert (b.state, b.last_error, b.last_used_at) == ("refused", "Renew it.", None)
    assert (c.state, c.cooling_until) == ("disabled", {})


def test_a_snapshot_tells_the_models_whose_own_quota_is_used_up() -> None:
    clock = Clock()
    accounts = pool(A, clock=clock)
    accounts.failed(A, "text:best", EMPTY)

    during = accounts.snapshot()[0]
    clock.now += 60
    after = accounts.snapshot()[0]

    assert (during.state, during.cooling_until) == ("ready", {})
    assert (during.models_cooling_until, after.models_cooling_until) == ({"best": NOON + 60}, {})


def test_what_could_serve_is_counted() -> None:
    accounts = pool(A, B, C)
    accounts.failed(A, "text", EMPTY)  # may still make pictures
    accounts.failed(B, "text", DEAD)

    assert accounts.available_count() == 2
    assert accounts.accounts() == (A, B, C)


def test_how_many_accounts_could_serve() -> None:
    assert (pool().available_count(), pool(A, B).available_count()) == (0, 2)


def test_how_many_answers_run_is_the_sum_over_all_accounts() -> None:
    accounts = pool(A, B)

    with accounts.lease(), accounts.lease(), accounts.lease():
        assert in_flight(accounts) == 3


def test_where_answers_run_is_told_by_account() -> None:
    accounts = pool(A, B)

    with accounts.lease(required=A.account_key), accounts.lease(required=A.account_key):
        assert accounts.running() == {"a": 2}
    assert accounts.running() == {}
