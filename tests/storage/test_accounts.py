"""Stored accounts, renewed cookies and tokens; and that no secret of theirs can be read in the
database's files.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, update

from gbproxy.accounts.health import AccountHealth
from gbproxy.domain.session import NoClaim
from gbproxy.errors import BadRequest
from gbproxy.storage import tables
from gbproxy.storage.account_health import AccountHealthRows, CheckResult, CheckStore
from gbproxy.storage.accounts import EnabledOverrides, NameTaken, StoredAccount, StoredAccounts
from gbproxy.storage.database import Database
from gbproxy.storage.encryption import Cipher
from gbproxy.storage.sessions import SessionRows
from gbproxy.storage.tokens_cookies import CookieRows, RenewedCookies, StoredToken, TokenRows
from gbproxy.storage.workers import ChangeCounter
from gbproxy.upstreams.widget.credential import credential_of, with_values
from tests.support.accounts import widget_account
from tests.support.clock import Clock
from tests.support.databases import stored_accounts

COOKIE, OTHER_COOKIE, BEARER = (
    "CSE.the-secret-cookie",
    "COS.the-other-cookie",
    "eyJ.the-secret-bearer",
)
DIGEST, OTHER_DIGEST = "d" * 64, "e" * 64

ANNA = "0123456789abcdef:anna"


@pytest.fixture
def accounts(database: Database, cipher: Cipher, clock: Clock) -> StoredAccounts:
    return stored_accounts(database, cipher, clock)


@pytest.fixture
def changes(database: Database) -> ChangeCounter:
    return ChangeCounter(database)


def added(accounts: StoredAccounts, name: str = "anna") -> StoredAccount:
    return accounts.add(widget_account("", name, "123", "c-1", COOKIE, OTHER_COOKIE))


def test_an_account_comes_back_as_it_was_given(accounts: StoredAccounts, clock: Clock) -> None:
    first = added(accounts)
    clock.now += 1
    second = accounts.add(widget_account("", "ben", "1", "c", COOKIE))

    assert accounts.list() == [first, second]
    assert credential_of(first.account).secure_c_ses == COOKIE
    assert credential_of(first.account).host_c_oses == OTHER_COOKIE
    assert (first.is_active, first.created_at, credential_of(second.account).host_c_oses) == (
        True,
        clock() - 1,
        None,
    )
    assert first.account.id != second.account.id


def test_all_that_an_account_s_browser_sends_comes_back_and_can_be_changed(
    accounts: StoredAccounts,
) -> None:
    given = widget_account(
        "",
        "anna",
        "1",
        "c",
        COOKIE,
        None,
        edition="enterprise",
        location="eu",
        cookies="__Secure-C_AUX=aux",
        server_token="CAMStoken",
        user_agent="Mozilla/5.0 (X)",
    )
    stored = accounts.add(given)

    [read] = accounts.list()
    accounts.change(
        stored.account.id,
        lambda known: replace(
            known, account=with_values(known.account, edition="business", server_token=None)
        ),
    )
    [changed] = accounts.list()

    assert replace(read.account, id="") == given
    assert changed.account == with_values(stored.account, edition="business", server_token=None)


@pytest.mark.parametrize("more", [{}, {"of_a_newer_version": 1}], ids=["older", "newer"])
def test_an_account_that_another_version_stored_is_read(
    accounts: StoredAccounts, database: Database, cipher: Cipher, more: dict[str, object]
) -> None:
    stored = added(accounts)
    values = {"csesidx": "123", "config_id": "c-1", "secure_c_ses": COOKIE, **more}
    database.change(update(tables.accounts).values(credential=cipher.encrypt(values)))

    [read] = accounts.list()

    assert read.account == with_values(stored.account, host_c_oses=None)


@pytest.mark.parametrize(
    "values",
    [
        {"upstream": "of a newer version"},
        {"credential": {"csesidx": "123"}},
    ],
    ids=["another upstream's", "not whole"],
)
def test_an_account_that_nothing_here_can_open_is_left_out_and_logged(
    accounts: StoredAccounts,
    database: Database,
    cipher: Cipher,
    values: dict[str, object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    stored = added(accounts)
    if "credential" in values:
        values = {"credential": cipher.encrypt(values["credential"])}
    database.change(update(tables.accounts).values(**values))

    assert accounts.list() == []
    assert [(record.getMessage(), record.account) for record in caplog.records] == [
        ("secret.unreadable", stored.account.id)
    ]


def test_an_account_is_changed(accounts: StoredAccounts, clock: Clock) -> None:
    stored = added(accounts)
    changed = replace(
        with_values(stored.account, secure_c_ses="CSE.new", host_c_oses=None), name="anna 2"
    )
    clock.now += 5

    told = accounts.change(
        stored.account.id, lambda known: replace(known, account=changed, is_active=False)
    )

    assert told == replace(stored, account=changed, is_active=False, updated_at=clock())
    assert accounts.list() == [told]


def test_what_does_not_exist_is_not_changed(
    accounts: StoredAccounts, changes: ChangeCounter
) -> None:
    stored = added(accounts)
    accounts.remove(stored.account.id)
    version = changes.version("accounts")

    assert accounts.change(stored.account.id, lambda known: known) is None
    assert not accounts.remove(stored.account.id)
    assert (accounts.list(), changes.version("accounts")) == ([], version)


@pytest.mark.parametrize("account_id", ["nobody", "", "a\0b", "' OR 1=1 --", "%"])
def test_what_is_no_id_removes_nothing(accounts: StoredAccounts, account_id: str) -> None:
    stored = added(accounts)

    assert not accounts.remove(account_id)
    assert accounts.list() == [stored]


def test_a_name_is_given_once(accounts: StoredAccounts) -> None:
    added(accounts)
    ben = added(accounts, "ben")

    with pytest.raises(NameTaken):
        added(accounts)
    with pytest.raises(NameTaken):
        accounts.change(
            ben.account.id,
            lambda known: replace(known, account=replace(known.account, name="anna")),
        )
    assert [stored.account.name for stored in accounts.list()] == ["anna", "ben"]


def test_a_change_that_is_refused_leaves_all_as_it_was(
    accounts: StoredAccounts, changes: ChangeCounter
) -> None:
    stored = added(accounts)
    version = changes.version("accounts")

    def refuse(known: StoredAccount) -> StoredAccount:
        raise BadRequest("no")

    with pytest.raises(BadRequest):
        accounts.change(stored.account.id, refuse)
    assert (accounts.list(), changes.version("accounts")) == ([stored], version)


def test_each_change_is_told(
    accounts: StoredAccounts, changes: ChangeCounter, database: Database
) -> None:
    versions = [changes.version("accounts")]
    id_ = added(accounts).account.id
    versions.append(changes.version("accounts"))
    accounts.change(id_, lambda known: replace(known, is_active=False))
    versions.append(changes.version("accounts"))
    EnabledOverrides(database).enable("default", False)
    versions.append(changes.version("accounts"))
    accounts.remove(id_)
    versions.append(changes.version("accounts"))

    assert versions == sorted(set(versions))
    assert changes.version("keys") == 0


def test_an_account_goes_with_all_that_belongs_to_it(
    accounts: StoredAccounts, database: Database, cipher: Cipher, clock: Clock
) -> None:
    account = added(accounts).account
    cookies, tokens, switches = (
        CookieRows(database, cipher),
        TokenRows(database, cipher),
        EnabledOverrides(database),
    )
    cookies.keep(account.account_key, RenewedCookies(DIGEST, COOKIE, None, clock()))
    tokens.keep(account.account_key, StoredToken(DIGEST, BEARER, clock()))
    switches.enable(account.id, False)
    checks = CheckStore(database, clock)
    checks.note(account.id, DIGEST, "valid")
    states = AccountHealthRows(database, clock, AccountHealth)
    states.publish(
        AccountHealth(account.account_key, "text", "cooling", clock() + 60, changed_at=clock())
    )
    states.used([account.id], clock())
    sessions = SessionRows(database, clock, lambda: "worker")
    kept = sessions.add(account.account_key, "sessions/1", prewarmed=True)
    sessions.commit(
        kept, history_digest=b"h", key_digest=b"c", conversation="1", expires_at=clock() + 60
    )
    sessions.add(account.account_key, "sessions/2", prewarmed=False)  # an answer runs in it

    assert accounts.remove(account.id)

    assert (cookies.read(), tokens.read(), switches.disabled()) == ({}, {}, frozenset())
    assert (checks.read(), checks.sign_ins(), states.read(), states.uses()) == ({}, {}, [], {})
    assert sessions.claim_conversation("1", b"c") is NoClaim.UNKNOWN
    # It may come back, under another id, and then they can be deleted upstream.
    assert [
        left.id for left in sessions.due_deletions(10, [replace(account, id="another").account_key])
    ] == [kept.id]


def test_what_was_last_seen_of_a_credential_is_remembered(
    database: Database, cipher: Cipher, clock: Clock
) -> None:
    checks = CheckStore(database, clock)
    checks.note("anna", DIGEST, "unknown", "no connection")
    clock.now += 1

    seen = checks.note("anna", OTHER_DIGEST, "refused", "Renew it.")
    TokenRows(database, cipher).keep("ben", StoredToken(DIGEST, BEARER, clock()))

    assert seen == CheckResult(OTHER_DIGEST, "refused", "Renew it.", clock())
    assert checks.read() == {"anna": seen}
    assert checks.sign_ins() == {"ben": CheckResult(DIGEST, "valid", "", clock())}


def test_accounts_of_the_environment_are_switched(database: Database) -> None:
    switches = EnabledOverrides(database)

    switches.enable("default", False)
    switches.enable("other", False)
    switches.enable("other", True)

    assert switches.disabled() == {"default"}


def test_renewed_cookies_replace_older_ones(
    database: Database, cipher: Cipher, clock: Clock
) -> None:
    cookies = CookieRows(database, cipher)
    old = RenewedCookies(DIGEST, COOKIE, OTHER_COOKIE, clock())
    new = RenewedCookies(DIGEST, "CSE.newer", None, clock() + 1)

    kept = [cookies.keep("anna", old), cookies.keep("anna", new), cookies.keep("anna", old)]

    assert kept == [True, True, False]
    assert cookies.read() == {"anna": new}
    assert cookies.read(since=clock() + 2) == {}


def test_further_cookies_are_kept_encrypted_and_rows_without_them_are_read(
    database: Database, cipher: Cipher, clock: Clock
) -> None:
    cookies = CookieRows(database, cipher)
    without, with_further = (
        RenewedCookies(DIGEST, COOKIE, None, clock(), further, further)
        for further in (None, "__Secure-C_AUX=secret-1")
    )

    cookies.keep("anna", without)
    cookies.keep("otto", with_further)

    assert cookies.read() == {"anna": without, "otto": with_further}
    stored = {row.account_key: row.cookies for row in database.fetch(select(tables.cookies))}
    assert b"secret-1" not in stored["otto"]
    # as ever
    assert cipher.decrypt(stored["anna"]) == {"secure_c_ses": COOKIE, "host_c_oses": None}


def test_a_token_replaces_an_older_one_or_that_of_another_credential(
    database: Database, cipher: Cipher, clock: Clock
) -> None:
    tokens = TokenRows(database, cipher)
    old, new = StoredToken(DIGEST, BEARER, clock()), StoredToken(DIGEST, "eyJ.newer", clock() + 1)
    replaced = StoredToken(OTHER_DIGEST, "eyJ.other", clock())

    kept = [tokens.keep("anna", token) for token in (old, new, old)]
    read = tokens.read()
    kept_after = tokens.keep("anna", replaced)

    assert kept == [True, True, False]
    assert read == {"anna": new}
    assert kept_after
    assert tokens.read(since=clock()) == {"anna": replaced}
    assert tokens.read(since=clock() + 1) == {}


def test_a_clock_that_is_set_back_keeps_nothing_out(
    database: Database, cipher: Cipher, clock: Clock
) -> None:
    cookies, tokens = CookieRows(database, cipher), TokenRows(database, cipher)
    early, late = clock() - 3600, clock()
    for time in (late, early):
        cookies.keep("anna", RenewedCookies(DIGEST, f"CSE.{time}", None, time))
        tokens.keep("anna", StoredToken(DIGEST, f"eyJ.{time}", time))

    assert cookies.read()["anna"].renewed_at == early
    assert tokens.read()["anna"].signed_at == early


def test_a_refused_token_is_dropped_unless_there_is_a_newer_one(
    database: Database, cipher: Cipher, clock: Clock
) -> None:
    tokens = TokenRows(database, cipher)
    tokens.keep("anna", StoredToken(DIGEST, BEARER, clock()))

    tokens.drop("anna", clock() - 1)
    left = set(tokens.read())
    tokens.drop("anna", clock())

    assert left == {"anna"}
    assert tokens.read() == {}


def test_what_no_key_can_read_is_left_out_and_logged(
    accounts: StoredAccounts,
    database: Database,
    cipher: Cipher,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stored = added(accounts)
    CookieRows(database, cipher).keep(ANNA, RenewedCookies(DIGEST, COOKIE, None, clock()))
    TokenRows(database, cipher).keep(ANNA, StoredToken(DIGEST, BEARER, clock()))
    other = Cipher(["another-secret-key"])

    with caplog.at_level(logging.ERROR):
        read = (
            stored_accounts(database, other, clock).list(),
            CookieRows(database, other).read(),
            TokenRows(database, other).read(),
        )

    assert read == ([], {}, {})
    told = [(record.getMessage(), record.table, record.account) for record in caplog.records]
    assert told == [
        ("secret.unreadable", "accounts", stored.account.id),
        ("secret.unreadable", "cookies", "anna"),
        ("secret.unreadable", "tokens", "anna"),
    ]


@pytest.mark.parametrize("kind", ["sqlite"])
def test_no_secret_stands_in_the_database_s_files(
    accounts: StoredAccounts, database: Database, cipher: Cipher, clock: Clock, tmp_path: Path
) -> None:
    stored = added(accounts)
    CookieRows(database, cipher).keep(ANNA, RenewedCookies(DIGEST, COOKIE, OTHER_COOKIE, clock()))
    TokenRows(database, cipher).keep(ANNA, StoredToken(DIGEST, BEARER, clock()))

    written = b"".join(_files(tmp_path))

    assert stored.account.name.encode() in written
    assert any(path.name.endswith("-wal") and path.stat().st_size for path in tmp_path.iterdir())
    for secret in (COOKIE, OTHER_COOKIE, BEARER):
        assert secret.encode() not in written
        assert secret not in repr(stored)


def _files(folder: Path) -> Iterator[bytes]:
    yield from (path.read_bytes() for path in folder.iterdir() if path.is_file())


def test_what_is_kept_of_credentials_is_counted_and_what_is_refused_is_not(
    database: Database, cipher: Cipher, clock: Clock
) -> None:
    cookies, tokens = CookieRows(database, cipher), TokenRows(database, cipher)
    versions = [tokens.version()]

    cookies.keep(ANNA, RenewedCookies(DIGEST, COOKIE, None, clock()))
    versions.append(tokens.version())
    tokens.keep(ANNA, StoredToken(DIGEST, BEARER, clock()))
    versions.append(tokens.version())
    tokens.keep(ANNA, StoredToken(DIGEST, BEARER, clock() - 1))  # older than the stored one
    versions.append(tokens.version())

    assert versions == [0, 1, 2, 2]
