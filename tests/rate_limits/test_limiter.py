"""Limits over time, on a clock that the test moves, and while the store of the counts is away."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.domain.principal import KeyPolicy, Principal, Rate
from gbproxy.errors import RateLimitExceeded, StorageUnavailable
from gbproxy.observability.meter import Meter
from gbproxy.rate_limits.limiter import LEASE_S, RENEW_S, ConcurrencyLimiter, Limiter, Rules
from gbproxy.rate_limits.memory_store import MemoryLimitStore
from gbproxy.rate_limits.store import LimitStatus, RateStatus
from gbproxy.web.limits import duration
from tests.support.clock import Clock

EVENING = datetime(2026, 3, 1, 23, 0, tzinfo=UTC).timestamp()
A, B = Principal(b"a" * 32, address="192.0.2.1"), Principal(b"b" * 32, address="192.0.2.1")


def limited(clock: Clock, **rules: object) -> Limiter:
    return Limiter(MemoryLimitStore(clock), Rules(**rules), clock)  # type: ignore[arg-type]


def stored(**allowed: object) -> Principal:
    return Principal(b"s" * 32, "stored", KeyPolicy(**allowed), "192.0.2.1")  # type: ignore[arg-type]


def refusal(status: LimitStatus) -> RateLimitExceeded:
    found = status.refusal()
    assert found is not None
    return found


def test_a_caller_without_limits_is_told_none(clock: Clock) -> None:
    assert limited(clock).count(A) == LimitStatus()


def test_the_window_moves(clock: Clock) -> None:
    limiter = limited(clock, rate=Rate(2, 10))
    passed = []
    for at in (0, 6, 7, 9.5, 10, 15.5, 16, 20):
        clock.now = EVENING + at
        passed.append(limiter.count(A).refusal() is None)

    assert passed == [True, True, False, False, True, False, True, True]


def test_a_refused_caller_is_told_when_the_next_request_may_come(clock: Clock) -> None:
    limiter = limited(clock, rate=Rate(1, 10))
    limiter.count(A)
    clock.now += 2.5

    refused = refusal(limiter.count(A))
    clock.now += refused.retry_after or 0

    assert refused.retry_after == 7.5
    assert limiter.count(A).refusal() is None


def test_a_caller_is_a_key_or_an_address(clock: Clock) -> None:
    by_key, by_address = limited(clock, rate=Rate(1, 10)), limited(clock, rate=Rate(1, 10), by="ip")

    assert [by_key.count(each).refusal() is None for each in (A, B, A)] == [True, True, False]
    assert [by_address.count(each).refusal() is None for each in (A, B, A)] == [True, False, False]


def test_a_keys_own_rate_takes_the_place_of_the_common_one(clock: Clock) -> None:
    limiter = limited(clock, rate=Rate(1, 10))
    own = stored(rate_limit=Rate(3, 10))

    assert [limiter.count(own).refusal() is None for _ in range(4)] == [True, True, True, False]


def test_by_address_both_rates_hold_and_the_narrower_one_is_told(clock: Clock) -> None:
    limiter = limited(clock, rate=Rate(3, 10), by="ip")
    own = stored(rate_limit=Rate(2, 60))
    statuses = [limiter.count(own), limiter.count(A), limiter.count(own)]

    assert [each.requests and (each.requests.rate.amount, each.requests.remaining) for each in statuses] == [
        (2, 1), (3, 1), (2, 0)
    ]  # fmt: skip


def test_a_days_tokens_are_those_of_a_day_in_utc(clock: Clock) -> None:
    clock.now = EVENING
    limiter = limited(clock)
    caller = stored(tokens_per_day=100)
    limiter.begin(caller, "m", is_streamed=True).end(99)
    almost = limiter.count(caller)
    limiter.begin(caller, "m", is_streamed=True).end(50)

    refused = refusal(limiter.count(caller))
    clock.now += refused.retry_after or 0
    next_day = limiter.count(caller)

    assert almost.refusal() is None
    assert almost.tokens is not None
    assert (almost.tokens.remaining, almost.tokens.reset_s) == (1, 3600)
    assert refused.retry_after == 3600
    assert next_day.tokens is not None
    assert (next_day.tokens.remaining, next_day.tokens.reset_s) == (100, 86_400)


def test_an_answer_is_charged_once(clock: Clock) -> None:
    clock.now = EVENING
    limiter = limited(clock)
    caller = stored(tokens_per_day=100, concurrent_streams=1)
    reservation = limiter.begin(caller, "m", is_streamed=True)
    for _ in range(3):
        reservation.end(10)

    status = limiter.count(caller)
    other = limiter.begin(caller, "m", is_streamed=True)
    reservation.end(10)
    with pytest.raises(RateLimitExceeded):
        limiter.begin(caller, "m", is_streamed=True)
    other.end(0)

    assert status.tokens is not None
    assert status.tokens.used == 10


def used(limiter: Limiter, caller: Principal) -> int:
    tokens = limiter.count(caller).tokens
    assert tokens is not None
    return tokens.used


def test_of_many_at_once_no_more_begin_than_the_days_tokens_have_room_for(clock: Clock) -> None:
    clock.now = EVENING
    limiter = limited(clock)
    caller = stored(tokens_per_day=100)

    begun, refused = [], []
    for _ in range(50):
        try:
            begun.append(limiter.begin(caller, "m", is_streamed=False, prompt_tokens=30))
        except RateLimitExceeded as error:
            refused.append(error)
    reserved = used(limiter, caller)
    for reservation in begun:
        reservation.end(31)

    assert len(begun) == 4
    assert {error.retry_after for error in refused} == {3600}
    assert (reserved, used(limiter, caller)) == (120, 124)


def test_what_was_reserved_for_nothing_is_given_back(clock: Clock) -> None:
    clock.now = EVENING
    limiter = limited(clock, model_interval_s=5.0)
    caller = stored(tokens_per_day=100, concurrent_streams=1)

    limiter.begin(caller, "one", is_streamed=False, prompt_tokens=30).end(0)
    nothing_answered = used(limiter, caller)
    running = limiter.begin(caller, "two", is_streamed=True, prompt_tokens=30)
    # too soon, and one stream too many
    for model, is_streamed in (("one", False), ("three", True)):
        with pytest.raises(RateLimitExceeded):
            limiter.begin(caller, model, is_streamed=is_streamed, prompt_tokens=30)

    assert (nothing_answered, used(limiter, caller)) == (0, 30)
    running.end(20)
    assert used(limiter, caller) == 20


def test_what_ends_after_midnight_belongs_to_the_day_on_which_it_began(clock: Clock) -> None:
    clock.now = EVENING
    limiter = limited(clock)
    caller = stored(tokens_per_day=100)
    before = limiter.begin(caller, "m", is_streamed=False, prompt_tokens=30)
    clock.now += 3600

    before.end(0)

    assert used(limiter, caller) == 0


def test_an_interval_is_each_models_and_each_callers_own(clock: Clock) -> None:
    limiter = limited(clock, model_interval_s=0.5)

    for caller, model in ((A, "one"), (A, "two"), (B, "one")):
        limiter.begin(caller, model, is_streamed=False)
    with pytest.raises(RateLimitExceeded) as caught:
        limiter.begin(A, "one", is_streamed=False)
    clock.now += caught.value.retry_after or 0
    limiter.begin(A, "one", is_streamed=False)

    assert caught.value.retry_after == 0.5


# While the store is away


class Counted(Meter):
    """Remembers which limits have refused a request."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def limited(self, kind: str) -> None:
        self.kinds.append(kind)


def test_every_refusal_is_counted_by_its_kind(clock: Clock) -> None:
    counted = Counted()
    rules = Rules(model_interval_s=5.0)
    limiter = Limiter(MemoryLimitStore(clock), rules, clock, counted)
    one = stored(rate_limit=Rate(1, 10))
    spent = stored(tokens_per_day=5)
    single = stored(concurrent_streams=1)

    for _ in range(2):
        limiter.count(one)
    limiter.begin(spent, "m", is_streamed=True).end(5)
    limiter.count(spent)
    limiter.begin(single, "n", is_streamed=True)
    for streamed in (True, False):
        with pytest.raises(RateLimitExceeded):
            limiter.begin(single, "n", is_streamed=streamed)

    assert counted.kinds == ["requests", "tokens", "streams", "interval"]


class Away:
    """Counters that cannot be reached, but for what a test lets through."""

    def __init__(self) -> None:
        self.members: set[tuple[str, str]] = set()
        self.leases: list[float] = []
        self.is_away = True

    def _reach(self) -> None:
        if self.is_away:
            raise StorageUnavailable("away")

    def hit(self, name: str, rate: Rate) -> RateStatus:
        raise StorageUnavailable("away")

    def hold(self, name: str, for_s: float) -> float:
        raise StorageUnavailable("away")

    def add(self, name: str, amount: int, keep_s: int) -> None:
        raise StorageUnavailable("away")

    def add_below(self, name: str, amount: int, limit: int, keep_s: int) -> bool:
        raise StorageUnavailable("away")

    def read(self, name: str) -> int:
        raise StorageUnavailable("away")

    def acquire(self, name: str, member: str, limit: int, for_s: float) -> bool:
        self._reach()
        if len(self.members) >= limit:
            return False
        self.members.add((name, member))
        return True

    def renew(self, members: Collection[tuple[str, str]], for_s: float) -> None:
        self._reach()
        self.members |= set(members)
        self.leases.append(for_s)

    def release(self, name: str, member: str) -> None:
        self._reach()
        self.members.discard((name, member))


def test_while_the_store_is_away_nothing_is_refused(clock: Clock) -> None:
    limiter = Limiter(Away(), Rules(Rate(1, 10), model_interval_s=5), clock)
    caller = stored(tokens_per_day=1, concurrent_streams=1, rate_limit=Rate(1, 1))

    for _ in range(3):
        assert limiter.count(caller) == LimitStatus()
        limiter.begin(caller, "m", is_streamed=True).end(5)


def test_streams_that_began_meanwhile_count_as_soon_as_the_store_is_back() -> None:
    store = Away()
    limiter = ConcurrencyLimiter(store)
    release = limiter.acquire("key", 1)
    limiter.renew()
    store.is_away = False
    limiter.renew()

    assert release is not None
    assert len(store.members) == 1
    assert store.leases == [LEASE_S]
    assert limiter.acquire("key", 1) is None
    release()
    assert store.members == set()


def test_a_lease_outlives_a_renewal_that_fails() -> None:
    assert 2 * RENEW_S < LEASE_S


def test_a_slot_that_is_released_while_it_is_renewed_stays_free() -> None:
    class Slow(Away):
        def renew(self, members: Collection[tuple[str, str]], for_s: float) -> None:
            assert release is not None
            release()
            super().renew(members, for_s)

    store = Slow()
    store.is_away = False
    limiter = ConcurrencyLimiter(store)
    release = limiter.acquire("key", 1)

    limiter.renew()

    assert store.members == set()


def test_a_client_who_leaves_while_its_slot_is_acquired_holds_none() -> None:
    class Leaving(Away):
        def acquire(self, name: str, member: str, limit: int, for_s: float) -> bool:
            super().acquire(name, member, limit, for_s)
            raise KeyboardInterrupt

    store = Leaving()
    store.is_away = False

    with pytest.raises(KeyboardInterrupt):
        ConcurrencyLimiter(store).acquire("key", 1)

    assert store.members == set()


# As OpenAI writes it


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0s"),
        (0.017, "17ms"),
        (0.9999, "1s"),
        (1, "1s"),
        (1.2, "2s"),
        (59.5, "1m0s"),
        (360, "6m0s"),
        (5400, "1h30m0s"),
    ],
)
def test_a_duration_is_written_as_openai_does(seconds: float, written: str) -> None:
    assert duration(seconds) == written


@given(st.floats(min_value=0, max_value=31 * 86_400))
def test_a_duration_is_never_too_short(seconds: float) -> None:
    units = {"ms": 0.001, "h": 3600.0, "m": 60.0, "s": 1.0}
    text, total = duration(seconds), 0.0
    while text:
        digits = next(i for i, sign in enumerate(text) if not sign.isdigit())
        unit = next(unit for unit in units if text[digits:].startswith(unit))
        total += int(text[:digits]) * units[unit]
        text = text[digits + len(unit) :]

    assert seconds <= total < seconds + 1.001
