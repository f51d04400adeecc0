"""Two workers on one database: tokens and renewed cookies are shared, survive a restart, and never
cross credentials.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gbproxy.domain.account import Account
from gbproxy.errors import CredentialRefused, StorageUnavailable, UpstreamBroken, UpstreamError
from gbproxy.outbound import HttpClient, Reply
from gbproxy.simulator import Simulator
from gbproxy.storage.database import Database
from gbproxy.storage.encryption import Cipher
from gbproxy.storage.migrate import migrate
from gbproxy.storage.tokens_cookies import CookieRows, RenewedCookies, StoredToken, TokenRows
from gbproxy.upstreams.widget.auth import WidgetAuth
from gbproxy.upstreams.widget.credential import credential_of, with_values
from gbproxy.upstreams.widget.endpoints import EndpointMap
from tests.support.accounts import simulated_account, widget_account
from tests.support.business_host import ACCOUNT, BASE, NOW, FakeHttpClient, Gate, key_reply, reply
from tests.support.clock import Clock
from tests.support.databases import CIPHER

REFRESH = "/auth/refreshcookies?continue=x"
RENEWED = "__Secure-C_SES=CSE.new; Path=/; Secure; HttpOnly"
OLD_COOKIES = "__Secure-C_SES=CSE.old; __Host-C_OSES=COS.old"
NEW_COOKIES = "__Secure-C_SES=CSE.new; __Host-C_OSES=COS.old"
LOGIN = reply(302, location="/login")
OTHERS = [
    with_values(ACCOUNT, secure_c_ses="CSE.other"),
    with_values(ACCOUNT, host_c_oses="COS.other"),
    with_values(ACCOUNT, host_c_oses=None),
    with_values(ACCOUNT, csesidx="987654321"),
    with_values(ACCOUNT, config_id="c-2"),
    replace(ACCOUNT, id="two"),
]


class Time:
    """What passes for every clock alike; `wall` can be set apart."""

    def __init__(self) -> None:
        self.wall = Clock(NOW)
        self.monotonic = Clock(5000.0)
        self.upstream = Clock(NOW)

    def passes(self, seconds: float) -> None:
        for clock in (self.wall, self.monotonic, self.upstream):
            clock.now += seconds


class Records:
    """The real rows, which can be away; and what was asked of them."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows
        self.is_away = False
        self.calls: list[str] = []
        # what happens once, right after the next look
        self.after_reading: list[Callable[[], object]] = []

    def keep(self, *values: Any) -> bool:
        return bool(self._call("keep", *values))

    def read(self, since: float = 0.0) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._call("read", since)
        while self.after_reading:
            self.after_reading.pop()()
        return found

    def drop(self, *values: Any) -> None:
        self._call("drop", *values)

    def _call(self, name: str, *values: Any) -> Any:
        self.calls.append(name)
        if self.is_away:
            raise StorageUnavailable("away")
        return getattr(self._rows, name)(*values)


class Workers:
    """Makes workers on one database: each with a memory and a business host of its own."""

    def __init__(self, database: Database) -> None:
        cipher = Cipher(["the-secret-key-of-these-tests"])
        self.time = Time()
        self.tokens = Records(TokenRows(database, cipher))
        self.cookies = Records(CookieRows(database, cipher))
        self._keys = 0

    def worker(
        self, *answers: Reply | BaseException | Gate, wall: Clock | None = None
    ) -> tuple[WidgetAuth, FakeHttpClient]:
        """Its host gives a new key each time, behind the answers that are named."""
        client = FakeHttpClient(*answers, self.key)
        return self.asking(client, wall), client

    def asking(self, outbound: Any, wall: Clock | None = None, url: str = BASE) -> WidgetAuth:
        return WidgetAuth(
            outbound,
            EndpointMap(page_url=url),
            tokens=self.tokens,
            cookies=self.cookies,
            clock=wall or self.time.wall,
            monotonic=self.time.monotonic,
        )

    def key(self, *set_cookies: str) -> Reply:
        """A good answer at this moment."""
        self._keys += 1
        return replace(
            key_reply(f"key-{self._keys}", date=self.time.upstream()), set_cookies=set_cookies
        )

    def tell(self, auth: WidgetAuth, *accounts: Account) -> None:
        """What the background does each half second."""
        auth.sync(accounts or (ACCOUNT,), self.tokens.read(), self.cookies.read())

    def go_away(self, is_away: bool = True) -> None:
        self.tokens.is_away = self.cookies.is_away = is_away


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    with ExitStack() as stack:
        database = Database(f"sqlite:///{tmp_path}/shared.db")
        stack.callback(database.close)
        migrate(database, CIPHER)
        yield Workers(database)


# One signs in for all


def test_a_worker_that_starts_uses_the_token_of_another(workers: Workers) -> None:
    (first, _), (second, client) = workers.worker(), workers.worker()
    bearer = first.token(ACCOUNT).bearer
    workers.time.passes(200)

    assert second.token(ACCOUNT).bearer == bearer
    assert client.urls == []


@pytest.mark.parametrize(
    ("age_s", "sign_ins"), [(239.0, 0), (240.0, 1), (299.0, 1), (301.0, 1), (86_400.0, 1)]
)
def test_a_recorded_token_serves_no_longer_than_one_s_own(
    workers: Workers, age_s: float, sign_ins: int
) -> None:
    (first, _), (second, client) = workers.worker(), workers.worker()
    first.token(ACCOUNT)
    workers.time.passes(age_s)

    second.token(ACCOUNT)

    assert len(client.urls) == sign_ins


def test_the_age_of_a_token_that_was_taken_over_goes_on(workers: Workers) -> None:
    (first, _), (second, client) = workers.worker(), workers.worker()
    first.token(ACCOUNT)
    workers.time.passes(200)
    second.token(ACCOUNT)
    workers.time.passes(39)
    second.token(ACCOUNT)
    before = len(client.urls)
    workers.time.passes(1)

    second.token(ACCOUNT)

    assert (before, len(client.urls)) == (0, 1)


def test_a_newer_token_is_taken_over_while_the_old_one_holds(workers: Workers) -> None:
    (first, _), (second, client) = workers.worker(), workers.worker()
    first.token(ACCOUNT)
    second.token(ACCOUNT)
    workers.time.passes(200)
    first.refresh_ahead(ACCOUNT, 200)

    workers.tell(second)

    assert second.token(ACCOUNT).bearer == first.token(ACCOUNT).bearer
    workers.time.passes(239)
    second.token(ACCOUNT)
    assert client.urls == []


def test_an_older_token_is_not_taken_over(workers: Workers) -> None:
    (first, _), (second, _) = workers.worker(), workers.worker()
    first.token(ACCOUNT)
    old = workers.tokens.read()
    workers.time.passes(240)
    own = second.token(ACCOUNT).bearer

    second.sync((ACCOUNT,), old, {})

    assert second.token(ACCOUNT).bearer == own


def test_a_token_grows_no_younger_by_being_read_again(workers: Workers) -> None:
    (first, _), (second, client) = workers.worker(), workers.worker()
    first.token(ACCOUNT)
    second.token(ACCOUNT)
    for _ in range(240):
        workers.time.passes(1)
        workers.time.wall.now -= 1
        workers.tell(second)
    workers.tokens.drop(ACCOUNT.account_key, NOW)

    second.token(ACCOUNT)

    assert len(client.urls) == 1


def test_a_request_with_a_good_token_asks_no_records(workers: Workers) -> None:
    first, _ = workers.worker()
    first.token(ACCOUNT)
    workers.tokens.calls.clear()
    workers.cookies.calls.clear()

    first.token(ACCOUNT)

    assert workers.tokens.calls == workers.cookies.calls == []


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_no_token_or_cookie_gets_to_another_credential(workers: Workers, other: Account) -> None:
    first, _ = workers.worker(reply(302, location=REFRESH), reply(200, b"", RENEWED))
    bearer = first.token(ACCOUNT).bearer
    second, client = workers.worker()

    workers.tell(second, other)
    got = second.token(other).bearer

    assert got != bearer
    assert client.cookies[0].startswith(f"__Secure-C_SES={credential_of(other).secure_c_ses}")
    assert "CSE.new" not in str(client.cookies)


def test_what_stands_under_another_account_s_id_is_not_used(workers: Workers) -> None:
    other = widget_account("two", csesidx="2", secure_c_ses="CSE.two")
    theirs = StoredToken(other.fingerprint(), "eyJ.theirs.x", NOW)
    their_cookies = RenewedCookies(other.fingerprint(), "CSE.theirs", None, NOW)
    first, client = workers.worker()

    first.sync((ACCOUNT,), {ACCOUNT.account_key: theirs}, {ACCOUNT.account_key: their_cookies})
    workers.tokens.keep(ACCOUNT.account_key, theirs)
    workers.cookies.keep(ACCOUNT.account_key, their_cookies)
    bearer = first.token(ACCOUNT).bearer

    assert bearer != theirs.bearer
    assert client.cookies == [OLD_COOKIES]


# Refused tokens


def test_a_refused_token_is_taken_over_by_nobody(workers: Workers) -> None:
    (first, _), (second, client) = workers.worker(), workers.worker()
    refused = first.token(ACCOUNT).bearer

    first.discard(ACCOUNT, refused)

    assert workers.tokens.read() == {}
    assert second.token(ACCOUNT).bearer != refused
    assert len(client.urls) == 1


def test_a_refused_token_that_could_not_be_dropped_does_not_come_back(workers: Workers) -> None:
    first, _ = workers.worker()
    refused = first.token(ACCOUNT).bearer
    workers.go_away()
    first.discard(ACCOUNT, refused)
    workers.go_away(False)

    workers.tell(first)

    assert first.token(ACCOUNT).bearer != refused


def test_a_refused_token_takes_no_newer_one_with_it(workers: Workers) -> None:
    (first, _), (second, _) = workers.worker(), workers.worker()
    refused = second.token(ACCOUNT).bearer
    workers.tokens.drop(ACCOUNT.account_key, NOW)
    workers.time.passes(10)
    newer = first.token(ACCOUNT).bearer

    second.discard(ACCOUNT, refused)

    assert second.token(ACCOUNT).bearer == newer


# Ahead of time


def test_a_young_token_is_left_alone(workers: Workers) -> None:
    first, client = workers.worker()
    first.token(ACCOUNT)
    workers.time.passes(199)

    assert not first.refresh_ahead(ACCOUNT, 200)
    assert len(client.urls) == 1


def test_an_older_one_is_replaced_and_so_is_none_at_all(workers: Workers) -> None:
    first, client = workers.worker()

    done = [first.refresh_ahead(ACCOUNT, 200)]
    workers.time.passes(200)
    done.append(first.refresh_ahead(ACCOUNT, 200))
    workers.time.passes(239)
    first.token(ACCOUNT)

    assert done == [True, True]
    assert len(client.urls) == 2


def test_a_younger_one_of_another_worker_does_as_well(workers: Workers) -> None:
    (first, _), (second, client) = workers.worker(), workers.worker()
    second.token(ACCOUNT)
    workers.time.passes(240)
    newer = first.token(ACCOUNT).bearer

    second.refresh_ahead(ACCOUNT, 200)

    assert second.token(ACCOUNT).bearer == newer
    assert len(client.urls) == 1


def test_requests_use_the_old_token_while_a_new_one_is_made(workers: Workers) -> None:
    gate = Gate(key_reply("late"))
    first, _ = workers.worker(key_reply(), gate)
    old = first.token(ACCOUNT).bearer
    workers.time.passes(200)
    thread = threading.Thread(target=first.refresh_ahead, args=(ACCOUNT, 200))
    thread.start()
    assert gate.reached.wait(10)

    meanwhile = first.token(ACCOUNT).bearer
    workers.time.passes(80)  # beyond its usual age, with the new one so near
    still = first.token(ACCOUNT).bearer
    gate.open.set()
    thread.join(10)

    assert (meanwhile, still) == (old, old)
    assert first.token(ACCOUNT).bearer != old


def test_a_request_without_a_token_waits_for_the_one_that_is_being_made(workers: Workers) -> None:
    gate = Gate(key_reply("only"))
    first, client = workers.worker(gate)
    got: list[str] = []
    ahead = threading.Thread(target=first.refresh_ahead, args=(ACCOUNT, 200))
    asking = threading.Thread(target=lambda: got.append(first.token(ACCOUNT).bearer))
    ahead.start()
    assert gate.reached.wait(10)

    asking.start()
    gate.open.set()
    for thread in (ahead, asking):
        thread.join(10)

    assert len(got) == len(client.urls) == 1


def test_after_a_refusal_no_sign_in_is_joined_that_began_before_it(workers: Workers) -> None:
    gate = Gate(key_reply("early"))
    first, client = workers.worker(key_reply("refused"), gate)
    refused = first.token(ACCOUNT).bearer
    ahead = threading.Thread(target=first.refresh_ahead, args=(ACCOUNT, 0))
    ahead.start()
    assert gate.reached.wait(10)
    workers.time.passes(1)

    refused_at = first.discard(ACCOUNT, refused)
    mine = first.token(ACCOUNT, refused_at)
    gate.open.set()
    ahead.join(10)

    assert len(client.urls) == 3
    assert first.token(ACCOUNT, refused_at) == first.token(ACCOUNT) == mine


def test_who_is_refused_the_same_token_later_takes_the_one_that_was_made_since(
    workers: Workers,
) -> None:
    first, client = workers.worker()
    refused = first.token(ACCOUNT).bearer
    workers.time.passes(1)
    made = first.token(ACCOUNT, first.discard(ACCOUNT, refused))
    workers.time.passes(1)

    assert first.token(ACCOUNT, first.discard(ACCOUNT, refused)) == made
    assert len(client.urls) == 2


@pytest.mark.parametrize(
    "answer", [reply(401), reply(503), UpstreamBroken("EOF")], ids=["401", "503", "eof"]
)
def test_a_failure_is_told_to_the_background_and_the_old_token_stays(
    workers: Workers, answer: Reply | BaseException
) -> None:
    first, _ = workers.worker(workers.key(), answer)
    old = first.token(ACCOUNT).bearer
    workers.time.passes(200)

    with pytest.raises(UpstreamError) as caught:
        first.refresh_ahead(ACCOUNT, 200)

    assert isinstance(caught.value, CredentialRefused) == (answer == reply(401))
    assert first.token(ACCOUNT).bearer == old


# Renewed cookies


def test_renewed_cookies_serve_the_other_workers_and_after_a_restart(workers: Workers) -> None:
    first, _ = workers.worker(reply(302, location=REFRESH), reply(200, b"", RENEWED))
    second, told = workers.worker()
    first.token(ACCOUNT)

    workers.tell(second)
    workers.time.passes(240)
    workers.go_away()  # it knows them already
    second.token(ACCOUNT)
    workers.go_away(False)
    workers.time.passes(240)
    restarted, client = workers.worker()
    restarted.token(ACCOUNT)

    assert told.cookies == client.cookies == [NEW_COOKIES]


def test_they_are_kept_before_anything_else_can_fail(workers: Workers) -> None:
    first, _ = workers.worker(
        reply(302, location=REFRESH), reply(200, b"", RENEWED), KeyboardInterrupt()
    )
    second, client = workers.worker()
    with pytest.raises(KeyboardInterrupt):
        first.token(ACCOUNT)

    second.token(ACCOUNT)

    assert client.cookies == [NEW_COOKIES]


def test_cookies_that_the_user_replaces_end_them_also_after_a_restart(workers: Workers) -> None:
    first, _ = workers.worker(reply(302, location=REFRESH), reply(200, b"", RENEWED))
    first.token(ACCOUNT)
    second, client = workers.worker()

    second.token(with_values(ACCOUNT, secure_c_ses="CSE.user"))
    second.token(replace(ACCOUNT, name="renamed"))

    assert client.cookies == ["__Secure-C_SES=CSE.user; __Host-C_OSES=COS.old", NEW_COOKIES]


@pytest.mark.parametrize(
    "others",
    [
        RenewedCookies(ACCOUNT.fingerprint(), "CSE.older", None, NOW - 1),
        RenewedCookies(
            with_values(ACCOUNT, secure_c_ses="CSE.user").fingerprint(), "CSE.others", None, NOW + 1
        ),
    ],
    ids=["older", "of another credential"],
)
def test_cookies_that_are_none_of_ours_do_not_end_those_in_use(
    workers: Workers, others: RenewedCookies
) -> None:
    first, client = workers.worker(reply(302, location=REFRESH), reply(200, b"", RENEWED))
    first.token(ACCOUNT)
    workers.time.passes(240)
    workers.go_away()

    first.sync((ACCOUNT,), {}, {ACCOUNT.account_key: others})
    first.token(ACCOUNT)

    assert client.cookies[-1] == NEW_COOKIES


def test_cookies_for_a_new_credential_count_however_late_the_old_one_s_were(
    workers: Workers,
) -> None:
    first, client = workers.worker(reply(302, location=REFRESH), reply(200, b"", RENEWED))
    first.token(ACCOUNT)
    changed = with_values(ACCOUNT, secure_c_ses="CSE.user")
    workers.go_away()

    first.sync(
        (changed,),
        {},
        {changed.account_key: RenewedCookies(changed.fingerprint(), "CSE.theirs", None, NOW - 1)},
    )
    first.token(changed)

    assert client.cookies[-1] == "__Secure-C_SES=CSE.theirs"


def test_later_cookies_count_although_the_clock_was_set_back(workers: Workers) -> None:
    first, _ = workers.worker(
        workers.key(RENEWED), workers.key("__Secure-C_SES=CSE.newest; Secure")
    )
    second, client = workers.worker()
    first.token(ACCOUNT)
    workers.tell(second)
    workers.time.passes(240)
    workers.time.wall.now -= 3600

    first.token(ACCOUNT)
    workers.tell(first)
    workers.tell(second)
    workers.time.passes(240)
    second.token(ACCOUNT)

    assert client.cookies == ["__Secure-C_SES=CSE.newest; __Host-C_OSES=COS.old"]


@pytest.mark.parametrize(
    ("set_cookies", "sent"),
    [
        ([RENEWED], NEW_COOKIES),
        ([f"{RENEWED}; Max-Age=86400; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], NEW_COOKIES),
        ([f"{RENEWED}; Expires=Fri, 01 Jan 2100 00:00:00 GMT"], NEW_COOKIES),
        ([f"{RENEWED}; Max-Age=soon; Expires=never"], NEW_COOKIES),
        ([RENEWED, "__Secure-C_SES=; Max-Age=0"], NEW_COOKIES),
        (
            ["__Host-C_OSES=COS.new; Path=/; Secure"],
            "__Secure-C_SES=CSE.old; __Host-C_OSES=COS.new",
        ),
        (["__Secure-C_SES="], OLD_COOKIES),
        (['__Secure-C_SES=""; Path=/'], OLD_COOKIES),
        (["__Secure-C_SES=EXPIRED; Max-Age=0"], OLD_COOKIES),
        (["__Secure-C_SES=EXPIRED; max-age = -1"], OLD_COOKIES),
        (["__Secure-C_SES=EXPIRED; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], OLD_COOKIES),
        (["__Secure-C_SES=EXPIRED; expires=Mon, 01-Jan-1990 00:00:00 GMT"], OLD_COOKIES),
        (["__Secure-C_SES=EXPIRED; Max-Age=0; Expires=Fri, 01 Jan 2100 00:00:00 GMT"], OLD_COOKIES),
        (["__Secure-C_SES=CSE.insecure; Path=/"], OLD_COOKIES),
        (["__Host-C_OSES=COS.wide; Path=/; Secure; Domain=business.gemini.google"], OLD_COOKIES),
        (["__Secure-C_SES=CSE.foreign; Path=/; Secure; Domain=google.com"], OLD_COOKIES),
        ([f"{RENEWED}; Domain=.gemini.google"], NEW_COOKIES),
        (["__secure-c_ses=CSE.lower", "NID=525=x", "SID=y"], OLD_COOKIES),
    ],
    ids=str,
)
def test_cookies_that_come_with_a_key_are_used_unless_they_are_deleted(
    workers: Workers, set_cookies: list[str], sent: str
) -> None:
    first, client = workers.worker(workers.key(*set_cookies))
    first.token(ACCOUNT)
    workers.time.passes(240)

    first.token(ACCOUNT)

    assert client.cookies == [OLD_COOKIES, sent]


@pytest.mark.parametrize("status", [302, 401, 403, 503])
def test_cookies_that_come_with_a_refusal_are_not_used(workers: Workers, status: int) -> None:
    first, client = workers.worker(
        reply(status, b"", RENEWED, location="/login" if status == 302 else None)
    )
    with pytest.raises(UpstreamError):
        first.token(ACCOUNT)

    first.token(ACCOUNT)

    assert client.cookies == [OLD_COOKIES, OLD_COOKIES]


def test_when_renewed_cookies_are_refused_the_account_s_own_are_tried(workers: Workers) -> None:
    first, client = workers.worker(workers.key(RENEWED), LOGIN)
    first.token(ACCOUNT)
    workers.time.passes(240)

    first.token(ACCOUNT)
    workers.time.passes(240)
    first.token(ACCOUNT)

    assert client.cookies == [OLD_COOKIES, NEW_COOKIES, OLD_COOKIES, OLD_COOKIES]


def test_when_all_are_refused_each_was_tried_once(workers: Workers) -> None:
    first, client = workers.worker(workers.key(RENEWED), LOGIN, LOGIN)
    first.token(ACCOUNT)
    workers.time.passes(240)

    with pytest.raises(CredentialRefused):
        first.token(ACCOUNT)

    assert client.cookies == [OLD_COOKIES, NEW_COOKIES, OLD_COOKIES]


def test_renewed_cookies_that_are_refused_at_once_are_not_tried_again(workers: Workers) -> None:
    first, client = workers.worker(reply(302, location=REFRESH), reply(200, b"", RENEWED), LOGIN)

    with pytest.raises(CredentialRefused):
        first.token(ACCOUNT)

    assert client.cookies == [OLD_COOKIES, OLD_COOKIES, NEW_COOKIES]


# Further cookies


def test_further_cookies_that_one_worker_was_taken_with_serve_the_others_and_after_a_restart(
    workers: Workers,
) -> None:
    account = with_values(ACCOUNT, cookies="__Secure-C_AUX=1")
    (first, _), (second, client), (third, third_door) = (
        workers.worker(LOGIN),
        workers.worker(),
        workers.worker(),
    )

    first.token(account)
    workers.tell(second, account)
    workers.time.passes(241)
    second.token(account)
    workers.time.passes(241)
    third.token(account)

    assert [*client.cookies, *third_door.cookies] == [f"{OLD_COOKIES}; __Secure-C_AUX=1"] * 2


def test_further_cookies_that_are_replaced_are_not_sent_before_they_are_needed_again(
    workers: Workers,
) -> None:
    first, client = workers.worker(LOGIN)
    first.token(with_values(ACCOUNT, cookies="__Secure-C_AUX=1"))

    first.token(with_values(ACCOUNT, cookies="__Secure-C_AUX=2"))

    assert client.cookies[2:] == [OLD_COOKIES]


def test_with_renewed_cookies_that_are_refused_and_with_the_account_s_own_further_ones_are_tried(
    workers: Workers,
) -> None:
    account = with_values(ACCOUNT, cookies="a=1")
    first, client = workers.worker(workers.key(RENEWED), LOGIN, LOGIN, LOGIN, LOGIN)
    first.token(account)
    workers.time.passes(240)

    with pytest.raises(CredentialRefused):
        first.token(account)

    assert client.cookies[1:] == [
        NEW_COOKIES,
        OLD_COOKIES,
        f"{NEW_COOKIES}; a=1",
        f"{OLD_COOKIES}; a=1",
    ]


# The database is away


def test_no_request_fails_for_want_of_the_database_and_it_is_logged_once(
    workers: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    first, client = workers.worker(reply(302, location=REFRESH), reply(200, b"", RENEWED))
    workers.go_away()
    with caplog.at_level(logging.WARNING):
        bearer = first.token(ACCOUNT).bearer
        same = first.token(ACCOUNT).bearer
        first.discard(ACCOUNT, bearer)
        first.token(ACCOUNT)
        first.sync((ACCOUNT,), {}, {})

    assert bearer == same
    assert client.cookies[-1] == NEW_COOKIES
    assert [record.getMessage() for record in caplog.records] == ["credentials.unshared"]


def test_each_outage_is_logged(workers: Workers, caplog: pytest.LogCaptureFixture) -> None:
    first, _ = workers.worker()
    with caplog.at_level(logging.WARNING):
        for is_away in (True, False, True):
            workers.go_away(is_away)
            first.discard(ACCOUNT, first.token(ACCOUNT).bearer)

    assert [record.getMessage() for record in caplog.records] == ["credentials.unshared"] * 2


def test_cookies_that_could_not_be_kept_are_kept_when_the_database_is_back(
    workers: Workers,
) -> None:
    first, _ = workers.worker(reply(302, location=REFRESH), reply(200, b"", RENEWED))
    workers.go_away()
    first.token(ACCOUNT)
    workers.go_away(False)

    first.sync((ACCOUNT,), {}, {})
    workers.cookies.calls.clear()
    first.sync((ACCOUNT,), {}, {})

    assert workers.cookies.calls == []
    assert workers.cookies.read() == {
        ACCOUNT.account_key: RenewedCookies(ACCOUNT.fingerprint(), "CSE.new", "COS.old", NOW)
    }


# Clocks


def test_machines_whose_clocks_differ_know_the_age_from_the_upstream(workers: Workers) -> None:
    late = Clock(NOW - 150)
    (first, _), (second, client) = workers.worker(), workers.worker(wall=late)
    # whatever the account: it has heard the upstream's clock
    second.token(replace(ACCOUNT, id="two"))
    first.token(ACCOUNT)
    workers.time.passes(239)
    late.now += 239
    workers.tell(second)
    used = second.token(ACCOUNT).bearer == first.token(ACCOUNT).bearer
    workers.time.passes(1)
    late.now += 1

    second.token(ACCOUNT)

    assert used
    assert len(client.urls) == 2


def test_without_the_upstream_s_clock_nothing_is_taken_from_the_future(workers: Workers) -> None:
    (first, _), (second, client) = workers.worker(), workers.worker(wall=Clock(NOW - 60))
    bearer = first.token(ACCOUNT).bearer

    assert second.token(ACCOUNT).bearer != bearer
    assert len(client.urls) == 1


# Over sockets


def test_the_upstream_takes_what_was_shared_and_one_renewal_serves_both(workers: Workers) -> None:
    with Simulator(clock=workers.time.upstream) as upstream:
        outbound = HttpClient()
        first, second = (workers.asking(outbound, url=upstream.url) for _ in range(2))
        account = simulated_account(upstream)
        second.token(account)
        workers.time.passes(240)
        # from now on the old cookie only leads to the renewal
        upstream.set(getoxsrf="refreshcookies")

        shared = first.token(account).bearer
        workers.tell(second, account)
        taken = second.token(account).bearer
        workers.time.passes(250)
        after = second.token(account).bearer

        assert taken == shared
        assert upstream.keys.verify(after, upstream.now()).csesidx == upstream.account.csesidx
        assert [call.path for call in upstream.requests].count("/auth/refreshcookies") == 1
        outbound.close()


def test_one_who_is_refused_the_old_cookies_finds_those_that_another_has_just_renewed(
    workers: Workers,
) -> None:
    with Simulator(clock=workers.time.upstream) as upstream:
        outbound = HttpClient()
        account = simulated_account(upstream)
        first, second = (workers.asking(outbound, url=upstream.url) for _ in range(2))
        upstream.set(getoxsrf="refreshcookies")
        workers.cookies.after_reading = [lambda: first.token(account).bearer]
        bearer = second.token(account).bearer

        assert upstream.keys.verify(bearer, upstream.now()).csesidx == upstream.account.csesidx
        outbound.close()
