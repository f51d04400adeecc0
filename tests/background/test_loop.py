"""The loop of each worker: each task by itself, one thread in a process, and nothing left behind at
the end.
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
from gbproxy.storage.account_health import AccountHealthRows
from gbproxy.storage.sessions import SessionRows
from gbproxy.storage.tables import leases
from gbproxy.storage.workers import LeaderLeases, WorkerRegistry
from tests.support.background import (
    ONE,
    THEM,
    TWO,
    US,
    FragileDatabase,
    ManualExecutor,
    Upstream,
    accounts,
    kept,
    logged,
    marked,
    prewarmed,
    session_rows,
)
from tests.support.clock import Clock
from tests.support.delays import Delays
from tests.support.polling import until
from tests.support.pools import pool

UNRECORDED = Session("no-row", ONE.account_key, "s/1", "")


class Harness:
    """A worker's loop over real records; unless `has_thread`, the test runs it, and its jobs."""

    def __init__(
        self,
        database: FragileDatabase,
        clock: Clock,
        executor: Any = None,
        *,
        deletion_executor: Any = None,
        has_thread: bool = False,
        uses: AccountHealthRows[AccountHealth] | None = None,
        **options: Any,
    ) -> None:
        self.database = database
        self.clock = clock
        self._has_thread = has_thread
        self.upstream = Upstream()
        self.threads: list[threading.Thread] = []  # which the loop has asked for
        self.executor = executor or ManualExecutor()
        self.deletion_executor = deletion_executor or ManualExecutor()
        self.pool: Pool = pool(ONE, TWO, clock=clock)  # type: ignore[arg-type]
        self.rows: SessionRows = session_rows(database, clock)
        self.uses = uses or AccountHealthRows(database, clock, AccountHealth)
        self.workers = WorkerRegistry(database, clock, lambda: US)
        self.leases = LeaderLeases(database, clock, lambda: US)
        self.others = session_rows(database, clock, THEM)
        self.cleanup = SessionCleanup(
            self.rows, self.upstream.delete_session, accounts, self.deletion_executor, clock=clock
        )
        self.sessions = SessionPool(
            self.rows,
            self.upstream.open_session,
            self.executor.submit,
            self.cleanup.delete_unrecorded,
            clock=clock,
        )
        leader = LeaderTasks(
            self.leases,
            self.workers,
            self.rows,
            self.pool,
            self.cleanup,
            self.executor,
            refresh_token=lambda account, age_s: False,
            probe=lambda account: None,
            claim_probe=lambda account_key, every_s: True,
            clock=clock,
            monotonic=clock,
        )
        self.loop = BackgroundLoop(
            self.rows,
            self.workers,
            self.uses,
            self.pool,
            self.sessions,
            self.cleanup,
            leader,
            self.executor,
            clock=clock,
            start_thread=self._start_thread,
            **{"sync": (), "keep_warm": lambda accounts: None, **options},
        )

    def _start_thread(self, run: Callable[[], None]) -> threading.Thread | None:
        self.threads.append(threading.Thread(target=run, daemon=True))
        if not self._has_thread:
            return None
        self.threads[-1].start()
        return self.threads[-1]

    def run(self) -> None:
        self.loop.run_once()
        self.executor.run_all()
        self.deletion_executor.run_all()

    @property
    def recorded(self) -> list[str]:
        return [session.name for session in self.rows.all_sessions(1000)]

    @property
    def prewarmed(self) -> list[str]:
        return prewarmed(self.database)


@pytest.fixture
def harness(database: FragileDatabase, clock: Clock) -> Harness:
    return Harness(database, clock)


@pytest.fixture
def harnesses(database: FragileDatabase, clock: Clock) -> Iterator[Callable[..., Harness]]:
    """Makes harnesses with real executors, which are closed after the test."""
    made: list[Harness] = []

    def make(**options: Any) -> Harness:
        made.append(
            Harness(
                database,
                clock,
                BackgroundExecutor(),
                deletion_executor=BackgroundExecutor(),
                has_thread=True,
                **options,
            )
        )
        return made[-1]

    yield make
    for each in made:
        each.upstream.go_on.set()
        each.loop.close(within_s=10)


# A run


def test_each_run_says_that_the_worker_is_alive(harness: Harness) -> None:
    harness.run()
    harness.clock.now += 10
    harness.run()

    assert harness.workers.heartbeats() == {US: harness.clock.now}


def test_accounts_that_requests_have_used_get_sessions(harness: Harness) -> None:
    harness.run()
    before = harness.upstream.opened

    harness.loop.record_activity("one")
    harness.run()

    assert (before, harness.prewarmed) == (0, ["one/1", "one/2"])
    session = harness.sessions.take(ONE)
    assert session is not None
    assert session.name == "one/1"


def test_uses_by_other_workers_are_looked_for_each_two_seconds(harness: Harness) -> None:
    harness.run()
    harness.uses.used(["two"], harness.clock.now)
    harness.run()
    seen_at_once = harness.prewarmed

    harness.clock.now += 2
    harness.run()

    assert (seen_at_once, harness.prewarmed) == ([], ["two/1", "two/2"])


def test_uses_by_other_workers_count_too(harness: Harness) -> None:
    harness.uses.used(["two"], harness.clock.now)

    harness.run()

    assert harness.prewarmed == ["two/1", "two/2"]


def test_an_arriving_request_is_noted_for_all_workers_and_opens_no_session_by_itself(
    harness: Harness,
) -> None:
    harness.loop.record_activity()

    harness.run()

    assert harness.uses.uses()[""].last_used_at == harness.clock.now
    assert harness.prewarmed == []


def test_ten_minutes_after_its_last_use_an_account_s_unused_sessions_are_deleted(
    harness: Harness,
) -> None:
    harness.loop.record_activity("one")
    harness.run()

    harness.clock.now += 599
    harness.run()
    before = list(harness.upstream.deleted)
    harness.clock.now += 1
    harness.run()
    harness.run()

    assert (before, sorted(harness.upstream.deleted)) == ([], ["one/1", "one/2"])
    assert harness.recorded == []


def test_an_account_that_is_cooling_gets_no_sessions(harness: Harness) -> None:
    harness.pool.failed(ONE, "text", QuotaExhausted("empty"))
    harness.loop.record_activity("one")
    harness.loop.record_activity("two")

    harness.run()

    assert harness.prewarmed == ["two/1", "two/2"]


def test_invalidated_sessions_are_not_used(harness: Harness) -> None:
    harness.loop.record_activity("one")
    harness.run()

    harness.sessions.invalidate(ONE)

    assert harness.sessions.take(ONE) is None


def test_what_has_no_record_and_what_is_marked_is_deleted(harness: Harness) -> None:
    harness.cleanup.delete_unrecorded(UNRECORDED)
    marked(harness.rows, "s/2")

    harness.run()

    assert harness.upstream.deleted == ["s/1", "s/2"]


def test_what_this_worker_holds_and_does_not_know_of_is_deleted(harness: Harness) -> None:
    """As after a request that was ended while its session was being recorded."""
    session_rows(harness.database, harness.clock).add(ONE.account_key, "s/1", prewarmed=False)

    harness.clock.now += 61
    harness.run()

    assert harness.upstream.deleted == ["s/1"]


def test_what_a_worker_held_that_is_known_to_have_died_is_free_as_soon_as_the_database_can_be_told(
    harness: Harness, database: FragileDatabase, clock: Clock
) -> None:
    WorkerRegistry(database, clock, lambda: THEM).heartbeat()
    assert LeaderLeases(database, clock, lambda: THEM).acquire("leader", 60.0)
    harness.others.add(ONE.account_key, "s/1", prewarmed=False)
    harness.loop.note_dead([THEM])

    database.away = True
    harness.run()
    database.away = False
    harness.run()

    assert harness.upstream.deleted == ["s/1"]
    assert list(harness.workers.heartbeats()) == [US]
    assert harness.leases.acquire("leader", 60.0)


def test_what_others_have_learnt_is_taken_over_in_each_run(
    database: FragileDatabase, clock: Clock
) -> None:
    taken: list[str] = []
    harness = Harness(
        database, clock, sync=[lambda: taken.append("states"), lambda: taken.append("tokens")]
    )

    harness.run()
    harness.run()

    assert taken == ["states", "tokens"] * 2


def fails_with(error: Exception) -> Callable[[], None]:
    def task() -> None:
        raise error

    return task


@pytest.mark.parametrize("error", [RuntimeError("a bug"), StorageUnavailable("away")], ids=repr)
def test_a_task_that_fails_stops_no_other(
    database: FragileDatabase, clock: Clock, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []
    harness = Harness(database, clock, sync=[fails_with(error), lambda: done.append("second")])
    harness.uses.used(["one"], harness.clock.now)
    marked(harness.rows, "s/1")

    with caplog.at_level(logging.DEBUG, "gbproxy"):
        harness.run()

    assert done == ["second"]
    assert (harness.prewarmed, harness.upstream.deleted) == (["one/1", "one/2"], ["s/1"])
    # An outage is in the database's own log already.
    assert len(logged(caplog, "sweeper.failed")) == isinstance(error, RuntimeError)


def test_uses_are_remembered_while_storage_is_away(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.database.away = True
    harness.loop.record_activity("one")
    with caplog.at_level(logging.DEBUG, "gbproxy"):
        harness.run()
        harness.run()
    harness.database.away = False

    harness.run()

    assert logged(caplog, "sweeper.failed") == []
    assert harness.prewarmed == ["one/1", "one/2"]


def test_uses_that_could_not_be_told_are_written_in_the_next_run(
    database: FragileDatabase, clock: Clock
) -> None:
    class Uses(AccountHealthRows[AccountHealth]):
        fails = 1

        def used(self, account_ids: Collection[str], at: float) -> None:
            if self.fails:
                self.fails -= 1
                raise StorageUnavailable("away for a moment")
            super().used(account_ids, at)

    harness = Harness(database, clock, uses=Uses(database, clock, AccountHealth))
    harness.loop.record_activity("one")
    harness.run()
    harness.loop.record_activity("two")

    harness.run()

    assert harness.uses.uses().keys() == {"one", "two"}


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
    harness = Harness(database, clock, keep_warm=warm)
    harness.run()
    unused = warm.times

    harness.loop.record_activity("one")
    for _ in range(3):
        harness.run()
    used = warm.times
    clock.now += 600
    harness.run()

    assert (unused, used, warm.times) == (0, 3, 3)


def test_connections_are_kept_warm_while_storage_is_away(
    database: FragileDatabase, clock: Clock
) -> None:
    warm = Warmed()
    harness = Harness(database, clock, keep_warm=warm)
    harness.loop.record_activity("one")
    harness.run()

    database.away = True
    harness.run()

    assert warm.times == 2


def test_a_connection_that_takes_its_time_is_not_opened_twice(
    database: FragileDatabase, clock: Clock
) -> None:
    warm = Warmed()
    harness = Harness(database, clock, keep_warm=warm)
    harness.loop.record_activity("one")

    for _ in range(3):
        harness.loop.run_once()
    harness.executor.run_all()

    assert warm.times == 1


@pytest.mark.parametrize("capacity", [0, 1000])
def test_connections_are_looked_after_again_whatever_came_of_it(
    database: FragileDatabase, clock: Clock, capacity: int
) -> None:
    warm = Warmed()
    harness = Harness(
        database,
        clock,
        keep_warm=lambda accounts: (warm(accounts), fails_with(RuntimeError("a bug"))()),
    )
    harness.loop.record_activity("one")
    harness.executor.capacity = capacity
    with suppress(RuntimeError):
        harness.run()
    harness.executor.capacity = 1000
    before = warm.times

    with suppress(RuntimeError):
        harness.run()

    assert warm.times == before + 1


class QuickExecutor(ManualExecutor):
    """Runs a job before `submit` returns."""

    def submit(self, job: Callable[[], None]) -> bool:
        return super().submit(job) and self.run_all() > 0


def test_connections_are_looked_after_again_when_that_was_quick(
    database: FragileDatabase, clock: Clock
) -> None:
    warm = Warmed()
    harness = Harness(database, clock, QuickExecutor(), keep_warm=warm)
    harness.loop.record_activity("one")

    harness.loop.run_once()
    harness.loop.run_once()

    assert warm.times == 2


# Its thread


def running(harness: Harness) -> int:
    """How many threads run this loop in this process."""
    return sum(thread.is_alive() for thread in harness.threads)


def test_it_runs_by_itself_from_the_first_request_on(harnesses: Callable[..., Harness]) -> None:
    harness = harnesses()
    before = running(harness)

    harness.loop.record_activity("one")

    until(lambda: len(harness.prewarmed) == 2)
    assert (before, running(harness)) == (0, 1)


def test_it_is_started_once_in_a_process(harnesses: Callable[..., Harness]) -> None:
    harness = harnesses()

    for _ in range(3):
        harness.loop.start()
        harness.loop.record_activity()

    assert running(harness) == 1


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_that_was_forked_has_a_thread_of_its_own(
    harnesses: Callable[..., Harness],
) -> None:
    parent, rests, go_on = os.getpid(), threading.Event(), threading.Event()

    def rest() -> None:
        """In a run of the parent's loop, so that it holds no lock while the child is made."""
        if os.getpid() == parent and threading.current_thread() is not threading.main_thread():
            rests.set()
            assert go_on.wait(30)

    harness = harnesses(sync=[rest])
    harness.loop.start()
    assert rests.wait(30)
    reader, writer = os.pipe()

    child = os.fork()
    if child == 0:
        try:
            before = running(harness)
            harness.loop.record_activity()
            os.write(writer, b"%d %d" % (before, running(harness)))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    go_on.set()
    found = os.read(reader, 10)
    os.close(reader)
    os.close(writer)

    assert found == b"0 1"


@pytest.mark.parametrize("started", [False, True])
def test_after_the_end_it_is_not_started_again(
    harnesses: Callable[..., Harness], started: bool
) -> None:
    harness = harnesses()
    if started:
        harness.loop.start()

    harness.loop.close()
    harness.loop.start()
    harness.loop.record_activity("one")

    assert running(harness) == 0


# The end


def filled(harness: Harness) -> Harness:
    """With two unused sessions, one that may be continued, one that is to be deleted, and one of
    another worker's.
    """
    harness.loop.record_activity("one")
    harness.run()
    kept(harness.rows, "s/kept", expires_at=harness.clock.now + 1000)
    marked(harness.rows, "s/marked")
    harness.workers.heartbeat()
    WorkerRegistry(harness.database, harness.clock, lambda: THEM).heartbeat()
    harness.others.add(TWO.account_key, "s/theirs", prewarmed=True)
    return harness


def test_at_the_end_this_workers_unused_sessions_are_deleted_and_conversations_stay(
    harness: Harness,
) -> None:
    filled(harness).loop.close()

    assert sorted(harness.upstream.deleted) == ["one/1", "one/2"]
    assert sorted(harness.recorded) == ["s/kept", "s/marked", "s/theirs"]


def test_at_the_end_for_good_every_session_is_deleted(harness: Harness) -> None:
    filled(harness).loop.close(for_good=True)

    assert sorted(harness.upstream.deleted) == ["one/1", "one/2", "s/kept", "s/marked", "s/theirs"]
    assert harness.recorded == []


def test_at_the_end_the_lease_and_what_this_worker_holds_are_free_for_others(
    harness: Harness,
) -> None:
    filled(harness)
    running = harness.rows.add(ONE.account_key, "s/running", prewarmed=False)

    harness.loop.close()

    assert harness.database.fetch(select(leases)) == []
    assert harness.workers.heartbeats().keys() == {THEM}
    harness.others.reclaim_orphans({US})
    assert running.id in {
        session.id
        for session in harness.others.due_deletions(10, [ONE.account_key, TWO.account_key])
    }


class StoicExecutor(ManualExecutor):
    """As a real executor does, goes on with the next job when one has failed."""

    def run_all(self) -> int:
        count = 0
        while self.waiting:
            count += 1
            with suppress(StorageUnavailable):
                self.waiting.popleft()()
        return count


def test_at_the_end_unused_sessions_are_deleted_though_storage_is_away(
    database: FragileDatabase, clock: Clock
) -> None:
    harness = filled(Harness(database, clock, deletion_executor=StoicExecutor()))

    database.away = True
    harness.loop.close(for_good=True)

    assert sorted(harness.upstream.deleted) == ["one/1", "one/2"]


def test_at_the_end_no_session_is_handed_out_or_opened(harness: Harness) -> None:
    filled(harness).loop.close()

    assert harness.sessions.take(ONE) is None
    assert harness.upstream.opened == 2


def test_the_end_takes_no_longer_than_it_may_and_says_that_something_is_left(
    harnesses: Callable[..., Harness], caplog: pytest.LogCaptureFixture
) -> None:
    harness = harnesses()
    harness.loop.start()
    for number in range(20):
        kept(harness.rows, f"s/{number}", expires_at=harness.clock.now + 1000)
    harness.upstream.go_on.clear()

    with caplog.at_level(logging.WARNING, "gbproxy"), Delays() as machine:
        started = time.monotonic()
        harness.loop.close(for_good=True, within_s=0.3)
        took_s = time.monotonic() - started

    assert took_s - machine.total_s < 1
    [left] = logged(caplog, "session.left")
    assert (left.sessions, left.reason) == (20, "shutdown")
    harness.upstream.go_on.set()


def test_the_end_of_a_loop_that_never_ran_is_quick(harnesses: Callable[..., Harness]) -> None:
    harness = harnesses()

    with Delays() as machine:
        started = time.monotonic()
        harness.loop.close(within_s=30)
        took_s = time.monotonic() - started

    assert took_s - machine.total_s < 1


def test_at_the_end_many_sessions_are_deleted_at_once(harnesses: Callable[..., Harness]) -> None:
    harness = harnesses()
    for number in range(50):
        kept(harness.rows, f"s/{number}", expires_at=harness.clock.now + 1000)

    harness.loop.close(for_good=True, within_s=40)

    assert len(harness.upstream.deleted) == 50
    assert len(harness.upstream.threads) > 1


@pytest.mark.parametrize("for_good", [False, True])
def test_a_session_that_is_being_made_at_the_end_is_not_left_upstream(
    harnesses: Callable[..., Harness], for_good: bool
) -> None:
    harness = harnesses()
    harness.upstream.go_on.clear()
    harness.sessions.take(ONE)
    assert harness.upstream.wait_for(lambda upstream: upstream.opened == 2)

    ending = threading.Thread(target=lambda: harness.loop.close(for_good=for_good, within_s=40))
    ending.start()
    until(lambda: not harness.executor.submit(lambda: None))  # it has been told to end
    harness.upstream.go_on.set()
    ending.join(40)

    assert harness.upstream.sessions == []


def test_the_end_does_not_wait_out_the_pause_between_tries(
    harnesses: Callable[..., Harness],
) -> None:
    harness = harnesses()
    harness.upstream.fails = lambda session, nth: UpstreamTimeout("silent")
    harness.cleanup.delete_unrecorded(UNRECORDED)
    assert harness.upstream.wait_for(lambda upstream: upstream.tried)

    with Delays() as machine:
        started = time.monotonic()
        harness.loop.close(within_s=30)
        took_s = time.monotonic() - started

    assert took_s - machine.total_s < 5


def test_a_deletion_without_a_record_is_tried_again_in_later_runs(harness: Harness) -> None:
    harness.upstream.fails = lambda session, nth: UpstreamTimeout("silent") if nth == 1 else None
    harness.cleanup.delete_unrecorded(UNRECORDED)
    harness.run()

    harness.clock.now += 1
    harness.run()

    assert (harness.upstream.tried, harness.upstream.deleted) == (["s/1", "s/1"], ["s/1"])


def test_slow_deletions_keep_no_session_from_being_opened(
    harnesses: Callable[..., Harness],
) -> None:
    harness = harnesses()
    harness.upstream.slow = True
    harness.upstream.go_on.clear()
    for number in range(40):
        harness.cleanup.delete_unrecorded(
            Session(f"no-row-{number}", ONE.account_key, f"s/{number}", "")
        )
    assert harness.upstream.wait_for(lambda upstream: len(upstream.tried) >= 8)

    harness.sessions.take(ONE)

    # or three, if one that was quick was there to be taken
    until(lambda: len(harness.prewarmed) >= 2)


# Several workers that end one after the other


def test_a_worker_that_does_not_end_last_hands_its_sessions_over(harness: Harness) -> None:
    filled(harness).loop.close(hand_over=True)

    assert harness.upstream.deleted == []
    assert {
        session.name
        for session in harness.others.due_deletions(10, [ONE.account_key, TWO.account_key])
    } == {
        "one/1",
        "one/2",
        "s/marked",
    }
    assert "s/kept" in harness.recorded


# The beginning


def test_before_it_serves_a_worker_has_reported_and_knows_what_the_others_have_learnt(
    harnesses: Callable[..., Harness],
) -> None:
    taken: list[str] = []
    harness = harnesses(sync=[lambda: taken.append("states")])

    harness.loop.start()

    assert taken[:1] == ["states"]
    assert harness.workers.heartbeats().keys() == {US}


def test_a_worker_begins_though_storage_is_away(harnesses: Callable[..., Harness]) -> None:
    harness = harnesses()
    harness.database.away = True

    harness.loop.start()

    assert running(harness) == 1
