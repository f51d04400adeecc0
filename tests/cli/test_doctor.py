"""`gbproxy doctor` and `gbproxy migrate`."""

from __future__ import annotations

import json
import socket
import sqlite3
import time
from pathlib import Path

import pytest

from gbproxy.cli.checks import clock_offset_s
from gbproxy.simulator import Simulator
from gbproxy.storage.tables import REVISION
from gbproxy.upstreams.widget.credential import EDITIONS
from tests.cli.conftest import Command, Ended
from tests.support.redis_server import redis_server

KEYS = {"API_KEYS": "sk-9f2c41d07ab84e5e11", "SECRET_KEY": "k7Jq2mZ0vT9xWc4LbN8r"}


def levels(ended: Ended) -> dict[str, str]:
    """What was looked at, and how bad it is."""
    lines = [line.split(maxsplit=1) for line in ended.out.splitlines() if not line.startswith(" ")]
    return {rest.partition("  ")[0]: level for level, rest in lines}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_all_is_well_with_the_simulator(gbproxy: Command, upstream: Simulator) -> None:
    ended = gbproxy("doctor", environment=upstream.environment(), **KEYS)

    assert (ended.status, ended.err) == (0, "")
    assert levels(ended) == dict.fromkeys(
        ("settings", "database", "GEMINI_BUSINESS_URL", "API_BASE_URL", "clock", "account default"),
        "ok",
    )


def test_the_hosts_of_each_edition_in_use_are_looked_at(gbproxy: Command) -> None:
    with Simulator(tls=True) as upstream:
        enterprise = upstream.add_account(edition="enterprise")
        ours = {name: upstream.environment_by_name()[name] for name in ("CA_BUNDLE", "PROXY")}
        accounts = [
            {"name": name, **upstream.described(account)}
            for name, account in (("b", None), ("e", enterprise))
        ]

        ended = gbproxy("doctor", environment=ours, **KEYS, ACCOUNTS=json.dumps(accounts))

    assert (ended.status, ended.err) == (0, "")
    assert levels(ended) | {"account b": "ok", "account e": "ok"} == levels(ended)
    for edition in EDITIONS.values():
        for host in (edition.page_url, edition.api_origin):
            assert f"{host.removeprefix('https://')} answers over TLS, through PROXY" in ended.out


def test_every_mistake_in_the_settings_is_told_and_what_depends_on_them_is_left(
    gbproxy: Command,
) -> None:
    ended = gbproxy("doctor", PORT="http", HOST="--", READ_TIMEOUT_S="-1")

    assert ended.status == 2
    assert levels(ended) == {
        "HOST": "fail",
        "PORT": "fail",
        "READ_TIMEOUT_S": "fail",
        "all else": "warn",
    }


def test_what_is_doubtful_is_a_warning(gbproxy: Command, upstream: Simulator) -> None:
    ended = gbproxy(
        "doctor",
        environment=upstream.environment(),
        JWT_SECRET="x",
        SECRET_KEY=KEYS["SECRET_KEY"],
        ALERT_WEBHOOK="http://alerts.example.com/a-secret",
    )

    assert ended.status == 1
    assert "set without effect: JWT_SECRET" in ended.out
    assert "alerts.example.com is sent its secret without TLS" in ended.out
    assert "a-secret" not in ended.out
    assert levels(ended)["API_KEYS"] == "warn"


def test_without_an_account_it_says_which_settings_make_one(
    gbproxy: Command, upstream: Simulator
) -> None:
    addresses = {
        name: value for name, value in upstream.environment().items() if name.endswith("_URL")
    }

    ended = gbproxy("doctor", environment=addresses, **KEYS)

    assert (ended.status, levels(ended)["accounts"]) == (2, "fail")
    assert "SECURE_C_SES" in ended.out


def test_a_refused_credential_is_told_with_what_to_do(
    gbproxy: Command, upstream: Simulator
) -> None:
    upstream.set(getoxsrf="login")

    ended = gbproxy("doctor", environment=upstream.environment(), **KEYS)

    assert (ended.status, levels(ended)["account default"]) == (2, "fail")
    assert "→ Sign in to business.gemini.google again" in ended.out


def test_a_clock_that_is_wrong_is_a_warning(gbproxy: Command, upstream: Simulator) -> None:
    upstream.set(clock_skew_s=-3600.0)

    ended = gbproxy("doctor", environment=upstream.environment(), **KEYS)

    assert (ended.status, levels(ended)["clock"], levels(ended)["account default"]) == (
        1,
        "warn",
        "ok",
    )
    assert "s ahead of the upstream's" in ended.out


@pytest.mark.parametrize(
    ("variables", "wrong", "said"),
    [
        ({"API_BASE_URL": "http://127.0.0.1:{port}"}, "API_BASE_URL", "Connection refused"),
        ({"API_BASE_URL": "http://no-such-host.invalid"}, "API_BASE_URL", "cannot be resolved"),
        (
            {"PROXY": "http://user:hunter2hunter2@127.0.0.1:{port}"},
            "GEMINI_BUSINESS_URL",
            "whether the proxy runs",
        ),
    ],
)
def test_what_cannot_be_reached_is_told_with_the_reason(
    gbproxy: Command, upstream: Simulator, variables: dict[str, str], wrong: str, said: str
) -> None:
    given = {name: value.format(port=free_port()) for name, value in variables.items()}

    ended = gbproxy("doctor", environment={**upstream.environment(), **KEYS, **given})

    assert (ended.status, levels(ended)[wrong], levels(ended)["accounts"]) == (2, "fail", "warn")
    assert said in ended.out
    assert "hunter2" not in ended.out + ended.err


def test_a_certificate_that_is_not_trusted_is_told_with_the_setting_for_it(
    gbproxy: Command,
) -> None:
    with Simulator(tls=True) as upstream:
        given = upstream.environment()
        trusted = gbproxy("doctor", environment=given, **KEYS)
        del given["CA_BUNDLE"]
        untrusted = gbproxy("doctor", environment=given, **KEYS)

    assert (trusted.status, untrusted.status) == (0, 2)
    assert "answers over TLS" in trusted.out
    assert "CA_BUNDLE" in untrusted.out


def test_a_date_that_is_none_is_no_clock() -> None:
    assert clock_offset_s("yesterday", time.time()) is None


def test_in_json_there_is_the_same(gbproxy: Command, upstream: Simulator) -> None:
    said = json.loads(gbproxy("doctor", "--json", environment=upstream.environment(), **KEYS).out)

    assert said["status"] == "ok"
    assert {each["check"]: each["level"] for each in said["checks"]}["account default"] == "ok"


# The database


def test_a_database_is_told_by_its_revision_and_not_touched(
    gbproxy: Command, upstream: Simulator, tmp_path: Path
) -> None:
    given = {**upstream.environment(), **KEYS, "DATABASE_URL": f"sqlite:///{tmp_path}/hunter2.db"}

    before = gbproxy("doctor", environment=given)
    existed = (tmp_path / "hunter2.db").exists()
    made, again = gbproxy("migrate", environment=given), gbproxy("migrate", environment=given)
    after = gbproxy("doctor", environment=given)
    other_key = gbproxy("doctor", environment={**given, "SECRET_KEY": "k7Jq2mZ0vT9xWc4LbN8x"})

    assert (before.status, levels(before)["database"], existed) == (1, "warn", False)
    assert made.out == f"The database is at revision {REVISION} now; before it was empty.\n"
    assert again.out == f"The database is at revision {REVISION} already.\n"
    assert (after.status, levels(after)["database"]) == (0, "ok")
    assert (other_key.status, levels(other_key)["SECRET_KEY"]) == (2, "fail")
    for ended in (before, made, again, after, other_key):
        assert "hunter2" not in ended.out + ended.err


def test_a_stored_account_is_looked_at_too(
    gbproxy: Command, upstream: Simulator, tmp_path: Path
) -> None:
    account = upstream.add_account()
    given = {**upstream.environment(), **KEYS, "DATABASE_URL": f"sqlite:///{tmp_path}/x.db"}
    values = {
        "name": "anna",
        "csesidx": account.csesidx,
        "config_id": account.config_id,
        "secure_c_ses": "CSE.wrong",
    }
    assert gbproxy("accounts", "add", environment=given, stdin=json.dumps(values)).status == 0

    ended = gbproxy("doctor", environment=given)
    listed = gbproxy("accounts", "list", "--json", environment=given)

    assert (ended.status, levels(ended)["account anna"], levels(ended)["account default"]) == (
        2,
        "fail",
        "ok",
    )
    assert "CSE.wrong" not in ended.out
    assert all(account["checked_at"] for account in json.loads(listed.out)["accounts"])


def test_a_server_that_is_not_there_is_a_failure(gbproxy: Command, upstream: Simulator) -> None:
    url = f"postgresql://gbproxy:hunter2hunter2@127.0.0.1:{free_port()}/gbproxy"

    ended = gbproxy("doctor", environment={**upstream.environment(), **KEYS, "DATABASE_URL": url})

    assert (ended.status, levels(ended)["database"], levels(ended)["account default"]) == (
        2,
        "fail",
        "ok",
    )
    assert "hunter2" not in ended.out + ended.err


def test_a_file_that_is_no_database_is_a_failure(
    gbproxy: Command, upstream: Simulator, tmp_path: Path
) -> None:
    (tmp_path / "x.db").write_bytes(b"no database at all" * 100)
    given = {**upstream.environment(), **KEYS, "DATABASE_URL": f"sqlite:///{tmp_path}/x.db"}

    looked, migrated = gbproxy("doctor", environment=given), gbproxy("migrate", environment=given)

    assert (looked.status, levels(looked)["database"]) == (2, "fail")
    assert (migrated.status, migrated.out, migrated.err.count("\n")) == (1, "", 1)


def test_a_database_of_a_newer_version_is_a_failure(
    gbproxy: Command, upstream: Simulator, tmp_path: Path
) -> None:
    given = {**upstream.environment(), **KEYS, "DATABASE_URL": f"sqlite:///{tmp_path}/x.db"}
    assert gbproxy("migrate", environment=given).status == 0
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    ended = gbproxy("doctor", environment=given)

    assert (ended.status, levels(ended)["database"]) == (2, "fail")


@pytest.mark.parametrize("variables", [{}, {"DATABASE_URL": "sqlite:///:memory:"}])
def test_migrate_needs_a_database_that_stays(gbproxy: Command, variables: dict[str, str]) -> None:
    ended = gbproxy("migrate", environment=variables)

    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("DATABASE_URL names no database")


# Redis


def test_redis_is_asked_when_it_is_set(gbproxy: Command, upstream: Simulator) -> None:
    with redis_server() as redis:
        given = {**upstream.environment(), **KEYS, "REDIS_URL": redis.url}
        there = gbproxy("doctor", environment=given)
        redis.stop()
        away = gbproxy("doctor", environment=given)

    assert (there.status, levels(there)["redis"]) == (0, "ok")
    assert (away.status, levels(away)["redis"], levels(away)["account default"]) == (
        2,
        "fail",
        "ok",
    )


def test_the_password_of_redis_is_not_told(gbproxy: Command, upstream: Simulator) -> None:
    url = f"redis://user:hunter2hunter2@127.0.0.1:{free_port()}/0"

    ended = gbproxy("doctor", environment={**upstream.environment(), **KEYS, "REDIS_URL": url})

    assert levels(ended)["redis"] == "fail"
    assert "hunter2" not in ended.out + ended.err
