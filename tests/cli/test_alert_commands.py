"""`gbproxy alerts`: a test that says what each webhook made of it, and what was told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.support.webhooks import Receiver, Scripted, receiving

SECRETS = {"API_KEYS": "sk-9f2c41d07ab84e5e11", "SECRET_KEY": "k7Jq2mZ0vT9xWc4LbN8r"}
TOKEN = "the-secret-token"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def test_a_test_reports_for_each_webhook(gbproxy: Command, receiver: Receiver) -> None:
    urls = f"{receiver.url}/in?t={TOKEN},slack+{receiver.url}/hook/{TOKEN}"
    receiver.script = lambda number: (
        Scripted(404) if "hook" in receiver.received[number].path else Scripted()
    )

    ended = gbproxy("alerts", "test", environment=SECRETS, ALERT_WEBHOOK=urls)

    assert ended.status == 1
    assert ended.out.splitlines() == [
        "127.0.0.1 (json) has taken it.",
        "127.0.0.1 (slack): it answered 404.",
    ]
    assert TOKEN not in ended.out + ended.err
    assert len(receiver.received) == 2


def test_a_test_that_all_take_ends_well(gbproxy: Command, receiver: Receiver) -> None:
    ended = gbproxy(
        "alerts", "test", "--json", environment=SECRETS, ALERT_WEBHOOK=receiver.url + "/in"
    )

    assert ended.status == 0
    assert json.loads(ended.out) == {
        "webhooks": [{"kind": "json", "host": "127.0.0.1", "trouble": None}]
    }


def test_without_a_webhook_it_says_what_to_set(gbproxy: Command) -> None:
    ended = gbproxy("alerts", "test", environment=SECRETS)

    assert ended.status == 2
    assert "ALERT_WEBHOOK" in ended.err


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("ftp://x/secret-token", "address 1 must look like https://host/path"),
        (
            "https://a.example.com/x,https://api.telegram.org/bot1:secret-token/sendMessage",
            "address 2 must end with ?chat_id=",
        ),
        ("https://ntfy.sh/", "address 1 must end with a topic"),
        ("https://user:secret-token@a.example.com/", "must not contain a user name"),
    ],
)
def test_a_wrong_address_is_named_by_its_place_alone(
    gbproxy: Command, value: str, problem: str
) -> None:
    ended = gbproxy("alerts", "test", environment=SECRETS, ALERT_WEBHOOK=value)

    assert ended.status == 2
    assert "ALERT_WEBHOOK" in ended.err
    assert problem in ended.err
    assert "secret-token" not in ended.err


def test_the_list_has_hosts_and_nothing_else_of_the_addresses(
    gbproxy: Command, tmp_path: Path
) -> None:
    ended = gbproxy(
        "alerts",
        "list",
        environment=SECRETS,
        DATABASE_URL=f"sqlite:///{tmp_path}/x.db",
        ALERT_WEBHOOK=f"https://hooks.slack.com/services/{TOKEN}",
    )

    assert ended.status == 0
    assert ended.out.splitlines() == [
        "Alerts go to hooks.slack.com (slack).",
        "Nothing was told.",
    ]
