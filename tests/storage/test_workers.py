"""One worker holds a lease; when it dies or releases it, another acquires it."""

from __future__ import annotations

import os

import pytest

from gbproxy.storage.database import Database
from gbproxy.storage.workers import LeaderLeases, WorkerId, WorkerRegistry
from tests.support.clock import Clock


@pytest.fixture
def ours(database: Database, clock: Clock) -> LeaderLeases:
    return LeaderLeases(database, clock, lambda: "worker-1")


@pytest.fixture
def theirs(database: Database, clock: Clock) -> LeaderLeases:
    return LeaderLeases(database, clock, lambda: "worker-2")


def test_a_lease_is_held_by_one_worker(ours: LeaderLeases, theirs: LeaderLeases) -> None:
    held = [ours.acquire("leader", 5), theirs.acquire("leader", 5), theirs.acquire("other", 5)]

    assert held == [True, False, True]


def test_a_lease_is_renewed_by_acquiring_it_again(
    ours: LeaderLeases, theirs: LeaderLeases, clock: Clock
) -> None:
    ours.acquire("leader", 5)
    clock.now += 4

    assert ours.acquire("leader", 5)

    clock.now += 4
    assert not theirs.acquire("leader", 5)


def test_a_lease_whose_holder_is_silent_is_free(
    ours: LeaderLeases, theirs: LeaderLeases, clock: Clock
) -> None:
    ours.acquire("leader", 5)
    clock.now += 5

    assert theirs.acquire("leader", 5)
    assert not ours.acquire("leader", 5)


def test_a_lease_that_is_released_is_free_at_once(ours: LeaderLeases, theirs: LeaderLeases) -> None:
    ours.acquire("leader", 5)

    theirs.release("leader")
    still = theirs.acquire("leader", 5)
    ours.release("leader")

    assert not still
    assert theirs.acquire("leader", 5)


def test_each_worker_s_last_heartbeat_is_known(database: Database, clock: Clock) -> None:
    one, two = (
        WorkerRegistry(database, clock, lambda name=name: name) for name in ("worker-1", "worker-2")
    )
    one.heartbeat()
    clock.now += 10
    two.heartbeat()
    two.heartbeat()

    assert two.heartbeats() == {"worker-1": clock() - 10, "worker-2": clock()}


def test_a_worker_that_deregisters_or_is_dead_is_removed(database: Database, clock: Clock) -> None:
    names = ("worker-1", "worker-2", "worker-3")
    one, two, three = (WorkerRegistry(database, clock, lambda name=name: name) for name in names)
    one.heartbeat()
    clock.now += 100
    two.heartbeat()
    three.heartbeat()

    two.deregister()

    three.remove(["worker-1"])
    assert three.heartbeats() == {"worker-3": clock()}


def test_each_process_has_a_name_of_its_own() -> None:
    worker_id = WorkerId()
    ours = worker_id()
    reader, writer = os.pipe()

    child = os.fork()
    if child == 0:
        os.write(writer, worker_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reader, 100).decode()
    os.close(reader)
    os.close(writer)

    assert worker_id() == ours
    assert len(ours) == len(theirs) == 32
    assert ours != theirs


def test_answers_that_run_in_other_workers_are_summed(database: Database, clock: Clock) -> None:
    one, two, three = (
        WorkerRegistry(database, clock, lambda name=name: name)
        for name in ("worker-1", "worker-2", "worker-3")
    )
    one.heartbeat({"anna": 2, "ben": 1})
    clock.now += 4
    two.heartbeat({"anna": 3})
    three.heartbeat()

    before = three.in_flight_elsewhere()
    from_one = one.in_flight_elsewhere()
    clock.now += 1
    after = three.in_flight_elsewhere()

    assert before == {"anna": 5, "ben": 1}
    assert from_one == {"anna": 3}
    assert after == {"anna": 3}  # who has not reported for so long may have died
