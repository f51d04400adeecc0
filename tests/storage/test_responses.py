"""Stored responses: only the key that made them finds them, with all that came before; what is old,
or more than a key may have, goes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from sqlalchemy import text

from gbproxy.storage import responses
from gbproxy.storage.chunks import CHUNK_BYTES
from gbproxy.storage.database import Database
from gbproxy.storage.encryption import Cipher
from gbproxy.storage.responses import TTL_S, ResponseRows
from tests.support.clock import Clock

OURS, THEIRS = b"o" * 32, b"t" * 32
Store = Callable[..., None]


@pytest.fixture
def rows(database: Database, cipher: Cipher, clock: Clock) -> ResponseRows:
    return ResponseRows(database, cipher, clock, most=3, most_bytes=5_000)


def add(
    rows: ResponseRows, id_: str, previous: str | None = None, key: bytes = OURS, size: int = 10
) -> None:
    rows.add(key, id_, previous, rows.seal(id_.encode().ljust(size)))


def chain(rows: ResponseRows, id_: str, key: bytes = OURS) -> list[str]:
    return [(rows.open(sealed) or b"").decode().strip() for _, sealed in rows.chain(key, id_)]


def test_a_response_is_found_with_all_before_it_by_its_key_alone(rows: ResponseRows) -> None:
    add(rows, "one")
    add(rows, "two", "one")
    add(rows, "other branch", "one")

    assert chain(rows, "two") == ["one", "two"]
    assert chain(rows, "other branch") == ["one", "other branch"]
    assert chain(rows, "one") == ["one"]
    assert chain(rows, "two", THEIRS) == chain(rows, "none") == []
    assert rows.get(THEIRS, "one") is None
    assert rows.open(rows.get(OURS, "one") or b"") == b"one".ljust(10)


def test_a_response_whose_forerunner_is_another_keys_has_no_history(rows: ResponseRows) -> None:
    add(rows, "one", key=THEIRS)
    add(rows, "two", "one")

    assert chain(rows, "two") == []


def test_without_one_of_them_there_is_no_history(rows: ResponseRows) -> None:
    for id_, previous in (("one", None), ("two", "one"), ("three", "two")):
        add(rows, id_, previous)

    assert not rows.remove(THEIRS, "one")
    assert rows.remove(OURS, "one")
    assert not rows.remove(OURS, "one")
    assert chain(rows, "three") == []
    assert rows.get(OURS, "three") is not None


def test_a_response_expires_when_it_was_not_used_for_long(
    rows: ResponseRows, clock: Clock, database: Database
) -> None:
    add(rows, "unused")
    add(rows, "one")
    clock.now += TTL_S - 10
    add(rows, "two", "one")
    clock.now += 20

    assert rows.get(OURS, "unused") is None
    assert chain(rows, "two") == ["one", "two"]
    assert rows.trim() == 1
    assert database.fetch(text("SELECT count(*) FROM responses")) == [(2,)]


def test_a_key_keeps_so_many_and_those_last_used(rows: ResponseRows, clock: Clock) -> None:
    add(rows, "theirs", key=THEIRS)
    for id_, previous in (("root", None), ("a", None), ("b", None), ("c", None), ("leaf", "root")):
        clock.now += 700
        add(rows, id_, previous)

    assert rows.trim() == 2
    assert chain(rows, "leaf") == ["root", "leaf"]
    assert [id_ for id_ in ("a", "b", "c") if rows.get(OURS, id_)] == ["c"]
    assert rows.get(THEIRS, "theirs")
    assert rows.trim() == 0


def test_a_key_keeps_so_many_bytes(rows: ResponseRows, clock: Clock) -> None:
    for id_ in ("one", "two"):
        clock.now += 1
        add(rows, id_, size=3_000)

    assert rows.trim() == 1
    assert rows.get(OURS, "one") is None
    assert rows.get(OURS, "two")


def test_nothing_of_a_response_is_readable_in_the_database(
    rows: ResponseRows, database: Database, clock: Clock
) -> None:
    add(rows, "secret words")

    [(stored,)] = database.fetch(text("SELECT content FROM responses"))

    assert b"secret" not in bytes(stored)
    elsewhere = ResponseRows(database, Cipher(["another-secret-key-of-the-tests"]), clock)
    assert elsewhere.open(bytes(stored)) is None


def test_the_caps_are_those_that_the_docs_tell() -> None:
    assert (responses.MOST_OF_A_KEY, responses.MOST_BYTES_OF_A_KEY) == (1_000, 256 * 1024 * 1024)
    assert TTL_S == 30 * 86_400


def test_large_values_stand_beside_a_response_and_go_with_it(
    rows: ResponseRows, database: Database, clock: Clock
) -> None:
    content = bytes(range(256)) * (2 * CHUNK_BYTES // 256) + b"the end"
    for id_ in ("removed", "expired"):
        add(rows, id_)
        ends = list(rows.add_beside(id_, content))
        assert ends[-1] == len(content)
        assert max(b - a for a, b in pairwise([0, *ends])) <= CHUNK_BYTES

        assert b"".join(rows.beside(id_, 0, len(content))) == content
        assert b"".join(rows.beside(id_, 1000, CHUNK_BYTES)) == content[1000 : 1000 + CHUNK_BYTES]
        assert b"".join(rows.beside(id_, len(content) - 7, 7)) == b"the end"

    assert rows.remove(OURS, "removed")
    assert b"".join(rows.beside("removed", 0, 10)) == b""
    clock.now += TTL_S + 1
    assert rows.trim() == 1
    assert database.fetch(text("SELECT count(*) FROM file_chunks")) == [(0,)]


def test_what_stands_beside_counts_among_a_keys_bytes(rows: ResponseRows, clock: Clock) -> None:
    rows.add(OURS, "large", None, rows.seal(b"x"), beside_bytes=6_000)
    clock.now += 1
    add(rows, "small")

    assert rows.trim() == 1
    assert rows.get(OURS, "large") is None
