"""Sessions that nobody continues are deleted upstream: in the background, again when it fails, and
once.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace

import pytest

from gbproxy.background.executor import BackgroundExecutor
from gbproxy.domain.account import Account
from gbproxy.domain.session import Session
from gbproxy.errors import StorageUnavailable, UpstreamError, UpstreamTimeout
from gbproxy.sessions.cleanup import SessionCleanup
from gbproxy.storage.sessions import SessionRows
from gbproxy.upstreams.widget.credential import with_values
from tests.support.accounts import widget_account
from tests.support.background import (
    ONE,
    FragileDatabase,
    ManualExecutor,
    Upstream,
    accounts,
    logged,
    marked,
    session_rows,
)
from tests.support.clock import Clock
from tests.support.polling import until

UNRECORDED = Session("no-row", ONE.account_key, "s/1", "")


class Harness:
    """A cleanup over real records; its jobs run in the test's thread."""

    def __init__(self, database: FragileDatabase, clock: Clock) -> None:
        self.database = database
        self.clock = clock
        self.rows: SessionRows = session_rows(database, clock)
        self.upstream = Upstream()
        self.executor = ManualExecutor()
        self.refused: set[str] = set()
        self.cleanup = SessionCleanup(
            self.rows,
            self.upstream.delete_session,
            accounts,
            self.executor,
            is_refused=lambda account: account.id in self.refused,
            clock=clock,
        )

    def run(self) -> int:
        """What the loop runs; how many deletions that were."""
        self.cleanup.retry_due()
        self.cleanup.run_due()
        return self.executor.run_all()

    @property
    def left(self) -> list[str]:
        """The sessions that there are records of."""
        return [session.name for session in self.rows.all_sessions(1000)]


@pytest.fixture
def harness(database: FragileDatabase, clock: Clock) -> Harness:
    return Harness(database, clock)


def broken(session: str, nth: int) -> Exception:
    return UpstreamTimeout("silent")


# What the records say


def test_marked_sessions_are_deleted_upstream_and_then_forgotten(harness: Harness) -> None:
    marked(harness.rows, "s/1")
    marked(harness.rows, "s/2")
    harness.rows.add(ONE.account_key, "s/running", prewarmed=False)

    harness.cleanup.run_due()
    before = list(harness.upstream.tried)
    harness.executor.run_all()

    assert before == []  # its caller does not wait for it
    assert harness.upstream.deleted == ["s/1", "s/2"]
    assert harness.left == ["s/running"]


def test_a_deletion_that_is_under_way_is_not_begun_again(harness: Harness) -> None:
    marked(harness.rows, "s/1")

    for _ in range(3):
        harness.cleanup.run_due()
    harness.executor.run_all()

    assert harness.upstream.tried == ["s/1"]


def test_a_deletion_that_failed_is_tried_again_after_pauses_that_grow(harness: Harness) -> None:
    harness.upstream.fails = broken
    marked(harness.rows, "s/1")
    pauses: list[float] = []

    for _ in range(9):
        assert harness.run() == 1
        since = harness.clock.now
        while not harness.rows.due_deletions(1, [ONE.account_key]):
            harness.clock.now += 1
        pauses.append(harness.clock.now - since)

    usual = [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert all(0.75 * u <= pause <= 1.25 * u + 1 for u, pause in zip(usual, pauses, strict=True))
    assert harness.left == ["s/1"]


def test_a_deletion_that_succeeds_at_last_is_over(harness: Harness) -> None:
    harness.upstream.fails = lambda session, nth: UpstreamTimeout("silent") if nth < 3 else None
    marked(harness.rows, "s/1")

    for _ in range(3):
        harness.run()
        harness.clock.now += 200

    assert (harness.upstream.tried, harness.left) == (["s/1"] * 3, [])


def test_the_pauses_vary(harness: Harness) -> None:
    harness.upstream.fails = broken
    for number in range(40):
        marked(harness.rows, f"s/{number}")

    harness.run()

    harness.clock.now += 30
    assert 5 < len(harness.rows.due_deletions(100, [ONE.account_key])) < 35


def test_after_ten_failures_a_session_is_left_and_said_so(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.upstream.fails = lambda session, nth: (
        UpstreamError("broken") if session == "s/bad" else None
    )
    marked(harness.rows, "s/bad")

    with caplog.at_level(logging.WARNING, "gbproxy"):
        for _ in range(12):
            harness.run()
            harness.clock.now += 5000

    assert harness.upstream.tried == ["s/bad"] * 10
    assert harness.left == []
    [left] = logged(caplog, "session.left")
    assert (left.account, left.reason) == ("one", "upstream_error")


def test_one_session_that_cannot_be_deleted_holds_up_no_other(harness: Harness) -> None:
    harness.upstream.fails = lambda session, nth: (
        UpstreamError("broken") if session == "s/bad" else None
    )
    for name in ("s/bad", "s/1", "s/2"):
        marked(harness.rows, name)

    harness.run()

    assert (harness.upstream.deleted, harness.left) == (["s/1", "s/2"], ["s/bad"])


@pytest.mark.parametrize("why", ["gone", "refused"])
def test_the_sessions_of_an_account_that_cannot_be_used_wait_for_it_without_a_try(
    harness: Harness, why: str
) -> None:
    gone = widget_account("gone", csesidx="9")
    marked(harness.rows, "s/1", gone if why == "gone" else ONE)
    harness.refused = {"one"}

    for _ in range(20):
        harness.run()
        harness.clock.now += 1200

    assert harness.upstream.tried == []
    assert harness.left == ["s/1"]
    assert [
        session.attempts
        for session in harness.rows.due_deletions(10, [ONE.account_key, gone.account_key])
    ] == [0]


def test_what_an_account_has_left_is_deleted_when_it_comes_back_under_another_id(
    harness: Harness,
) -> None:
    before, other = replace(ONE, id="before"), replace(with_values(ONE, csesidx="2"), id="other")
    for session, account in (("s/1", before), ("s/2", other)):
        marked(harness.rows, session, account)
    harness.cleanup.delete_unrecorded(Session("no-row", before.account_key, "s/3", ""))

    harness.run()

    assert (sorted(harness.upstream.deleted), harness.left) == (["s/1", "s/3"], ["s/2"])


def test_the_sessions_of_an_account_that_is_accepted_again_are_deleted(harness: Harness) -> None:
    marked(harness.rows, "s/1")
    harness.refused = {"one"}
    harness.run()
    harness.refused = set()

    harness.run()
    at_once = list(harness.upstream.deleted)
    harness.clock.now += 1200
    harness.run()

    assert (at_once, harness.upstream.deleted) == ([], ["s/1"])


def test_what_the_records_could_not_be_told_is_deleted_once_more(harness: Harness) -> None:
    marked(harness.rows, "s/1")
    harness.cleanup.run_due()
    harness.database.away = True
    with suppress(StorageUnavailable):
        harness.executor.run_all()
    harness.database.away = False

    harness.run()

    assert (harness.upstream.tried, harness.left) == (["s/1", "s/1"], [])


def test_an_outage_of_the_database_is_not_logged_as_a_bug(
    database: FragileDatabase, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    rows, upstream, executor = session_rows(database, clock), Upstream(), BackgroundExecutor()
    cleanup = SessionCleanup(rows, upstream.delete_session, accounts, executor, clock=clock)
    upstream.go_on.clear()
    marked(rows, "s/1")
    cleanup.run_due()
    assert upstream.wait_for(lambda upstream: upstream.tried)

    database.away = True
    upstream.go_on.set()
    assert executor.shutdown(10)

    assert logged(caplog, "sweeper.failed") == []


def test_a_bug_in_a_deletion_ends_neither_the_others_nor_the_next_try(harness: Harness) -> None:
    harness.upstream.fails = lambda session, nth: RuntimeError("a bug") if nth == 1 else None
    marked(harness.rows, "s/1")
    with pytest.raises(RuntimeError):
        harness.run()

    harness.run()

    assert (harness.upstream.deleted, harness.left) == (["s/1"], [])


def test_sessions_of_another_identity_are_left_to_those_who_have_it_and_abandoned_after_a_week(
    harness: Harness,
) -> None:
    other = with_values(ONE, csesidx="2")
    marked(harness.rows, "s/theirs", other)

    harness.run()
    harness.clock.now += 8 * 86_400
    before = harness.rows.due_deletions(10, [other.account_key])
    harness.run()

    assert harness.upstream.tried == []
    assert [session.name for session in before] == ["s/theirs"]
    assert harness.rows.due_deletions(10, [other.account_key]) == []


def test_what_the_executor_does_not_accept_stays_recorded_and_is_deleted_later(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.executor.capacity = 2
    for number in range(5):
        marked(harness.rows, f"s/{number}")

    counts = [harness.run() for _ in range(3)]

    assert counts == [2, 2, 1]
    assert harness.left == []
    assert logged(caplog, "session.left") == []


def test_not_too_many_are_taken_up_at_once(harness: Harness) -> None:
    for number in range(100):
        marked(harness.rows, f"s/{number}")

    assert harness.run() == 64
    assert harness.run() == 36


# What the records cannot say


def test_a_session_without_a_record_is_deleted(harness: Harness) -> None:
    harness.cleanup.delete_unrecorded(UNRECORDED)

    assert harness.upstream.tried == []
    harness.executor.run_all()
    assert harness.upstream.deleted == ["s/1"]


def test_a_session_without_a_record_is_tried_again_after_a_second_then_five_then_25_and_left(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.upstream.fails = broken
    harness.cleanup.delete_unrecorded(UNRECORDED)
    moments: list[float] = []

    with caplog.at_level(logging.WARNING, "gbproxy"):
        for second in range(60):
            harness.run()
            moments += [float(second)] * (len(harness.upstream.tried) - len(moments))
            harness.clock.now += 1

    assert moments == [0, 1, 6, 31]
    [left] = logged(caplog, "session.left")
    assert (left.account, left.reason) == ("one", "upstream_timeout")


def test_a_session_without_a_record_may_be_deleted_at_the_second_try(harness: Harness) -> None:
    harness.upstream.fails = lambda session, nth: UpstreamTimeout("silent") if nth == 1 else None
    harness.cleanup.delete_unrecorded(UNRECORDED)

    for _ in range(10):
        harness.run()
        harness.clock.now += 1

    assert (harness.upstream.tried, harness.upstream.deleted) == (["s/1"] * 2, ["s/1"])


def test_a_session_whose_record_is_there_after_all_is_forgotten_with_it(harness: Harness) -> None:
    session = harness.rows.add(ONE.account_key, "s/1", prewarmed=False)

    harness.cleanup.delete_unrecorded(session)
    harness.executor.run_all()

    assert (harness.upstream.deleted, harness.left) == (["s/1"], [])


def test_while_storage_is_away_a_session_is_deleted_all_the_same(harness: Harness) -> None:
    harness.database.away = True

    harness.cleanup.delete_unrecorded(UNRECORDED)
    harness.executor.run_all()

    assert harness.upstream.deleted == ["s/1"]


def test_what_the_executor_does_not_accept_and_has_no_record_is_left_and_logged(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.executor.capacity = 0

    with caplog.at_level(logging.WARNING, "gbproxy"):
        harness.cleanup.delete_unrecorded(UNRECORDED)

    [left] = logged(caplog, "session.left")
    assert (left.account, left.reason) == ("one", "too many wait to be deleted")


# The end


def test_at_the_end_sessions_are_deleted_with_one_try_each_and_it_is_said_once_how_many_are_left(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.upstream.fails = lambda session, nth: (
        UpstreamError("broken") if session.startswith("s/bad") else None
    )
    sessions = [
        harness.rows.add(ONE.account_key, name, prewarmed=True)
        for name in ("s/bad1", "s/1", "s/bad2", "s/2")
    ]

    with caplog.at_level(logging.WARNING, "gbproxy"):
        harness.cleanup.drain(sessions, 1.0)

    assert harness.upstream.tried == ["s/bad1", "s/1", "s/bad2", "s/2"]
    assert sorted(harness.left) == ["s/bad1", "s/bad2"]  # for others to delete
    [left] = logged(caplog, "session.left")
    assert (left.sessions, left.reason) == (2, "shutdown")


def test_what_is_named_twice_at_the_end_is_counted_once(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.upstream.fails = broken
    session = harness.rows.add(ONE.account_key, "s/1", prewarmed=True)

    with caplog.at_level(logging.WARNING, "gbproxy"):
        harness.cleanup.drain([session, session], 1.0)

    assert harness.upstream.tried == ["s/1"]
    assert [record.sessions for record in logged(caplog, "session.left")] == [1]


def test_an_end_that_leaves_nothing_says_nothing(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "gbproxy"):
        harness.cleanup.drain([harness.rows.add(ONE.account_key, "s/1", prewarmed=True)], 1.0)

    assert harness.left == []
    assert logged(caplog, "session.left") == []


def test_at_the_end_what_still_waits_is_deleted_too_and_nothing_twice(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    waiting, other = (
        marked(harness.rows, "s/1"),
        harness.rows.add(ONE.account_key, "s/2", prewarmed=True),
    )
    harness.cleanup.run_due()

    with caplog.at_level(logging.DEBUG, "gbproxy"):
        harness.cleanup.drain([waiting, other], 1.0)

    assert harness.upstream.tried == ["s/1", "s/2"]
    assert logged(caplog, "session.left") == []


@pytest.mark.parametrize("works", [True, False])
def test_at_the_end_what_waits_for_another_try_is_tried_once_more(
    harness: Harness, works: bool, caplog: pytest.LogCaptureFixture
) -> None:
    harness.upstream.fails = broken
    harness.cleanup.delete_unrecorded(UNRECORDED)
    harness.executor.run_all()
    harness.upstream.fails = (lambda session, nth: None) if works else broken

    with caplog.at_level(logging.WARNING, "gbproxy"):
        harness.cleanup.drain([], 1.0)

    assert harness.upstream.tried == ["s/1", "s/1"]
    assert [record.sessions for record in logged(caplog, "session.left")] == ([] if works else [1])


def test_a_real_executor_deletes_what_is_marked(database: FragileDatabase, clock: Clock) -> None:
    rows, upstream, executor = (
        session_rows(database, clock),
        Upstream(),
        BackgroundExecutor(width=2),
    )
    cleanup = SessionCleanup(rows, upstream.delete_session, accounts, executor, clock=clock)
    for number in range(20):
        marked(rows, f"s/{number}")

    cleanup.run_due()

    until(lambda: not rows.all_sessions(1))
    assert sorted(upstream.deleted) == sorted(f"s/{number}" for number in range(20))
    assert len(upstream.threads) <= 2
    assert executor.shutdown(10)


def test_no_log_line_names_a_session_or_a_cookie(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.upstream.fails = broken
    marked(harness.rows, "s/123")

    with caplog.at_level(logging.DEBUG, "gbproxy"):
        harness.cleanup.delete_unrecorded(Session("no-row", ONE.account_key, "s/456", ""))
        harness.run()
        harness.upstream.fails = lambda session, nth: None
        harness.clock.now += 100
        harness.run()

    lines = [str(vars(record)) for record in caplog.records if record.name.startswith("gbproxy")]
    assert lines
    assert not any(word in line for line in lines for word in ("s/123", "s/456", "CSE."))


# Of accounts that are removed


GONE = widget_account(id="gone", name="gone", csesidx="2", config_id="c", secure_c_ses="CSE.secret")


def test_what_a_removed_account_has_upstream_is_deleted_and_what_its_last_answers_leave(
    harness: Harness,
) -> None:
    used: list[tuple[Account, str]] = []
    cleanup = SessionCleanup(
        harness.rows,
        lambda *call: used.append(call),
        accounts,
        harness.executor,
        clock=harness.clock,
    )  # type: ignore[arg-type]
    marked(harness.rows, "s/1", GONE)
    running = harness.rows.add(GONE.account_key, "s/2", prewarmed=False)

    cleanup.delete_for_account(GONE)
    cleanup.retry_due()
    harness.executor.run_all()
    before = list(used)
    harness.rows.mark_for_deletion(running)
    cleanup.retry_due()
    cleanup.delete_unrecorded(Session("3", GONE.account_key, "s/3", ""))
    harness.executor.run_all()

    assert before == [(GONE, "s/1")]
    assert used == [(GONE, "s/1"), (GONE, "s/2"), (GONE, "s/3")]
    assert harness.left == []


def test_a_removed_account_deletes_nothing_any_more_after_an_hour(
    harness: Harness, clock: Clock
) -> None:
    marked(harness.rows, "s/1", GONE)

    harness.cleanup.delete_for_account(GONE)
    clock.now += 3600
    harness.run()

    harness.cleanup.delete_unrecorded(Session("no-row", GONE.account_key, "s/2", ""))
    harness.executor.run_all()

    assert harness.upstream.tried == []
    assert harness.left == ["s/1"]


# Sessions whose name nobody knows


@pytest.mark.parametrize("refused", [False, True])
def test_a_session_without_a_name_is_forgotten_without_a_call(
    harness: Harness, refused: bool
) -> None:
    harness.refused = {ONE.id} if refused else set()
    marked(harness.rows, "")

    harness.run()

    assert (harness.upstream.tried, harness.left) == ([], [])


def test_at_the_end_a_session_without_a_name_holds_nothing_up(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    session = harness.rows.add(ONE.account_key, "", prewarmed=False)

    harness.cleanup.drain([session], 1)
    harness.executor.run_all()

    assert harness.upstream.tried == []
