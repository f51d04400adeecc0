"""The rows of a backup: written whole or not at all, on both kinds of database."""

from __future__ import annotations

import pytest

from gbproxy.backup import content
from gbproxy.backup.envelope import unseal
from gbproxy.storage.backup import BackupRows, BackupStore
from gbproxy.storage.database import Database, UniqueViolation
from gbproxy.storage.encryption import Cipher
from gbproxy.storage.workers import ChangeCounter
from tests.support.backups import KEPT, PASSPHRASE

ROWS = content.read(unseal(KEPT.read_bytes(), PASSPHRASE))


def test_what_is_written_is_read_and_running_workers_hear_of_it(
    database: Database, cipher: Cipher
) -> None:
    store = BackupStore(database, cipher)
    before = ChangeCounter(database).versions()

    store.write(lambda here: ROWS)

    assert store.read() == ROWS
    after = ChangeCounter(database).versions()
    assert {topic for topic in after if after[topic] != before.get(topic)} == {
        "accounts",
        "credentials",
        "health",
        "keys",
    }


def test_what_cannot_be_written_whole_is_not_written(database: Database, cipher: Cipher) -> None:
    store = BackupStore(database, cipher)
    twice = ({**ROWS.keys[0], "id": "a"}, {**ROWS.keys[0], "id": "b"})

    with pytest.raises(UniqueViolation):
        store.write(lambda here: BackupRows(accounts=ROWS.accounts, keys=twice))

    assert store.read() == BackupRows()


def test_what_a_worker_has_noted_later_stays(database: Database, cipher: Cipher) -> None:
    store = BackupStore(database, cipher)
    later = tuple({**row, "renewed_at": row["renewed_at"] + 60} for row in ROWS.cookies)
    checked = tuple({**row, "checked_at": row["checked_at"] + 60} for row in ROWS.checks)
    store.write(lambda here: BackupRows(accounts=ROWS.accounts, cookies=later, checks=checked))

    store.write(lambda here: ROWS)

    assert (store.read().cookies, store.read().checks) == (later, checked)
    assert later
    assert checked


def test_secrets_are_stored_encrypted(database: Database, cipher: Cipher) -> None:
    BackupStore(database, cipher).write(lambda here: ROWS)

    (anna, _) = BackupStore(database, Cipher(["another-secret-key-of-the-tests"])).read().accounts

    assert anna["credential"] is None
