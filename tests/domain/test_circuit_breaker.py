"""When calls go through to a store, when they fail at once, and which one probes it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.domain.circuit_breaker import CircuitBreaker, CircuitOpen
from tests.support.clock import Clock

RETRY_AFTER_S = 5.0


class Outage(Exception):
    """What the calls of these tests raise while their store is away."""


class Store:
    """Answers or fails as it is told, behind a breaker."""

    def __init__(self, clock: Clock) -> None:
        self.is_up = True
        self.calls = 0
        self.opened = 0
        self.open_s: list[float] = []
        self.may_probe = True
        self.breaker = CircuitBreaker(clock, on_close=self.open_s.append)

    def ask(self) -> str:
        """ "answered", "failed", or "refused" when the breaker did not let the call through."""
        try:
            return self.breaker.run(self._answer, lambda: self.may_probe)
        except Outage:
            return "failed"
        except CircuitOpen:
            return "refused"

    def _answer(self) -> str:
        self.calls += 1
        if self.is_up:
            return "answered"
        self.opened += self.breaker.fail(RETRY_AFTER_S)
        raise Outage


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Store:
    return Store(clock)


def test_a_failure_opens_it_once_and_calls_are_refused_until_the_retry(
    store: Store, clock: Clock
) -> None:
    store.is_up = False
    told = [store.ask(), store.ask()]
    clock.now += RETRY_AFTER_S - 0.1
    told.append(store.ask())
    clock.now += 0.1
    told += [store.ask(), store.ask()]

    assert told == ["failed", "refused", "refused", "failed", "refused"]
    assert (store.calls, store.opened) == (2, 1)
    assert not store.breaker.is_closed


def test_a_probe_that_succeeds_closes_it_and_says_how_long_it_was_open(
    store: Store, clock: Clock
) -> None:
    store.is_up = False
    store.ask()
    store.is_up = True
    clock.now += 12

    assert [store.ask(), store.ask()] == ["answered", "answered"]
    assert store.breaker.is_closed
    assert store.open_s == [12]


def test_one_call_at_a_time_probes(store: Store, clock: Clock) -> None:
    store.is_up = False
    store.ask()
    clock.now += RETRY_AFTER_S
    is_probing, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        is_probing.set()
        assert go_on.wait(10)
        return "answered"

    with ThreadPoolExecutor(1) as threads:
        probe = threads.submit(store.breaker.run, slow)
        assert is_probing.wait(10)
        meanwhile = store.ask()
        go_on.set()

    assert (meanwhile, probe.result()) == ("refused", "answered")
    assert store.breaker.is_closed


def test_a_call_that_began_before_the_outage_does_not_end_it(store: Store) -> None:
    def overtaken() -> str:
        store.breaker.fail(RETRY_AFTER_S)
        return "answered"

    assert store.breaker.run(overtaken) == "answered"
    assert not store.breaker.is_closed


def test_a_probe_that_ends_in_another_error_leaves_it_open_to_the_next_one(
    store: Store, clock: Clock
) -> None:
    store.is_up = False
    store.ask()
    clock.now += RETRY_AFTER_S

    def defect() -> str:
        raise LookupError

    with pytest.raises(LookupError):
        store.breaker.run(defect)
    store.is_up = True

    assert not store.breaker.is_closed
    assert store.ask() == "answered"


def test_who_may_not_probe_is_refused_as_long_as_it_is_open(store: Store, clock: Clock) -> None:
    store.is_up = False
    store.ask()
    store.is_up, store.may_probe = True, False
    clock.now += RETRY_AFTER_S

    refused = store.ask()
    store.may_probe = True

    assert (refused, store.ask()) == ("refused", "answered")


def test_refused_writes_are_remembered_until_it_closes(store: Store, clock: Clock) -> None:
    told = [store.breaker.refuses_writes]
    store.breaker.fail(RETRY_AFTER_S, refuses_writes=True)
    told.append(store.breaker.refuses_writes)
    clock.now += RETRY_AFTER_S
    store.ask()
    told.append(store.breaker.refuses_writes)
    store.breaker.fail(RETRY_AFTER_S, refuses_writes=True)
    store.breaker.fail(RETRY_AFTER_S)  # away as a whole now
    told.append(store.breaker.refuses_writes)

    assert told == [False, True, False, False]


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 3 * RETRY_AFTER_S)), max_size=30))
def test_a_store_that_is_away_is_asked_once_in_a_retrys_time(
    steps: list[tuple[bool, float]],
) -> None:
    clock = Clock(0.0)
    store = Store(clock)
    last_failure = None
    for is_up, pause_s in steps:
        clock.now += pause_s
        store.is_up = is_up
        asked_before = store.calls
        result = store.ask()

        was_due = last_failure is None or clock.now >= last_failure + RETRY_AFTER_S
        assert (result == "refused") == (not was_due)
        assert store.calls - asked_before == int(was_due)
        if result != "refused":
            last_failure = None if is_up else clock.now
        assert store.breaker.is_closed == (last_failure is None)
