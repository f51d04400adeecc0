"""Cookies to bearer tokens: the token to the letter, one refresh for all, and whose fault a failure
is.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from gbproxy.errors import (
    AccountRestricted,
    AccountStalled,
    CredentialRefused,
    GatewayError,
    UpstreamBroken,
    UpstreamError,
    UpstreamTimeout,
)
from gbproxy.observability import request_context
from gbproxy.outbound import HttpClient, Reply
from gbproxy.simulator import HoldHeaders, Simulator
from gbproxy.upstreams.widget.auth import WidgetAuth, XsrfKey, sign
from gbproxy.upstreams.widget.credential import credential_of, with_values
from gbproxy.upstreams.widget.endpoints import EndpointMap
from tests.support.accounts import simulated_account, widget_account
from tests.support.business_host import (
    ACCOUNT,
    BASE,
    KEY_TEXT,
    NOW,
    FakeHttpClient,
    Gate,
    key_reply,
    lone_auth,
    reply,
)
from tests.support.clock import Clock
from tests.support.delays import Delays

TOKEN = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InRlc3Qta2V5LTEifQ.eyJpc3MiOiJodHRwczovL2J1c2luZXNzLmdlbWluaS5nb29n"
    "bGUiLCJhdWQiOiJodHRwczovL2Jpei1kaXNjb3ZlcnllbmdpbmUuZ29vZ2xlYXBpcy5jb20iLCJzdWIiOiJjc2VzaWR4LzEyMzQ1Njc4OSIsImlh"
    "dCI6MTcwMDAwMDAwMCwiZXhwIjoxNzAwMDAwMzAwLCJuYmYiOjE3MDAwMDAwMDB9.-Iv_R0SH1ukRT2yQTFZKiojB2iQxL4wL-ljjVGOtkAQ"
)


def auth(client: object, clock: Clock | None = None, monotonic: Clock | None = None) -> WidgetAuth:
    return lone_auth(
        client,  # type: ignore[arg-type]
        EndpointMap(headers={"User-Agent": "gbproxy/test", "X-More": "1"}),
        clock=clock or Clock(NOW),
        monotonic=monotonic or Clock(0.0),
    )


@contextmanager
def for_a_request(
    *, elsewhere: Callable[[], bool] = lambda: False, left_s: float = 60.0
) -> Iterator[None]:
    measured = request_context.begin("req-1")
    measured.has_elsewhere, measured.until = elsewhere, time.monotonic() + left_s
    try:
        yield
    finally:
        request_context.begin("-")


def part(token: str, index: int) -> Any:
    text = token.split(".")[index]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


# The token


def test_the_published_test_vector_comes_out_to_the_letter() -> None:
    token = sign(
        XsrfKey(bytes(range(32)), "test-key-1"),
        "123456789",
        NOW,
        issuer="https://business.gemini.google",
        audience="https://biz-discoveryengine.googleapis.com",
    )

    assert token == TOKEN


def test_the_whole_way_from_the_key_to_the_token_gives_the_test_vector() -> None:
    client = FakeHttpClient(key_reply())

    token = auth(client).token(ACCOUNT).bearer

    assert token == TOKEN
    assert client.urls == [f"{BASE}/auth/getoxsrf?csesidx=123456789"]


def test_the_cookies_and_our_own_headers_are_sent() -> None:
    client = FakeHttpClient(key_reply())

    auth(client).token(ACCOUNT)

    [sent] = client.headers
    assert sent["Cookie"] == "__Secure-C_SES=CSE.old; __Host-C_OSES=COS.old"
    assert (sent["User-Agent"], sent["X-More"]) == ("gbproxy/test", "1")


def test_an_account_without_the_second_cookie_sends_the_first_alone() -> None:
    client = FakeHttpClient(key_reply())
    account = widget_account(
        id="one", name="one", csesidx="1", config_id="c", secure_c_ses="CSE.old"
    )

    auth(client).token(account)

    assert client.cookies == ["__Secure-C_SES=CSE.old"]


@pytest.mark.parametrize(
    "prefix", [")]}'\n", ")]}'", "", " )]}' \r\n\t ", ")]}'\r\n\r\n", "\n\n"], ids=repr
)
def test_the_prefix_may_be_there_with_any_white_space_or_not(prefix: str) -> None:
    body = json.dumps({"note": ")]}'", "xsrfToken": KEY_TEXT, "keyId": "test-key-1"}, indent=1)

    token = auth(FakeHttpClient(reply(200, f"{prefix}{body}\n".encode()))).token(ACCOUNT).bearer

    assert token == TOKEN


@pytest.mark.parametrize("length", [1, 2, 3, 16, 31, 32, 33])
@pytest.mark.parametrize("encode", [base64.urlsafe_b64encode, base64.b64encode])
@pytest.mark.parametrize("padded", [True, False])
def test_the_key_is_what_the_text_decodes_to(
    length: int, encode: Callable[[bytes], bytes], padded: bool
) -> None:
    key = bytes(251 + i % 5 for i in range(length))
    text = encode(key).decode()

    token = (
        auth(FakeHttpClient(key_reply(text=text if padded else text.rstrip("="))))
        .token(ACCOUNT)
        .bearer
    )

    signed, _, signature = token.rpartition(".")
    expected = (
        base64.urlsafe_b64encode(hmac.new(key, signed.encode(), hashlib.sha256).digest())
        .decode()
        .rstrip("=")
    )
    assert signature == expected


# Clocks


@pytest.mark.parametrize("skew", [3600, -3600, 0])
def test_the_token_is_dated_by_the_upstream_s_clock(skew: int) -> None:
    token = auth(FakeHttpClient(key_reply(date=NOW + skew)), Clock(NOW)).token(ACCOUNT).bearer

    claims = part(token, 1)
    assert (claims["iat"], claims["nbf"], claims["exp"]) == (
        NOW + skew,
        NOW + skew,
        NOW + skew + 300,
    )


@pytest.mark.parametrize(
    "date", [None, "yesterday", "", "Mon, 1 Jan 2024 00:00:00 +99999999999999999999"]
)
def test_without_a_usable_date_the_own_clock_counts(date: str | None) -> None:
    body = json.dumps({"xsrfToken": KEY_TEXT, "keyId": "k"}).encode()

    token = (
        auth(FakeHttpClient(reply(200, body, date=date)), Clock(NOW + 0.9)).token(ACCOUNT).bearer
    )

    assert part(token, 1)["iat"] == NOW


# The cache


def test_a_token_is_used_for_240_seconds_and_then_made_anew() -> None:
    monotonic = Clock(0.0)
    client = FakeHttpClient(key_reply("a"), key_reply("b"))
    tokens = auth(client, monotonic=monotonic)

    first = tokens.token(ACCOUNT).bearer
    monotonic.now = 239.9
    same = tokens.token(ACCOUNT).bearer
    monotonic.now = 240.0
    second = tokens.token(ACCOUNT).bearer

    assert first == same != second
    assert (part(second, 0)["kid"], len(client.urls)) == ("b", 2)


def test_accounts_do_not_share_a_token() -> None:
    other = widget_account(id="two", name="two", csesidx="2", config_id="c", secure_c_ses="CSE.two")
    client = FakeHttpClient(key_reply())
    tokens = auth(client)

    mine, theirs = tokens.token(ACCOUNT).bearer, tokens.token(other).bearer

    assert (part(mine, 1)["sub"], part(theirs, 1)["sub"]) == ("csesidx/123456789", "csesidx/2")
    assert client.cookies[1] == "__Secure-C_SES=CSE.two"


def test_a_refused_token_is_thrown_away() -> None:
    tokens = auth(FakeHttpClient(key_reply("a"), key_reply("b")))
    refused = tokens.token(ACCOUNT).bearer

    tokens.discard(ACCOUNT, refused)

    assert part(tokens.token(ACCOUNT).bearer, 0)["kid"] == "b"


def test_throwing_away_an_older_token_leaves_the_newer_one() -> None:
    client = FakeHttpClient(key_reply("a"), key_reply("b"), key_reply("c"))
    tokens = auth(client)
    old = tokens.token(ACCOUNT).bearer
    tokens.discard(ACCOUNT, old)
    new = tokens.token(ACCOUNT).bearer

    tokens.discard(ACCOUNT, old)

    assert tokens.token(ACCOUNT).bearer == new
    assert len(client.urls) == 2


# One refresh for all


class Callers:
    """Threads that ask for the same account's token, and what each of them got."""

    def __init__(self, tokens: WidgetAuth, count: int) -> None:
        self.got: list[str | BaseException] = []
        self._lock = threading.Lock()
        self._tokens = tokens
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]

    def start(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def join(self) -> list[str | BaseException]:
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads)
        return self.got

    def _ask(self) -> None:
        try:
            result: str | BaseException = self._tokens.token(ACCOUNT).bearer
        except BaseException as error:  # noqa: BLE001  whatever it is, the test wants to see it
            result = error
        with self._lock:
            self.got.append(result)


class SharedRefresh:
    """An expired token, one thread that refreshes it, and five that have begun to wait for it."""

    WAITING = 5

    def __init__(self, *answers: Reply | BaseException) -> None:
        self._asked: set[int] = set()
        self._condition = threading.Condition()
        self._now = 0.0
        gate = Gate(answers[0])
        self.client = FakeHttpClient(key_reply("expired"), gate, *answers[1:])
        tokens = lone_auth(self.client, clock=Clock(NOW), monotonic=self._monotonic)
        tokens.token(ACCOUNT)
        self._now = 400.0
        self._asked.clear()
        refreshing = Callers(tokens, 1).start()
        assert gate.reached.wait(10)
        waiting = Callers(tokens, self.WAITING).start()
        with self._condition:
            # Asked for the age of the old token, a caller holds the lock under which it takes its
            # place in the queue.
            assert self._condition.wait_for(lambda: len(self._asked) == 1 + self.WAITING, 10)
        gate.open.set()
        [self.first] = refreshing.join()
        self.others = waiting.join()
        self.refreshes = len(self.client.urls) - 1

    def _monotonic(self) -> float:
        with self._condition:
            self._asked.add(threading.get_ident())
            self._condition.notify_all()
        return self._now


def test_however_many_wait_one_of_them_refreshes() -> None:
    shared = SharedRefresh(key_reply())

    assert [shared.first, *shared.others] == [TOKEN] * 6
    assert shared.refreshes == 1


@pytest.mark.parametrize(
    "answer", [reply(401), UpstreamTimeout("the upstream was silent")], ids=["refused", "silent"]
)
def test_a_failed_refresh_fails_for_all_who_waited(answer: Reply | BaseException) -> None:
    shared = SharedRefresh(answer, key_reply())

    assert isinstance(shared.first, UpstreamError)
    assert all(other is shared.first for other in shared.others)
    assert shared.refreshes == 1


@pytest.mark.parametrize(
    "interruption", [KeyboardInterrupt(), GeneratorExit(), RuntimeError("a bug")], ids=repr
)
def test_when_the_one_who_refreshes_is_interrupted_another_takes_over(
    interruption: BaseException,
) -> None:
    shared = SharedRefresh(interruption, key_reply())

    assert shared.first is interruption
    assert shared.others == [TOKEN] * 5
    assert shared.refreshes == 2


def test_who_has_somewhere_else_to_go_stops_waiting_for_a_refresh() -> None:
    gate = Gate(key_reply())
    tokens = lone_auth(FakeHttpClient(gate), clock=Clock(NOW), patience_s=0.05)
    patient = Callers(tokens, 1).start()
    assert gate.reached.wait(10)

    with for_a_request(elsewhere=lambda: True), pytest.raises(AccountStalled) as caught:
        tokens.token(ACCOUNT)
    gate.open.set()

    assert not caught.value.was_taken
    assert patient.join() == [TOKEN]


def test_who_has_nowhere_else_to_go_waits_for_it() -> None:
    gate = Gate(key_reply())
    tokens = lone_auth(FakeHttpClient(gate), clock=Clock(NOW), patience_s=0.01)
    patient = Callers(tokens, 1).start()
    assert gate.reached.wait(10)

    def nowhere() -> bool:
        gate.open.set()
        return False

    with for_a_request(elsewhere=nowhere):
        assert tokens.token(ACCOUNT).bearer == TOKEN
    assert patient.join() == [TOKEN]


def test_a_sign_in_that_is_silent_is_given_up_for_another_account_and_others_take_it_over() -> None:
    with Simulator() as upstream:
        upstream.script(HoldHeaders(), path="getoxsrf", times=math.inf)
        # time enough for the call to get there
        tokens = lone_auth(HttpClient(), EndpointMap(page_url=upstream.url), patience_s=1.5)
        account = simulated_account(upstream)

        with for_a_request(elsewhere=lambda: True), pytest.raises(AccountStalled) as caught:
            tokens.token(account)
        upstream.clear_scripts()

        assert "took longer than 1.5 s" in caught.value.message
        assert tokens.token(account).bearer
        assert len(upstream.calls("getoxsrf")) == 2


def test_the_time_of_a_sign_in_bounds_all_hops_of_a_renewal_together_and_what_they_set_is_kept() -> (
    None
):
    with Simulator() as upstream:
        upstream.set(getoxsrf="refreshcookies", refresh_hops=5)
        upstream.script(HoldHeaders(), path="setocookie")
        # time enough for the hops before the silent one
        tokens = lone_auth(HttpClient(), EndpointMap(page_url=upstream.url), patience_s=2.0)
        account = simulated_account(upstream)

        with Delays() as machine:
            started = time.monotonic()
            with for_a_request(elsewhere=lambda: True), pytest.raises(AccountStalled):
                tokens.token(account)
            took_s = time.monotonic() - started

        assert 2.0 <= took_s < 3.5 + machine.total_s
        assert tokens.token(account).bearer
        before, after = (call.headers["Cookie"] for call in upstream.calls("getoxsrf")[:2])
        given = credential_of(account).secure_c_ses
        assert given in before
        assert given not in after


def test_many_who_wait_for_a_silent_sign_in_all_go_elsewhere_in_time() -> None:
    with Simulator() as upstream:
        upstream.script(HoldHeaders(), path="getoxsrf", times=math.inf)
        tokens = lone_auth(HttpClient(), EndpointMap(page_url=upstream.url), patience_s=0.5)
        account = simulated_account(upstream)

        def ask() -> str:
            with for_a_request(elsewhere=lambda: True), pytest.raises(AccountStalled):
                tokens.token(account)
            return "elsewhere"

        with Delays() as machine:
            started = time.monotonic()
            with ThreadPoolExecutor(4) as threads:
                went = [asking.result() for asking in [threads.submit(ask) for _ in range(4)]]
            took_s = time.monotonic() - started

    assert went == ["elsewhere"] * 4
    assert took_s - machine.total_s < 1.9  # all together, not one after the other


def test_nobody_waits_for_a_refresh_beyond_the_end_of_its_request() -> None:
    gate = Gate(key_reply())
    tokens = auth(FakeHttpClient(gate))
    patient = Callers(tokens, 1).start()
    assert gate.reached.wait(10)

    with for_a_request(left_s=0.05), pytest.raises(UpstreamTimeout):
        tokens.token(ACCOUNT)
    gate.open.set()

    assert patient.join() == [TOKEN]


def test_after_a_failed_refresh_the_next_caller_tries_again() -> None:
    client = FakeHttpClient(UpstreamError("broken"), key_reply())
    tokens = auth(client)
    with pytest.raises(UpstreamError):
        tokens.token(ACCOUNT)

    assert tokens.token(ACCOUNT).bearer == TOKEN


def test_a_refresh_of_one_account_does_not_hold_up_another() -> None:
    gate = Gate(key_reply())
    tokens = auth(FakeHttpClient(gate, key_reply()))
    other = widget_account(id="two", name="two", csesidx="2", config_id="c", secure_c_ses="CSE.two")
    callers = Callers(tokens, 1).start()
    assert gate.reached.wait(10)

    theirs = tokens.token(other).bearer

    assert part(theirs, 1)["sub"] == "csesidx/2"
    gate.open.set()
    assert callers.join() == [TOKEN]


# Renewal of the cookies

REFRESH = "/auth/refreshcookies?continue=x"
KEY_URL = f"{BASE}/auth/getoxsrf?csesidx=123456789"


def test_a_refresh_redirect_is_followed_once_and_its_cookies_are_used() -> None:
    renewed = reply(
        302,
        b"",
        "__Secure-C_SES=CSE.new; Path=/; Secure; HttpOnly",
        '__Host-C_OSES="COS.new"; Path=/; Secure',
        "NID=525=abc; Domain=.google.com",
        location="/",
    )
    client = FakeHttpClient(reply(302, location=REFRESH), renewed, key_reply())

    token = auth(client).token(ACCOUNT).bearer

    assert token == TOKEN
    assert client.urls == [
        KEY_URL,
        f"{BASE}{REFRESH}",
        KEY_URL,
    ]
    old = "__Secure-C_SES=CSE.old; __Host-C_OSES=COS.old"
    assert client.cookies == [old, old, "__Secure-C_SES=CSE.new; __Host-C_OSES=COS.new"]


def test_cookies_that_the_redirect_itself_sets_count_too() -> None:
    client = FakeHttpClient(
        reply(302, b"", "__Secure-C_SES=CSE.new; Path=/; Secure", location=REFRESH),
        reply(200),
        key_reply(),
    )

    auth(client).token(ACCOUNT)

    assert client.cookies[2] == "__Secure-C_SES=CSE.new; __Host-C_OSES=COS.old"


def test_a_cookie_that_is_deleted_or_malformed_keeps_its_old_value() -> None:
    cookies = ("__Secure-C_SES=; Max-Age=0", "__Host-C_OSES", "", ";", "=x")
    client = FakeHttpClient(reply(302, location=REFRESH), reply(200, b"", *cookies), key_reply())

    auth(client).token(ACCOUNT)

    assert client.cookies[2] == client.cookies[0]


def test_renewed_cookies_are_used_for_the_next_token_too() -> None:
    monotonic = Clock(0.0)
    renewed = reply(200, b"", "__Secure-C_SES=CSE.new; Path=/; Secure")
    client = FakeHttpClient(reply(302, location=REFRESH), renewed, key_reply(), key_reply())
    tokens = auth(client, monotonic=monotonic)
    tokens.token(ACCOUNT)

    monotonic.now = 240.0
    tokens.token(ACCOUNT)

    assert client.cookies[3].startswith("__Secure-C_SES=CSE.new")


def test_renewed_cookies_stay_in_use_when_the_key_is_not_given_at_once() -> None:
    renewed = reply(200, b"", "__Secure-C_SES=CSE.new; Path=/; Secure")
    client = FakeHttpClient(reply(302, location=REFRESH), renewed, reply(503), key_reply())
    tokens = auth(client)
    with pytest.raises(UpstreamError):
        tokens.token(ACCOUNT)

    tokens.token(ACCOUNT)

    assert client.cookies[3].startswith("__Secure-C_SES=CSE.new")


def test_cookies_that_the_user_has_changed_count_before_renewed_ones() -> None:
    monotonic = Clock(0.0)
    renewed = reply(200, b"", "__Secure-C_SES=CSE.new; Path=/; Secure")
    client = FakeHttpClient(reply(302, location=REFRESH), renewed, key_reply(), key_reply())
    tokens = auth(client, monotonic=monotonic)
    tokens.token(ACCOUNT)
    changed = widget_account(
        id="one", name="one", csesidx="123456789", config_id="c-1", secure_c_ses="CSE.user"
    )

    monotonic.now = 240.0
    tokens.token(changed)

    assert client.cookies[3] == "__Secure-C_SES=CSE.user"


def test_what_an_account_s_browser_sends_may_change_without_the_loss_of_renewed_cookies() -> None:
    client = FakeHttpClient(
        reply(302, b"", location=REFRESH),
        reply(200, b"", "__Secure-C_SES=CSE.new; Secure"),
        key_reply(),
    )
    tokens = auth(client)
    tokens.token(ACCOUNT)

    tokens.token(with_values(ACCOUNT, user_agent="Mozilla/5.0 (X)", server_token="CAMSx"))

    assert client.cookies[-1] == "__Secure-C_SES=CSE.new; __Host-C_OSES=COS.old"
    assert client.headers[-1]["User-Agent"] == "Mozilla/5.0 (X)"


def test_the_token_names_the_account_s_edition_whose_page_is_asked() -> None:
    client = FakeHttpClient(key_reply())

    token = auth(client).token(with_values(ACCOUNT, edition="enterprise", location="eu")).bearer

    claims = part(token, 1)
    assert client.urls == ["https://vertexaisearch.cloud.google/auth/getoxsrf?csesidx=123456789"]
    assert client.headers[0]["Referer"] == "https://vertexaisearch.cloud.google/"
    assert (claims["iss"], claims["aud"]) == (
        "https://vertexaisearch.cloud.google",
        "https://content-discoveryengine.googleapis.com",
    )


def test_a_refusal_names_the_page_of_the_account_s_edition() -> None:
    with pytest.raises(CredentialRefused, match=r"Sign in to vertexaisearch\.cloud\.google again"):
        auth(FakeHttpClient(reply(401))).token(with_values(ACCOUNT, edition="enterprise"))


def test_who_is_sent_on_and_on_is_refused_after_ten_hops() -> None:
    client = FakeHttpClient(reply(302, location=REFRESH))

    with pytest.raises(CredentialRefused) as caught:
        auth(client).token(ACCOUNT)

    assert client.urls == [KEY_URL, *([f"{BASE}{REFRESH}"] * 10), KEY_URL]
    assert "led on after 10 hops" in caught.value.message


@pytest.mark.parametrize(
    "location",
    [
        "/auth/refreshcookies",
        "refreshcookies?continue=x",
        f"{BASE}/auth/refreshcookies",
        "https://accounts.google.com/refreshcookies",
        "https://auth.business.gemini.google/refreshcookies?x=1",
        "//auth.business.gemini.google/refreshcookies",
    ],
)
def test_the_page_and_the_hosts_of_its_sign_in_are_followed_over_https(location: str) -> None:
    client = FakeHttpClient(reply(302, location=location), reply(200), key_reply())

    assert auth(client).token(ACCOUNT).bearer == TOKEN


@pytest.mark.parametrize(
    "location",
    [
        "http://business.gemini.google/auth/refreshcookies",
        "http://accounts.google.com/refreshcookies",
        "https://evil.invalid/refreshcookies",
        "https://mail.google.com/refreshcookies",
        "https://auth.evil.google/refreshcookies",
        "https://accounts.google.com:8443/refreshcookies",
        "https://evilgoogle.com/refreshcookies",
        "https://google.com.evil.invalid/refreshcookies",
        "https://google/refreshcookies",
        "https://evil.invalid/?x=.google.com/refreshcookies",
        "https://user@accounts.google.com/refreshcookies",
        "https://accounts.google.com@evil.invalid/refreshcookies",
        "https://accounts.google.com\\@evil.invalid/refreshcookies",
        "https://evil.invalid\\.google/auth/refreshcookies",
        "//evil.invalid\\.google/auth/refreshcookies",
        "https://evil.invalid\\x.google/auth/refreshcookies",
        "//evil.invalid/refreshcookies",
        "ftp://accounts.google.com/refreshcookies",
        "javascript:refreshcookies",
        "https://[refreshcookies",
        "https://accounts.google.com:99999/refreshcookies",
        "https://accounts.google.com:x/refreshcookies",
        "",
    ],
)
def test_no_other_redirect_is_followed_and_the_cookies_stay_here(location: str) -> None:
    client = FakeHttpClient(reply(302, location=location))

    with pytest.raises(CredentialRefused):
        auth(client).token(ACCOUNT)

    assert len(client.urls) == 1


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        ("/login?continue=/auth/refreshcookies", []),  # that is the page again
        (
            "https://accounts.google.com/login?next=refreshcookies",
            ["https://accounts.google.com/login?next=refreshcookies"],
        ),
    ],
)
def test_a_sign_in_that_names_refreshcookies_is_looked_at_and_the_cookies_stay_here(
    location: str, asked: list[str]
) -> None:
    client = FakeHttpClient(
        reply(302, location=location), *[reply(200)] * len(asked), reply(302, location="/login")
    )

    with pytest.raises(CredentialRefused):
        auth(client).token(ACCOUNT)

    assert client.urls == [KEY_URL, *asked, KEY_URL]
    shown = zip(client.urls, client.headers, strict=True)
    assert [headers.get("Cookie", "") for url, headers in shown if url in asked] == [""] * len(
        asked
    )


# Refused


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (reply(302, location="/login"), "redirected to a sign-in page"),
        (
            reply(303, location="https://auth.business.gemini.google/account-chooser"),
            "redirected to a sign-in page",
        ),
        (reply(302), "redirected to a sign-in page"),
        (reply(400), "status 400"),
        (reply(401), "status 401"),
        (reply(403, b"<html>Access Restricted"), "status 403"),
        (reply(404), "status 404"),
        (reply(204), "status 204"),
        (reply(200, b"<!DOCTYPE html><title>Sign in</title>"), "a page in place of a key"),
        (reply(200, b")]}'\n{}"), "a page in place of a key"),
        (reply(200, b'{"xsrfToken":"AAEC"}'), "a page in place of a key"),
        (reply(200, b'{"keyId":"k"}'), "a page in place of a key"),
        (reply(200, b'{"xsrfToken":null,"keyId":"k"}'), "a page in place of a key"),
        (reply(200, b'{"xsrfToken":"AAEC","keyId":null}'), "a page in place of a key"),
        (reply(200, b'{"xsrfToken":"AAEC","keyId":""}'), "a page in place of a key"),
        (reply(200, b'{"xsrfToken":"AAEC","keyId":{}}'), "a page in place of a key"),
        (reply(200, b'{"xsrfToken":"","keyId":"k"}'), "a page in place of a key"),
        (reply(200, b'{"xsrfToken":"A","keyId":"k"}'), "a page in place of a key"),
        (reply(200, '{"xsrfToken":"ÄÖÜ","keyId":"k"}'.encode()), "a page in place of a key"),
        (reply(200, b'{"xsrfToken": tru'), "a page in place of a key"),
        (reply(200, b'["xsrfToken","keyId"]'), "a page in place of a key"),
        (reply(200, b"[" * 100_000), "a page in place of a key"),
        (reply(200, b"\xff\xfe"), "a page in place of a key"),
    ],
)
def test_a_refused_credential_is_refused_at_once_and_says_what_to_do(
    answer: Reply, words: str
) -> None:
    client = FakeHttpClient(answer)

    with pytest.raises(CredentialRefused) as caught:
        auth(client).token(ACCOUNT)

    assert words in caught.value.message
    assert "Sign in to business.gemini.google again" in caught.value.message
    assert "SECURE_C_SES" in caught.value.message
    assert "USER_AGENT" in caught.value.message
    assert len(client.urls) == 1


def test_a_restricted_account_is_told_which_page_to_open() -> None:
    with pytest.raises(AccountRestricted) as caught:
        auth(FakeHttpClient(reply(403))).token(with_values(ACCOUNT, edition="enterprise"))

    assert "open vertexaisearch.cloud.google with this account" in caught.value.message


def test_no_error_tells_a_cookie() -> None:
    with pytest.raises(CredentialRefused) as caught:
        auth(FakeHttpClient(reply(401, b"CSE.old COS.old"))).token(ACCOUNT)

    assert "CSE." not in caught.value.message
    assert "COS." not in caught.value.message


# Passing faults


@pytest.mark.parametrize(
    "answer",
    [
        reply(500),
        reply(502),
        reply(503, b"<html>"),
        reply(429),
        reply(200),
        UpstreamError("EOF"),
        UpstreamTimeout("silent"),
    ],
    ids=["500", "502", "503", "429", "empty", "eof", "silent"],
)
def test_a_passing_fault_is_not_the_credential_s(answer: Reply | BaseException) -> None:
    with pytest.raises(UpstreamError) as caught:
        auth(FakeHttpClient(answer)).token(ACCOUNT)

    assert not isinstance(caught.value, CredentialRefused)


@pytest.mark.parametrize("answer", [reply(503), UpstreamError("EOF")], ids=["503", "eof"])
def test_the_old_token_serves_as_long_as_it_holds(answer: Reply | BaseException) -> None:
    monotonic = Clock(0.0)
    client = FakeHttpClient(key_reply("a"), answer, answer, answer)
    tokens = auth(client, monotonic=monotonic)
    first = tokens.token(ACCOUNT).bearer

    monotonic.now = 285.0
    still = tokens.token(ACCOUNT).bearer
    monotonic.now = 291.0
    with pytest.raises(UpstreamError):
        tokens.token(ACCOUNT)

    assert still == first


def test_an_old_token_is_not_kept_when_the_credential_is_refused() -> None:
    monotonic = Clock(0.0)
    tokens = auth(FakeHttpClient(key_reply(), reply(401)), monotonic=monotonic)
    tokens.token(ACCOUNT)

    monotonic.now = 250.0
    with pytest.raises(CredentialRefused):
        tokens.token(ACCOUNT)


def test_a_discarded_token_does_not_come_back_with_a_passing_fault() -> None:
    tokens = auth(FakeHttpClient(key_reply(), reply(503)))
    tokens.discard(ACCOUNT, tokens.token(ACCOUNT).bearer)

    with pytest.raises(UpstreamError):
        tokens.token(ACCOUNT)


# Over sockets


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"xsrf_prefix": "bare"},
        {"xsrf_prefix": "none"},
        {"xsrf_prefix": "spaces"},
        {"getoxsrf": "refreshcookies"},
        {"getoxsrf": "refreshcookies", "refreshcookies_answer": "page"},
        {"host_c_oses": "required"},
        {"clock_skew_s": 3600.0},
        {"clock_skew_s": -3600.0},
        {"extra_fields": True, "gzip": True},
        {"transfer": "close"},
    ],
    ids=str,
)
def test_the_upstream_takes_the_token(switches: dict[str, Any]) -> None:
    with Simulator() as upstream:
        upstream.set(**switches)

        token = (
            lone_auth(HttpClient(), EndpointMap(page_url=upstream.url))
            .token(simulated_account(upstream))
            .bearer
        )

        key = upstream.keys.verify(token, upstream.now())
        assert key.csesidx == upstream.account.csesidx
        assert all("NID=" not in call.headers.get("Cookie", "") for call in upstream.requests)


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("refreshcookies_dead", CredentialRefused),
        ("refreshcookies_elsewhere", CredentialRefused),
        ("login", CredentialRefused),
        ("account_chooser", CredentialRefused),
        ("401", CredentialRefused),
        ("403", AccountRestricted),
        ("html", CredentialRefused),
        ("missing_fields", CredentialRefused),
        ("garbage", CredentialRefused),
        ("eof", UpstreamBroken),
        ("500", UpstreamBroken),
        ("503", UpstreamBroken),
    ],
)
def test_every_way_to_be_refused_has_its_error(mode: str, error: type[GatewayError]) -> None:
    with Simulator() as upstream:
        upstream.set(getoxsrf=mode)

        with pytest.raises(GatewayError) as caught:
            lone_auth(HttpClient(), EndpointMap(page_url=upstream.url)).token(
                simulated_account(upstream)
            )

        assert type(caught.value) is error


def test_the_cookies_are_never_taken_to_another_host() -> None:
    with Simulator() as upstream, Simulator() as elsewhere:
        upstream.set(
            getoxsrf="refreshcookies_elsewhere",
            elsewhere_url=f"{elsewhere.url}/auth/refreshcookies",
        )

        with pytest.raises(CredentialRefused):
            lone_auth(HttpClient(), EndpointMap(page_url=upstream.url)).token(
                simulated_account(upstream)
            )

        assert elsewhere.requests == []
