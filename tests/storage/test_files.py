"""Uploaded files: only the key that made them finds them; what is old, or more than a key may have,
goes with all its chunks.
"""

from __future__ import annotations

import pytest
from sqlalchemy import text

from gbproxy.storage import files
from gbproxy.storage.database import Database
from gbproxy.storage.encryption import Cipher
from gbproxy.storage.files import TTL_S, UNFINISHED_TTL_S, FileRows
from tests.support.clock import Clock

OURS, THEIRS = b"o" * 32, b"t" * 32


@pytest.fixture
def rows(database: Database, cipher: Cipher, clock: Clock) -> FileRows:
    return FileRows(database, cipher, clock, most=3, most_bytes=5_000)


def begin(
    rows: FileRows, name: str = "a.txt", key: bytes = OURS, purpose: str = "user_data"
) -> str:
    return rows.begin(key, name=name, media_type="text/plain", purpose=purpose)


def add(rows: FileRows, *pieces: bytes, name: str = "a.txt", key: bytes = OURS) -> str:
    id_, size = begin(rows, name, key), 0
    for piece in pieces:
        assert rows.add(id_, size, piece)
        size += len(piece)
    assert rows.complete(id_, size, "digest", media_type="text/plain")
    return id_


def names(rows: FileRows, **options: object) -> list[str]:
    return [f.name for f in rows.page(OURS, **{"limit": 10, **options})]  # type: ignore[arg-type]


def chunk_count(database: Database) -> int:
    [(count,)] = database.fetch(text("SELECT count(*) FROM file_chunks"))
    return int(count)


def test_a_file_is_found_by_its_key_alone(rows: FileRows, clock: Clock) -> None:
    id_ = add(rows, b"one ", b"two ", b"three")

    found = rows.get(OURS, id_)
    assert found is not None
    assert (found.name, found.size, found.digest) == ("a.txt", 13, "digest")
    assert found.expires_at == pytest.approx(clock.now + TTL_S)
    assert rows.get(THEIRS, id_) is None
    assert rows.page(THEIRS, limit=10) == []
    assert not rows.remove(THEIRS, id_)
    assert rows.remove(OURS, id_)
    assert rows.get(OURS, id_) is None


@pytest.mark.parametrize("start", [0, 3, 4, 7, 12, 13, 20])
def test_it_is_read_from_any_byte_on(rows: FileRows, start: int) -> None:
    id_ = add(rows, b"one ", b"two ", b"three")

    assert b"".join(rows.read(id_, start)) == b"one two three"[start:]


def test_an_upload_takes_only_the_bytes_that_come_next(rows: FileRows) -> None:
    id_ = begin(rows)

    assert rows.get(OURS, id_) is None
    assert rows.add(id_, 0, b"one")
    assert not rows.add(id_, 0, b"one")
    assert not rows.add(id_, 7, b"two")
    assert not rows.add("none", 0, b"one")
    assert (upload := rows.upload(id_)) is not None
    assert upload.size == 3
    assert rows.complete(id_, 4, "digest", media_type="") is None
    assert rows.complete(id_, 3, "digest", media_type="")
    assert not rows.add(id_, 3, b"more")
    assert rows.upload(id_) is None


def test_they_are_listed_in_pages(database: Database, cipher: Cipher, clock: Clock) -> None:
    rows = FileRows(database, cipher, clock)
    for name in ("a", "b", "c"):
        add(rows, b"x", name=name)  # of one instant, some of them
        clock.now += 1 if name == "b" else 0
    begin(rows, "unfinished")

    newest = rows.page(OURS, limit=10)
    assert names(rows, is_ascending=True) == [f.name for f in reversed(newest)]
    assert newest[0].name == "c"
    for index, file in enumerate(newest):
        assert rows.page(OURS, limit=1, after=file) == newest[index + 1 : index + 2]
    assert names(rows, purpose="batch") == []
    assert len(names(rows, purpose="user_data")) == 3


def test_files_and_unfinished_uploads_expire(
    rows: FileRows, clock: Clock, database: Database
) -> None:
    kept, unfinished = add(rows, b"x"), begin(rows)
    assert rows.add(unfinished, 0, b"y")

    clock.now += UNFINISHED_TTL_S + 1
    assert rows.upload(unfinished) is None
    assert rows.trim() == 1
    assert chunk_count(database) == 1
    clock.now += TTL_S
    assert rows.get(OURS, kept) is None
    assert rows.trim() == 1
    assert chunk_count(database) == 0


def test_a_key_keeps_so_many_and_so_many_bytes(rows: FileRows, clock: Clock) -> None:
    add(rows, b"x", key=THEIRS)
    for name in ("a", "b", "c", "d"):
        clock.now += 1
        add(rows, b"x", name=name)

    assert names(rows) == ["d", "c", "b"]
    clock.now += 1
    add(rows, 2_500 * b"x", 2_499 * b"x", name="large")
    assert names(rows) == ["large", "d"]
    clock.now += 1
    assert rows.add(begin(rows), 0, 5_000 * b"x")
    assert names(rows) == []
    assert rows.trim() == 0
    assert len(rows.page(THEIRS, limit=10)) == 1


def test_what_other_workers_made_meanwhile_is_trimmed(
    rows: FileRows, database: Database, cipher: Cipher, clock: Clock
) -> None:
    laxer = FileRows(database, cipher, clock, most=10)
    for name in ("a", "b", "c", "d"):
        clock.now += 1
        add(laxer, b"x", name=name)

    assert rows.trim() == 1
    assert names(rows) == ["d", "c", "b"]


def test_an_upload_that_is_too_old_to_stay_takes_no_more(rows: FileRows, clock: Clock) -> None:
    old = begin(rows)
    assert rows.add(old, 0, b"x")
    clock.now += 1
    add(rows, 4_999 * b"x", name="new")

    assert not rows.add(old, 1, b"y")
    assert names(rows) == ["new"]


def test_nothing_of_a_file_is_readable_in_the_database(
    rows: FileRows, database: Database, clock: Clock
) -> None:
    id_ = add(rows, b"secret words", name="secret name")

    [(about,)] = database.fetch(text("SELECT about FROM files"))
    [(content,)] = database.fetch(text("SELECT content FROM file_chunks"))
    assert b"secret" not in bytes(about) + bytes(content)
    elsewhere = FileRows(database, Cipher(["another-secret-key-of-the-tests"]), clock)
    assert elsewhere.get(OURS, id_) is None
    assert list(elsewhere.read(id_)) == []


def test_the_caps_are_those_that_the_docs_tell() -> None:
    assert (files.MOST_OF_A_KEY, files.MOST_BYTES_OF_A_KEY) == (1_000, 1024**3)
    assert (TTL_S, UNFINISHED_TTL_S) == (30 * 86_400, 3_600)
