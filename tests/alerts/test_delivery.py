"""What has been sent is noted, also after the database was away."""

from __future__ import annotations

from pathlib import Path

import pytest

from gbproxy.alerts.alert import Alert
from gbproxy.alerts.delivery import Delivery
from gbproxy.errors import StorageUnavailable
from gbproxy.storage.alerts import AlertKey, AlertRows
from gbproxy.storage.database import Database
from gbproxy.storage.migrate import migrate
from tests.support.clock import Clock
from tests.support.databases import CIPHER

KEY = AlertKey("account_refused", "0123456789abcdef:a1")
ALERT = Alert(KEY, is_over=False, account="a1", detail="", at=0.0)


class RowsAway(AlertRows):
    is_up = False

    def told(self, key: AlertKey, *, is_open: bool, is_taken: bool) -> None:
        if not self.is_up:
            raise StorageUnavailable("away")
        super().told(key, is_open=is_open, is_taken=is_taken)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rows(tmp_path: Path, clock: Clock) -> RowsAway:
    database = Database(f"sqlite:///{tmp_path}/alerts.db", request_timeout_s=10.0)
    migrate(database, CIPHER)
    return RowsAway(database, clock)


def is_untold(rows: AlertRows) -> bool:
    (row,) = rows.read()
    return row.untold_since is not None


def test_what_cannot_be_noted_is_noted_later_and_not_sent_twice_meanwhile(rows: RowsAway) -> None:
    rows.open(KEY, 0.0)
    delivery = Delivery(lambda alert, on_end: on_end(True), rows)
    delivery.send(ALERT)
    with pytest.raises(StorageUnavailable):
        delivery.note_sent()
    assert (is_untold(rows), delivery.is_sending(ALERT)) == (True, True)

    rows.is_up = True
    delivery.note_sent()
    assert (is_untold(rows), delivery.is_sending(ALERT)) == (False, False)


def test_what_no_webhook_has_taken_is_noted_as_failed_until_one_takes_the_next(
    rows: RowsAway, clock: Clock
) -> None:
    rows.is_up = True
    rows.open(KEY, 0.0)
    outcomes = iter([True, False, True])
    delivery = Delivery(lambda alert, on_end: on_end(next(outcomes)), rows)
    noted = []
    for _ in range(3):
        clock.now += 10
        delivery.send(ALERT)
        delivery.note_sent()
        (row,) = rows.read()
        noted.append((row.untold_since, row.sent_at, row.failed_at))
    began = clock.now - 30

    assert noted == [
        (None, began + 10, None),
        (None, began + 10, began + 20),
        (None, began + 30, None),
    ]


def test_that_the_beginning_was_sent_does_not_say_that_the_end_was(rows: RowsAway) -> None:
    rows.is_up = True
    rows.open(KEY, 0.0)
    delivery = Delivery(lambda alert, on_end: on_end(True), rows)
    delivery.send(ALERT)
    rows.close(KEY)

    delivery.note_sent()

    assert is_untold(rows)
