"""The round that every worker goes: each chore by itself, once per process, and nothing left behind
at the end.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import select

from gbproxy.accounts.health import AccountHealth
from gbproxy.accounts.pool import Pool
from gbproxy.background.executor import BackgroundExecutor
from gbproxy.background.leader import LeaderTasks
from gbproxy.background.loop import BackgroundLoop
from gbproxy.domain.account import Account
from gbproxy.domain.session import Session
from gbproxy.errors import QuotaExhausted, StorageUnavailable, UpstreamTimeout
from gbproxy.sessions.cleanup import SessionCleanup
from gbproxy.sessions.prewarmed import SessionPool
from gbproxy.storage.account_health import StateRows
from gbproxy.storage.leases import LeaderLeases, WorkerRegistry
from gbproxy.storage.sessions import SessionRows
from gbproxy.storage.tables import offices
from tests.support.background import (
    ONE,
    THEM,
    TWO,
    US,
    FragileDatabase,
    Hands,
    Upstream,
    accounts,
    doomed,
    kept,
    logged,
    session_rows,
)
from tests.support.clock import Clock
from tests.support.pools import pool, until

UNRECORDED = Session("no-row", ONE.account_key, "s/1", "")


class House:
    """A worker's sweeper over real records; by default rounds and jobs are the test's own, else
    they go `by_itself`.
    """

    def __init__(
        self,
        database: FragileDatabase,
        clock: Clock,
        crew: Any = None,
        *,
        hands: Any = None,
        by_itself: bool = False,
        uses: StateRows[AccountHealth] | None = None,
        **options: Any,
    ) -> None:
        self.database = database
        self.clock = clock
        self.upstream = Upstream()
        self.crew = crew or Hands()
        self.hands = hands or Hands()  # that delete
        self.pool: Pool = pool(ONE, TWO, clock=clock)  # type: ignore[arg-type]
        self.rows: SessionRows = session_rows(database, clock)
        self.uses = uses or StateRows(database, clock, AccountHealth)
        self.workers = WorkerRegistry(database, clock, lambda: US)
        self.offices = LeaderLeases(database, clock, lambda: US)
        self.others = session_rows(database, clock, THEM)
        deletions = SessionCleanup(
            self.rows, self.upstream.delete_session, accounts, self.hands, clock=clock
        )
        self.stock = SessionPool(
            self.rows, self.upstream.open_session, self.crew.put, deletions.discard, clock=clock
        )
        office = LeaderTasks(
            self.offices,
            self.workers,
            self.rows,
            self.pool,
            deletions,
            self.crew,
            refresh_token=lambda account, age_s: False,
            probe=lambda account: None,
            clock=clock,
            monotonic=clock,
        )
        self.sweeper = BackgroundLoop(
            self.rows,
            self.workers,
            self.uses,
            self.pool,
            self.stock,
            deletions,
            office,
            self.crew,
            clock=clock,
            **{"take_over": (), "warm": lambda accounts: None, **options},
        )
        if not by_itself:
            self.sweeper._stopping.set()  # no thread of its own: it would go round in between

    def round(self) -> None:
        self.sweeper.round()
        self.crew.work()
        self.hands.work()

    @property
    def recorded(self) -> list[str]:
        return [session.name for session in self.rows.all_sessions(1000)]

    @property
    def in_stock(self) -> list[str]:
        return [session.name for session in self.rows.stock_of(US)]


@pytest.fixture
def house(database: FragileDatabase, clock: Clock) -> House:
    return House(database, clock)


@pytest.fixture
def houses(database: FragileDatabase, clock: Clock) -> Iterator[Callable[..., House]]:
    """Makes houses with real crews, which are closed after the test."""
    made: list[House] = []

    def make(**options: Any) -> House:
        made.append(
            House(
                database,
                clock,
                BackgroundExecutor(),
                hands=BackgroundExecutor(),
                by_itself=True,
                **options,
            )
        )
        return made[-1]

    yield make
    for each in made:
        each.upstream.go_on.set()
        each.sweeper.close(within_s=10)


# A round


def test_each_round_says_that_the_worker_is_alive(house: House) -> None:
    house.round()
    house.clock.now += 10
    house.round()

    assert house.workers.all() == {US: house.clock.now}


def test_accounts_that_requests_have_used_get_stock(house: House) -> None:
    house.round()
    before = house.upstream.opened

    house.sweeper.note_use("one")
    house.round()

    assert (before, house.in_stock) == (0, ["one/1", "one/2"])
    session = house.sweeper.take(ONE)
    assert session is not None
    assert session.name == "one/1"


def test_uses_by_other_workers_count_too(house: House) -> None:
    house.uses.used(["two"], house.clock.now)

    house.round()

    assert house.in_stock == ["two/1", "two/2"]


def test_an_arriving_request_is_noted_for_all_workers_and_makes_no_stock_by_itself(
    house: House,
) -> None:
    house.sweeper.note_use()

    house.round()

    assert house.uses.uses()[""].last_used_at == house.clock.now
    assert house.in_stock == []


def test_ten_minutes_after_its_last_use_an_account_s_stock_is_deleted(house: House) -> None:
    house.sweeper.note_use("one")
    house.round()

    house.clock.now += 599
    house.round()
    before = list(house.upstream.deleted)
    house.clock.now += 1
    house.round()
    house.round()

    assert (before, sorted(house.upstream.deleted)) == ([], ["one/1", "one/2"])
    assert house.recorded == []


def test_an_account_that_is_cooling_gets_no_stock(house: House) -> None:
    house.pool.failed(ONE, "text", QuotaExhausted("empty"))
    house.sweeper.note_use("one")
    house.sweeper.note_use("two")

    house.round()

    assert house.in_stock == ["two/1", "two/2"]


def test_distrusted_stock_is_not_used(house: House) -> None:
    house.sweeper.note_use("one")
    house.round()

    house.sweeper.distrust(ONE)

    assert house.sweeper.take(ONE) is None


def test_what_was_discarded_and_what_is_doomed_is_deleted(house: House) -> None:
    house.sweeper.discard(UNRECORDED)
    doomed(house.rows, "s/2")

    house.round()

    assert house.upstream.deleted == ["s/1", "s/2"]


def test_what_this_worker_holds_and_does_not_know_of_is_deleted(house: House) -> None:
    """As after a request that was ended while its session was being recorded."""
    session_rows(house.database, house.clock).add(ONE.account_key, "s/1", stock=False)

    house.clock.now += 61
    house.round()

    assert house.upstream.deleted == ["s/1"]


def test_what_a_worker_held_that_is_known_to_have_died_is_free_as_soon_as_the_database_can_be_told(
    house: House, database: FragileDatabase, clock: Clock
) -> None:
    WorkerRegistry(database, clock, lambda: THEM).touch()
    assert LeaderLeases(database, clock, lambda: THEM).take("office", 60.0)
    house.others.add(ONE.account_key, "s/1", stock=False)
    house.sweeper.note_dead([THEM])

    database.away = True
    house.round()
    database.away = False
    house.round()

    assert house.upstream.deleted == ["s/1"]
    assert list(house.workers.all()) == [US]
    assert house.offices.take("office", 60.0)


def test_what_others_have_learnt_is_taken_over_in_each_round(
    database: FragileDatabase, clock: Clock
) -> None:
    taken: list[str] = []
    house = House(
        database, clock, take_over=[lambda: taken.append("states"), lambda: taken.append("tokens")]
    )

    house.round()
    house.round()

    assert taken == ["states", "tokens"] * 2


def fails_with(error: Exception) -> Callable[[], None]:
    def chore() -> None:
        raise error

    return chore


@pytest.mark.parametrize("error", [RuntimeError("a bug"), StorageUnavailable("away")], ids=repr)
def test_a_chore_that_fails_stops_no_other(
    database: FragileDatabase, clock: Clock, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []
    house = House(database, clock, take_over=[fails_with(error), lambda: done.append("second")])
    house.sweeper.note_use("one")
    doomed(house.rows, "s/1")

    with caplog.at_level(logging.DEBUG, "gbproxy"):
        house.round()

    assert done == ["second"]
    assert (house.in_stock, house.upstream.deleted) == (["one/1", "one/2"], ["s/1"])
    # An outage is in the database's own log already.
    assert len(logged(caplog, "sweeper.failed")) == isinstance(error, RuntimeError)


def test_uses_are_remembered_while_storage_is_away(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.database.away = True
    house.sweeper.note_use("one")
    with caplog.at_level(logging.DEBUG, "gbproxy"):
        house.round()
        house.round()
    house.database.away = False

    house.round()

    assert logged(caplog, "sweeper.failed") == []
    assert house.in_stock == ["one/1", "one/2"]


def test_uses_that_could_not_be_told_are_told_in_the_next_round(
    database: FragileDatabase, clock: Clock
) -> None:
    class Uses(StateRows[AccountHealth]):
        fails = 1

        def used(self, account_ids: Collection[str], at: float) -> None:
            if self.fails:
                self.fails -= 1
                raise StorageUnavailable("away for a moment")
            super().used(account_ids, at)

    house = House(database, clock, uses=Uses(database, clock, AccountHealth))
    house.sweeper.note_use("one")
    house.round()
    house.sweeper.note_use("two")

    house.round()

    assert house.uses.uses().keys() == {"one", "two"}


# Connections


class Warmed:
    """Counts how often connections were looked after."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, accounts: Collection[Account]) -> None:
        assert [account.id for account in accounts] == ["one"]
        self.times += 1


def test_connections_are_kept_warm_while_accounts_are_in_use(
    database: FragileDatabase, clock: Clock
) -> None:
    warm = Warmed()
    house = House(database, clock, warm=warm)
    house.round()
    unused = warm.times

    house.sweeper.note_use("one")
    for _ in range(3):
        house.round()
    used = warm.times
    clock.now += 600
    house.round()

    assert (unused, used, warm.times) == (0, 3, 3)


def test_connections_are_kept_warm_while_storage_is_away(
    database: FragileDatabase, clock: Clock
) -> None:
    warm = Warmed()
    house = House(database, clock, warm=warm)
    house.sweeper.note_use("one")
    house.round()

    database.away = True
    house.round()

    assert warm.times == 2


def test_a_connection_that_takes_its_time_is_not_opened_twice(
    database: FragileDatabase, clock: Clock
) -> None:
    warm = Warmed()
    house = House(database, clock, warm=warm)
    house.sweeper.note_use("one")

    for _ in range(3):
        house.sweeper.round()
    house.crew.work()

    assert warm.times == 1


@pytest.mark.parametrize("room", [0, 1000])
def test_connections_are_looked_after_again_whatever_came_of_it(
    database: FragileDatabase, clock: Clock, room: int
) -> None:
    warm = Warmed()
    house = House(
        database, clock, warm=lambda accounts: (warm(accounts), fails_with(RuntimeError("a bug"))())
    )
    house.sweeper.note_use("one")
    house.crew.room = room
    with suppress(RuntimeError):
        house.round()
    house.crew.room = 1000
    before = warm.times

    with suppress(RuntimeError):
        house.round()

    assert warm.times == before + 1


class QuickHands(Hands):
    """Has done a job before whoever puts it down goes on."""

    def put(self, job: Callable[[], None]) -> bool:
        return super().put(job) and self.work() > 0


def test_connections_are_looked_after_again_when_that_was_quick(
    database: FragileDatabase, clock: Clock
) -> None:
    warm = Warmed()
    house = House(database, clock, QuickHands(), warm=warm)
    house.sweeper.note_use("one")

    house.sweeper.round()
    house.sweeper.round()

    assert warm.times == 2


# Its thread


def threads_of(sweeper: BackgroundLoop) -> list[threading.Thread]:
    return [
        thread
        for thread in threading.enumerate()
        if getattr(thread, "_target", None) == sweeper._go_round
    ]


def test_it_goes_round_by_itself_from_the_first_request_on(houses: Callable[..., House]) -> None:
    house = houses()
    before = threads_of(house.sweeper)

    house.sweeper.note_use("one")

    until(lambda: len(house.in_stock) == 2)
    assert before == []


def test_it_is_started_once_in_a_process(houses: Callable[..., House]) -> None:
    house = houses()

    for _ in range(3):
        house.sweeper.start()
        house.sweeper.note_use()

    assert len(threads_of(house.sweeper)) == 1


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_that_was_forked_has_a_thread_of_its_own(houses: Callable[..., House]) -> None:
    house = houses()
    house.sweeper.start()
    reader, writer = os.pipe()

    child = os.fork()
    if child == 0:
        try:
            before = len(threads_of(house.sweeper))
            house.sweeper.note_use()
            os.write(writer, b"%d %d" % (before, len(threads_of(house.sweeper))))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    found = os.read(reader, 10)
    os.close(reader)
    os.close(writer)

    assert found == b"0 1"


@pytest.mark.parametrize("started", [False, True])
def test_after_the_end_it_is_not_started_again(houses: Callable[..., House], started: bool) -> None:
    house = houses()
    if started:
        house.sweeper.start()

    house.sweeper.close()
    house.sweeper.start()
    house.sweeper.note_use("one")

    assert threads_of(house.sweeper) == []


# The end


def filled(house: House) -> House:
    """With two sessions in stock, one that may be continued, one that is to be deleted, and one of
    another worker's.
    """
    house.sweeper.note_use("one")
    house.round()
    kept(house.rows, "s/kept", expires_at=house.clock.now + 1000)
    doomed(house.rows, "s/doomed")
    house.workers.touch()
    WorkerRegistry(house.database, house.clock, lambda: THEM).touch()
    house.others.add(TWO.account_key, "s/theirs", stock=True)
    return house


def test_at_the_end_this_workers_stock_is_deleted_and_conversations_stay(house: House) -> None:
    filled(house).sweeper.close()

    assert sorted(house.upstream.deleted) == ["one/1", "one/2"]
    assert sorted(house.recorded) == ["s/doomed", "s/kept", "s/theirs"]


def test_at_the_end_for_good_every_session_is_deleted(house: House) -> None:
    filled(house).sweeper.close(for_good=True)

    assert sorted(house.upstream.deleted) == ["one/1", "one/2", "s/doomed", "s/kept", "s/theirs"]
    assert house.recorded == []


def test_at_the_end_the_office_and_what_this_worker_holds_are_free_for_others(house: House) -> None:
    filled(house)
    running = house.rows.add(ONE.account_key, "s/running", stock=False)

    house.sweeper.close()

    assert house.database.fetch(select(offices)) == []
    assert house.workers.all().keys() == {THEM}
    house.others.orphans({US})
    assert running.id in {
        session.id for session in house.others.doomed(10, [ONE.account_key, TWO.account_key])
    }


class StoicHands(Hands):
    """As a crew does, goes on with the next job when one has failed."""

    def work(self) -> int:
        count = 0
        while self.waiting:
            count += 1
            with suppress(StorageUnavailable):
                self.waiting.popleft()()
        return count


def test_at_the_end_stock_is_deleted_though_storage_is_away(
    database: FragileDatabase, clock: Clock
) -> None:
    house = filled(House(database, clock, hands=StoicHands()))

    database.away = True
    house.sweeper.close(for_good=True)

    assert sorted(house.upstream.deleted) == ["one/1", "one/2"]


def test_at_the_end_no_stock_is_handed_out_or_made(house: House) -> None:
    filled(house).sweeper.close()

    assert house.sweeper.take(ONE) is None
    assert house.upstream.opened == 2


def test_the_end_takes_no_longer_than_it_may_and_says_that_something_is_left(
    houses: Callable[..., House], caplog: pytest.LogCaptureFixture
) -> None:
    house = houses()
    house.sweeper.start()
    for number in range(20):
        kept(house.rows, f"s/{number}", expires_at=house.clock.now + 1000)
    house.upstream.go_on.clear()

    started = time.monotonic()
    with caplog.at_level(logging.WARNING, "gbproxy"):
        house.sweeper.close(for_good=True, within_s=0.3)

    assert time.monotonic() - started < 1
    [left] = logged(caplog, "session.left")
    assert (left.sessions, left.reason) == (20, "shutdown")
    house.upstream.go_on.set()


def test_the_end_of_a_sweeper_that_never_worked_is_quick(houses: Callable[..., House]) -> None:
    house = houses()

    started = time.monotonic()
    house.sweeper.close(within_s=30)

    assert time.monotonic() - started < 1


def test_at_the_end_many_sessions_are_deleted_at_once(houses: Callable[..., House]) -> None:
    house = houses()
    for number in range(50):
        kept(house.rows, f"s/{number}", expires_at=house.clock.now + 1000)

    house.sweeper.close(for_good=True, within_s=10)

    assert len(house.upstream.deleted) == 50
    assert len(house.upstream.threads) > 1


@pytest.mark.parametrize("for_good", [False, True])
def test_a_session_that_is_being_made_at_the_end_is_not_left_upstream(
    houses: Callable[..., House], for_good: bool
) -> None:
    house = houses()
    house.upstream.go_on.clear()
    house.sweeper.take(ONE)
    assert house.upstream.wait_for(lambda upstream: upstream.opened == 2)

    ending = threading.Thread(target=lambda: house.sweeper.close(for_good=for_good, within_s=10))
    ending.start()
    until(lambda: not house.crew.put(lambda: None))  # it has been told to end
    house.upstream.go_on.set()
    ending.join(10)

    assert house.upstream.sessions == []


def test_the_end_does_not_wait_out_the_pause_between_tries(houses: Callable[..., House]) -> None:
    house = houses()
    house.upstream.fails = lambda session, nth: UpstreamTimeout("silent")
    house.sweeper.discard(UNRECORDED)
    assert house.upstream.wait_for(lambda upstream: upstream.tried)

    started = time.monotonic()
    house.sweeper.close(within_s=30)

    assert time.monotonic() - started < 5


def test_a_deletion_without_a_record_is_tried_again_in_later_rounds(house: House) -> None:
    house.upstream.fails = lambda session, nth: UpstreamTimeout("silent") if nth == 1 else None
    house.sweeper.discard(UNRECORDED)
    house.round()

    house.clock.now += 1
    house.round()

    assert (house.upstream.tried, house.upstream.deleted) == (["s/1", "s/1"], ["s/1"])


def test_slow_deletions_keep_no_stock_from_being_made(houses: Callable[..., House]) -> None:
    house = houses()
    house.upstream.slow = True
    house.upstream.go_on.clear()
    for number in range(40):
        house.sweeper.discard(Session(f"no-row-{number}", ONE.account_key, f"s/{number}", ""))
    assert house.upstream.wait_for(lambda upstream: len(upstream.tried) >= 8)

    taken = house.sweeper.take(ONE)  # none, unless one is there already

    until(lambda: len(house.in_stock) == (2 if taken is None else 3))


# Several workers that end one after the other


def test_who_does_not_end_last_hands_its_stock_on_to_who_does(house: House) -> None:
    filled(house).sweeper.close(hands_on=True)

    assert house.upstream.deleted == []
    assert {
        session.name for session in house.others.doomed(10, [ONE.account_key, TWO.account_key])
    } == {
        "one/1",
        "one/2",
        "s/doomed",
    }
    assert "s/kept" in house.recorded


# The beginning


def test_before_it_serves_a_worker_has_reported_and_knows_what_the_others_have_learnt(
    houses: Callable[..., House],
) -> None:
    taken: list[str] = []
    house = houses(take_over=[lambda: taken.append("states")])

    house.sweeper.start()

    assert taken[:1] == ["states"]
    assert house.workers.all().keys() == {US}


def test_a_worker_begins_though_storage_is_away(houses: Callable[..., House]) -> None:
    house = houses()
    house.database.away = True

    house.sweeper.start()

    assert len(threads_of(house.sweeper)) == 1
