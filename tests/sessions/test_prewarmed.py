"""Prewarmed sessions: at most two for each account, recorded as soon as they are there, and none
left behind.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from dataclasses import replace
from traceback import walk_stack
from types import FrameType

import pytest

from gbproxy.background.executor import BackgroundExecutor
from gbproxy.domain.account import Account
from gbproxy.domain.session import Session
from gbproxy.errors import AccountStalled, CredentialRefused, GatewayError, UpstreamTimeout
from gbproxy.observability import request_context
from gbproxy.sessions.prewarmed import SessionPool
from gbproxy.storage.sessions import SessionRows
from gbproxy.upstreams.widget.credential import with_values
from tests.support.background import (
    ONE,
    TWO,
    US,
    FragileDatabase,
    ManualExecutor,
    Upstream,
    logged,
    prewarmed,
    session_rows,
)
from tests.support.clock import Clock
from tests.support.polling import until


class Harness:
    """A session pool over real records; its jobs run in the test's thread."""

    def __init__(self, database: FragileDatabase, clock: Clock) -> None:
        self.database = database
        self.clock = clock
        self.rows: SessionRows = session_rows(database, clock)
        self.upstream = Upstream()
        self.executor = ManualExecutor()
        self.unrecorded: list[Session] = []
        self.failures: list[tuple[str, GatewayError]] = []
        self.sessions = SessionPool(
            self.rows,
            self.upstream.open_session,
            self.executor.submit,
            self.unrecorded.append,
            on_failure=lambda account, error, took_s: self.failures.append((account.id, error)),
            clock=clock,
        )

    def fill(self, *accounts: Account) -> None:
        self.sessions.refill(accounts)
        self.executor.run_all()

    def take(self, account: Account = ONE) -> str | None:
        session = self.sessions.take(account)
        return session.name if session else None

    @property
    def recorded(self) -> list[str]:
        """The unused sessions by the records."""
        return prewarmed(self.database)

    @property
    def marked(self) -> list[str]:
        return [
            session.name
            for session in self.rows.due_deletions(100, [ONE.account_key, TWO.account_key])
        ]


@pytest.fixture
def harness(database: FragileDatabase, clock: Clock) -> Harness:
    return Harness(database, clock)


def test_two_sessions_are_made_for_each_account_in_use_and_recorded_at_once(
    harness: Harness,
) -> None:
    harness.sessions.refill([ONE, TWO])
    before = harness.upstream.opened

    harness.executor.run_all()

    assert before == 0  # the refill does not wait for the upstream
    assert sorted(harness.recorded) == ["one/1", "one/2", "two/3", "two/4"]


def test_the_oldest_session_is_taken_first_and_another_made_in_its_place(harness: Harness) -> None:
    harness.fill(ONE)

    taken = harness.take()

    assert taken == "one/1"
    assert harness.upstream.opened == 2  # its caller does not wait for the upstream either
    harness.executor.run_all()
    assert [harness.take(), harness.take(), harness.take()] == ["one/2", "one/3", None]


def test_a_session_that_was_taken_is_still_this_workers_in_the_records(harness: Harness) -> None:
    harness.fill(ONE)

    session = harness.sessions.take(ONE)

    assert session is not None
    assert harness.rows.commit(
        session,
        history_digest=b"h",
        key_digest=b"k",
        conversation="c",
        expires_at=harness.clock.now + 60,
    )


def test_without_sessions_nothing_is_taken_and_some_are_opened(harness: Harness) -> None:
    assert harness.take() is None

    harness.executor.run_all()

    assert harness.recorded == ["one/1", "one/2"]


def test_each_account_has_its_own_sessions(harness: Harness) -> None:
    harness.fill(ONE)

    assert harness.take(TWO) is None


def test_there_are_never_more_than_two_however_many_ask(harness: Harness) -> None:
    for _ in range(10):
        harness.take()
        harness.sessions.refill([ONE])
    harness.executor.run_all()
    harness.fill(ONE)

    assert harness.upstream.opened == 2
    assert len(harness.recorded) == 2


def test_there_are_never_more_than_two_with_many_threads(
    database: FragileDatabase, clock: Clock
) -> None:
    rows, upstream, executor = session_rows(database, clock), Upstream(), BackgroundExecutor()
    pool = SessionPool(
        rows, upstream.open_session, executor.submit, lambda session: None, clock=clock
    )
    taken: list[Session] = []

    def take() -> None:
        for _ in range(5):
            session = pool.take(ONE)
            if session is not None:
                taken.append(session)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    pool.refill([ONE])  # what was there before it could be taken may have left room
    assert executor.shutdown(10)
    left = pool.close()
    too_many = rows.due_deletions(100, [ONE.account_key])  # for one that was taken a moment later
    assert len({session.id for session in taken}) == len(taken)
    assert len(left) == 2
    assert upstream.opened == len(taken) + len(left) + len(too_many)


def test_what_the_executor_does_not_accept_is_opened_later(harness: Harness) -> None:
    harness.executor.capacity = 1
    harness.fill(ONE)
    first = harness.recorded
    harness.executor.capacity = 10

    harness.fill(ONE)

    assert (first, harness.recorded) == (["one/1"], ["one/1", "one/2"])


# Accounts that are not in use, or changed


def test_the_sessions_of_an_account_that_is_not_in_use_any_more_is_marked(harness: Harness) -> None:
    harness.fill(ONE, TWO)

    harness.fill(TWO)

    assert sorted(harness.marked) == ["one/1", "one/2"]
    assert harness.recorded == ["two/3", "two/4"]


def test_a_session_that_is_made_too_late_is_marked(harness: Harness) -> None:
    harness.sessions.refill([ONE])

    harness.sessions.refill([])
    harness.executor.run_all()

    assert (harness.recorded, sorted(harness.marked)) == ([], ["one/1", "one/2"])


def test_a_changed_credential_has_no_use_for_the_old_ones_sessions(harness: Harness) -> None:
    harness.fill(ONE)
    renewed = with_values(ONE, secure_c_ses="CSE.renewed")

    assert harness.take(renewed) is None
    harness.fill(renewed)

    assert sorted(harness.marked) == ["one/1", "one/2"]
    assert harness.take(renewed) == "one/3"


def test_what_has_grown_old_is_marked_and_replaced(harness: Harness) -> None:
    harness.fill(ONE)
    harness.clock.now += 674  # three quarters of its time: the rest varies
    harness.fill(ONE)
    young = list(harness.marked)

    harness.clock.now += 227
    harness.fill(ONE)

    assert young == []
    assert (sorted(harness.marked), harness.recorded) == (["one/1", "one/2"], ["one/3", "one/4"])


def test_not_all_sessions_grow_old_at_once(harness: Harness) -> None:
    accounts = [replace(ONE, id=f"a{number}") for number in range(20)]
    harness.fill(*accounts)

    harness.clock.now += 790
    harness.sessions.refill(accounts)

    assert (
        2 < len(harness.rows.due_deletions(100, [account.account_key for account in accounts])) < 38
    )


def test_invalidated_sessions_is_marked_and_not_used(harness: Harness) -> None:
    harness.fill(ONE, TWO)

    harness.sessions.invalidate(ONE)

    assert harness.take(ONE) is None
    assert harness.take(TWO) == "two/3"
    assert sorted(harness.marked) == ["one/1", "one/2"]


def test_what_was_being_made_when_they_were_invalidated_is_not_used_either(
    harness: Harness,
) -> None:
    harness.sessions.refill([ONE])

    harness.sessions.invalidate(ONE)
    harness.executor.run_all()

    assert sorted(harness.marked) == ["one/1", "one/2"]
    harness.fill(ONE)
    assert harness.recorded == ["one/3", "one/4"]


# Failures


def test_after_a_failure_an_account_s_prewarming_pauses_for_a_while(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.upstream.fails = lambda session, nth: UpstreamTimeout("silent") if nth <= 2 else None
    with caplog.at_level(logging.INFO, "gbproxy"):
        harness.fill(ONE)

    harness.clock.now += 29
    harness.fill(ONE)
    harness.take()
    harness.executor.run_all()
    during = harness.upstream.opened
    harness.clock.now += 1
    harness.fill(ONE)

    assert (during, harness.recorded) == (2, ["one/3", "one/4"])
    assert [(name, type(error)) for name, error in harness.failures] == [
        ("one", UpstreamTimeout)
    ] * 2
    assert [(record.account, record.code) for record in logged(caplog, "stock.failed")] == [
        ("one", "upstream_timeout")
    ] * 2


def test_the_failure_of_one_account_disturbs_no_other(harness: Harness) -> None:
    harness.upstream.fails = lambda session, nth: CredentialRefused("no") if nth <= 2 else None

    harness.fill(ONE, TWO)

    assert harness.recorded == ["two/3", "two/4"]
    assert {name for name, _ in harness.failures} == {"one"}


def test_while_storage_is_away_what_was_made_is_discarded_and_no_more_made(
    harness: Harness,
) -> None:
    """A session without a record would be left upstream by a worker that is killed."""
    harness.database.away = True

    harness.fill(ONE)
    harness.fill(ONE)

    assert [(session.account_key, session.name) for session in harness.unrecorded] == [
        (ONE.account_key, "one/1"),
        (ONE.account_key, "one/2"),
    ]
    assert harness.take() is None
    assert harness.upstream.opened == 2
    assert harness.failures == []  # the account is not to blame

    harness.database.away = False
    harness.clock.now += 30
    harness.fill(ONE)
    assert harness.recorded == ["one/3", "one/4"]


def test_while_storage_is_away_what_is_not_wanted_any_more_is_discarded(harness: Harness) -> None:
    harness.fill(ONE, TWO)
    harness.database.away = True

    harness.sessions.refill([TWO])
    harness.sessions.invalidate(TWO)

    assert [session.name for session in harness.unrecorded] == ["one/1", "one/2", "two/3", "two/4"]


def test_sessions_can_be_taken_while_storage_is_away(harness: Harness) -> None:
    harness.fill(ONE)
    harness.database.away = True

    assert [harness.take(), harness.take()] == ["one/1", "one/2"]


def test_after_a_bug_an_account_s_prewarming_pauses_and_is_made_then(harness: Harness) -> None:
    harness.upstream.fails = lambda session, nth: RuntimeError("a bug") if nth <= 2 else None
    harness.sessions.refill([ONE])
    for _ in range(2):
        with pytest.raises(RuntimeError):
            harness.executor.run_all()

    harness.sessions.refill([ONE])
    resting = not harness.executor.waiting
    harness.clock.now += 30
    harness.fill(ONE)

    assert (resting, harness.recorded) == (True, ["one/3", "one/4"])


# Sessions that a request waits for


def test_a_request_may_have_a_session_made_now_that_is_nobody_elses(harness: Harness) -> None:
    name = harness.sessions.open(ONE)

    assert (name, harness.upstream.opened, harness.recorded) == ("one/1", 1, [])


@pytest.mark.parametrize("error", [UpstreamTimeout("silent"), RuntimeError("a bug")], ids=repr)
def test_who_has_a_session_made_hears_why_it_cannot_be(harness: Harness, error: Exception) -> None:
    harness.upstream.fails = lambda session, nth: error

    with pytest.raises(type(error)):
        harness.sessions.open(ONE)

    assert harness.failures == []  # the request tells the pool by itself


def in_the_main_thread(function: str) -> bool:
    """True if it runs this function."""
    ident = threading.main_thread().ident
    assert ident is not None
    return any(
        frame.f_code.co_name == function for frame, _ in walk_stack(sys._current_frames()[ident])
    )


@pytest.mark.parametrize("closed", [False, True])
def test_a_session_whose_request_has_left_meanwhile_goes_into_the_pool_or_is_deleted(
    harness: Harness, closed: bool
) -> None:
    """As when a client hangs up: its greenlet is killed where it waits."""
    left = threading.Event()

    def interrupt(session: str, nth: int) -> None:
        until(lambda: in_the_main_thread("result"))
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        assert left.wait(10)

    harness.upstream.fails = interrupt
    with pytest.raises(KeyboardInterrupt):
        harness.sessions.open(ONE)
    if closed:
        harness.sessions.close()
    left.set()

    if closed:
        until(lambda: harness.unrecorded)
        assert [session.name for session in harness.unrecorded] == ["one/1"]
    else:
        until(lambda: harness.take() == "one/1")
        assert harness.recorded == ["one/1"]


def holds(left: threading.Event) -> None:
    assert left.wait(10)


def test_a_request_that_goes_elsewhere_leaves_its_session_to_the_pool(harness: Harness) -> None:
    left = threading.Event()
    harness.upstream.fails = lambda session, nth: holds(left)
    pool = SessionPool(
        harness.rows,
        harness.upstream.open_session,
        harness.executor.submit,
        harness.unrecorded.append,
        clock=harness.clock,
        patience_s=0.02,
    )
    request_context.begin("req-1").has_elsewhere = lambda: True

    try:
        with pytest.raises(AccountStalled) as caught:
            pool.open(ONE)
    finally:
        request_context.begin("-")
    left.set()

    assert not caught.value.was_taken
    until(lambda: harness.recorded == ["one/1"])


def test_nobody_waits_for_a_session_beyond_the_end_of_the_request(harness: Harness) -> None:
    left = threading.Event()
    harness.upstream.fails = lambda session, nth: holds(left)
    request_context.begin("req-1").until = time.monotonic() + 0.02

    try:
        with pytest.raises(UpstreamTimeout):
            harness.sessions.open(ONE)
    finally:
        request_context.begin("-")
    left.set()

    until(lambda: harness.recorded == ["one/1"])


def test_without_a_size_nothing_is_prewarmed(harness: Harness) -> None:
    pool = SessionPool(
        harness.rows,
        harness.upstream.open_session,
        harness.executor.submit,
        harness.unrecorded.append,
        size=0,
    )

    pool.refill([ONE])
    taken = pool.take(ONE)

    assert (taken, len(harness.executor.waiting), pool.open(ONE)) == (None, 0, "one/1")


def test_a_session_whose_request_has_left_while_its_thread_began_is_not_lost(
    harness: Harness,
) -> None:
    def leave(frame: FrameType, event: str, argument: object) -> None:
        if event == "return" and frame.f_code is threading.Thread.start.__code__:
            sys.setprofile(None)
            raise KeyboardInterrupt

    sys.setprofile(leave)
    try:
        with pytest.raises(KeyboardInterrupt):
            harness.sessions.open(ONE)
    finally:
        sys.setprofile(None)

    until(lambda: harness.take() == "one/1")


# The end


def test_the_end_waits_for_a_session_that_is_being_made(harness: Harness) -> None:
    """As after Ctrl-C, when the process ends next."""
    end_begins = threading.Event()

    def interrupt(session: str, nth: int) -> None:
        until(lambda: in_the_main_thread("result"))
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        assert end_begins.wait(10)
        until(lambda: in_the_main_thread("join"))

    harness.upstream.fails = interrupt
    with pytest.raises(KeyboardInterrupt):
        harness.sessions.open(ONE)
    end_begins.set()
    harness.sessions.close(within_s=10)

    assert [session.name for session in harness.unrecorded] == ["one/1"]


def test_at_the_end_all_sessions_are_handed_out_and_no_more_made(harness: Harness) -> None:
    harness.fill(ONE, TWO)
    harness.take(ONE)
    harness.executor.run_all()

    left = harness.sessions.close()
    late = [harness.take(ONE), harness.take(TWO)]
    harness.sessions.refill([ONE, TWO])

    assert sorted(session.name for session in left) == ["one/2", "one/5", "two/3", "two/4"]
    assert late == [None, None]
    assert not harness.executor.waiting
    assert harness.sessions.close() == []


def test_what_waits_to_be_made_at_the_end_is_not_made(harness: Harness) -> None:
    harness.sessions.refill([ONE])

    harness.sessions.close()
    harness.executor.run_all()

    assert harness.upstream.opened == 0


def test_a_killed_workers_sessions_are_in_the_records(harness: Harness) -> None:
    harness.fill(ONE)

    others = session_rows(harness.database, harness.clock, "worker-2")
    others.reclaim_orphans(dead={US})

    assert sorted(
        session.name for session in others.due_deletions(10, [ONE.account_key, TWO.account_key])
    ) == [
        "one/1",
        "one/2",
    ]


def test_sessions_are_opened_by_a_real_executor(database: FragileDatabase, clock: Clock) -> None:
    rows, upstream, executor = session_rows(database, clock), Upstream(), BackgroundExecutor()
    pool = SessionPool(
        rows, upstream.open_session, executor.submit, lambda session: None, clock=clock
    )

    pool.refill([ONE, TWO])

    until(lambda: len(prewarmed(database)) == 4)
    assert executor.shutdown(10)
