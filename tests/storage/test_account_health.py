"""What one worker has learnt of an account, all know; and of all their requests one tries an
account anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from sqlalchemy import delete

from gbproxy.accounts.health import AccountHealth, HealthState
from gbproxy.storage.account_health import AccountHealthRows, AccountUse
from gbproxy.storage.database import Database
from gbproxy.storage.tables import account_states
from gbproxy.storage.workers import REREAD_S
from tests.support.clock import Clock


@dataclass(frozen=True)
class StateRow:
    account_key: str
    quota: str
    state: str
    changed_at: float
    cooling_until: float | None = None
    consecutive_failures: int = 0
    probe_until: float | None = None
    cause: str = ""
    credential: str = ""


Rows = AccountHealthRows[StateRow]


@pytest.fixture
def rows(database: Database, clock: Clock) -> Rows:
    return AccountHealthRows(database, clock, StateRow)


def cooling(clock: Clock, for_s: float = 60, quota: str = "text") -> StateRow:
    return StateRow(
        "anna",
        quota,
        "cooling",
        clock(),
        clock() + for_s,
        consecutive_failures=2,
        cause="insufficient_quota",
    )


@pytest.mark.parametrize("state", HealthState)
def test_each_state_of_an_account_is_stored_by_its_value(
    database: Database, clock: Clock, rows: Rows, state: HealthState
) -> None:
    shared = AccountHealthRows(database, clock, AccountHealth)
    change = AccountHealth("anna", "text", state, changed_at=clock())

    shared.publish(change)

    assert list(shared.read()) == [change]
    assert [row.state for row in rows.read()] == [state.value]


def test_what_is_published_is_read_as_it_was(rows: Rows, clock: Clock) -> None:
    text, images = cooling(clock), cooling(clock, 3600.25, "images")
    refused = StateRow(
        "ben", "", "refused", clock(), cause="upstream_auth_failed", credential="d" * 64
    )

    for change in (text, images, refused):
        rows.publish(change)

    assert sorted(rows.read(), key=lambda row: (row.account_key, row.quota)) == [
        images,
        text,
        refused,
    ]


def test_what_is_newer_stays(rows: Rows, clock: Clock) -> None:
    old = cooling(clock)
    clock.now += 1
    new = StateRow("anna", "text", "ready", clock())
    rows.publish(new)

    rows.publish(old)

    assert rows.read() == [new]


def test_one_request_tries_when_a_cooldown_has_ended(rows: Rows, clock: Clock) -> None:
    rows.publish(cooling(clock, 60))

    early = rows.try_probe("anna", "text", clock() + 30)
    clock.now += 60
    first = rows.try_probe("anna", "text", clock() + 30)
    second = rows.try_probe("anna", "text", clock() + 30)

    assert (early, first, second) == (False, True, False)


def test_a_trial_that_never_ended_is_followed_by_another(rows: Rows, clock: Clock) -> None:
    rows.publish(cooling(clock, 0))
    rows.try_probe("anna", "text", clock() + 30)

    clock.now += 30

    assert rows.try_probe("anna", "text", clock() + 30)


def test_a_new_cooldown_ends_the_trial(rows: Rows, clock: Clock) -> None:
    rows.publish(cooling(clock, 0))
    rows.try_probe("anna", "text", clock() + 1000)
    again = replace(cooling(clock, 10), consecutive_failures=3)

    rows.publish(again)
    clock.now += 10

    assert rows.read() == [again]
    assert rows.try_probe("anna", "text", clock() + 30)


def test_quota_classes_are_tried_apart(rows: Rows, clock: Clock) -> None:
    for quota in ("text", "images"):
        rows.publish(cooling(clock, 0, quota))

    assert rows.try_probe("anna", "text", clock() + 30)
    assert rows.try_probe("anna", "images", clock() + 30)
    rows.publish(cooling(clock, 60))
    assert cooling(clock, 60) in rows.read()


def test_what_was_never_published_is_tried_once_too(rows: Rows, clock: Clock) -> None:
    """As after an outage of the database, in which only one worker has learnt of the cooldown."""
    first = rows.try_probe("anna", "text", clock() + 30)
    second = rows.try_probe("anna", "text", clock() + 30)
    rows.publish(cooling(clock, 60))

    assert (first, second) == (True, False)
    assert rows.read() == [cooling(clock, 60)]


def test_a_clock_that_is_set_back_locks_nobody_out(rows: Rows, clock: Clock) -> None:
    rows.publish(cooling(clock, 3600))
    rows.try_probe("anna", "images", clock() + 30)

    clock.now -= 7200

    assert rows.try_probe("anna", "text", clock() + 30)
    assert rows.try_probe("anna", "images", clock() + 30)
    rows.publish(cooling(clock, 60))
    assert cooling(clock, 60) in rows.read()


def test_the_last_use_and_the_last_error_are_remembered(rows: Rows, clock: Clock) -> None:
    rows.used({"anna", "ben"}, clock())
    rows.failed("anna", "upstream_timeout", clock() + 1)
    rows.used(["anna"], clock() - 10)
    rows.failed("anna", "earlier", clock() - 10)
    rows.used((), clock())

    assert rows.uses() == {
        "anna": AccountUse(clock(), "upstream_timeout", clock() + 1),
        "ben": AccountUse(clock(), None, None),
    }


def test_what_the_upstream_said_stands_with_the_last_error_and_goes_with_it(
    rows: Rows, clock: Clock
) -> None:
    said = {"http_status": 403, "reasons": ["ACCESS_DENIED"]}

    rows.failed("anna", "It was refused.", clock(), said, "CredentialRefused")
    before = rows.uses()
    rows.failed("anna", None, clock() + 1)

    assert before == {
        "anna": AccountUse(None, "It was refused.", clock(), said, "CredentialRefused")
    }
    assert rows.uses()["anna"].last_error_said is None
    assert rows.uses()["anna"].last_error_kind is None


def test_a_recovery_takes_the_last_error_away(rows: Rows, clock: Clock) -> None:
    rows.failed("anna", "It broke.", clock())

    rows.failed("anna", None, clock() + 1)
    rows.failed("anna", "Earlier.", clock())

    assert rows.uses() == {"anna": AccountUse(None, None, clock() + 1)}


def test_the_latest_health_is_read_anew_once_a_worker_has_stored_some(
    database: Database, clock: Clock, rows: Rows
) -> None:
    ours = AccountHealthRows(database, clock, StateRow)
    nothing = ours.latest()
    rows.publish(cooling(clock))

    known = ours.latest()
    again = ours.latest()
    clock.now += 60
    rows.try_probe("anna", "text", clock() + 30)
    probed = ours.latest()

    assert nothing == []
    assert [row.state for row in known] == ["cooling"]
    assert again is known
    assert [row.probe_until for row in probed] == [clock() + 30]


def test_the_latest_health_is_read_anew_after_a_while_whoever_stored_it(
    database: Database, clock: Clock, rows: Rows
) -> None:
    rows.publish(cooling(clock))
    assert len(rows.latest()) == 1
    database.change(delete(account_states))  # as a worker does that counts nothing

    early = len(rows.latest())
    clock.now += REREAD_S

    assert (early, rows.latest()) == (1, [])
