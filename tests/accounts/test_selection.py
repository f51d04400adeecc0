"""Which account a request is leased, and what it hears when there is none."""

from __future__ import annotations

import pytest

from gbproxy.domain.account import QUOTA_CLASSES
from gbproxy.errors import (
    CredentialRefused,
    GatewayError,
    NoAccountAvailable,
    QuotaExhausted,
    UpstreamOverloaded,
)
from tests.support.clock import NOON, Clock
from tests.support.pools import (
    BUSY,
    DEAD,
    EMPTY,
    MIDNIGHT,
    A,
    B,
    C,
    account,
    disable_only,
    leased,
    pool,
    refusal,
)


def test_first_takes_the_first_account_that_has_a_slot() -> None:
    accounts = pool(A, B, order="first", concurrency=2)

    assert leased(accounts, 4) == ["a", "a", "b", "b"]


def test_the_least_busy_account_is_leased_the_first_of_equals() -> None:
    assert leased(pool(A, B, C), 7) == ["a", "b", "c", "a", "b", "c", "a"]


def test_an_account_that_cools_is_passed_over_for_its_kind_of_request_only() -> None:
    accounts = pool(A, B)

    accounts.failed(A, "images", EMPTY)

    assert leased(accounts, 2, "images") == ["b", "b"]
    assert leased(accounts, 2, "text") == ["a", "b"]
    assert [accounts.is_ready("a", quota) for quota in QUOTA_CLASSES] == [True, False, True]


def test_a_refused_account_is_passed_over_for_every_kind_of_request() -> None:
    accounts = pool(A, B)

    accounts.failed(A, "images", DEAD)

    assert [leased(accounts, 1, quota) for quota in QUOTA_CLASSES] == [["b"], ["b"], ["b"]]
    assert accounts.rejected() == (A,)


def test_excluded_accounts_are_passed_over() -> None:
    assert leased(pool(A, B, C), 2, excluded=["a", "c"]) == ["b", "b"]


def test_only_the_required_account_will_do() -> None:
    assert leased(pool(A, B), 3, required=B.account_key) == ["b", "b", "b"]


def test_the_preferred_account_is_taken_as_long_as_it_has_a_slot() -> None:
    accounts = pool(A, B, concurrency=2)

    assert leased(accounts, 4, preferred=B.account_key) == ["b", "b", "a", "a"]
    accounts.failed(B, "text", BUSY)
    assert leased(accounts, 1, preferred=B.account_key) == ["a"]


def test_a_disabled_account_is_leased_to_nobody_until_it_is_enabled() -> None:
    accounts = pool(A, B)

    disable_only(accounts, "a")
    disabled = leased(accounts, 2)
    disable_only(accounts)

    assert (disabled, leased(accounts, 2)) == (["b", "b"], ["a", "b"])


# When nothing can be tried: the most recoverable cause, and when to come back


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
]  # fmt: skip  # fmt: skip


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
    disable_only(accounts, "b")
    some = refusal(accounts)

    disable_only(accounts, "a", "b")
    none = refusal(accounts)

    assert (type(some), some.message) == (CredentialRefused, "Renew it.")
    assert (type(none), none.code, none.should_retry) == (
        NoAccountAvailable,
        "no_account_available",
        False,
    )
    assert "disabled" in none.message


def test_a_required_account_gives_its_own_error() -> None:
    accounts = pool(A, B, C)
    accounts.failed(A, "text", EMPTY)
    accounts.failed(B, "text", DEAD)
    disable_only(accounts, "c")

    kinds = [
        type(refusal(accounts, required=account_key))
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
    assert accounts.recovery_s("text") == 1.0

    accounts.failed(A, "text", EMPTY)
    accounts.failed(B, "text", BUSY)
    some = (accounts.recovery_s("text"), accounts.recovery_s("images"))
    accounts.failed(A, "text", DEAD)
    disable_only(accounts, "b")

    assert some == (10.0, 1.0)
    assert accounts.recovery_s("text") is None


def test_without_an_account_the_error_says_what_to_set() -> None:
    with pytest.raises(NoAccountAvailable) as caught, pool().lease():
        pass

    assert (caught.value.status, caught.value.code, caught.value.should_retry) == (
        503,
        "no_account_available",
        False,
    )
    assert "SECURE_C_SES" in caught.value.message
