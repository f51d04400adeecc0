"""`gbproxy keys`, on a database directly; tests/cli/test_running_gateway.py has it through a
gateway.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.conftest import Command, Ended

SECRETS = {"API_KEYS": "sk-9f2c41d07ab84e5e11", "SECRET_KEY": "k7Jq2mZ0vT9xWc4LbN8r"}
ALL_OPTIONS = (
    "--expires", "2096-01-31", "--models", "gemini-2.5-pro, gemini-auto", "--rate-limit", "60/hour",
    "--tokens-per-day", "5000", "--streams", "2", "--addresses", "192.0.2.0/24,2001:db8::7",
)  # fmt: skip

Keys = Callable[..., Ended]


@pytest.fixture
def keys(gbproxy: Command, tmp_path: Path) -> Keys:
    """`gbproxy keys …` on a database of its own."""

    def run(*arguments: str, **variables: str) -> Ended:
        given = {**SECRETS, "DATABASE_URL": f"sqlite:///{tmp_path}/x.db", **variables}
        return gbproxy("keys", *arguments, environment=given)

    return run


def test_a_key_is_shown_once_alone_on_stdout(keys: Keys) -> None:
    created = keys("create", "--name", "anna")
    listed = keys("list")

    key = created.out.strip()
    assert (created.status, created.err) == (0, "The key, which is shown only now:\n")
    assert key.startswith("sk-")
    assert "anna" in listed.out
    assert key not in listed.out + keys("list", "--json").out


def test_a_key_has_the_limits_that_it_was_given(keys: Keys) -> None:
    keys("create", "--name", "anna", *ALL_OPTIONS)

    (key,) = json.loads(keys("list", "--json").out)["keys"]
    row = keys("list").out.splitlines()[1]

    assert {
        name: key[name]
        for name in (
            "expires_at",
            "models",
            "tokens_per_day",
            "concurrent_streams",
            "allowed_addresses",
        )
    } == {
        "expires_at": int(datetime(2096, 1, 31, tzinfo=UTC).timestamp()),
        "models": ["gemini-2.5-pro", "gemini-auto"],
        "tokens_per_day": 5000,
        "concurrent_streams": 2,
        "allowed_addresses": ["192.0.2.0/24", "2001:db8::7/128"],
    }
    assert [
        text in row
        for text in (
            "2096-01-31 00:00:00Z",
            "gemini-2.5-pro, gemini-auto",
            "60/hour",
            "5000",
            "192.0.2.0/24",
        )
    ]


def test_a_key_is_changed_and_an_empty_value_takes_a_limit_away(keys: Keys) -> None:
    keys("create", "--name", "anna", *ALL_OPTIONS)
    (before,) = json.loads(keys("list", "--json").out)["keys"]

    changed = keys("change", "anna", "--addresses", "198.51.100.7", "--streams", "", "--name", "a")
    opened = json.loads(keys("change", before["id"], "--addresses", "", "--json").out)
    nothing = keys("change", "a")
    wrong = keys("change", "a", "--addresses", "home")

    assert (changed.status, changed.out) == (0, "Changed a: name, streams, addresses.\n")
    now = {**before, "name": "a", "concurrent_streams": None}
    assert opened == {**now, "allowed_addresses": None}
    assert (nothing.status, wrong.status) == (2, 1)
    assert "--addresses" in nothing.err
    assert "'home' must be addresses or networks" in wrong.err
    assert json.loads(keys("list", "--json").out)["keys"] == [opened]


def test_keys_are_revoked_by_name_or_id(keys: Keys) -> None:
    ids = [
        json.loads(keys("create", "--json", "--name", name).out)["id"]
        for name in ("anna", "ben", "ben")
    ]

    two_of_a_name = keys("revoke", "anna", "ben")
    revoked = keys("revoke", "anna", ids[1])

    assert (two_of_a_name.status, two_of_a_name.err) == (
        1,
        "Several keys are called ben: give the id.\n",
    )
    assert revoked.out == "Revoked anna, ben.\n"
    assert [key["id"] for key in json.loads(keys("list", "--json").out)["keys"]] == [ids[2]]


def test_without_keys_it_says_so(keys: Keys) -> None:
    assert keys("list").out == "There is no key yet.\n"


def test_a_limit_that_nobody_could_count_is_refused(keys: Keys) -> None:
    ended = keys("create", "--name", "anna", "--rate-limit", "60/hour", WEB_CONCURRENCY="2")

    assert (ended.status, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert "REDIS_URL" in ended.err


def test_doctor_finds_limits_that_nobody_could_count(
    keys: Keys, gbproxy: Command, tmp_path: Path
) -> None:
    keys("create", "--name", "anna", "--rate-limit", "60/hour")
    given = {**SECRETS, "DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "PROXY": "http://127.0.0.1:1"}

    one, two = (
        gbproxy("doctor", environment={**given, "WEB_CONCURRENCY": count}) for count in ("1", "2")
    )

    assert "REDIS_URL" not in one.out
    assert "these client keys have limits, which 2 workers cannot count: anna" in two.out


@pytest.mark.parametrize(
    "options",
    [
        ("--rate-limit", "often"),
        ("--models", "none-such"),
        ("--streams", "0"),
        ("--expires", "2001-01-01"),
        ("--name", "", "--tokens-per-day", "-1"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(keys: Keys, options: tuple[str, ...]) -> None:
    ended = keys("create", "--name", "anna", *options)

    assert (ended.status, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert keys("list").out == "There is no key yet.\n"


@pytest.mark.parametrize(
    "options",
    [("--expires", "soon"), ("--expires", "9999-12-31T23:00-14:00"), ("--streams", "many"), ()],
)
def test_arguments_that_are_none_end_with_2(keys: Keys, options: tuple[str, ...]) -> None:
    assert keys("create", *options, *(("--name", "anna") if options else ())).status == 2


@pytest.mark.parametrize(
    ("given", "expires"),
    [
        ("2096-02-28", datetime(2096, 2, 28, tzinfo=UTC)),
        ("2096-02-28T12:00:00+02:00", datetime(2096, 2, 28, 10, tzinfo=UTC)),
        ("2096-02-28T12:00:00Z", datetime(2096, 2, 28, 12, tzinfo=UTC)),
    ],
)
def test_an_expiry_without_a_zone_is_in_utc(keys: Keys, given: str, expires: datetime) -> None:
    created = json.loads(keys("create", "--name", "anna", "--expires", given, "--json").out)

    assert created["expires_at"] == expires.timestamp()


@pytest.mark.parametrize(
    ("given", "span"),
    [("12h", timedelta(hours=12)), ("30d", timedelta(days=30)), ("4w", timedelta(weeks=4))],
)
def test_an_expiry_may_be_a_time_from_now(keys: Keys, given: str, span: timedelta) -> None:
    begun = datetime.now(UTC)

    created = json.loads(keys("create", "--name", "anna", "--expires", given, "--json").out)

    earliest = int((begun + span).timestamp())
    assert earliest <= created["expires_at"] <= (datetime.now(UTC) + span).timestamp()


@pytest.mark.parametrize("given", ["0d", "d", "-1d", "1y", "999999d"])
def test_an_expiry_that_is_no_time_ends_with_2(keys: Keys, given: str) -> None:
    assert keys("create", "--name", "anna", "--expires", given).status == 2
