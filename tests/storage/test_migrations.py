"""The migrations make the tables that the program uses, on both databases, once, whoever comes
first.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import DateTime, bindparam, text

from gbproxy.accounts.health import AccountHealth
from gbproxy.domain.session import Claimed, Session
from gbproxy.storage import engines, migrate
from gbproxy.storage import prepare as preparation
from gbproxy.storage.account_health import AccountHealthRows, Finding, SupportRows
from gbproxy.storage.accounts import EnabledOverrides
from gbproxy.storage.database import Database
from gbproxy.storage.encryption import Cipher, WrongSecretKey, check_secret_key
from gbproxy.storage.migrate import CannotMigrate
from gbproxy.storage.sessions import SessionRows
from gbproxy.storage.tables import REVISION, metadata
from gbproxy.storage.tokens_cookies import CookieRows, StoredToken, TokenRows
from gbproxy.storage.workers import WorkerRegistry
from tests.support.background import ONE, prewarmed
from tests.support.clock import Clock
from tests.support.databases import CIPHER, PATIENT_S, ROOT, Open, PostgreSQL

KEY = "a-secret-key-of-the-tests"
DIGEST, KEY_DIGEST = b"\x01" * 32, b"\xaa" * 32


def test_the_migrations_make_the_tables_that_are_declared(database: Database) -> None:
    with engines.unpooled(database.url).connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)

    assert differences == []


def test_the_newest_migration_is_the_one_that_the_program_expects() -> None:
    scripts = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))

    assert scripts.get_current_head() == REVISION


def test_sessions_of_an_earlier_version_are_gone_on_with(opened: Open, url: str) -> None:
    database, clock = opened(url, request_timeout_s=PATIENT_S), Clock()
    at_revision(database, "0005")
    for state, holder in (("stock", "w"), ("running", "w"), ("idle", None), ("doomed", None)):
        session = {
            "id": state,
            "account_id": ONE.account_key,
            "name": f"s/{state}",
            "conversation": f"c-{state}",
            "caller": KEY_DIGEST,
            "head": DIGEST,
            "state": state,
            "holder": holder,
            "tries": 3 if state == "doomed" else 0,
            "not_before": at(0) if state == "doomed" else None,
            "made_at": at(0),
            "held_at": at(0) if holder else None,
            "last_turn_at": at(0) if state == "idle" else None,
            "expires_at": at(clock.now + 60) if state == "idle" else None,
        }
        add(database, "sessions", session)

    migrate.migrate(database, CIPHER)

    rows = SessionRows(database, clock, lambda: "w")
    assert [(due.name, due.attempts) for due in rows.due_deletions(9, [ONE.account_key])] == [
        ("s/doomed", 3)
    ]
    assert prewarmed(database, "w") == ["s/stock"]
    assert rows.is_taken(DIGEST)
    assert rows.claim_conversation("c-idle", KEY_DIGEST) == Claimed(
        Session("idle", ONE.account_key, "s/idle", "c-idle"), DIGEST
    )
    assert rows.reclaim_orphans(["w"]) == 3


def test_what_an_earlier_version_knew_beside_sessions_is_kept(opened: Open, url: str) -> None:
    database, clock = opened(url, request_timeout_s=PATIENT_S), Clock()
    cipher = Cipher([KEY])
    at_revision(database, "0005")
    health = {"state": "cooling", "strikes": 2, "cause": "quota", "credential": ""}
    key = {"account_id": ONE.account_key}
    times = {"cooling_until": at(8), "trial_until": at(9), "changed_at": at(7)}
    add(database, "account_states", key | {"quota": "text"} | health | times)
    support = {"subject": "tool:web", "finding": "taken", "noted_at": at(7)}
    add(database, "account_support", key | support)
    token = {"credential": "c", "bearer": cipher.encrypt("b"), "signed_at": at(7)}
    add(database, "tokens", key | token)
    cookie = cipher.encrypt({"secure_c_ses": "s", "host_c_oses": None})
    add(database, "cookies", key | {"replaces": "r", "cookies": cookie, "renewed_at": at(7)})
    add(database, "account_switches", {"account_id": "one", "is_active": False})
    add(database, "facts", {"name": "secret_key", "value": cipher.encrypt("secret_key")})
    add(database, "workers", {"id": "w", "seen_at": at(7), "in_flight": None})

    migrate.migrate(database, cipher)

    states = AccountHealthRows(database, clock, AccountHealth).read()
    assert states == [
        AccountHealth(ONE.account_key, "text", "cooling", 8.0, 2, 9.0, "quota", "", 7.0)
    ]
    assert SupportRows(database).read(0) == [Finding(ONE.account_key, "tool:web", "taken", 7.0)]
    assert TokenRows(database, cipher).read() == {ONE.account_key: StoredToken("c", "b", 7.0)}
    assert CookieRows(database, cipher).read().keys() == {ONE.account_key}
    assert EnabledOverrides(database).disabled() == {"one"}
    assert WorkerRegistry(database, clock, lambda: "").heartbeats() == {"w": 7.0}
    check_secret_key(database, cipher)
    with pytest.raises(WrongSecretKey):
        check_secret_key(database, Cipher(["another-secret-key-of-the-tests"]))


def at_revision(database: Database, revision: str) -> None:
    """Make the tables as an earlier version had them."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    with engines.unpooled(database.url).connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def add(database: Database, table: str, row: dict[str, object]) -> None:
    columns, values = ", ".join(row), ", ".join(f":{name}" for name in row)
    times = [
        bindparam(name, type_=DateTime(timezone=True))
        for name, value in row.items()
        if isinstance(value, datetime)
    ]
    statement = text(f"INSERT INTO {table} ({columns}) VALUES ({values})").bindparams(*times)
    assert database.change(statement, row) == 1


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_a_second_start_finds_nothing_to_do(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        migrate.migrate(database, CIPHER)

    assert "database.migrated" not in caplog.messages


def test_a_migration_is_told(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        migrate.migrate(Database(url, request_timeout_s=PATIENT_S), CIPHER)

    told = [record for record in caplog.records if record.getMessage() == "database.migrated"]
    assert [(record.before, record.after) for record in told] == [(None, REVISION)]


def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    database.change(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(CannotMigrate, match="made by a newer version") as refused:
        migrate.migrate(database, CIPHER)

    assert not refused.value.may_pass


def test_a_migration_that_fails_leaves_nothing_behind(opened: Open, url: str) -> None:
    database = opened(url, request_timeout_s=PATIENT_S)
    database.transact(
        lambda connection: connection.exec_driver_sql("CREATE TABLE workers (other INTEGER)")
    )

    with pytest.raises(CannotMigrate):
        migrate.migrate(database, CIPHER, timeout_s=0)

    with engines.unpooled(database.url).connect() as connection:
        assert not connection.dialect.has_table(connection, "accounts")
        assert not connection.dialect.has_table(connection, "alembic_version")


@pytest.mark.slow
def test_two_processes_that_start_at_once_both_succeed(
    opened: Open, new_url: Callable[[], str]
) -> None:
    for _ in range(3):
        url = new_url()
        starting = [_preparing(url) for _ in range(3)]
        ended = [(process.communicate(timeout=200)[1], process.returncode) for process in starting]

        assert ended == [("", 0)] * 3
        database = opened(url, request_timeout_s=PATIENT_S)
        assert database.fetch(text("SELECT version_num FROM alembic_version")) == [(REVISION,)]


def _preparing(url: str) -> subprocess.Popen[str]:
    program = (
        "import sys; from gbproxy.storage import prepare; prepare.prepare(sys.argv[1],"
        " [sys.argv[2]])"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, url, KEY],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def test_a_server_that_is_still_starting_is_waited_for(
    clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(f"postgresql://user:the-password@/name?host={tmp_path}")

    def sleep(seconds: float) -> None:
        clock.now += seconds

    with (
        pytest.raises(CannotMigrate, match="the database cannot be used: connection") as refused,
        caplog.at_level(logging.WARNING),
    ):
        migrate.migrate(database, CIPHER, timeout_s=12, clock=clock, sleep=sleep)

    told = [(record.getMessage(), record.left_s) for record in caplog.records]
    assert told == [("database.awaited", 11), ("database.awaited", 6), ("database.awaited", 1)]
    assert "the-password" not in str(refused.value) + caplog.text
    assert refused.value.may_pass


def test_a_server_that_comes_in_time_is_used(
    server: PostgreSQL, tmp_path: Path, clock: Clock
) -> None:
    """Its socket is where it was looked for only after some tries."""
    url = server.new_database().partition("?")[0]
    tries = 0

    def sleep(seconds: float) -> None:
        nonlocal tries
        tries += 1
        if tries == 3:
            (tmp_path / ".s.PGSQL.5432").symlink_to(server.socket)

    database = Database(f"{url}?host={tmp_path}", request_timeout_s=PATIENT_S)
    migrate.migrate(database, CIPHER, clock=clock, sleep=sleep)

    assert tries == 3


@pytest.mark.parametrize("content", [b"this is no database, and long enough to tell" * 100])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)

    with pytest.raises(
        preparation.CannotBeUsed,
        match=r"DATABASE_URL: the database cannot be used: file is not a database",
    ) as refused:
        preparation.prepare(f"sqlite:///{path}", [KEY])
    assert path.read_bytes() == content
    assert not refused.value.may_pass


def test_a_server_that_is_away_may_come_back(tmp_path: Path) -> None:
    with pytest.raises(preparation.CannotBeUsed) as refused:
        preparation.prepare(f"postgresql:///name?host={tmp_path}", [KEY], patience_s=0.0)

    assert refused.value.may_pass


def test_a_temporary_database_has_the_same_tables_and_is_gone_with_its_owner() -> None:
    database = preparation.private_database()
    path = Path(database.url.database or "")

    with engines.unpooled(database.url).connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    mode = path.parent.stat().st_mode & 0o777
    database.close()
    del database

    assert differences == []
    assert mode == 0o700
    assert not path.parent.exists()
