"""Which cookies a host of the sign-in is shown, and what of an answer's cookies becomes the
account's.
"""

from __future__ import annotations

import pytest

from gbproxy.upstreams.widget.auth.browser import BrowserCookies
from gbproxy.upstreams.widget.auth.cookies import further
from gbproxy.upstreams.widget.credential import credential_of, with_values
from tests.support.business_host import ACCOUNT, BASE

PAGE = f"{BASE}/auth/getoxsrf"
AUTH = "https://auth.business.gemini.google/auth/refreshcookies"
GOOGLE = "https://accounts.google.com/signin"
BOTH = "__Secure-C_SES=CSE.old; __Host-C_OSES=COS.old"
SESSION = "__Secure-C_SES=CSE.old"


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        (PAGE, BOTH),
        (f"{BASE}/", BOTH),
        (AUTH, SESSION),
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

    assert cookies.header(PAGE) == f"{SESSION}; __Secure-C_AUX=1; __Host-C_OSES=COS.old; __Host-X=2"
    assert cookies.header(AUTH) == f"{SESSION}; __Secure-C_AUX=1"
    assert cookies.header(GOOGLE) == ""


def test_a_host_gets_its_own_cookies_back_and_no_other_does() -> None:
    cookies = BrowserCookies(PAGE, ACCOUNT)

    cookies.take(
        GOOGLE, ["__Host-GAPS=1; Path=/; Secure", "NID=525=x; Domain=.google.com; Path=/", "a=b"]
    )

    assert cookies.header(GOOGLE) == "__Host-GAPS=1; a=b; NID=525=x"
    assert cookies.header("https://mail.google.com/") == "NID=525=x"
    assert (cookies.header(PAGE), cookies.header(AUTH)) == (BOTH, SESSION)
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
        (f" {BOTH} ;NID=525=x; a=1;;", "a=1"),
        (BOTH, None),
        ("NID=525=x", None),
        ("novalue; =x; y=", None),
    ],
)
def test_of_a_whole_header_only_what_is_further_counts(given: str | None, sent: str | None) -> None:
    assert further(with_values(ACCOUNT, cookies=given)) == sent
