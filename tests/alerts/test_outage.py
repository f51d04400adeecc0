"""While the database is away one worker tells for all; once it is back, one tells that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gbproxy.alerts.alert import Alert
from gbproxy.alerts.outage import AWAY_S, DatabaseWatch
from gbproxy.alerts.outage_hold import FileHold, Hold, SharedHold
from gbproxy.errors import StorageUnavailable
from gbproxy.rate_limits.memory_store import MemoryLimitStore
from gbproxy.storage.alerts import AlertRows
from gbproxy.storage.database import Database
from gbproxy.storage.migrate import migrate
from tests.support.clock import Clock
from tests.support.databases import CIPHER

SILENCE_S = 3600.0
AWAY, BACK = "The database is away", "Over: The database is away"


class RedisAway(MemoryLimitStore):
    def add_below(self, name: str, amount: int, limit: int, keep_s: int) -> bool:
        raise StorageUnavailable("away")

    def read(self, name: str) -> int:
        raise StorageUnavailable("away")


class Workers:
    """Some workers on one database, which is away when the test says so."""

    def __init__(self, database: Database, clock: Clock, holds: Sequence[Hold]) -> None:
        self.clock = clock
        self.is_up = True
        self.sent: list[Alert] = []
        self.database = database
        self.holds: Sequence[Hold] = holds
        self.silence_s = SILENCE_S
        self.watches: list[DatabaseWatch] = []
        self.replace()

    def replace(self) -> None:
        """Start others in their place."""
        self.watches = [
            DatabaseWatch(
                lambda: self.is_up,
                hold,
                AlertRows(self.database, self.clock),
                self.sent.append,
                silence_s=self.silence_s,
                clock=self.clock,
                monotonic=self.clock,
            )
            for hold in self.holds
        ]

    def look(self, after_s: float = 0.5) -> list[str]:
        self.sent.clear()
        self.clock.now += after_s
        for watch in self.watches:
            watch.look()
        return [alert.title for alert in self.sent]

    def go_away(self, for_s: float = AWAY_S) -> list[str]:
        self.is_up = False
        return self.look() + self.look(for_s)

    def come_back(self) -> list[str]:
        self.is_up = True
        return self.look() + self.look()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def workers(tmp_path: Path, clock: Clock) -> Workers:
    """Three on one machine."""
    database = Database(f"sqlite:///{tmp_path}/alerts.db", request_timeout_s=10.0)
    migrate(database, CIPHER)
    return Workers(database, clock, [FileHold(tmp_path, "db", clock) for _ in range(3)])


def test_an_outage_is_told_once_by_all_workers_and_so_is_its_end(workers: Workers) -> None:
    assert workers.look() == []
    assert workers.go_away() == [AWAY]
    assert [workers.look(SILENCE_S / 2), workers.look(SILENCE_S)] == [[], []]  # one outage

    assert workers.come_back() == [BACK]
    assert workers.look() == []


def test_a_short_outage_is_no_news(workers: Workers) -> None:
    assert workers.go_away(AWAY_S / 2) == []
    assert workers.come_back() == []


def test_a_second_outage_within_the_silence_is_told_after_it_if_it_lasts(workers: Workers) -> None:
    workers.go_away()
    workers.come_back()
    workers.look(SILENCE_S / 3)

    assert workers.go_away() == []
    assert workers.look(SILENCE_S) == [AWAY]
    assert workers.come_back() == [BACK]


def test_an_outage_that_was_not_told_does_not_end_either(workers: Workers) -> None:
    workers.go_away()
    workers.come_back()
    workers.look(SILENCE_S / 3)

    assert workers.go_away() == []
    assert workers.come_back() == []


def test_outages_further_apart_are_each_told_with_their_ends(workers: Workers) -> None:
    for _ in range(3):
        assert workers.go_away() == [AWAY]
        assert workers.come_back() == [BACK]
        workers.look(SILENCE_S)


@pytest.mark.parametrize("is_away", [True, False])
def test_the_end_is_told_once_by_workers_that_have_replaced_the_others(
    workers: Workers, is_away: bool
) -> None:
    workers.go_away()
    workers.is_up = not is_away
    workers.replace()

    assert workers.look() == ([] if is_away else [BACK])
    assert workers.come_back() == ([BACK] if is_away else [])
    workers.replace()
    assert [workers.look(), workers.look(SILENCE_S)] == [[], []]


def test_the_end_is_told_once_on_another_machine_with_another_silence(
    tmp_path: Path, clock: Clock
) -> None:
    database = Database(f"sqlite:///{tmp_path}/alerts.db", request_timeout_s=10.0)
    migrate(database, CIPHER)
    redis = MemoryLimitStore(clock)
    workers = Workers(
        database, clock, [SharedHold(redis, FileHold(tmp_path, "one", clock), "db", clock)]
    )
    workers.go_away()

    workers.is_up = True
    workers.holds = [SharedHold(redis, FileHold(tmp_path, "other", clock), "db", clock)]
    workers.silence_s = 3 * SILENCE_S
    workers.replace()
    assert workers.look(SILENCE_S / 2) == [BACK]
    workers.silence_s = 60.0
    workers.replace()
    assert workers.look() == []


def test_a_redis_that_has_lost_its_data_has_no_outage_told_again_within_the_silence(
    tmp_path: Path, clock: Clock
) -> None:
    database = Database(f"sqlite:///{tmp_path}/alerts.db", request_timeout_s=10.0)
    migrate(database, CIPHER)
    files = [FileHold(tmp_path, f"machine {number}", clock) for number in range(2)]
    first = MemoryLimitStore(clock)
    workers = Workers(database, clock, [SharedHold(first, file, "db", clock) for file in files])
    assert workers.go_away() == [AWAY]
    assert workers.come_back() == [BACK]

    emptied = MemoryLimitStore(clock)
    workers.holds = [SharedHold(emptied, file, "db", clock) for file in files]
    workers.replace()
    assert workers.come_back() + workers.look(SILENCE_S / 3) == []
    assert workers.go_away() == []
    assert workers.look(SILENCE_S) == [AWAY]
    assert workers.come_back() == [BACK]


def test_replicas_on_several_machines_tell_once_where_redis_is_shared(
    tmp_path: Path, clock: Clock
) -> None:
    database = Database(f"sqlite:///{tmp_path}/alerts.db", request_timeout_s=10.0)
    migrate(database, CIPHER)
    redis = MemoryLimitStore(clock)
    files = [FileHold(tmp_path, f"machine {number}", clock) for number in range(2)]
    workers = Workers(database, clock, [SharedHold(redis, file, "db", clock) for file in files])

    assert workers.go_away() == [AWAY]
    assert workers.come_back() == [BACK]


def test_a_hold_in_redis_is_one_databases_alone(tmp_path: Path, clock: Clock) -> None:
    redis = MemoryLimitStore(clock)
    one, other = (
        SharedHold(redis, FileHold(tmp_path, name, clock), name, clock) for name in ("one", "other")
    )

    assert (one.take(60.0), other.take(60.0)) == (None, None)
    assert one.take(60.0) == pytest.approx(clock.now, abs=1)


def test_without_redis_each_machine_tells_and_one_of_them_the_end(
    tmp_path: Path, clock: Clock
) -> None:
    database = Database(f"sqlite:///{tmp_path}/alerts.db", request_timeout_s=10.0)
    migrate(database, CIPHER)
    files = [FileHold(tmp_path, f"machine {number}", clock) for number in range(2)]
    redis = RedisAway(clock)
    holds = [files[0], SharedHold(redis, files[1], "db", clock)]
    workers = Workers(database, clock, holds)

    assert workers.go_away() == [AWAY, AWAY]
    assert workers.come_back() == [BACK]


def test_a_file_hold_is_taken_once_in_its_time(tmp_path: Path, clock: Clock) -> None:
    ours, theirs = FileHold(tmp_path, "db", clock), FileHold(tmp_path, "db", clock)

    assert (theirs.taken_at(60.0), ours.take(60.0)) == (None, None)
    began_at = clock.now
    clock.now += 20
    assert theirs.take(60.0) == theirs.taken_at(60.0) == pytest.approx(began_at, abs=0.01)
    assert FileHold(tmp_path, "another db", clock).take(60.0) is None
    clock.now += 40.01
    assert (theirs.taken_at(60.0), theirs.take(60.0)) == (None, None)


def test_a_hold_in_a_folder_that_cannot_be_written_is_given(tmp_path: Path, clock: Clock) -> None:
    hold = FileHold(tmp_path / "missing", "db", clock)

    assert [hold.take(60.0), hold.take(60.0), hold.taken_at(60.0)] == [None] * 3
