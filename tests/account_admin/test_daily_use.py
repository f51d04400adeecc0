"""Today's use of accounts and keys."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from gbproxy.account_admin.daily_use import DailyUse, KeyUse
from gbproxy.errors import StorageUnavailable
from gbproxy.storage.database import Database
from gbproxy.storage.prepare import private_database
from gbproxy.storage.use import UseRows
from tests.support.clock import Clock

LOS_ANGELES = ZoneInfo("America/Los_Angeles")


@pytest.fixture(scope="module")
def whole_database() -> Iterator[Database]:
    database = private_database()
    yield database
    database.close()


@pytest.fixture
def rows(whole_database: Database) -> UseRows:
    rows = UseRows(whole_database)
    rows.trim(2**33)
    return rows


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.now = datetime(2027, 1, 15, 23, 30, tzinfo=LOS_ANGELES).timestamp()
    return clock


def test_the_answers_of_all_workers_count_at_once(rows: UseRows, clock: Clock) -> None:
    one, other = DailyUse(rows, clock), DailyUse(rows, clock)
    one.note("anna", "aa", "text", 100)
    one.note("anna", "aa", "text", 20)
    other.note("anna", "bb", "images", 3)
    other.flush()

    assert one.accounts_today() == {"anna": {"text": 2, "images": 1, "videos": 0}}
    assert one.keys_today() == {"aa": KeyUse(2, 120), "bb": KeyUse(1, 3)}


def test_an_accounts_day_is_the_upstreams_and_a_keys_day_that_of_its_limit(
    rows: UseRows, clock: Clock
) -> None:
    use = DailyUse(rows, clock)
    use.note("anna", "aa", "text", 7)  # at 07:30 UTC, before the day ends in Los Angeles

    clock.now += 3600
    assert use.accounts_today() == {}
    assert use.keys_today() == {"aa": KeyUse(1, 7)}
    assert use.day_began_at() == datetime(2027, 1, 16, tzinfo=LOS_ANGELES).timestamp()

    clock.now = datetime(2027, 1, 17, tzinfo=UTC).timestamp()
    assert use.keys_today() == {}


def test_it_is_written_every_few_seconds_and_nothing_is_lost_while_the_database_is_away(
    clock: Clock,
) -> None:
    class Away(UseRows):
        def __init__(self) -> None:
            self.calls = 0

        def add(self, uses: object) -> None:
            self.calls += 1
            if self.calls == 2:
                raise StorageUnavailable("away")
            self.added = [*uses]  # type: ignore[call-overload]

    rows = Away()
    use = DailyUse(rows, clock)
    use.sync()
    assert rows.calls == 0  # there was nothing to write
    use.note("anna", "aa", "text", 1)
    use.sync()
    use.note("anna", "aa", "text", 10)
    use.sync()
    assert rows.calls == 1

    clock.now += 2
    with pytest.raises(StorageUnavailable):
        use.sync()
    use.note("anna", "aa", "text", 100)
    use.sync()

    assert [(each.answers, each.tokens) for each in rows.added] == [(2, 110)]
