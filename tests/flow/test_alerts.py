"""What operators are told by webhooks, by two gateways of two workers each on one database."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from gbproxy.simulator import Simulator, denied
from tests.support.chats import accounts, csesidx, killed_in_the_end, topic
from tests.support.databases import PostgreSQL
from tests.support.polling import until
from tests.support.webhooks import Receiver, receiving

pytestmark = pytest.mark.slow

SECRET = "a-secret-key-for-tests-1"
LIST = "widgetListSessions"
INTERVAL_S = 3.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def upstream() -> Iterator[Simulator]:
    with Simulator() as made:
        yield made


@pytest.fixture
def environment(server: PostgreSQL, upstream: Simulator, receiver: Receiver) -> dict[str, str]:
    shared = {
        "DATABASE_URL": server.new_database(),
        "SECRET_KEY": SECRET,
        "WEB_CONCURRENCY": "2",
        "ALERT_WEBHOOK": receiver.url + "/in?token=the-secret-token",
        "CHECK_INTERVAL_S": str(INTERVAL_S),
    }
    return accounts(upstream, 2) | shared


def test_dead_cookies_are_told_once_before_a_user_meets_them(
    environment: dict[str, str], upstream: Simulator, receiver: Receiver
) -> None:
    first = csesidx(upstream, "first")
    upstream.script(*denied(), path=LIST, csesidx=first, times=math.inf)
    began_at = time.monotonic()
    with killed_in_the_end(environment) as one, killed_in_the_end(environment) as other:
        receiver.wait_for(1, 60)
        until(lambda: len(upstream.calls(LIST)) >= 4, 60)  # each account twice
        upstream.clear_scripts()
        receiver.wait_for(2, 60)

        def log() -> list[dict[str, Any]]:
            return [line for gateway in (one, other) for line in gateway.log_lines()]

        # Written once the receiver's answer is there.
        until(lambda: sum(line["event"] == "alert.sent" for line in log()) == 2, 60)
        lines = log()
        looked_at = Counter(call.csesidx for call in upstream.calls(LIST))
        took_s = time.monotonic() - began_at

    assert receiver.told() == [("account_refused", "open"), ("account_refused", "over")]
    told = receiver.received[0].body
    assert told["account"]["name"] == "first"
    assert "the-secret-token" not in repr(told)
    assert "the-secret-token" not in repr(lines)
    for count in looked_at.values():
        assert count <= 2 * (took_s / INTERVAL_S + 3)  # a probe of refused cookies lists twice


def test_the_database_away_is_told_once_and_that_it_is_back(
    server: PostgreSQL, environment: dict[str, str], receiver: Receiver
) -> None:
    with killed_in_the_end(environment) as one, killed_in_the_end(environment) as other:
        server.stop()
        try:
            receiver.wait_for(1, 60)
            for gateway in (one, other):  # one of them has told it, perhaps before the other
                gateway.wait_for_event("database.unavailable", timeout_s=60)
            assert one.ask(topic()).succeeded
        finally:
            server.start()
        receiver.wait_for(2, 60)
        for gateway in (one, other):
            gateway.wait_for_event("database.available", timeout_s=60)

    assert receiver.told() == [("database_away", "open"), ("database_away", "over")]
