"""How long an account is not asked after a failure, and what ends that."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from gbproxy.accounts.health import AccountHealth
from gbproxy.errors import (
    ConfigRefused,
    GatewayError,
    Media,
    QuotaExhausted,
    RequestRefused,
    TokenRefused,
    UpstreamBroken,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamUnclear,
)
from gbproxy.upstreams.widget.credential import with_values
from tests.support.clock import NOON, Clock
from tests.support.pools import (
    BUSY,
    DEAD,
    EMPTY,
    MIDNIGHT,
    A,
    B,
    C,
    Request,
    Workers,
    account,
    leased,
    pool,
    probe_due,
    refusal,
    struck,
)


def test_each_repeat_lasts_four_times_as_long_until_a_success() -> None:
    clock = Clock()
    accounts = pool(A, clock=clock)

    growing = [struck(accounts, clock) for _ in range(4)]
    with accounts.lease() as mine:
        accounts.succeeded(mine, "text")
    afresh = struck(accounts, clock)

    assert growing == [60, 240, 960, 3840]
    assert afresh == 60


def test_many_requests_that_ran_at_once_are_one_failure() -> None:
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


def test_quota_met_during_overload_counts_as_a_failure() -> None:
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


@pytest.mark.parametrize("media", [("images",), ("videos",), ("images", "videos")])
def test_a_quota_that_is_named_cools_its_kind_whatever_was_asked_for(
    media: tuple[Media, ...],
) -> None:
    accounts = pool(A)

    accounts.failed(A, "text", QuotaExhausted("used up", is_daily=True, media=media))

    cooling = accounts.snapshot()[0].cooling_until
    assert cooling == dict.fromkeys(media, MIDNIGHT)
    assert sorted(accounts.cooling("a")) == sorted(media)
    assert leased(accounts) == ["a"]


# Probes


def test_when_a_cooldown_ends_one_request_is_let_through_and_the_others_when_it_succeeds() -> None:
    accounts, _ = probe_due()

    with accounts.lease() as probe:
        others = [Request(accounts) for _ in range(3)]
        assert [other.served for other in others] == [False] * 3
        accounts.succeeded(probe, "text")
        assert [other.wait() for other in others] == ["a"] * 3


def test_after_overload_everybody_is_let_through() -> None:
    clock = Clock()
    accounts = pool(A, clock=clock)
    accounts.failed(A, "text", BUSY)

    clock.now += 10

    assert leased(accounts, 5) == ["a"] * 5


def test_who_waits_for_a_probe_that_fails_is_told_so_at_once() -> None:
    accounts, _ = probe_due()

    with accounts.lease() as probe:
        other = Request(accounts)
        accounts.failed(probe, "text", EMPTY)

        error = other.wait()

    assert isinstance(error, QuotaExhausted)
    assert error.retry_after == 240


@pytest.mark.parametrize(
    "error", [None, RequestRefused("no"), UpstreamBroken("reset"), UpstreamUnclear("empty")]
)
def test_a_probe_without_a_verdict_is_handed_to_the_next(error: GatewayError | None) -> None:
    accounts, clock = probe_due()

    with ExitStack() as leases:
        probe = leases.enter_context(accounts.lease())
        others = [Request(accounts, hold=True) for _ in range(2)]
        if error is not None:
            accounts.failed(probe, "text", error)
        leases.close()
        assert others[0].wait() == "a"
        assert not others[1].served
        accounts.succeeded(A, "text")
        assert others[1].wait() == "a"
        for other in others:
            other.end()

    assert struck(accounts, clock) == 60


def test_a_probe_that_never_reports_back_ends_by_time() -> None:
    accounts, clock = probe_due()

    with accounts.lease():
        other = Request(accounts)
        clock.now += 30
        accounts.refresh([])  # anything that makes the queue look at the clock
        accounts.failed(A, "images", EMPTY)

        assert other.wait() == "a"


def test_a_probe_is_for_one_kind_of_request() -> None:
    accounts, _ = probe_due()

    with accounts.lease():
        assert leased(accounts, 3, "images") == ["a"] * 3


# Credentials


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
    assert (leased(one), leased(two)) == (["a"], ["a"])
    assert one.account("a") == renewed


def test_a_refusal_of_the_old_credential_that_comes_late_does_not_touch_the_new_one() -> None:
    accounts = pool(A)

    with accounts.lease() as mine:
        accounts.replace([account("a", secret="CSE.new")])
        accounts.failed(mine, "text", DEAD)

    assert leased(accounts) == ["a"]


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

    assert bool(accounts.rejected()) == is_refused


# Clocks


def test_a_clock_that_is_set_back_leaves_no_account_cooling() -> None:
    clock = Clock()
    accounts = pool(A, clock=clock)
    accounts.failed(A, "text", QuotaExhausted("empty", is_daily=True))

    clock.now -= 7200

    assert leased(accounts) == ["a"]


def test_a_clock_that_is_set_back_leaves_no_account_cooling_when_the_store_tells_again() -> None:
    workers = Workers([A])
    one, other = workers.pools
    one.failed(A, "text", UpstreamOverloaded("busy", retry_after=3600.0))
    workers.poll()

    workers.clock.now -= 7200
    workers.poll()

    assert (leased(one), leased(other)) == (["a"], ["a"])


def test_another_machine_s_clock_cools_no_account_beyond_midnight() -> None:
    accounts = pool(A)
    ahead = AccountHealth(
        A.account_key,
        "text",
        state="cooling",
        cooling_until=NOON + 1e9,
        consecutive_failures=1,
        cause="quota",
        changed_at=NOON + 1e6,
    )

    accounts.refresh([ahead])

    assert refusal(accounts).retry_after == MIDNIGHT - NOON


# Failures that are not the account's


def test_the_words_of_a_refused_request_are_not_kept_as_an_account_s_error() -> None:
    accounts = pool(A)

    accounts.failed(A, "text", RequestRefused("You wrote: my secret diary"))

    assert accounts.snapshot()[0].last_error is None


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
    assert workers.store.published == []
    assert leased(one, 3) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("error", "is_quarantined"),
    [(ConfigRefused("no"), True), (EMPTY, False), (BUSY, False), (TokenRefused("no"), False)],
    ids=["its credential is rejected", "quota", "overload", "a token"],
)
def test_a_session_that_cannot_be_prewarmed_costs_only_a_rejected_account_something(
    error: GatewayError, is_quarantined: bool
) -> None:
    accounts = pool(A)

    accounts.call_failed(A, error, took_s=1.0)

    assert [view.state for view in accounts.snapshot()] == [
        "refused" if is_quarantined else "ready"
    ]
    assert accounts.is_ready("a") is not is_quarantined


def test_a_prewarm_that_began_before_the_account_was_found_good_quarantines_nothing() -> None:
    clock = Clock()
    accounts = pool(A, clock=clock)
    accounts.failed(A, "text", DEAD)
    accounts.accepted(A)
    clock.now += 10

    accounts.call_failed(A, DEAD, took_s=30.0)

    assert accounts.is_ready("a")
