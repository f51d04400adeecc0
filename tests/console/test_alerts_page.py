"""The page of the alerts: where they go, what is open, and a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gbproxy.alerts.alert import DATABASE, no_account_key, redis_key
from gbproxy.storage.alerts import AlertKey
from tests.console.conftest import Browser, Opened, words
from tests.support.background import ONE
from tests.support.webhooks import Receiver, Scripted, receiving

TOKEN = "the-secret-token"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def told(opened: Opened, receiver: Receiver) -> Browser:
    """Signed in, at a gateway with a webhook."""
    browser = opened(ALERT_WEBHOOK=f"{receiver.url}/in?token={TOKEN}")
    browser.sign_in()
    return browser


def test_the_page_shows_hosts_and_what_is_open_and_no_token(told: Browser) -> None:
    rows = told.services.storage.alerts
    none_left = no_account_key(told.services.pool.accounts())
    rows.open(DATABASE, 0.0)
    rows.open(none_left, 0.0)
    rows.close(none_left)
    told.services.pool.replace([ONE])
    for quota in ("images", "text:best"):
        rows.open(AlertKey("quota_used_up", ONE.account_key, quota), 0.0)
    rows.open(redis_key("redis://of-another-gateway/0"), 0.0)

    page = told.get("/admin/alerts", Accept_Language="en")

    assert "json: 127.0.0.1" in words(page)
    assert TOKEN not in page.text
    said = words(page)
    assert said.index("The database is away") < said.index("No account is left that can answer")
    assert f"The quota of {ONE.name} is used up: Images" in said
    assert f"The quota of {ONE.name} is used up: best" in said
    assert "Redis is away" not in said
    assert "数据库不可用" in words(told.get("/admin/alerts", Accept_Language="zh"))


def test_only_what_a_webhook_has_taken_is_sent(told: Browser) -> None:
    rows = told.services.storage.alerts
    rows.open(DATABASE, 0.0)
    rows.told(DATABASE, is_open=True, is_taken=False)
    failed = words(told.get("/admin/alerts"))
    rows.close(DATABASE, quietly=True)
    closed = words(told.get("/admin/alerts"))
    rows.told(DATABASE, is_open=False, is_taken=True)
    sent = words(told.get("/admin/alerts"))

    assert "open failed" in failed
    assert ["Last sent: never" in page for page in (failed, closed, sent)] == [True, True, False]
    assert ["failed" in page for page in (failed, closed, sent)] == [True, True, False]


def test_the_button_sends_a_test(told: Browser, receiver: Receiver) -> None:
    answer = told.post("/admin/alerts/test")

    assert answer.status_code == 303
    assert "Every webhook has taken the test." in words(told.get("/admin/alerts"))
    assert [each.body["kind"] for each in receiver.received] == ["test"]
    assert receiver.received[0].path == f"/in?token={TOKEN}"


def test_a_test_that_is_not_taken_is_told_with_the_reason(
    told: Browser, receiver: Receiver
) -> None:
    receiver.script = lambda number: Scripted(403)

    told.post("/admin/alerts/test")

    said = words(told.get("/admin/alerts"))
    assert "127.0.0.1 has not taken it: it answered 403." in said
    assert len(receiver.received) == 1


def test_without_a_webhook_the_page_says_how_to_set_one(browser: Browser) -> None:
    assert "Set ALERT_WEBHOOK to be told" in words(browser.get("/admin/alerts"))

    browser.post("/admin/alerts/test")

    assert "there is nothing to test" in words(browser.get("/admin/alerts"))


def test_a_stranger_sees_and_sends_nothing(told: Browser, receiver: Receiver) -> None:
    stranger = told.other()

    assert stranger.get("/admin/alerts").status_code == 303
    assert stranger.client.post("/admin/alerts/test", data={}).status_code == 303
    assert receiver.received == []
