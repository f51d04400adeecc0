"""What each failure does to an account and to its request: the rules, row by row."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.accounts.failure_policy import (
    OVERLOAD,
    QUOTA,
    Retry,
    cooldown_ends,
    next_midnight,
    policy_for,
)
from gbproxy.domain.account import AccountState
from gbproxy.errors import (
    AccountRestricted,
    AccountStalled,
    AccountSuspected,
    AnswerEmpty,
    AnswerTooLarge,
    ConfigRefused,
    ContextLengthExceeded,
    CredentialRefused,
    GatewayError,
    Overloaded,
    QuotaExhausted,
    RequestRefused,
    SessionDenied,
    SessionGone,
    TokenRefused,
    UpstreamBroken,
    UpstreamError,
    UpstreamGaveUp,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnclear,
    UpstreamUnreachable,
)
from tests.support.clock import LOS_ANGELES, NOON, Clock
from tests.support.pools import MIDNIGHT, A, pool

TABLE: list[tuple[str, GatewayError, Retry, AccountState]] = [
    ("the request is malformed", RequestRefused("no"), Retry.NEVER, "ready"),
    ("the prompt is too long", ContextLengthExceeded("long"), Retry.NEVER, "ready"),
    ("the answer is too large", AnswerTooLarge("large"), Retry.NEVER, "ready"),
    ("the gateway itself is full", Overloaded("full"), Retry.NEVER, "ready"),
    ("a defect of our own", GatewayError("oops"), Retry.NEVER, "ready"),
    ("the model is busy", UpstreamOverloaded("busy"), Retry.OTHER_ACCOUNT, "cooling"),
    ("a quota is used up", QuotaExhausted("empty"), Retry.OTHER_ACCOUNT, "cooling"),
    ("the cookies are dead", CredentialRefused("no"), Retry.OTHER_ACCOUNT, "refused"),
    ("403 at the sign-in", AccountRestricted("no"), Retry.OTHER_ACCOUNT, "refused"),
    ("403 for a new session", ConfigRefused("no"), Retry.OTHER_ACCOUNT, "refused"),
    ("403 in a fresh session", SessionDenied("no"), Retry.OTHER_THEN_FAIL, "ready"),
    (
        "401 for a question, also with a fresh token",
        AccountSuspected("no"),
        Retry.OTHER_THEN_FAIL,
        "ready",
    ),
    ("a token alone is refused", TokenRefused("no"), Retry.OTHER_ACCOUNT, "ready"),
    ("the connection broke", UpstreamBroken("reset"), Retry.OTHER_ACCOUNT, "ready"),
    ("the answer was cut off", UpstreamProtocolError("cut"), Retry.OTHER_ACCOUNT, "ready"),
    ("silence", UpstreamTimeout("silent"), Retry.OTHER_ACCOUNT, "ready"),
    ("a sign-in that takes long", AccountStalled("slow"), Retry.OTHER_ACCOUNT, "cooling"),
    ("no connection in time", UpstreamUnreachable("no connection"), Retry.OTHER_ACCOUNT, "ready"),
    ("504", UpstreamGaveUp("out of time"), Retry.OTHER_ACCOUNT, "ready"),
    ("FAILED", UpstreamUnclear("failed"), Retry.OTHER_THEN_FAIL, "ready"),
    ("nothing at all", AnswerEmpty("empty"), Retry.OTHER_THEN_FAIL, "ready"),
    ("a failure of no known kind", UpstreamError("hm"), Retry.OTHER_THEN_FAIL, "ready"),
    ("a fresh session is gone", SessionGone("gone"), Retry.OTHER_THEN_FAIL, "ready"),
]
PASSING = {
    AnswerEmpty,
    UpstreamBroken,
    UpstreamProtocolError,
    UpstreamUnreachable,
    UpstreamGaveUp,
}


@pytest.mark.parametrize(
    ("error", "then", "state"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_what_a_failure_means_for_the_request_and_for_the_account(
    error: GatewayError, then: Retry, state: AccountState
) -> None:
    accounts = pool(A)

    accounts.failed(A, "text", error)

    assert policy_for(error).retry is then
    assert accounts.snapshot()[0].state == state


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_only_what_may_pass_at_once_is_asked_of_the_same_account_again(
    row: tuple[str, GatewayError, Retry, AccountState],
) -> None:
    _, error, _, _ = row

    assert policy_for(error).retry_same is (type(error) in PASSING)


# How long


def cooled_s(error: GatewayError, repeats: int = 0, now: float = NOON, seed: int = 1) -> float:
    cooldown = policy_for(error).cooldown
    assert cooldown is not None
    return cooldown_ends(cooldown, error, repeats, now, random.Random(seed).uniform) - now


@pytest.mark.parametrize("kind", [UpstreamOverloaded, QuotaExhausted])
@pytest.mark.parametrize("named_s", [1.5, 17.0, 1800.0])
def test_the_time_that_the_upstream_names_counts(
    kind: type[UpstreamOverloaded] | type[QuotaExhausted], named_s: float
) -> None:
    assert cooled_s(kind("no", retry_after=named_s), repeats=3) == named_s


def test_overload_without_a_time_is_seconds_and_varies() -> None:
    found = {
        cooled_s(UpstreamOverloaded("busy"), repeats, seed=seed)
        for seed in range(50)
        for repeats in (0, 5)
    }

    assert all(5 <= seconds <= 15 for seconds in found)
    assert len(found) > 40


@pytest.mark.parametrize(
    ("repeats", "least_s", "most_s"), [(0, 15, 30), (1, 30, 60), (9, 300, 300)]
)
def test_an_account_that_stalls_rests_for_a_while_and_longer_on_each_repeat(
    repeats: int, least_s: float, most_s: float
) -> None:
    found = {cooled_s(AccountStalled("slow"), repeats, seed=seed) for seed in range(50)}

    assert all(least_s <= seconds <= most_s for seconds in found)


@pytest.mark.parametrize(
    ("repeats", "seconds"),
    [(0, 60), (1, 240), (2, 960), (3, 3840), (4, 15360), (5, 43200), (99, 43200)],
)
def test_a_429_without_a_cause_is_a_minute_and_four_times_as_long_on_each_repeat_until_midnight(
    repeats: int, seconds: float
) -> None:
    assert cooled_s(QuotaExhausted("empty"), repeats) == seconds


@pytest.mark.parametrize("named_s", [None, 30.0])
def test_a_quota_of_the_day_is_over_at_midnight(named_s: float | None) -> None:
    assert cooled_s(QuotaExhausted("empty", retry_after=named_s, is_daily=True)) == MIDNIGHT - NOON


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (QuotaExhausted("empty", retry_after=0.001), 1.0),
        (UpstreamOverloaded("busy", retry_after=0.001), 1.0),
        (QuotaExhausted("empty", retry_after=9_999_999.0), MIDNIGHT - NOON),
        (UpstreamOverloaded("busy", retry_after=9_999_999.0), 3600.0),
    ],
)
def test_a_time_has_a_floor_and_a_cap(error: GatewayError, seconds: float) -> None:
    assert cooled_s(error) == seconds


@pytest.mark.parametrize(
    ("now", "midnight"),
    [
        ("2026-05-04T12:00:00-07:00", "2026-05-05T00:00:00-07:00"),
        ("2026-05-04T00:00:00-07:00", "2026-05-05T00:00:00-07:00"),
        ("2026-05-04T23:59:59-07:00", "2026-05-05T00:00:00-07:00"),
        ("2026-01-04T08:30:00+00:00", "2026-01-05T00:00:00-08:00"),
        ("2026-03-08T01:30:00-08:00", "2026-03-09T00:00:00-07:00"),  # a day of 23 hours
        ("2026-11-01T00:30:00-07:00", "2026-11-02T00:00:00-08:00"),  # a day of 25
        ("2026-12-31T20:00:00-08:00", "2027-01-01T00:00:00-08:00"),
    ],
)
def test_midnight_is_that_of_los_angeles_whatever_the_season(now: str, midnight: str) -> None:
    found = next_midnight(datetime.fromisoformat(now).timestamp())

    assert found == datetime.fromisoformat(midnight).timestamp()


moments = st.floats(NOON, NOON + 20 * 365 * 86400)


@given(
    now=moments,
    repeats=st.integers(0, 500),
    named_s=st.none() | st.floats(0.001, 1e9),
    is_daily=st.booleans(),
    overload=st.booleans(),
)
def test_no_cooldown_goes_beyond_midnight(
    now: float, repeats: int, named_s: float | None, is_daily: bool, overload: bool
) -> None:
    error: GatewayError = QuotaExhausted("empty", retry_after=named_s, is_daily=is_daily)
    if overload:
        error = UpstreamOverloaded("busy", retry_after=named_s)

    ends = cooldown_ends(
        OVERLOAD if overload else QUOTA, error, repeats, now, random.Random(repeats).uniform
    )

    midnight = datetime.fromtimestamp(now, LOS_ANGELES).replace(
        hour=0, minute=0, second=0, microsecond=0, fold=0
    )
    # the wall clock's day, as zoneinfo counts
    tomorrow = (midnight + timedelta(days=1)).timestamp()
    assert now < ends <= tomorrow


def test_a_cooldown_ends_where_the_rule_says() -> None:
    clock = Clock()
    accounts = pool(A, clock=clock)

    accounts.failed(A, "text", QuotaExhausted("empty", retry_after=100.0))

    clock.now += 99.9
    assert not accounts.is_ready("a")
    clock.now += 0.1
    assert accounts.is_ready("a")
