"""One worker holds an office; when it dies or leaves, another takes over."""

from __future__ import annotations

import os

import pytest

from gbproxy.storage.database import Database
from gbproxy.storage.leases import LeaderLeases, WorkerId, WorkerRegistry
from tests.support.clock import Clock


@pytest.fixture
def ours(database: Database, clock: Clock) -> LeaderLeases:
    return LeaderLeases(database, clock, lambda: "worker-1")


@pytest.fixture
def theirs(database: Database, clock: Clock) -> LeaderLeases:
    return LeaderLeases(database, clock, lambda: "worker-2")


def test_an_office_is_held_by_one_worker(ours: LeaderLeases, theirs: LeaderLeases) -> None:
    taken = [ours.take("sweeper", 5), theirs.take("sweeper", 5), theirs.take("other", 5)]

    assert taken == [True, False, True]
    assert (ours.holder("sweeper"), ours.holder("other"), ours.holder("none")) == (
        "worker-1",
        "worker-2",
        None,
    )


def test_an_office_is_kept_by_taking_it_again(
    ours: LeaderLeases, theirs: LeaderLeases, clock: Clock
) -> None:
    ours.take("sweeper", 5)
    clock.now += 4

    assert ours.take("sweeper", 5)

    clock.now += 4
    assert not theirs.take("sweeper", 5)


def test_an_office_whose_holder_is_silent_is_free(
    ours: LeaderLeases, theirs: LeaderLeases, clock: Clock
) -> None:
    ours.take("sweeper", 5)
    clock.now += 5

    assert ours.holder("sweeper") is None
    assert theirs.take("sweeper", 5)
    assert not ours.take("sweeper", 5)


def test_an_office_that_is_given_up_is_free_at_once(
    ours: LeaderLeases, theirs: LeaderLeases
) -> None:
    ours.take("sweeper", 5)

    theirs.give_up("sweeper")
    still = ours.holder("sweeper")
    ours.give_up("sweeper")

    assert still == "worker-1"
    assert theirs.take("sweeper", 5)


def test_when_each_worker_has_last_said_that_it_is_alive_is_known(
    database: Database, clock: Clock
) -> None:
    one, two = (
        WorkerRegistry(database, clock, lambda name=name: name) for name in ("worker-1", "worker-2")
    )
    one.touch()
    clock.now += 10
    two.touch()
    two.touch()

    assert two.all() == {"worker-1": clock() - 10, "worker-2": clock()}


def test_a_worker_that_leaves_or_is_dead_is_forgotten(database: Database, clock: Clock) -> None:
    names = ("worker-1", "worker-2", "worker-3")
    one, two, three = (WorkerRegistry(database, clock, lambda name=name: name) for name in names)
    one.touch()
    clock.now += 100
    two.touch()
    three.touch()

    two.leave()

    three.forget(["worker-1"])
    assert three.all() == {"worker-3": clock()}


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
    one.touch({"anna": 2, "ben": 1})
    clock.now += 4
    two.touch({"anna": 3})
    three.touch()

    before = three.in_flight_elsewhere()
    from_one = one.in_flight_elsewhere()
    clock.now += 1
    after = three.in_flight_elsewhere()

    assert before == {"anna": 5, "ben": 1}
    assert from_one == {"anna": 3}
    assert after == {"anna": 3}  # who has not reported for so long may have died
