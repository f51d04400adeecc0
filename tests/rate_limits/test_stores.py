"""The counts behind the limits: the same in memory and in a real Redis, and an outage of Redis."""

from __future__ import annotations

import logging
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from gbproxy.domain.principal import Rate
from gbproxy.errors import StorageUnavailable
from gbproxy.rate_limits.memory_store import MemoryLimitStore
from gbproxy.rate_limits.redis_store import RETRY_AFTER_S, RedisLimitStore
from gbproxy.rate_limits.store import LimitStore
from tests.support.clock import Clock
from tests.support.delays import Delays
from tests.support.polling import until
from tests.support.redis_server import Redis, redis_server
from tests.support.serving import free_port

TEN = Rate(10, 60)


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with redis_server() as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
def workers(request: pytest.FixtureRequest) -> tuple[LimitStore, LimitStore]:
    """Those of two workers: in memory there is one."""
    if request.param == "memory":
        alone = MemoryLimitStore(time.monotonic)
        return alone, alone
    server: Redis = request.getfixturevalue("redis")
    server.ask("FLUSHALL")
    return RedisLimitStore(server.url), RedisLimitStore(server.url)


def test_exactly_as_many_get_by_as_the_rate_says(workers: tuple[LimitStore, LimitStore]) -> None:
    with ThreadPoolExecutor(20) as callers:
        statuses = list(callers.map(lambda n: workers[n % 2].hit("caller", TEN), range(50)))

    assert sum(status.is_taken for status in statuses) == 10
    assert min(status.remaining for status in statuses) == 0
    assert all(0 < status.reset_s <= 60 for status in statuses)


def test_callers_are_counted_apart(workers: tuple[LimitStore, LimitStore]) -> None:
    one, other = Rate(1, 60), Rate(2, 60)

    assert workers[0].hit("a", one).is_taken
    assert not workers[1].hit("a", one).is_taken
    assert workers[1].hit("b", one).is_taken
    assert [workers[0].hit("c", other).remaining for _ in range(3)] == [1, 0, 0]


def test_sums_are_those_of_all(workers: tuple[LimitStore, LimitStore]) -> None:
    workers[0].add("tokens", 40, 60)
    workers[1].add("tokens", 2, 60)

    assert [each.read("tokens") for each in workers] == [42, 42]
    assert workers[0].read("others") == 0


def test_a_sum_is_never_added_to_once_it_has_reached_its_limit(
    workers: tuple[LimitStore, LimitStore],
) -> None:
    with ThreadPoolExecutor(20) as callers:
        added = list(callers.map(lambda n: workers[n % 2].add_below("day", 30, 100, 60), range(50)))
    first = workers[0].read("day")
    workers[1].add("day", -30, 60)

    assert added.count(True) == 4
    assert (first, workers[0].read("day")) == (120, 90)
    assert workers[0].add_below("day", 1000, 100, 60)
    assert not workers[1].add_below("day", 1, 100, 60)


def test_what_is_held_is_nobody_elses_for_that_time(
    workers: tuple[LimitStore, LimitStore],
) -> None:
    began = time.monotonic()
    assert workers[0].hold("model", 60.0) == 0.0
    assert workers[1].hold("another", 0.25) == 0.0
    left, short_left = workers[1].hold("model", 60.0), workers[0].hold("another", 0.25)
    took_s = time.monotonic() - began

    assert left + took_s > 59
    assert left <= 60.0
    # Redis counts milliseconds
    assert 0 < short_left <= 0.25 or (short_left == 0.0 and took_s >= 0.249)


def test_no_more_slots_than_the_limit_says(workers: tuple[LimitStore, LimitStore]) -> None:
    one, other = workers

    assert one.acquire("key", "a", 2, 60)
    assert other.acquire("key", "b", 2, 60)
    assert not one.acquire("key", "c", 2, 60)
    assert one.acquire("another", "c", 2, 60)
    other.release("key", "a")
    assert other.acquire("key", "c", 2, 60)


def test_a_slot_that_is_not_renewed_expires(redis: Redis) -> None:
    dead, alive = RedisLimitStore(redis.url), RedisLimitStore(redis.url)
    assert dead.acquire("lease", "a", 2, 0.05)
    assert alive.acquire("lease", "b", 2, 0.05)
    alive.renew([("lease", "b")], 60)

    until(lambda: alive.acquire("lease", "c", 2, 60))

    assert not alive.acquire("lease", "d", 2, 60)


def test_time_passes_in_memory(clock: Clock) -> None:
    store = MemoryLimitStore(clock)
    rate = Rate(2, 10)
    store.hold("model", 5.0)
    store.add("tokens", 7, 10)
    first = store.hit("caller", rate)
    clock.now += 4
    second, refused = store.hit("caller", rate), store.hit("caller", rate)
    clock.now += 6
    third, again = store.hit("caller", rate), store.hit("caller", rate)

    assert [w.is_taken for w in (first, second, refused, third, again)] == [
        True,
        True,
        False,
        True,
        False,
    ]
    assert (first.reset_s, refused.reset_s, again.reset_s) == (10, 6, 4)
    assert store.hold("model", 5.0) == 0.0
    assert store.read("tokens") == 0


def test_memory_forgets_callers_who_are_gone(clock: Clock) -> None:
    store = MemoryLimitStore(clock)
    sizes = []

    tracemalloc.start()
    try:
        for n in range(1, 8001):
            store.hit(f"caller {n}", TEN)
            store.hold(f"caller {n}", 1.0)
            store.add(f"caller {n}", 1, 1)
            clock.now += 1
            if n in (1000, 8000):  # before anything is forgotten, and long after
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()

    assert sizes[1] < 3 * sizes[0]


def test_an_outage_is_told_once_and_costs_no_time(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store = RedisLimitStore(f"redis://:secret@127.0.0.1:{free_port()}/0", clock)

    with caplog.at_level(logging.INFO), Delays() as machine:
        began = time.monotonic()
        for call in (
            lambda: store.hit("a", TEN),
            lambda: store.read("a"),
            lambda: store.release("a", "b"),
        ):
            with pytest.raises(StorageUnavailable):
                call()
        took_s = time.monotonic() - began

    assert took_s - machine.total_s < 1.0
    assert [record.getMessage() for record in caplog.records] == ["redis.unavailable"]
    assert "secret" not in caplog.text


def test_the_end_of_an_outage_is_noticed(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with redis_server() as server:
        store = RedisLimitStore(server.url, clock)
        assert store.hit("a", TEN).remaining == 9
        server.stop()
        with pytest.raises(StorageUnavailable):
            store.hit("a", TEN)
        server.start()
        with pytest.raises(StorageUnavailable):  # at once: nobody waits for what is away
            store.hit("a", TEN)
        clock.now += 1.5

        with caplog.at_level(logging.INFO):
            status = store.hit("a", TEN)

    assert status.remaining == 9
    [told] = [record for record in caplog.records if record.getMessage() == "redis.available"]
    assert told.away_s == 1.5  # type: ignore[attr-defined]


def test_a_redis_that_refuses_to_count_is_away_until_it_counts(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a failover: it is a replica now, and still answers what is read."""
    with redis_server() as server:
        store = RedisLimitStore(server.url, clock)
        assert store.add_below("day", 1, 10, 60)
        server.ask("REPLICAOF", "127.0.0.1", str(free_port()))

        with caplog.at_level(logging.INFO):
            for _ in range(5):
                clock.now += RETRY_AFTER_S
                for call in (
                    lambda: store.add_below("day", 1, 10, 60),
                    lambda: store.read("day"),
                ):
                    with pytest.raises(StorageUnavailable):
                        call()
            server.ask("REPLICAOF", "NO", "ONE")
            clock.now += RETRY_AFTER_S
            assert store.add_below("day", 1, 10, 60)

        assert store.read("day") == 2
    assert caplog.messages == ["redis.unavailable", "redis.available"]


@pytest.mark.parametrize("is_connected", [True, False])
def test_a_redis_that_says_nothing_is_waited_for_a_second_and_then_left_alone(
    clock: Clock, is_connected: bool
) -> None:
    with redis_server() as server:
        store = RedisLimitStore(server.url, clock)
        if is_connected:
            store.hit("a", TEN)
        server.pause()
        with Delays() as machine:
            began = time.monotonic()
            for _ in range(10):
                with pytest.raises(StorageUnavailable):
                    store.hit("a", TEN)
                clock.now += 0.45
            took_s = time.monotonic() - began
        server.resume()
        clock.now += 1

        assert took_s - machine.total_s < 1.5
        assert store.hit("a", TEN).is_taken
