"""The renewal of cookies over several hops: who is asked, with which cookies, and
which cookies of the answers become the account's; and further cookies.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gbproxy.errors import CredentialRefused, UpstreamBroken, UpstreamError, UpstreamTimeout
from gbproxy.outbound import HttpClient, Reply
from gbproxy.simulator import Simulator
from gbproxy.upstreams.widget.auth import WidgetAuth
from gbproxy.upstreams.widget.auth.cookies import further
from gbproxy.upstreams.widget.auth.renewal import BrowserCookies
from gbproxy.upstreams.widget.credential import credential_of, with_values
from gbproxy.upstreams.widget.endpoints import EndpointMap
from tests.support.accounts import simulated_account
from tests.support.business_host import (
    ACCOUNT,
    BASE,
    NOW,
    FakeHttpClient,
    key_reply,
    lone_auth,
    reply,
)
from tests.support.clock import Clock

AUTH = "https://auth.business.gemini.google/auth/refreshcookies"
SIGN_IN = "https://accounts.google.com/auth/signin"
SET = f"{BASE}/auth/setocookie?csesidx=123456789"
KEY = f"{BASE}/auth/getoxsrf?csesidx=123456789"
SESSION = "__Secure-C_SES=CSE.new; Path=/; Secure; Domain=business.gemini.google"
SECOND = "__Host-C_OSES=COS.new; Path=/; Secure"
OLD = "__Secure-C_SES=CSE.old; __Host-C_OSES=COS.old"
NEW = "__Secure-C_SES=CSE.new; __Host-C_OSES=COS.new"
LOGIN = reply(302, location="/login")


def auth(client: object, endpoints: EndpointMap | None = None) -> WidgetAuth:
    return lone_auth(client, endpoints or EndpointMap(), clock=Clock(NOW), monotonic=Clock(0.0))


def to(location: str, *set_cookies: str) -> Reply:
    return reply(302, b"", *set_cookies, location=location)


def cookies_of(client: FakeHttpClient) -> list[str]:
    return [headers.get("Cookie", "") for headers in client.headers]


def test_each_hop_gets_the_cookies_of_its_host_and_the_pair_of_the_end_is_in_use() -> None:
    client = FakeHttpClient(
        to(AUTH),
        to(SIGN_IN, SESSION),
        to(SIGN_IN, "__Host-GAPS=1; Path=/; Secure"),
        to(SET, "__Host-GAPS=2; Path=/; Secure"),
        to(KEY, SECOND),
        key_reply(),
    )

    auth(client).token(ACCOUNT)

    assert client.urls == [KEY, AUTH, SIGN_IN, SIGN_IN, SET, KEY]
    assert cookies_of(client) == [
        OLD,
        "__Secure-C_SES=CSE.old",
        "",
        "__Host-GAPS=1",
        "__Secure-C_SES=CSE.new; __Host-C_OSES=COS.old",
        NEW,
    ]


@pytest.mark.parametrize(
    "location",
    [
        "http://business.gemini.google/auth/setocookie",
        "https://evil.invalid/auth/setocookie",
        "https://business.gemini.google@evil.invalid/auth/setocookie",
        "https://evil.invalid\\.google/auth/setocookie",
        "https://business.gemini.google:8443/auth/setocookie",
        "https://mail.google.com/auth/setocookie",
        "https://[/auth/setocookie",
        "",
    ],
)
def test_a_hop_that_leads_astray_is_not_followed_and_what_was_set_before_counts(
    location: str,
) -> None:
    client = FakeHttpClient(to(AUTH), to(location, SESSION), LOGIN)

    with pytest.raises(CredentialRefused) as caught:
        auth(client).token(ACCOUNT)

    assert client.urls == [KEY, AUTH, KEY]
    assert cookies_of(client)[2] == "__Secure-C_SES=CSE.new; __Host-C_OSES=COS.old"
    assert "led to an address that is none of the sign-in's" in caught.value.message
    assert "evil" not in caught.value.message


def test_cookies_that_are_new_by_then_buy_a_key_wherever_the_last_hop_leads() -> None:
    client = FakeHttpClient(to(AUTH), to("https://evil.invalid/", SESSION), key_reply())

    assert auth(client).token(ACCOUNT).bearer


@pytest.mark.parametrize("end", ["/", "/home/cid/c-1", "/login", KEY, "getoxsrf"])
def test_back_on_the_page_the_way_ends(end: str) -> None:
    client = FakeHttpClient(
        to(f"{BASE}/auth/refreshcookies"),
        to(end, SESSION.partition("; Domain")[0], SECOND),
        key_reply(),
    )

    auth(client).token(ACCOUNT)

    assert client.urls == [KEY, f"{BASE}/auth/refreshcookies", KEY]


def test_ten_hops_are_followed_and_an_eleventh_is_not() -> None:
    def hops(count: int) -> FakeHttpClient:
        return FakeHttpClient(
            to(AUTH),
            *[to(f"{SIGN_IN}?{n}") for n in range(count - 2)],
            to(SET),
            to(KEY, SECOND),
            key_reply(),
        )

    ten = hops(10)
    auth(ten).token(ACCOUNT)

    assert ten.urls[-2:] == [SET, KEY]
    assert "__Host-C_OSES=COS.new" in cookies_of(ten)[-1]
    eleven = FakeHttpClient(to(AUTH), *[to(f"{SIGN_IN}?{n}") for n in range(9)], to(SET), LOGIN)
    with pytest.raises(CredentialRefused):
        auth(eleven).token(ACCOUNT)
    assert SET not in eleven.urls


@pytest.mark.parametrize(
    "first", [f"{SIGN_IN}?continue={AUTH}", f"{BASE}/auth/renew?to=refreshcookies"]
)
def test_a_renewal_may_begin_at_any_address_that_names_refreshcookies(first: str) -> None:
    client = FakeHttpClient(to(first), to(SET, SESSION), to(KEY, SECOND), key_reply())

    auth(client).token(ACCOUNT)

    assert client.urls == [KEY, first, SET, KEY]


@pytest.mark.parametrize(
    "first", ["https://evil.invalid/refreshcookies", f"https://evil.invalid/?to={AUTH}", SIGN_IN]
)
def test_no_renewal_begins_elsewhere(first: str) -> None:
    client = FakeHttpClient(to(first))

    with pytest.raises(CredentialRefused):
        auth(client).token(ACCOUNT)

    assert client.urls == [KEY]


@pytest.mark.parametrize("fault", [reply(503), reply(429)], ids=["503", "429"])
def test_a_hop_that_is_out_of_order_does_not_make_the_credential_refused(fault: Reply) -> None:
    with pytest.raises(UpstreamBroken) as caught:
        auth(FakeHttpClient(to(AUTH), fault, LOGIN)).token(ACCOUNT)

    assert str(fault.status) in caught.value.message
    assert (caught.value.safe_words or {})["http_status"] == fault.status
    assert (caught.value.safe_words or {})["verb"] == "refreshcookies"


def test_what_was_set_before_a_hop_failed_is_in_use() -> None:
    client = FakeHttpClient(to(AUTH), to(SET, SESSION), UpstreamTimeout("silent"), key_reply())
    tokens = auth(client)
    with pytest.raises(UpstreamTimeout):
        tokens.token(ACCOUNT)

    tokens.token(ACCOUNT)

    assert cookies_of(client)[-1] == "__Secure-C_SES=CSE.new; __Host-C_OSES=COS.old"


def test_a_renewal_that_is_led_astray_costs_no_cookies_that_were_renewed_before() -> None:
    astray = to("https://evil.invalid/", "__Secure-C_SES=CSE.newer; Path=/; Secure")
    client = FakeHttpClient(
        *(to(AUTH), to(SET, SESSION), to(KEY, SECOND), key_reply()),
        *(to(f"{BASE}/auth/refreshcookies"), astray, LOGIN),
        to(AUTH),  # the cookies as they were given, whose renewal would be led astray too
        key_reply(),
    )
    now = Clock(0.0)
    tokens = lone_auth(client, EndpointMap(), clock=Clock(NOW), monotonic=now)
    tokens.token(ACCOUNT)
    now.now = 250.0
    with pytest.raises(CredentialRefused):
        tokens.token(ACCOUNT)

    tokens.token(ACCOUNT)

    assert client.urls[-3:] == [KEY, KEY, KEY]
    assert cookies_of(client)[-2:] == [OLD, NEW.replace("CSE.new", "CSE.newer")]


def test_what_settings_send_along_as_a_cookie_goes_to_no_host_of_the_sign_in() -> None:
    client = FakeHttpClient(to(AUTH), to(SIGN_IN), to(KEY), key_reply())

    auth(client, EndpointMap(headers={"cookie": "own=1", "X-More": "1"})).token(ACCOUNT)

    assert [headers.get("cookie") for headers in client.headers[1:3]] == [None, None]
    assert client.headers[2]["X-More"] == "1"


def test_a_page_at_another_address_has_the_cookies_of_the_page() -> None:
    here = "http://127.0.0.1:8000"
    client = FakeHttpClient(
        to(f"{here}/auth/refreshcookies"),
        to(AUTH),
        to(f"{here}/auth/setocookie", SESSION),
        to("/", SECOND),
        key_reply(),
    )

    auth(client, EndpointMap(page_url=here)).token(ACCOUNT)

    assert cookies_of(client) == [
        OLD, OLD, "__Secure-C_SES=CSE.old", "__Secure-C_SES=CSE.new; __Host-C_OSES=COS.old", NEW,
    ]  # fmt: skip


def test_an_edition_s_page_that_stands_for_another_s_keeps_its_own_cookies() -> None:
    page = "https://vertexaisearch.cloud.google"
    client = FakeHttpClient(
        replace(key_reply(), set_cookies=("__Secure-C_SES=CSE.new; Secure; Domain=cloud.google",)),
        key_reply(),
    )
    monotonic = Clock(0.0)
    tokens = lone_auth(client, EndpointMap(page_url=page), clock=Clock(NOW), monotonic=monotonic)
    tokens.token(ACCOUNT)
    monotonic.now = 250.0

    tokens.token(ACCOUNT)

    assert client.cookies[1] == "__Secure-C_SES=CSE.new; __Host-C_OSES=COS.old"


# Further cookies

FURTHER = with_values(ACCOUNT, cookies=f"{OLD}; NID=525=x; __Secure-C_AUX=1")
WITH_FURTHER = f"{OLD}; __Secure-C_AUX=1"


def test_further_cookies_are_not_sent_while_the_two_are_taken() -> None:
    client = FakeHttpClient(key_reply())

    auth(client).token(FURTHER)

    assert client.cookies == [OLD]


@pytest.mark.parametrize(
    "refusal",
    [LOGIN, reply(401), reply(403), reply(200, b"<html>")],
    ids=["302", "401", "403", "html"],
)
def test_further_cookies_are_tried_once_and_sent_from_then_on(
    refusal: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    monotonic = Clock(0.0)
    client = FakeHttpClient(refusal, key_reply(), key_reply())
    tokens = lone_auth(client, clock=Clock(NOW), monotonic=monotonic)

    with caplog.at_level(logging.INFO):
        tokens.token(FURTHER)
        monotonic.now = 250.0
        tokens.token(FURTHER)

    assert client.cookies == [OLD, WITH_FURTHER, WITH_FURTHER]
    assert [line.message for line in caplog.records].count("cookies.further_needed") == 1


def test_when_they_are_refused_too_the_first_refusal_stands() -> None:
    client = FakeHttpClient(reply(401), LOGIN)

    with pytest.raises(CredentialRefused) as caught:
        auth(client).token(FURTHER)

    assert client.cookies == [OLD, WITH_FURTHER]
    assert "status 401" in caught.value.message


@pytest.mark.parametrize("fault", [reply(503), UpstreamTimeout("silent")], ids=["503", "silent"])
def test_they_are_not_tried_when_it_was_the_network(fault: Reply | BaseException) -> None:
    client = FakeHttpClient(fault)

    with pytest.raises(UpstreamError):
        auth(client).token(FURTHER)

    assert client.cookies == [OLD]


def test_further_cookies_are_renewed_with_the_others() -> None:
    renewed = to("/", "__Secure-C_SES=CSE.new; Path=/; Secure", "__Secure-C_AUX=2; Path=/; Secure")
    client = FakeHttpClient(LOGIN, to("/auth/refreshcookies"), renewed, key_reply())

    auth(client).token(FURTHER)

    assert (
        cookies_of(client)[-1] == "__Secure-C_SES=CSE.new; __Host-C_OSES=COS.old; __Secure-C_AUX=2"
    )


# Over sockets


def by_name(upstream: Simulator) -> WidgetAuth:
    environment = upstream.environment_by_name()
    outbound = HttpClient(proxy=environment["PROXY"], ca_bundle=Path(environment["CA_BUNDLE"]))
    return lone_auth(outbound, clock=upstream.now)


@pytest.mark.parametrize("edition", ["business", "enterprise"])
@pytest.mark.parametrize("hops", [1, 2, 3, 10])
def test_by_the_upstream_s_own_names_the_key_is_bought_after_the_last_hop(
    hops: int, edition: Any
) -> None:
    with Simulator(tls=True) as upstream:
        upstream.set(
            getoxsrf="refreshcookies", refresh_hops=hops, edition=edition, host_c_oses="required"
        )
        before = upstream.account.host_c_oses

        token = (
            by_name(upstream)
            .token(with_values(simulated_account(upstream), edition=edition))
            .bearer
        )

        assert upstream.keys.verify(token, upstream.now()).csesidx == upstream.account.csesidx
        assert (upstream.account.host_c_oses != before) is (hops > 1)
        foreign = [
            call for call in upstream.requests if call.headers["Host"] == "accounts.google.com"
        ]
        assert len(foreign) == max(hops - 2, 0)
        assert not any("C_SES" in call.headers.get("Cookie", "") for call in foreign)
        assert all("NID=" not in call.headers.get("Cookie", "") for call in upstream.requests)


@pytest.mark.parametrize(
    "chain",
    [
        {"refresh_hops": 11},
        {"refresh_chain": "elsewhere"},
        {"refresh_chain": "http"},
        {"refresh_chain": "loop"},
    ],
    ids=str,
)
def test_by_name_a_chain_that_leads_astray_is_refused(chain: dict[str, Any]) -> None:
    with Simulator(tls=True) as upstream:
        upstream.set(getoxsrf="refreshcookies", **chain)

        with pytest.raises(CredentialRefused) as caught:
            by_name(upstream).token(simulated_account(upstream))

        assert "The renewal of its cookies did not end" in caught.value.message
        assert len(upstream.requests) <= 12


def test_by_name_further_cookies_open_the_way_to_the_renewal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Simulator(tls=True) as upstream:
        upstream.set(getoxsrf="refreshcookies", refresh_hops=3, further_cookies=("__Secure-C_AUX",))
        account = simulated_account(upstream, cookies=upstream.described()["cookies"])

        with caplog.at_level(logging.INFO):
            token = by_name(upstream).token(account).bearer

        assert upstream.keys.verify(token, upstream.now()).csesidx == upstream.account.csesidx
        assert [line.message for line in caplog.records].count("cookies.further_needed") == 1


PAGE = f"{BASE}/auth/getoxsrf"
GOOGLE = "https://accounts.google.com/signin"
OLD_SESSION = "__Secure-C_SES=CSE.old"


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        (PAGE, OLD),
        (f"{BASE}/", OLD),
        (AUTH, OLD_SESSION),
        (GOOGLE, ""),
        ("https://gemini.google/", ""),
        ("https://evilbusiness.gemini.google/", ""),
        ("https://business.gemini.google.evil.invalid/", ""),
        ("http://business.gemini.google/", ""),
    ],
)
def test_the_account_s_cookies_go_to_its_page_and_the_session_s_to_the_host_that_renews_it(
    url: str, sent: str
) -> None:
    assert BrowserCookies(PAGE, ACCOUNT).header(url) == sent


def test_further_cookies_go_with_them() -> None:
    cookies = BrowserCookies(PAGE, with_values(ACCOUNT, cookies="__Secure-C_AUX=1; __Host-X=2"))

    assert (
        cookies.header(PAGE)
        == f"{OLD_SESSION}; __Secure-C_AUX=1; __Host-C_OSES=COS.old; __Host-X=2"
    )
    assert cookies.header(AUTH) == f"{OLD_SESSION}; __Secure-C_AUX=1"
    assert cookies.header(GOOGLE) == ""


def test_a_host_gets_its_own_cookies_back_and_no_other_does() -> None:
    cookies = BrowserCookies(PAGE, ACCOUNT)

    cookies.take(
        GOOGLE, ["__Host-GAPS=1; Path=/; Secure", "NID=525=x; Domain=.google.com; Path=/", "a=b"]
    )

    assert cookies.header(GOOGLE) == "__Host-GAPS=1; a=b; NID=525=x"
    assert cookies.header("https://mail.google.com/") == "NID=525=x"
    assert (cookies.header(PAGE), cookies.header(AUTH)) == (OLD, OLD_SESSION)
    assert cookies.account == ACCOUNT


@pytest.mark.parametrize(
    ("url", "line", "session"),
    [
        (PAGE, "__Secure-C_SES=CSE.new; Path=/; Secure", "CSE.new"),
        (PAGE, "__Secure-C_SES=CSE.new; Secure", "CSE.new"),
        (PAGE, '__Secure-C_SES="CSE.new"; Secure', "CSE.new"),
        (PAGE, "__Secure-C_SES=CSE.new; Secure; Domain=; Path=no; Max-Age=soon", "CSE.new"),
        (PAGE, "__Secure-C_SES=CSE.new; Secure; Domain; Path; Max-Age", "CSE.new"),
        (PAGE, "__Secure-C_SES=CSE.new; Secure; Domain=gemini.google", "CSE.new"),
        (AUTH, "__Secure-C_SES=CSE.new; Path=/; Secure; Domain=business.gemini.google", "CSE.new"),
        (AUTH, "__Secure-C_SES=CSE.new; Path=/; Secure; Domain=.gemini.google", "CSE.new"),
        (AUTH, "__Secure-C_SES=CSE.new; Path=/; Secure", "CSE.old"),
        (
            GOOGLE,
            "__Secure-C_SES=CSE.new; Path=/; Secure; Domain=business.gemini.google",
            "CSE.old",
        ),
        (PAGE, "__Secure-C_SES=CSE.new; Path=/; Secure; Domain=google", "CSE.old"),
        (
            PAGE,
            "__Secure-C_SES=CSE.new; Path=/; Secure; Domain=auth.business.gemini.google",
            "CSE.old",
        ),
        (PAGE, "__Secure-C_SES=CSE.new; Path=/", "CSE.old"),
        (PAGE, "__Secure-C_SES=CSE.new; Path=/elsewhere; Secure", "CSE.old"),
    ],
)
def test_the_account_has_what_its_page_would_be_shown(url: str, line: str, session: str) -> None:
    cookies = BrowserCookies(PAGE, ACCOUNT)

    cookies.take(url, [line])

    assert cookies.account == with_values(ACCOUNT, secure_c_ses=session)


@pytest.mark.parametrize(
    ("url", "line", "second"),
    [
        (PAGE, "__Host-C_OSES=COS.new; Path=/; Secure", "COS.new"),
        (PAGE, "__Host-C_OSES=COS.new; Path=/", "COS.old"),
        (PAGE, "__Host-C_OSES=COS.new; Path=/auth; Secure", "COS.old"),
        (PAGE, "__Host-C_OSES=COS.new; Path=/; Secure; Domain=business.gemini.google", "COS.old"),
        (AUTH, "__Host-C_OSES=COS.new; Path=/; Secure", "COS.old"),
        (AUTH, "__Host-C_OSES=COS.new; Path=/; Secure; Domain=business.gemini.google", "COS.old"),
    ],
)
def test_the_second_cookie_can_be_set_by_the_page_alone(url: str, line: str, second: str) -> None:
    cookies = BrowserCookies(PAGE, ACCOUNT)

    cookies.take(url, [line])

    assert credential_of(cookies.account).host_c_oses == second


def test_a_renewed_cookie_is_sent_alone_whatever_its_domain() -> None:
    cookies = BrowserCookies(PAGE, ACCOUNT)

    cookies.take(PAGE, ["__Secure-C_SES=CSE.new; Path=/; Secure"])

    assert cookies.header(PAGE) == "__Host-C_OSES=COS.old; __Secure-C_SES=CSE.new"
    assert cookies.header(AUTH) == ""


def test_a_cookie_that_was_deleted_on_the_way_is_not_sent_and_its_last_value_is_kept() -> None:
    cookies = BrowserCookies(PAGE, ACCOUNT)

    cookies.take(
        AUTH, ["__Secure-C_SES=; Max-Age=0; Secure; Domain=business.gemini.google; Path=/"]
    )

    assert cookies.header(PAGE) == "__Host-C_OSES=COS.old"
    assert cookies.account == ACCOUNT


def test_the_last_value_is_the_renewed_one() -> None:
    cookies = BrowserCookies(PAGE, ACCOUNT)

    cookies.take(PAGE, ["__Secure-C_SES=CSE.new; Path=/; Secure"])
    cookies.take(PAGE, ["__Secure-C_SES=; Path=/; Secure; Max-Age=0"])

    assert credential_of(cookies.account).secure_c_ses == "CSE.new"


def test_further_cookies_are_renewed_and_none_is_added() -> None:
    cookies = BrowserCookies(PAGE, with_values(ACCOUNT, cookies="__Secure-C_AUX=1; b=2"))

    cookies.take(PAGE, ["__Secure-C_AUX=new; Path=/; Secure", "c=3"])

    assert credential_of(cookies.account).cookies == "__Secure-C_AUX=new; b=2"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, None),
        ("", None),
        ("a=1; b=2=3", "a=1; b=2=3"),
        (f" {OLD} ;NID=525=x; a=1;;", "a=1"),
        (OLD, None),
        ("NID=525=x", None),
        ("novalue; =x; y=", None),
    ],
)
def test_of_a_whole_header_only_what_is_further_counts(given: str | None, sent: str | None) -> None:
    assert further(with_values(ACCOUNT, cookies=given)) == sent
