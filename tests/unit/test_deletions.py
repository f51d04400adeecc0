"""Sessions that nobody continues are deleted upstream: in the background, again when it fails, and once."""

from __future__ import annotations

import logging
from contextlib import suppress

import pytest

from gbproxy.domain.account import Account
from gbproxy.domain.session import Session
from gbproxy.errors import UpstreamError, UpstreamTimeout
from gbproxy.storage.sessions import SessionRows
from gbproxy.sweeper import Crew, Deletions
from tests.pools import until
from tests.storage.clock import Clock
from tests.unit.sweeping import ONE, FragileDatabase, Hands, Upstream, account_of, doomed, logged, session_rows

UNRECORDED = Session("no-row", "one", "s/1", "")


class House:
    """Deletions over real records; the test's own hands do them."""

    def __init__(self, database: FragileDatabase, clock: Clock) -> None:
        self.database = database
        self.clock = clock
        self.rows: SessionRows = session_rows(database, clock)
        self.upstream = Upstream()
        self.hands = Hands()
        self.pauses: list[float] = []
        self.deletions = Deletions(
            self.rows,
            self.upstream.delete_session,
            account_of,
            self.hands,  # type: ignore[arg-type]
            clock=clock,
            pause=self.pauses.append,
        )

    def round(self) -> int:
        """One round's deletions; how many that were."""
        self.deletions.begin()
        return self.hands.work()

    @property
    def left(self) -> list[str]:
        """The sessions that there are records of."""
        return [session.name for session in self.rows.all_sessions(1000)]


@pytest.fixture
def house(database: FragileDatabase, clock: Clock) -> House:
    return House(database, clock)


def broken(session: str, nth: int) -> Exception:
    return UpstreamTimeout("silent")


# What the records say


def test_doomed_sessions_are_deleted_upstream_and_then_forgotten(house: House) -> None:
    doomed(house.rows, "s/1")
    doomed(house.rows, "s/2")
    house.rows.add("one", "s/running", stock=False)

    house.deletions.begin()
    before = list(house.upstream.tried)
    house.hands.work()

    assert before == []  # whoever begins it does not wait for it
    assert house.upstream.deleted == ["s/1", "s/2"]
    assert house.left == ["s/running"]


def test_a_deletion_that_is_under_way_is_not_begun_again(house: House) -> None:
    doomed(house.rows, "s/1")

    for _ in range(3):
        house.deletions.begin()
    house.hands.work()

    assert house.upstream.tried == ["s/1"]


def test_a_deletion_that_failed_is_tried_again_after_pauses_that_grow(house: House) -> None:
    house.upstream.fails = broken
    doomed(house.rows, "s/1")
    pauses: list[float] = []

    for _ in range(9):
        assert house.round() == 1
        since = house.clock.now
        while not house.rows.doomed(1):
            house.clock.now += 1
        pauses.append(house.clock.now - since)

    usual = [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert all(0.75 * u <= pause <= 1.25 * u + 1 for u, pause in zip(usual, pauses, strict=True))
    assert house.left == ["s/1"]


def test_a_deletion_that_succeeds_at_last_is_over(house: House) -> None:
    house.upstream.fails = lambda session, nth: UpstreamTimeout("silent") if nth < 3 else None
    doomed(house.rows, "s/1")

    for _ in range(3):
        house.round()
        house.clock.now += 200

    assert (house.upstream.tried, house.left) == (["s/1"] * 3, [])


def test_the_pauses_vary(house: House) -> None:
    house.upstream.fails = broken
    for number in range(40):
        doomed(house.rows, f"s/{number}")

    house.round()

    house.clock.now += 30
    assert 5 < len(house.rows.doomed(100)) < 35


def test_after_ten_failures_a_session_is_left_and_said_so(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.upstream.fails = lambda session, nth: UpstreamError("broken") if session == "s/bad" else None
    doomed(house.rows, "s/bad")

    with caplog.at_level(logging.WARNING, "gbproxy"):
        for _ in range(12):
            house.round()
            house.clock.now += 5000

    assert house.upstream.tried == ["s/bad"] * 10
    assert house.left == []
    [left] = logged(caplog, "session.left")
    assert (left.account, left.reason) == ("one", "upstream_error")


def test_one_session_that_cannot_be_deleted_holds_up_no_other(house: House) -> None:
    house.upstream.fails = lambda session, nth: UpstreamError("broken") if session == "s/bad" else None
    for name in ("s/bad", "s/1", "s/2"):
        doomed(house.rows, name)

    house.round()

    assert (house.upstream.deleted, house.left) == (["s/1", "s/2"], ["s/bad"])


def test_a_session_of_an_account_that_is_gone_is_tried_again_in_case_it_comes_back(house: House) -> None:
    gone = Account(id="gone", name="gone", csesidx="9", config_id="c", secure_c_ses="CSE.secret")
    doomed(house.rows, "s/1", gone)

    house.round()

    assert house.upstream.tried == []
    assert house.left == ["s/1"]
    assert house.rows.doomed(10) == []
    house.clock.now += 40
    assert [session.tries for session in house.rows.doomed(10)] == [1]


def test_what_the_records_could_not_be_told_is_deleted_once_more(house: House) -> None:
    doomed(house.rows, "s/1")
    house.deletions.begin()
    house.database.away = True
    with suppress(Exception):
        house.hands.work()
    house.database.away = False

    house.round()

    assert (house.upstream.tried, house.left) == (["s/1", "s/1"], [])


def test_a_bug_in_a_deletion_ends_neither_the_others_nor_the_next_try(house: House) -> None:
    house.upstream.fails = lambda session, nth: RuntimeError("a bug") if nth == 1 else None
    doomed(house.rows, "s/1")
    with pytest.raises(RuntimeError):
        house.round()

    house.round()

    assert (house.upstream.deleted, house.left) == (["s/1"], [])


def test_what_finds_no_hands_free_stays_recorded_and_is_deleted_later(house: House) -> None:
    house.hands.room = 2
    for number in range(5):
        doomed(house.rows, f"s/{number}")

    counts = [house.round() for _ in range(3)]

    assert counts == [2, 2, 1]
    assert house.left == []


def test_not_too_many_are_taken_up_at_once(house: House) -> None:
    for number in range(100):
        doomed(house.rows, f"s/{number}")

    assert house.round() == 64
    assert house.round() == 36


# What the records cannot say


def test_a_session_without_a_record_is_deleted(house: House) -> None:
    house.deletions.discard(UNRECORDED)

    assert house.upstream.tried == []
    house.hands.work()
    assert (house.upstream.deleted, house.pauses) == (["s/1"], [])


def test_a_session_without_a_record_is_tried_again_by_itself_and_then_left(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.upstream.fails = broken

    with caplog.at_level(logging.WARNING, "gbproxy"):
        house.deletions.discard(UNRECORDED)
        house.hands.work()

    assert (house.upstream.tried, house.pauses) == (["s/1"] * 4, [1.0, 5.0, 25.0])
    [left] = logged(caplog, "session.left")
    assert (left.account, left.reason) == ("one", "upstream_timeout")


def test_a_session_without_a_record_may_be_deleted_at_the_second_try(house: House) -> None:
    house.upstream.fails = lambda session, nth: UpstreamTimeout("silent") if nth == 1 else None

    house.deletions.discard(UNRECORDED)
    house.hands.work()

    assert (house.upstream.deleted, house.pauses) == (["s/1"], [1.0])


def test_a_session_whose_record_is_there_after_all_is_forgotten_with_it(house: House) -> None:
    session = house.rows.add("one", "s/1", stock=False)

    house.deletions.discard(session)
    house.hands.work()

    assert (house.upstream.deleted, house.left) == (["s/1"], [])


def test_while_storage_is_away_a_session_is_deleted_all_the_same(house: House) -> None:
    house.database.away = True

    house.deletions.discard(UNRECORDED)
    house.hands.work()

    assert house.upstream.deleted == ["s/1"]


def test_what_finds_no_hands_free_and_has_no_record_is_left_and_said_so(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.hands.room = 0

    with caplog.at_level(logging.WARNING, "gbproxy"):
        house.deletions.discard(UNRECORDED)

    [left] = logged(caplog, "session.left")
    assert (left.account, left.reason) == ("one", "too many wait to be deleted")


# The end


def test_at_the_end_sessions_are_deleted_with_one_try_each(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.upstream.fails = lambda session, nth: UpstreamError("broken") if session == "s/bad" else None
    sessions = [house.rows.add("one", name, stock=True) for name in ("s/bad", "s/1", "s/2")]

    with caplog.at_level(logging.WARNING, "gbproxy"):
        house.deletions.finish(sessions)
        house.hands.work()

    assert house.upstream.tried == ["s/bad", "s/1", "s/2"]
    assert house.left == ["s/bad"]  # for others to delete
    [left] = logged(caplog, "session.left")
    assert left.reason == "upstream_error"


def test_at_the_end_what_is_in_hand_already_is_not_deleted_twice(house: House) -> None:
    session = doomed(house.rows, "s/1")
    house.deletions.begin()

    house.deletions.finish([session])
    house.hands.work()

    assert house.upstream.tried == ["s/1"]


def test_a_real_crew_deletes_what_is_doomed(database: FragileDatabase, clock: Clock) -> None:
    rows, upstream, crew = session_rows(database, clock), Upstream(), Crew(width=2)
    deletions = Deletions(rows, upstream.delete_session, account_of, crew, clock=clock)
    for number in range(20):
        doomed(rows, f"s/{number}")

    deletions.begin()

    until(lambda: not rows.all_sessions(1))
    assert sorted(upstream.deleted) == sorted(f"s/{number}" for number in range(20))
    assert len(upstream.threads) <= 2
    assert crew.end(10)


def test_no_log_line_names_a_session_or_a_cookie(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.upstream.fails = broken
    doomed(house.rows, "s/123")

    with caplog.at_level(logging.DEBUG, "gbproxy"):
        house.deletions.discard(Session("no-row", ONE.id, "s/456", ""))
        house.round()
        house.upstream.fails = lambda session, nth: None
        house.clock.now += 100
        house.round()

    lines = [str(vars(record)) for record in caplog.records if record.name.startswith("gbproxy")]
    assert lines
    assert not any(word in line for line in lines for word in ("s/123", "s/456", "CSE."))
