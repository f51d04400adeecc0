"""Sessions are deleted in the background: bounded, tried again, and never in anybody's way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from gbproxy.domain.account import Account
from gbproxy.errors import UpstreamError, UpstreamTimeout
from gbproxy.sweeper import Sweeper

ACCOUNT = Account(id="one", name="one", csesidx="1", config_id="c", secure_c_ses="CSE.secret")


class Upstream:
    """Notes every try to delete; `fails` says what a try raises, `held` keeps all of them waiting."""

    def __init__(self, fails: Callable[[str, int], Exception | None] = lambda _session, _nth: None) -> None:
        self.tried: list[str] = []
        self.deleted: list[str] = []
        self.threads: set[int] = set()
        self.go_on = threading.Event()
        self.go_on.set()
        self._fails = fails
        self._condition = threading.Condition()

    def delete_session(self, account: Account, session: str) -> None:
        assert account is ACCOUNT
        with self._condition:
            self.tried.append(session)
            self.threads.add(threading.get_ident())
            self._condition.notify_all()
        assert self.go_on.wait(10)
        error = self._fails(session, self.tried.count(session))
        if error is not None:
            raise error
        with self._condition:
            self.deleted.append(session)
            self._condition.notify_all()

    def wait_for(self, predicate: Callable[[Upstream], bool]) -> bool:
        with self._condition:
            return self._condition.wait_for(lambda: predicate(self), 10)


@pytest.fixture
def sweepers() -> Iterator[list[Sweeper]]:
    """Sweepers to be closed after the test."""
    made: list[Sweeper] = []
    yield made
    for sweeper in made:
        sweeper.close()


def sweeper_for(upstream: Upstream, sweepers: list[Sweeper], capacity: int = 100, retry_s: float = 0.0) -> Sweeper:
    sweeper = Sweeper(upstream, capacity=capacity, retry_s=retry_s, workers=2)
    sweepers.append(sweeper)
    return sweeper


def events(caplog: pytest.LogCaptureFixture, name: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.message == name]


def test_what_is_handed_in_is_deleted_by_another_thread(sweepers: list[Sweeper]) -> None:
    upstream = Upstream()
    sweeper = sweeper_for(upstream, sweepers)

    for name in ("s/1", "s/2", "s/3"):
        sweeper.discard(ACCOUNT, name)

    assert upstream.wait_for(lambda u: sorted(u.deleted) == ["s/1", "s/2", "s/3"])
    assert threading.get_ident() not in upstream.threads
    assert len(upstream.threads) <= 2


def test_no_thread_runs_before_anything_was_handed_in(sweepers: list[Sweeper]) -> None:
    before = threading.active_count()

    sweeper_for(Upstream(), sweepers)

    assert threading.active_count() == before


def test_handing_in_does_not_wait_for_a_slow_upstream(
    sweepers: list[Sweeper], caplog: pytest.LogCaptureFixture
) -> None:
    upstream = Upstream()
    upstream.go_on.clear()
    sweeper = sweeper_for(upstream, sweepers, capacity=3)
    for name in ("busy/1", "busy/2"):
        sweeper.discard(ACCOUNT, name)
    assert upstream.wait_for(lambda u: len(u.tried) == 2)

    with caplog.at_level(logging.WARNING, "gbproxy"):
        for number in range(5):
            sweeper.discard(ACCOUNT, f"s/{number}")

    # Three wait; the two that found no place are left upstream, and said so.
    left = events(caplog, "session.left")
    assert [(record.account, record.reason) for record in left] == [("one", "too many wait to be deleted")] * 2
    upstream.go_on.set()
    assert upstream.wait_for(lambda u: sorted(u.deleted) == ["busy/1", "busy/2", "s/0", "s/1", "s/2"])


def test_a_deletion_that_fails_is_tried_again(sweepers: list[Sweeper]) -> None:
    upstream = Upstream(lambda _session, nth: UpstreamTimeout("silent") if nth < 3 else None)

    sweeper_for(upstream, sweepers).discard(ACCOUNT, "s/1")

    assert upstream.wait_for(lambda u: u.deleted == ["s/1"])
    assert upstream.tried == ["s/1"] * 3


def test_after_three_failures_a_session_is_left_and_the_next_one_is_deleted(
    sweepers: list[Sweeper], caplog: pytest.LogCaptureFixture
) -> None:
    upstream = Upstream(lambda session, _nth: UpstreamError("broken") if session == "s/bad" else None)
    sweeper = sweeper_for(upstream, sweepers)

    with caplog.at_level(logging.WARNING, "gbproxy"):
        for name in ("s/bad", "s/1", "s/2"):
            sweeper.discard(ACCOUNT, name)
        assert upstream.wait_for(lambda u: u.tried.count("s/bad") == 3 and len(u.deleted) == 2)
        sweeper.close()

    assert sorted(upstream.deleted) == ["s/1", "s/2"]
    [left] = events(caplog, "session.left")
    assert (left.account, left.reason) == ("one", "upstream_error")


def test_a_bug_in_a_deletion_does_not_end_the_loop(sweepers: list[Sweeper], caplog: pytest.LogCaptureFixture) -> None:
    upstream = Upstream(lambda session, _nth: RuntimeError("a bug") if session.startswith("s/bad") else None)
    sweeper = sweeper_for(upstream, sweepers)

    with caplog.at_level(logging.ERROR, "gbproxy"):
        for name in ("s/bad1", "s/bad2", "s/bad3", "s/1"):
            sweeper.discard(ACCOUNT, name)
        assert upstream.wait_for(lambda u: u.deleted == ["s/1"])

    assert sorted(upstream.tried) == ["s/1", "s/bad1", "s/bad2", "s/bad3"]
    assert events(caplog, "sweeper.failed")


def test_closing_deletes_what_still_waits(sweepers: list[Sweeper]) -> None:
    upstream = Upstream()
    sweeper = sweeper_for(upstream, sweepers)
    for number in range(20):
        sweeper.discard(ACCOUNT, f"s/{number}")

    sweeper.close(within_s=10)

    assert len(upstream.deleted) == 20


def test_closing_ends_the_threads(sweepers: list[Sweeper]) -> None:
    before = threading.active_count()
    upstream = Upstream()
    sweeper = sweeper_for(upstream, sweepers)
    sweeper.discard(ACCOUNT, "s/1")
    assert upstream.wait_for(lambda u: u.deleted == ["s/1"])

    sweeper.close(within_s=10)

    assert threading.active_count() == before


def test_closing_takes_no_longer_than_it_may_and_says_what_is_left(
    sweepers: list[Sweeper], caplog: pytest.LogCaptureFixture
) -> None:
    upstream = Upstream()
    upstream.go_on.clear()
    sweeper = sweeper_for(upstream, sweepers)
    for number in range(5):
        sweeper.discard(ACCOUNT, f"s/{number}")
    assert upstream.wait_for(lambda u: len(u.tried) == 2)

    started = time.monotonic()
    with caplog.at_level(logging.WARNING, "gbproxy"):
        sweeper.close(within_s=0.1)

    assert time.monotonic() - started < 1.0
    [left] = events(caplog, "session.left")
    assert (left.sessions, left.reason) == (3, "shutdown")
    upstream.go_on.set()


def test_closing_does_not_wait_out_the_pause_between_tries(sweepers: list[Sweeper]) -> None:
    upstream = Upstream(lambda _session, _nth: UpstreamError("broken"))
    sweeper = sweeper_for(upstream, sweepers, retry_s=60)
    sweeper.discard(ACCOUNT, "s/1")
    assert upstream.wait_for(lambda u: u.tried == ["s/1"])

    started = time.monotonic()
    sweeper.close(within_s=30)

    assert time.monotonic() - started < 5
    assert upstream.tried == ["s/1"]


def test_closing_a_sweeper_that_never_worked_is_quick(sweepers: list[Sweeper]) -> None:
    sweeper = sweeper_for(Upstream(), sweepers)

    started = time.monotonic()
    sweeper.close(within_s=30)

    assert time.monotonic() - started < 1


def test_no_log_line_names_a_session_or_a_cookie(sweepers: list[Sweeper], caplog: pytest.LogCaptureFixture) -> None:
    upstream = Upstream(lambda _session, _nth: UpstreamError("broken"))
    sweeper = sweeper_for(upstream, sweepers)

    with caplog.at_level(logging.DEBUG, "gbproxy"):
        sweeper.discard(ACCOUNT, "s/123")
        sweeper.close()

    assert caplog.records
    assert not any("s/123" in str(vars(record)) or "CSE." in str(vars(record)) for record in caplog.records)
