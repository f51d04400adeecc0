"""When a session of the console ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gbproxy.console.seal import Seal
from gbproxy.console.sessions import IDLE_S, ConsoleSessions
from gbproxy.storage.prepare import private_database
from gbproxy.storage.workers import ChangeCounter
from tests.admin.conftest import ADMIN_KEY, SECRET_KEY
from tests.console.conftest import Opened
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Iterator[ConsoleSessions]:
    database = private_database()
    yield ConsoleSessions(Seal(["secret"], "admin"), ChangeCounter(database), clock)
    database.close()


def test_a_session_ends_after_twelve_idle_hours(sessions: ConsoleSessions, clock: Clock) -> None:
    cookie = sessions.cookie(sessions.start())
    assert IDLE_S == 12 * 3600

    clock.now += IDLE_S - 1
    assert sessions.find(cookie) is not None
    clock.now += 1
    assert sessions.find(cookie) is None


def test_a_session_that_is_used_goes_on(sessions: ConsoleSessions, clock: Clock) -> None:
    session = sessions.start()
    assert sessions.renewed(session) is None  # it was seen just now

    clock.now += IDLE_S - 1
    renewed = sessions.renewed(session)
    assert renewed is not None
    clock.now += IDLE_S - 1

    assert sessions.find(sessions.cookie(renewed)) == renewed
    assert renewed.csrf_token == session.csrf_token


def test_another_key_in_front_keeps_sessions_and_removing_the_old_one_ends_them() -> None:
    sealed = Seal(["old"], "admin").close("session", {"a": 1})

    assert Seal(["new", "old"], "admin").open("session", sealed) == {"a": 1}
    assert Seal(["new"], "admin").open("session", sealed) is None
    assert Seal(["old"], "admin").open("notice", sealed) is None


@pytest.mark.parametrize("value", [{"csrf_token": "a"}, {"csrf_token": "a", "who": "b"}, ["a"]])
def test_a_cookie_of_a_version_with_other_fields_is_no_session(
    sessions: ConsoleSessions, value: object
) -> None:
    cookie = Seal(["secret"], "admin").close("session", value)

    assert sessions.find(cookie) is None


def test_a_notice_of_a_version_with_other_fields_is_none(
    opened: Opened, stored: dict[str, str]
) -> None:
    browser = opened(**stored)
    browser.sign_in()
    notice = Seal([SECRET_KEY], ADMIN_KEY).close("notice", {"text": "Hi", "shade": "blue"})
    browser.client.set_cookie("gbproxy_notice", notice)

    assert browser.get("/admin/keys").status_code == 200
    assert browser.client.get_cookie("gbproxy_notice") is None
