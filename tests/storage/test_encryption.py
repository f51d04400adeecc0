"""SECRET_KEY: what it encrypts, how it is changed, and what happens when it is the wrong one."""

from __future__ import annotations

import logging

import pytest

from gbproxy.storage.database import Database
from gbproxy.storage.encryption import Cipher, Unreadable, WrongSecretKey, check_secret_key
from gbproxy.storage.files import FileRows
from gbproxy.storage.responses import ResponseRows
from gbproxy.storage.tokens_cookies import CookieRows, RenewedCookies, StoredToken, TokenRows
from tests.support.accounts import widget_account
from tests.support.clock import Clock
from tests.support.databases import stored_accounts

KEY = b"k" * 32
OLD, NEW = "the-old-secret-key-1", "the-new-secret-key-2"


def test_what_is_encrypted_comes_back() -> None:
    cipher = Cipher([OLD])
    value = {"cookie": "CSE.ä", "none": None}

    encrypted = cipher.encrypt(value)

    assert cipher.decrypt(encrypted) == value
    assert b"CSE." not in encrypted  # without the dot, letters of base64 may say so by chance
    assert cipher.encrypt(value) != encrypted


@pytest.mark.parametrize(
    "change",
    [lambda text: text[:-1], lambda text: b"", lambda text: text[:30] + text[30:].swapcase()],
)
def test_what_was_changed_or_is_another_key_s_is_unreadable(change: object) -> None:
    encrypted = Cipher([OLD]).encrypt("secret")

    with pytest.raises(Unreadable):
        Cipher([NEW]).decrypt(encrypted)
    with pytest.raises(Unreadable):
        Cipher([OLD]).decrypt(change(encrypted))  # type: ignore[operator]


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    both = Cipher([NEW, OLD])

    assert both.decrypt(Cipher([OLD]).encrypt(1)) == 1
    assert Cipher([NEW]).decrypt(both.encrypt(2)) == 2


def test_a_new_database_takes_any_key_and_then_knows_it(database: Database) -> None:
    check_secret_key(database, Cipher([OLD]))
    check_secret_key(database, Cipher([OLD]))

    with pytest.raises(WrongSecretKey, match=r"SECRET_KEY: none of its keys"):
        check_secret_key(database, Cipher([NEW]))


def test_a_new_first_key_encrypts_everything_anew_so_that_the_old_one_can_go(
    database: Database, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    old = Cipher([OLD])
    check_secret_key(database, old)
    stored = stored_accounts(database, old, clock).add(widget_account("", "a", "1", "c", "CSE.1"))
    cookies, token = RenewedCookies("d", "CSE.2", None, clock()), StoredToken("d", "eyJ", clock())
    CookieRows(database, old).keep("a", cookies)
    TokenRows(database, old).keep("a", token)

    with caplog.at_level(logging.INFO):
        check_secret_key(database, Cipher([NEW, OLD]))

    new = Cipher([NEW])
    check_secret_key(database, new)
    assert stored_accounts(database, new, clock).list() == [stored]
    assert CookieRows(database, new).read() == {"a": cookies}
    assert TokenRows(database, new).read() == {"a": token}
    assert [(record.getMessage(), record.values) for record in caplog.records] == [
        ("secret_key.rotated", 3)
    ]


def test_a_new_first_key_encrypts_files_and_stored_responses_anew(
    database: Database, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    old, both = Cipher([OLD]), Cipher([NEW, OLD])
    check_secret_key(database, old)
    responses, files = ResponseRows(database, old, clock), FileRows(database, old, clock)
    responses.add(KEY, "resp_1", None, responses.seal(b"said"), beside_bytes=5)
    assert list(responses.add_beside("resp_1", b"large")) == [5]
    id_ = files.begin(KEY, name="a.txt", media_type="text/plain")
    assert files.add(id_, 0, b"one")
    assert files.add(id_, 3, b"two")
    assert files.complete(id_, 6, "digest", media_type="text/plain")
    FileRows(database, both, clock).begin(KEY, name="new.txt", media_type="text/plain")

    with caplog.at_level(logging.INFO):
        check_secret_key(database, both)

    new = Cipher([NEW])
    check_secret_key(database, new)
    responses, files = ResponseRows(database, new, clock), FileRows(database, new, clock)
    assert responses.open(responses.get(KEY, "resp_1") or b"") == b"said"
    assert b"".join(responses.beside("resp_1", 0, 5)) == b"large"
    found = files.get(KEY, id_)
    assert found is not None
    assert found.name == "a.txt"
    assert b"".join(files.read(id_)) == b"onetwo"
    assert [(record.getMessage(), record.values) for record in caplog.records] == [
        ("secret_key.rotated", 5)
    ]


def test_one_value_that_cannot_be_read_does_not_hinder_a_new_key(
    database: Database, clock: Clock
) -> None:
    check_secret_key(database, Cipher([OLD]))
    TokenRows(database, Cipher(["a-third-secret-key"])).keep(
        "lost", StoredToken("d", "eyJ", clock())
    )
    TokenRows(database, Cipher([OLD])).keep("kept", StoredToken("d", "eyJ", clock()))

    check_secret_key(database, Cipher([NEW, OLD]))

    assert TokenRows(database, Cipher([NEW])).read().keys() == {"kept"}
