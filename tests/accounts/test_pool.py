"""Which accounts may be asked, for how long one is left alone, and what is heard when none is
left.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from typing import Any

import pytest

from gbproxy.accounts.health import AccountHealth
from gbproxy.accounts.lease_queue import LeaseRequest, Waiter
from gbproxy.accounts.pool import Pool
from gbproxy.domain.account import QUOTA_CLASSES, QuotaClass
from gbproxy.errors import (
    CredentialRefused,
    GatewayError,
    Media,
    NoAccountAvailable,
    QuotaExhausted,
    RequestRefused,
    UpstreamBroken,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnclear,
)
from gbproxy.upstreams.widget.credential import with_values
from tests.support.pools import (
    MIDNIGHT,
    NOON,
    A,
    B,
    C,
    Clock,
    Request,
    Workers,
    account,
    lent,
    pool,
)

EMPTY, BUSY, DEAD = (
    QuotaExhausted("empty"),
    UpstreamOverloaded("busy", retry_after=10.0),
    CredentialRefused("Renew it."),
)


def refusal(accounts: Pool, quota: QuotaClass = "text", **wish: Any) -> GatewayError:
    """What a request hears that gets no account."""
    with pytest.raises(GatewayError) as caught, accounts.lease(quota, **wish):
        pass
    return caught.value


# Which account


def test_first_takes_the_first_account_that_has_a_place() -> None:
    accounts = pool(A, B, order="first", concurrency=2)

    assert lent(accounts, 4) == ["a", "a", "b", "b"]


def test_an_account_that_cools_is_passed_over_for_its_kind_of_request_only() -> None:
    accounts = pool(A, B)

    accounts.failed(A, "images", EMPTY)

    assert lent(accounts, 2, "images") == ["b", "b"]
    assert lent(accounts, 2, "text") == ["a", "b"]
    assert [accounts.is_ready("a", quota) for quota in QUOTA_CLASSES] == [True, False, True]


def test_a_refused_account_is_passed_over_for_every_kind_of_request() -> None:
    accounts = pool(A, B)

    accounts.failed(A, "images", DEAD)

    assert [lent(accounts, 1, quota) for quota in QUOTA_CLASSES] == [["b"], ["b"], ["b"]]
    assert accounts.refused() == (A,)


def test_excluded_accounts_are_passed_over() -> None:
    assert lent(pool(A, B, C), 2, excluded=["a", "c"]) == ["b", "b"]


def test_only_the_wanted_account_will_do() -> None:
    assert lent(pool(A, B), 3, wanted=B.account_key) == ["b", "b", "b"]


def test_the_preferred_account_is_taken_as_long_as_it_has_a_place() -> None:
    accounts = pool(A, B, concurrency=2)

    assert lent(accounts, 4, preferred=B.account_key) == ["b", "b", "a", "a"]
    accounts.failed(B, "text", BUSY)
    assert lent(accounts, 1, preferred=B.account_key) == ["a"]


def test_a_disabled_account_is_lent_to_nobody_until_it_is_enabled() -> None:
    accounts = pool(A, B)

    accounts.disable("a")
    disabled = lent(accounts, 2)
    accounts.enable("a")

    assert (disabled, lent(accounts, 2)) == (["b", "b"], ["a", "b"])


# When nothing can be tried: the mildest reason, and when to come back

NO_HINT: float | None = None
SHORTAGES: list[tuple[str, dict[str, list[GatewayError]], type[GatewayError], float | None]] = [
    ("overloaded", {"a": [BUSY]}, UpstreamOverloaded, 10.0),
    ("overloaded and out of quota", {"a": [EMPTY], "b": [BUSY]}, UpstreamOverloaded, 10.0),
    ("overload is told, quota is over sooner", {"a": [QuotaExhausted("", retry_after=3)], "b": [BUSY]}, UpstreamOverloaded, 3),
    ("out of quota", {"a": [EMPTY], "b": [QuotaExhausted("", is_daily=True)]}, QuotaExhausted, 60.0),
    ("out of quota for the day", {"a": [QuotaExhausted("", is_daily=True)]}, QuotaExhausted, MIDNIGHT - NOON),
    ("out of quota and refused", {"a": [DEAD], "b": [EMPTY]}, QuotaExhausted, 60.0),
    ("all refused", {"a": [DEAD], "b": [DEAD]}, CredentialRefused, NO_HINT),
    ("refused for good, though it cools as well", {"a": [EMPTY, DEAD]}, CredentialRefused, NO_HINT),
]  # fmt: skip


@pytest.mark.parametrize(
    ("met", "kind", "retry_after"), [row[1:] for row in SHORTAGES], ids=[r[0] for r in SHORTAGES]
)
def test_when_nothing_can_be_tried_the_error_follows_the_states(
    met: dict[str, list[GatewayError]], kind: type[GatewayError], retry_after: float | None
) -> None:
    accounts = pool(*(account(name) for name in met))
    for name, errors in met.items():
        for error in errors:
            accounts.failed(account(name), "text", error)

    found = refusal(accounts)

    assert type(found) is kind
    assert found.retry_after == retry_after


def test_a_refused_and_a_disabled_account_are_a_refusal_two_disabled_ones_are_none() -> None:
    accounts = pool(A, B)
    accounts.failed(A, "text", DEAD)
    accounts.disable("b")
    some = refusal(accounts)

    accounts.disable("a")
    none = refusal(accounts)

    assert (type(some), some.message) == (CredentialRefused, "Renew it.")
    assert (type(none), none.code, none.should_retry) == (
        NoAccountAvailable,
        "no_account_available",
        False,
    )
    assert "disabled" in none.message


def test_a_wanted_account_gives_its_own_error() -> None:
    accounts = pool(A, B, C)
    accounts.failed(A, "text", EMPTY)
    accounts.failed(B, "text", DEAD)
    accounts.disable("c")

    kinds = [
        type(refusal(accounts, wanted=account_key))
        for account_key in (A.account_key, B.account_key, C.account_key, account("d").account_key)
    ]

    assert kinds == [QuotaExhausted, CredentialRefused, NoAccountAvailable, NoAccountAvailable]


def test_the_hint_shrinks_as_time_goes_by_and_is_never_less_than_a_second() -> None:
    clock = Clock()
    accounts = pool(A, clock=clock)
    accounts.failed(A, "text", EMPTY)

    clock.now += 45.0
    later = refusal(accounts).retry_after
    clock.now += 14.9
    last = refusal(accounts).retry_after

    assert (later, last) == (15.0, 1.0)


def test_the_earliest_recovery_is_told_on_its_own_too() -> None:
    accounts = pool(A, B)
    assert accounts.recovery_s() == 1.0

    accounts.failed(A, "text", EMPTY)
    accounts.failed(B, "text", BUSY)
    some = (
        accounts.recovery_s(),
        accounts.recovery_s(wanted=A.account_key),
        accounts.recovery_s("images"),
    )
    accounts.failed(A, "text", DEAD)
    accounts.disable("b")

    assert some == (10.0, 60.0, 1.0)
    assert accounts.recovery_s() is None


# Strikes and trials


def struck(accounts: Pool, clock: Clock) -> float:
    """Meet an unnamed quota once more, and wait its cooldown out; its length."""
    with accounts.lease() as mine:
        accounts.failed(mine, "text", EMPTY)
    seconds = accounts.recovery_s()
    assert seconds is not None
    clock.now += seconds
    return seconds


def test_each_repeat_lasts_four_times_as_long_until_a_success() -> None:
    clock = Clock()
    accounts = pool(A, clock=clock)

    growing = [struck(accounts, clock) for _ in range(4)]
    with accounts.lease() as mine:
        accounts.succeeded(mine, "text")
    afresh = struck(accounts, clock)

    assert growing == [60, 240, 960, 3840]
    assert afresh == 60


def test_many_requests_that_ran_at_once_are_one_strike() -> None:
    accounts = pool(A)

    with ExitStack() as leases:
        running = [leases.enter_context(accounts.lease()) for _ in range(8)]
        for mine in running:
            accounts.failed(mine, "text", EMPTY)

    assert refusal(accounts).retry_after == 60


def test_an_answer_that_had_begun_before_ends_no_cooldown() -> None:
    accounts = pool(A)
    accounts.failed(A, "text", EMPTY)

    accounts.succeeded(A, "text")

    assert not accounts.is_ready("a")


def test_overload_does_not_shorten_a_cooldown_for_want_of_quota() -> None:
    accounts = pool(A)
    accounts.failed(A, "text", EMPTY)

    accounts.failed(A, "text", BUSY)

    found = refusal(accounts)
    assert (type(found), found.retry_after) == (QuotaExhausted, 60)


def test_quota_met_during_overload_counts_as_a_strike() -> None:
    clock = Clock()
    accounts = pool(A, clock=clock)
    accounts.failed(A, "text", BUSY)

    accounts.failed(A, "text", EMPTY)

    assert refusal(accounts).retry_after == 60
    clock.now += 60
    assert struck(accounts, clock) == 240


def test_a_quota_of_the_day_met_during_a_short_cooldown_prolongs_it() -> None:
    accounts = pool(A)
    accounts.failed(A, "text", EMPTY)

    accounts.failed(A, "text", QuotaExhausted("empty", is_daily=True))

    assert refusal(accounts).retry_after == MIDNIGHT - NOON


def rested(*, concurrency: int = 8, wait_s: float = 5, **options: Any) -> tuple[Pool, Clock]:
    """A pool whose one account has just waited out a cooldown for want of quota."""
    clock = Clock()
    accounts = pool(A, clock=clock, concurrency=concurrency, wait_s=wait_s, **options)
    struck(accounts, clock)
    return accounts, clock


def test_when_a_cooldown_ends_one_request_is_let_through_and_the_others_when_it_succeeds() -> None:
    accounts, _ = rested()

    with accounts.lease() as trial:
        others = [Request(accounts) for _ in range(3)]
        assert [other.served for other in others] == [False] * 3
        accounts.succeeded(trial, "text")
        assert [other.wait() for other in others] == ["a"] * 3


def test_after_overload_everybody_is_let_through() -> None:
    clock = Clock()
    accounts = pool(A, clock=clock)
    accounts.failed(A, "text", BUSY)

    clock.now += 10

    assert lent(accounts, 5) == ["a"] * 5


def test_who_waits_for_a_trial_that_fails_is_told_so_at_once() -> None:
    accounts, _ = rested()

    with accounts.lease() as trial:
        other = Request(accounts)
        accounts.failed(trial, "text", EMPTY)

        error = other.wait()

    assert isinstance(error, QuotaExhausted)
    assert error.retry_after == 240


@pytest.mark.parametrize(
    "error", [None, RequestRefused("no"), UpstreamBroken("reset"), UpstreamUnclear("empty")]
)
def test_a_trial_without_a_verdict_is_handed_to_the_next(error: GatewayError | None) -> None:
    accounts, clock = rested()

    with ExitStack() as leases:
        trial = leases.enter_context(accounts.lease())
        others = [Request(accounts, hold=True) for _ in range(2)]
        if error is not None:
            accounts.failed(trial, "text", error)
        leases.close()
        assert others[0].wait() == "a"
        assert not others[1].served
        accounts.succeeded(A, "text")
        assert others[1].wait() == "a"
        for other in others:
            other.end()

    assert struck(accounts, clock) == 60


def test_a_trial_that_never_reports_back_ends_by_time() -> None:
    accounts, clock = rested()

    with accounts.lease():
        other = Request(accounts)
        clock.now += 30
        accounts.refresh([])  # anything that makes the line look at the clock
        accounts.failed(A, "images", EMPTY)

        assert other.wait() == "a"


def test_a_trial_is_for_one_kind_of_request() -> None:
    accounts, _ = rested()

    with accounts.lease():
        assert lent(accounts, 3, "images") == ["a"] * 3


def test_time_alone_wakes_those_who_wait() -> None:
    accounts = Pool([A, B], concurrency=1, wait_s=5)
    accounts.failed(B, "text", UpstreamOverloaded("busy", retry_after=1.0))

    with accounts.lease():
        started = time.monotonic()
        other = Request(accounts)

        assert other.wait() == "b"

    assert 0.5 < time.monotonic() - started < 4


# Several workers


def test_what_one_worker_learns_the_others_know_after_a_poll() -> None:
    workers = Workers([A, B])
    one, two = workers.pools

    one.failed(A, "text", EMPTY)
    one.failed(B, "text", DEAD)
    before = (two.is_ready("a"), two.is_ready("b"))
    workers.poll()

    assert before == (True, True)
    assert type(refusal(two)) is QuotaExhausted
    assert two.refused() == (B,)


def test_one_request_of_all_workers_is_let_through() -> None:
    workers = Workers([A])
    one, two = workers.pools
    one.failed(A, "text", EMPTY)
    workers.poll()
    workers.clock.now += 60

    with one.lease() as trial:
        other = Request(two)
        assert not other.served
        one.succeeded(trial, "text")
        workers.poll()
        assert other.wait() == "a"


def test_a_trial_elsewhere_is_not_ended_by_those_who_were_turned_away() -> None:
    workers = Workers([A])
    one, two = workers.pools
    one.failed(A, "text", EMPTY)
    workers.poll()
    workers.clock.now += 60

    with one.lease():
        turned_away = refusal(two)  # waits in vain
        rows = list(workers.board.read())
        workers.poll()

    assert turned_away.code == "overloaded"
    assert [row.trial_until for row in rows] == [workers.clock.now + 30]


def test_a_trial_of_a_killed_worker_ends_by_time() -> None:
    workers = Workers([A])
    one, two = workers.pools
    one.failed(A, "text", EMPTY)
    workers.poll()
    workers.clock.now += 60
    workers.board.try_trial(
        A.account_key, "text", workers.clock.now + 30
    )  # by somebody who is no more
    workers.poll()

    before = refusal(two).code
    workers.clock.now += 30

    assert (before, lent(two)) == ("overloaded", ["a"])


def test_a_success_anywhere_is_a_success_everywhere() -> None:
    workers = Workers([A])
    one, two = workers.pools
    one.failed(A, "text", EMPTY)
    workers.poll()
    workers.clock.now += 60

    with two.lease() as trial:
        two.succeeded(trial, "text")
    workers.poll()

    assert lent(one, 3) == ["a"] * 3
    assert struck(one, workers.clock) == 60


def test_a_row_that_is_older_than_what_is_known_changes_nothing() -> None:
    workers = Workers([A])
    one, _ = workers.pools
    old = list(workers.board.read())
    one.failed(A, "text", EMPTY)
    stale = [AccountHealth(A.account_key, "text", changed_at=NOON - 1), *old]

    one.refresh(stale)

    assert not one.is_ready("a")


def test_rows_that_were_read_just_before_a_trial_began_do_not_end_it() -> None:
    workers = Workers([A])
    one, _ = workers.pools
    one.failed(A, "text", EMPTY)
    workers.clock.now += 60
    rows = list(workers.board.read())

    with one.lease():
        one.refresh(rows)

        assert not one.is_ready("a")


def test_what_was_known_before_a_restart_is_taken_over() -> None:
    workers = Workers([A], count=1)
    workers.pools[0].failed(A, "text", EMPTY)

    fresh = pool(A, clock=workers.clock, board=workers.board)
    fresh.refresh(workers.board.read())

    assert refusal(fresh).retry_after == 60


def test_a_refusal_of_a_credential_that_was_replaced_before_the_restart_is_not() -> None:
    workers = Workers([A], count=1)
    workers.pools[0].failed(A, "text", DEAD)

    fresh = pool(account("a", secret="CSE.new"), clock=workers.clock, board=workers.board)
    fresh.refresh(workers.board.read())

    assert lent(fresh) == ["a"]


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

    assert lent(accounts) == ["a"]


def test_another_account_under_the_same_name_inherits_no_state() -> None:
    workers = Workers([A], count=1)
    workers.pools[0].failed(A, "text", EMPTY)
    other = with_values(A, csesidx="2")

    fresh = pool(other, clock=workers.clock, board=workers.board)
    fresh.refresh(workers.board.read())
    fresh.failed(A, "text", EMPTY)

    assert lent(fresh) == ["a"]


def test_an_account_that_is_changed_into_another_seat_begins_anew() -> None:
    accounts = pool(A)
    accounts.failed(A, "text", EMPTY)

    accounts.replace([with_values(A, config_id="another")])

    assert lent(accounts) == ["a"]
    assert isinstance(refusal(accounts, wanted=A.account_key), NoAccountAvailable)


def test_new_cookies_of_the_same_seat_keep_its_state() -> None:
    workers = Workers([A], count=1)
    workers.pools[0].failed(A, "text", EMPTY)

    renewed = pool(account("a", secret="CSE.new"), clock=workers.clock, board=workers.board)
    renewed.refresh(workers.board.read())

    assert isinstance(refusal(renewed), QuotaExhausted)


@pytest.mark.parametrize(("took_s", "is_refused"), [(30.0, False), (5.0, True)])
def test_a_failure_that_had_begun_before_the_account_was_found_good_teaches_nothing(
    took_s: float, is_refused: bool
) -> None:
    clock = Clock()
    accounts = pool(A, clock=clock)
    accounts.failed(A, "text", DEAD)
    accounts.accepted(A)
    clock.now += 10

    accounts.failed(A, "text", DEAD, took_s=took_s)

    assert bool(accounts.refused()) == is_refused


def test_without_the_board_each_worker_goes_on_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    workers = Workers([A, B])
    one, _ = workers.pools
    workers.board.is_away = True

    with caplog.at_level(logging.WARNING):
        one.failed(A, "text", EMPTY)
        workers.clock.now += 60

        assert lent(one, 2) == ["a", "b"]

    assert {record.message for record in caplog.records} == {"account.cooling", "pool.unshared"}


@pytest.mark.parametrize(
    "row",
    [None, AccountHealth(A.account_key, "text", changed_at=NOON - 1)],
    ids=["nothing", "something older"],
)
def test_a_cooldown_that_the_board_never_heard_of_ends_all_the_same(
    row: AccountHealth | None,
) -> None:
    workers = Workers([A])
    one, two = workers.pools
    if row is not None:
        workers.board.publish(row)
    workers.board.is_away = True
    one.failed(A, "text", EMPTY)
    workers.board.is_away = False
    workers.clock.now += 60

    with one.lease() as trial:
        workers.poll()
        assert not two.is_ready("a")
        one.succeeded(trial, "text")
    workers.poll()

    assert (lent(one, 2), lent(two, 2)) == (["a", "a"], ["a", "a"])


def test_the_board_is_never_asked_on_the_plain_way() -> None:
    workers = Workers([A, B])
    one, _ = workers.pools
    workers.board.is_away = True

    for _ in range(10):
        with one.lease() as mine:
            one.succeeded(mine, "text")

    assert workers.board.published == []


def test_a_request_that_leaves_while_the_board_is_asked_gives_its_place_back() -> None:
    class Left(BaseException):
        pass

    class Slow:
        def publish(self, change: AccountHealth) -> None: ...

        def try_trial(self, account_id: str, quota: QuotaClass, until: float) -> bool:
            raise Left

        def read(self) -> tuple[AccountHealth, ...]:
            return ()

    accounts, _ = rested(board=Slow())

    with pytest.raises(Left), accounts.lease():
        pass

    assert accounts.in_flight() == 0
    assert accounts.is_ready("a")


# Clocks


def test_a_clock_that_is_set_back_leaves_no_account_cooling() -> None:
    clock = Clock()
    accounts = pool(A, clock=clock)
    accounts.failed(A, "text", QuotaExhausted("empty", is_daily=True))

    clock.now -= 7200

    assert lent(accounts) == ["a"]


def test_a_clock_that_is_set_back_leaves_no_account_cooling_when_the_board_tells_again() -> None:
    workers = Workers([A])
    one, other = workers.pools
    one.failed(A, "text", UpstreamOverloaded("busy", retry_after=3600.0))
    workers.poll()

    workers.clock.now -= 7200
    workers.poll()

    assert (lent(one), lent(other)) == (["a"], ["a"])


def test_another_machine_s_clock_cools_no_account_beyond_midnight() -> None:
    accounts = pool(A)
    ahead = AccountHealth(
        A.account_key,
        "text",
        state="cooling",
        cooling_until=NOON + 1e9,
        strikes=1,
        cause="quota",
        changed_at=NOON + 1e6,
    )

    accounts.refresh([ahead])

    assert refusal(accounts).retry_after == MIDNIGHT - NOON


# Changes at run time


def test_an_account_that_is_added_serves_those_who_wait() -> None:
    accounts = pool(A, concurrency=1, wait_s=5)

    with accounts.lease():
        other = Request(accounts)
        accounts.replace([A, B])

        assert other.wait() == "b"


def test_an_account_that_is_removed_is_lent_no_more_and_given_back_in_peace() -> None:
    accounts = pool(A, B, concurrency=1, wait_s=5)

    with accounts.lease() as first, accounts.lease():
        waiting = Request(accounts, wanted=A.account_key)
        accounts.replace([B])
        told = waiting.wait()

    assert first == A
    assert isinstance(told, NoAccountAvailable)
    assert [view.id for view in accounts.snapshot()] == ["b"]
    assert (lent(accounts), accounts.in_flight()) == (["b"], 0)


def test_a_changed_credential_forgets_that_the_old_one_was_refused() -> None:
    workers = Workers([A])
    one, two = workers.pools
    one.failed(A, "text", DEAD)
    workers.poll()
    renewed = account("a", secret="CSE.new")

    one.replace([A])
    unchanged = one.is_ready("a")
    for each in (one, two):
        each.replace([renewed])
    workers.poll()

    assert not unchanged
    assert (lent(one), lent(two)) == (["a"], ["a"])
    assert one.account("a") == renewed


def test_a_refusal_of_the_old_credential_that_comes_late_does_not_touch_the_new_one() -> None:
    accounts = pool(A)

    with accounts.lease() as mine:
        accounts.replace([account("a", secret="CSE.new")])
        accounts.failed(mine, "text", DEAD)

    assert lent(accounts) == ["a"]


def test_what_cools_stays_so_when_accounts_are_replaced() -> None:
    accounts = pool(A)
    accounts.failed(A, "text", EMPTY)

    accounts.replace([A, B], disabled=["b"])

    assert refusal(accounts).retry_after == 60


def test_a_probe_that_succeeds_brings_a_refused_account_back() -> None:
    workers = Workers([A])
    one, two = workers.pools
    one.failed(A, "text", DEAD)
    workers.poll()

    one.accepted(with_values(A, secure_c_ses="CSE.other"))  # that was not what is refused
    before = one.is_ready("a")
    one.accepted(A)
    workers.poll()

    assert (before, one.is_ready("a"), two.is_ready("a")) == (False, True, True)


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
    assert lent(one, 3) == ["a"] * 3


def test_those_who_wait_are_told_when_the_last_account_is_gone() -> None:
    accounts = pool(A, B, concurrency=1, wait_s=5)

    with accounts.lease(), accounts.lease():
        waiting = Request(accounts)
        accounts.disable("a")
        assert not waiting.served
        accounts.failed(B, "text", DEAD)

        assert isinstance(waiting.wait(), CredentialRefused)


# The waiting line: everyone in it has wishes of his own


def test_a_place_goes_to_the_first_who_can_use_it() -> None:
    accounts = pool(A, B, concurrency=1, wait_s=5)
    with ExitStack() as a, ExitStack() as b:
        a.enter_context(accounts.lease(wanted=A.account_key))
        b.enter_context(accounts.lease(wanted=B.account_key))
        waiting = [
            Request(accounts, hold=True, wanted=B.account_key),
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
    assert accounts.in_flight() == 0


def test_one_who_waits_for_an_account_that_cools_down_meanwhile_is_told() -> None:
    accounts = pool(A, B, concurrency=1, wait_s=5)

    with accounts.lease() as first, accounts.lease():
        stubborn, patient = Request(accounts, wanted=A.account_key), Request(accounts, hold=True)
        accounts.failed(first, "text", EMPTY)
        told = stubborn.wait()
        assert not patient.served

    assert isinstance(told, QuotaExhausted)
    assert patient.wait() == "b"
    patient.end()


def test_a_newcomer_does_not_pass_those_who_wait_when_time_alone_has_opened_a_place() -> None:
    clock = Clock()
    accounts = pool(A, B, clock=clock, concurrency=1, wait_s=5)
    accounts.failed(B, "text", BUSY)

    with accounts.lease():
        first = Request(accounts, hold=True)
        clock.now += 10
        newcomer = Request(accounts)
        assert first.wait() == "b"
        assert not newcomer.served
        first.end()
        assert newcomer.wait() == "b"


def test_one_that_leaves_just_when_it_is_served_gives_its_place_on() -> None:
    accounts = pool(A, concurrency=1, wait_s=5)
    with accounts.lease():
        leaving = Waiter(LeaseRequest("text"))
        accounts._waiting.append(leaving)
        behind = Request(accounts)
    assert leaving.lent is not None

    accounts._withdraw(leaving)

    assert behind.wait() == "a"


# What an operator sees


def test_a_snapshot_tells_what_is_known_of_each_account() -> None:
    clock = Clock()
    accounts = pool(A, B, C, clock=clock)
    accounts.failed(A, "images", EMPTY)
    accounts.failed(B, "text", DEAD)
    accounts.disable("c")

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


def test_what_could_serve_is_counted() -> None:
    accounts = pool(A, B, C)
    accounts.failed(A, "text", EMPTY)  # may still make pictures
    accounts.failed(B, "text", DEAD)

    assert accounts.usable() == 2
    assert accounts.accounts() == (A, B, C)


def test_the_words_of_a_refused_request_are_not_kept_as_an_account_s_error() -> None:
    accounts = pool(A)

    accounts.failed(A, "text", RequestRefused("You wrote: my secret diary"))

    assert accounts.snapshot()[0].last_error is None


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


# Nobody's fault but the request's


@pytest.mark.parametrize(
    "error",
    [RequestRefused("no"), UpstreamUnclear("empty"), UpstreamError("hm"), UpstreamBroken("reset")],
    ids=repr,
)
def test_a_thousand_poisoned_requests_then_a_good_one(error: GatewayError) -> None:
    workers = Workers([A, B, C])
    one, _ = workers.pools

    for _ in range(1000):
        with one.lease() as mine:
            one.failed(mine, "text", error)

    assert {view.state for view in one.snapshot()} == {"ready"}
    assert workers.board.published == []
    assert lent(one, 3) == ["a", "b", "c"]


def test_what_an_account_has_met_last_is_told_with_the_next_round() -> None:
    workers = Workers([A, B], count=1)
    (accounts,) = workers.pools

    accounts.failed(A, "text", UpstreamTimeout("Silence."))
    at_once = dict(workers.board.errors)
    workers.board.is_away = True
    with pytest.raises(GatewayError):
        accounts.share_again()
    workers.board.is_away = False
    accounts.share_again()

    assert (at_once, workers.board.errors) == ({}, {"a": ("Silence.", NOON)})


def test_a_recovery_is_told_too_but_nothing_of_an_account_that_is_gone() -> None:
    workers = Workers([A, B], count=1)
    (accounts,) = workers.pools
    accounts.failed(A, "text", DEAD)
    accounts.failed(B, "text", EMPTY)

    accounts.accepted(A)
    accounts.replace([A])
    accounts.share_again()

    assert workers.board.errors == {"a": (None, NOON)}


def test_where_answers_run_is_told_by_account() -> None:
    accounts = pool(A, B)

    with accounts.lease(wanted=A.account_key), accounts.lease(wanted=A.account_key):
        assert accounts.running() == {"a": 2}
    assert accounts.running() == {}


@pytest.mark.parametrize("media", [("images",), ("videos",), ("images", "videos")])
def test_a_quota_that_is_named_cools_its_kind_whatever_was_asked_for(
    media: tuple[Media, ...],
) -> None:
    accounts = pool(A)

    accounts.failed(A, "text", QuotaExhausted("used up", is_daily=True, media=media))

    cooling = accounts.snapshot()[0].cooling_until
    assert cooling == dict.fromkeys(media, MIDNIGHT)
    assert sorted(accounts.resting("a")) == sorted(media)
    assert lent(accounts) == ["a"]
