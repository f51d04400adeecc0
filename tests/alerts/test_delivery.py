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

    def told(self, key: AlertKey, *, is_open: bool) -> None:
        if not self.is_up:
            raise StorageUnavailable("away")
        super().told(key, is_open=is_open)


@pytest.fixture
def rows(tmp_path: Path) -> RowsAway:
    database = Database(f"sqlite:///{tmp_path}/alerts.db", request_timeout_s=10.0)
    migrate(database, CIPHER)
    return RowsAway(database, Clock())


def is_untold(rows: AlertRows) -> bool:
    (row,) = rows.read()
    return row.untold_since is not None


def test_what_cannot_be_noted_is_noted_later_and_not_sent_twice_meanwhile(rows: RowsAway) -> None:
    rows.open(KEY, 0.0)
    delivery = Delivery(lambda alert, on_end: on_end(), rows)
    delivery.send(ALERT)
    with pytest.raises(StorageUnavailable):
        delivery.note_sent()
    assert (is_untold(rows), delivery.is_sending(ALERT)) == (True, True)

    rows.is_up = True
    delivery.note_sent()
    assert (is_untold(rows), delivery.is_sending(ALERT)) == (False, False)


def test_that_the_beginning_was_sent_does_not_say_that_the_end_was(rows: RowsAway) -> None:
    rows.is_up = True
    rows.open(KEY, 0.0)
    delivery = Delivery(lambda alert, on_end: on_end(), rows)
    delivery.send(ALERT)
    rows.close(KEY)

    delivery.note_sent()

    assert is_untold(rows)
