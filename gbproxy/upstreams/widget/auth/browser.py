"""Cookies by host, as a browser keeps them, for the time of one sign-in.

Source: RFC 6265, and its successor for the names `__Host-…` and `__Secure-…`; docs/upstream.md,
renewal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.message import Message
from http.client import HTTPResponse
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from typing import cast
from urllib.parse import urlsplit
from urllib.request import Request

from gbproxy.domain.account import Account
from gbproxy.upstreams.widget.auth import cookies

# an attribute of our own: so the account's own cookies are told from what the upstream has set
_GIVEN = "Given"
# What a browser passes over, and the library would lose the whole cookie for.
_ODD_ATTRIBUTE = re.compile(
    r";\s*(max-age(\s*=(?!\s*-?[0-9]+\s*(;|$))[^;]*)?|domain(\s*=)?|path(\s*=(?!\s*/)[^;]*)?)\s*(?=;|$)",
    re.IGNORECASE,
)


class BrowserCookies:
    """Begins with the account's cookies, at its page's host; dies with the sign-in, so that no
    account gets another's.

    Addresses are https and name the upstream's own hosts. Dates are compared with this machine's
    clock: a session's cookie lives for days, and a deletion is decades old.
    """

    def __init__(self, page: str, account: Account) -> None:
        """`page`: address of the page's host."""
        self._page = page
        self._page_host = urlsplit(page).hostname or ""
        self.account = account
        """With its cookies as they are now at its page; one that is gone, or empty, keeps its last
        value.
        """
        self._jar = CookieJar(_Policy(strict_ns_domain=DefaultCookiePolicy.DomainStrictNonDomain))
        for name, value in cookies.pairs(account):
            # The sign-in host `auth.<page host>` renews the session by its cookie; one of `__Host-`
            # stays at its host.
            domain = "" if _is_of_one_host(name) else f"; Domain={self._page_host}"
            self._set(page, (f"{name}={value}; Path=/; Secure; {_GIVEN}{domain}",))

    def header(self, url: str) -> str:
        """What a request to this address brings as Cookie; "" for none."""
        request = Request(url)  # noqa: S310  never opened
        self._jar.add_cookie_header(request)
        return str(request.get_header("Cookie", ""))

    def take(self, url: str, set_cookies: Iterable[str]) -> None:
        """Keep what an answer from this address has set."""
        self._set(url, set_cookies)
        renewed = {
            cookie.name
            for cookie in self._jar
            if not _is_given(cookie) and self._is_for_page(cookie)
        }
        for cookie in [each for each in self._jar if _is_given(each) and each.name in renewed]:
            # Whether it was set for one host or for its neighbours too, nobody knows: it must not
            # be sent beside its heir.
            self._jar.clear(cookie.domain, cookie.path, cookie.name)
        now: dict[str, str] = {}
        for name, value in cookies.parsed(self.header(self._page)):
            now.setdefault(name, value.strip('"'))
        self.account = cookies.renewed(self.account, now)

    def _set(self, url: str, set_cookies: Iterable[str]) -> None:
        answer = Message()
        for line in set_cookies:
            answer["Set-Cookie"] = _ODD_ATTRIBUTE.sub("", line)
        self._jar.extract_cookies(cast(HTTPResponse, _Answer(answer)), Request(url))  # noqa: S310  never opened

    def _is_for_page(self, cookie: Cookie) -> bool:
        if cookie.domain_specified:
            return f".{self._page_host}".endswith(cookie.domain)
        return cookie.domain == self._page_host


class _Policy(DefaultCookiePolicy):
    """The library's rules, and those that a name brings with it."""

    def set_ok(self, cookie: Cookie, request: Request) -> bool:
        name = cookie.name.lower()
        if name.startswith("__secure-") and not cookie.secure:
            return False
        if _is_of_one_host(name) and (
            not cookie.secure or cookie.domain_specified or cookie.path != "/"
        ):
            return False
        return super().set_ok(cookie, request)


class _Answer:
    """As much of an answer as the library looks at."""

    def __init__(self, headers: Message) -> None:
        self._headers = headers

    def info(self) -> Message:
        return self._headers


def _is_of_one_host(name: str) -> bool:
    return name.lower().startswith("__host-")


def _is_given(cookie: Cookie) -> bool:
    return cookie.has_nonstandard_attr(_GIVEN)
