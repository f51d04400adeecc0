"""The accounts of an older version's database: moved into one encrypted JSON each, by its own key
alone, whole or not at all.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest
from sqlalchemy import text

from gbproxy.domain.account import Account
from gbproxy.storage import engines, prepare
from gbproxy.storage.database import Database
from gbproxy.storage.encryption import Cipher
from gbproxy.storage.prepare import CannotBeUsed
from gbproxy.storage.tables import REVISION
from gbproxy.storage.tokens_cookies import CookieRows, TokenRows
from tests.support import older_database as older
from tests.support.accounts import widget_account
from tests.support.clock import Clock
from tests.support.databases import PATIENT_S, ROOT, Open, stored_accounts

NEW_KEY = "another-made-up-secret-key"
ACCOUNTS = [
    widget_account(
        "634ed77f0d7a4772827dea1c8d0d488a",
        "anna",
        "1234567891",
        "11111111-2222-4333-8444-555555555556",
        "CSE.Ad1Lk3xVb9QmZr7TtYw2HnPq5Js",
        "COS.Af1Wm4RzKx8LdTn6VbYp2GqHs",
        cookies="__Secure-C_AUX=CAX.made.up",
        server_token="CAMSEhIQ3qK9pW1mTzyVh2L0sR7d4A==",
        user_agent="Mozilla/5.0 (X11; Linux x86_64)",
    ),
    widget_account(
        "8f9f7a5f650a4f98bfb65350e739f981",
        "ben",
        "1234567892",
        "11111111-2222-4333-8444-555555555557",
        "CSE.Ad2Lk3xVb9QmZr7TtYw2HnPq5Js",
        "COS.Af2Wm4RzKx8LdTn6VbYp2GqHs",
    ),
    widget_account(
        "ec7f10ea3444462ab3838d2deb7ffd03",
        "carla",
        "1234567893",
        "11111111-2222-4333-8444-555555555558",
        "CSE.Ad3Lk3xVb9QmZr7TtYw2HnPq5Js",
        "COS.Af3Wm4RzKx8LdTn6VbYp2GqHs",
    ),
]


@pytest.fixture
def old(url: str) -> str:
    older.restore(url)
    return url


def revision(url: str) -> str:
    with engines.unpooled(engines.parse(url)).connect() as connection:
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def read(database: Database, keys: Sequence[str], clock: Clock) -> list[Account]:
    return [each.account for each in stored_accounts(database, Cipher(keys), clock).list()]


def test_every_account_is_as_it_was_stored_with_its_cookies_and_tokens(
    old: str, opened: Open, clock: Clock
) -> None:
    before = prepare.prepare(old, [older.SECRET_KEY])

    database, cipher = opened(old, request_timeout_s=PATIENT_S), Cipher([older.SECRET_KEY])
    assert before == "0005"
    assert read(database, [older.SECRET_KEY], clock) == ACCOUNTS
    keys = {account.account_key for account in ACCOUNTS}
    assert keys <= CookieRows(database, cipher).read().keys()
    assert keys <= TokenRows(database, cipher).read().keys()


def test_its_status_is_told_without_changing_it(old: str) -> None:
    fitting = prepare.inspect(old, [older.SECRET_KEY])
    other = prepare.inspect(old, [NEW_KEY])

    assert (fitting.revision, fitting.key_fits, other.key_fits) == ("0005", True, False)
    assert revision(old) == "0005"


def test_neither_cookies_nor_ids_can_be_read_in_it(old: str, opened: Open) -> None:
    prepare.prepare(old, [older.SECRET_KEY])

    rows = opened(old, request_timeout_s=PATIENT_S).fetch(text("SELECT * FROM accounts"))
    assert [row.upstream for row in rows] == ["widget"] * 3
    assert not any(
        value in str(row)
        for row in rows
        for account in ACCOUNTS
        for value in account.credential.to_json().values()
        if value not in (None, "business", "global")
    )


def test_another_secret_key_changes_nothing(old: str, opened: Open, clock: Clock) -> None:
    with pytest.raises(CannotBeUsed, match="SECRET_KEY: none of its keys has encrypted"):
        prepare.prepare(old, [NEW_KEY])

    assert revision(old) == "0005"
    prepare.prepare(old, [older.SECRET_KEY])
    assert read(opened(old, request_timeout_s=PATIENT_S), [older.SECRET_KEY], clock) == ACCOUNTS


def test_a_new_secret_key_may_come_with_the_new_version_and_the_old_one_can_go(
    old: str, opened: Open, clock: Clock
) -> None:
    prepare.prepare(old, [NEW_KEY, older.SECRET_KEY])
    prepare.prepare(old, [NEW_KEY])

    assert read(opened(old, request_timeout_s=PATIENT_S), [NEW_KEY], clock) == ACCOUNTS


def test_an_account_that_no_key_can_read_stays_left_out_and_the_others_come_over(
    old: str, opened: Open, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = Cipher([NEW_KEY]).encrypt({})
    with engines.unpooled(engines.parse(old)).begin() as connection:
        connection.execute(
            text("UPDATE accounts SET credentials = :foreign WHERE name = 'ben'"),
            {"foreign": foreign},
        )

    prepare.prepare(old, [older.SECRET_KEY])

    told = [record for record in caplog.records if record.getMessage() == "secret.unreadable"]
    assert [record.account for record in told] == [ACCOUNTS[1].id]
    assert read(opened(old, request_timeout_s=PATIENT_S), [older.SECRET_KEY], clock) == [
        ACCOUNTS[0],
        ACCOUNTS[2],
    ]


@pytest.mark.slow
def test_of_several_that_start_at_once_one_takes_it_over(
    old: str, opened: Open, clock: Clock
) -> None:
    program = (
        "import sys; from gbproxy.storage import prepare;"
        " print(prepare.prepare(sys.argv[1], [sys.argv[2]]))"
    )
    command = [sys.executable, "-c", program, old, older.SECRET_KEY]
    starting = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]

    ended = [(each.communicate(timeout=200)[0].strip(), each.returncode) for each in starting]

    assert sorted(ended) == [("0005", 0), (REVISION, 0), (REVISION, 0)]
    assert read(opened(old, request_timeout_s=PATIENT_S), [older.SECRET_KEY], clock) == ACCOUNTS
