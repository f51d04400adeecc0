"""The renewal of an account's cookies: from getoxsrf over refreshcookies and some hosts of the
sign-in, back to the page; with cookies by host, as a browser keeps them.

Source: docs/upstream.md, renewal; RFC 6265, and its successor for the names `__Host-…` and
`__Secure-…`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from email.message import Message
from http.client import HTTPResponse
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from typing import cast
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit
from urllib.request import Request

from gbproxy.domain.account import Account
from gbproxy.errors import CredentialRefused, UpstreamBroken, UpstreamError
from gbproxy.outbound import Reply
from gbproxy.upstream_words import UpstreamWords
from gbproxy.upstreams.stream_assist.wording import of_reply
from gbproxy.upstreams.widget.auth import cookies
from gbproxy.upstreams.widget.credential import EDITIONS
from gbproxy.upstreams.widget.endpoints import Endpoints

MAX_HOPS = 10
_SIGN_IN_HOST = "accounts.google.com"
# What every reader of addresses reads alike: others may take `https://a.example\\.google/` for
# a.example.
_PLAIN_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+/[!-\[\]-~]*")

# an attribute of our own: marks the account's own cookies among those that the upstream has set
_GIVEN = "Given"
# What a browser passes over, and the library would lose the whole cookie for.
_ODD_ATTRIBUTE = re.compile(
    r";\s*(max-age(\s*=(?!\s*-?[0-9]+\s*(;|$))[^;]*)?|domain(\s*=)?|path(\s*=(?!\s*/)[^;]*)?)\s*(?=;|$)",
    re.IGNORECASE,
)

Ask = Callable[[str, str, str], Reply]
"""Gives the answer to a GET: verb for the metrics, address, Cookie header."""


class Renewal:
    """Follows the redirects of one renewal. Cookies that a hop has set count, also when a later hop
    fails.
    """

    def __init__(self, endpoints: Endpoints, account: Account, ask: Ask) -> None:
        self._hosts = _Hosts(endpoints)
        self._url = f"{endpoints.page_url}/auth/getoxsrf"  # from where the next hop is looked at
        self._page = self._hosts.by_name(self._url)
        self._cookies = BrowserCookies(self._page, account)
        self._ask = ask
        self.hops = 0
        self.status: int | None = None
        """The last hop's."""
        self._said = UpstreamWords()
        self.fault: str | None = None
        """The reason why the redirects did not end at the page; None if they did."""

    @property
    def account(self) -> Account:
        """The account with its cookies as they are now."""
        return self._cookies.account

    def is_wanted(self, reply: Reply) -> bool:
        """True if this answer of getoxsrf leads to refreshcookies, at a host that may be asked."""
        target = _target(self._url, reply)
        return target is not None and self._hosts.trust(target) and "refreshcookies" in target

    def follow(self, reply: Reply) -> None:
        """Go on from this answer of getoxsrf. Raises what asking raises."""
        while True:
            self._cookies.take(self._hosts.by_name(self._url), reply.set_cookies)
            target = self._next(reply)
            if target is None:
                return
            self._url = target
            reply = self._ask(
                _verb(target), target, self._cookies.header(self._hosts.by_name(target))
            )
            self.hops += 1
            self.status = reply.status
            self._said = of_reply(_verb(target), reply, reply.body)

    def take(self, key: Reply) -> None:
        """A good answer of getoxsrf may renew cookies too."""
        self._cookies.take(self._page, key.set_cookies)

    def explained(self, refusal: CredentialRefused) -> UpstreamError:
        """The error when the cookies were refused after this renewal, too."""
        if self.fault is None:
            return refusal
        if self.status is not None and _is_passing(self.status):
            broken = UpstreamBroken(f"the renewal of the account's cookies failed: {self.fault}")
            broken.said = self._said
            return broken
        refusal.message = f"{refusal.message}. The renewal of its cookies did not end: {self.fault}"
        return refusal

    def _next(self, reply: Reply) -> str | None:
        """The next hop's address; None at the end, which may be a fault."""
        target = _target(self._url, reply)
        if target is None:
            if _is_passing(reply.status):
                self.fault = f"the sign-in service answered {reply.status}"
        elif not self._hosts.trust(target):
            self.fault = "it was led to an address that is none of the sign-in's"
        elif self._hosts.is_end(target):
            return None
        elif self.hops == MAX_HOPS:
            # Addresses may come twice, with other cookies: only the number of hops shows a circle.
            self.fault = f"it was led on after {MAX_HOPS} hops"
        else:
            return target
        return None


class _Hosts:
    """The addresses that may be asked, and their names at the upstream."""

    def __init__(self, endpoints: Endpoints) -> None:
        page = urlsplit(endpoints.page_url)
        own = {edition.page_url for edition in EDITIONS.values()}
        # Where another address stands for the page, its cookies are the page's nevertheless.
        self._page = urlsplit(_origin(page) if _origin(page) in own else endpoints.issuer)
        self._origin = _origin(page)
        self._trusted = {self._page.netloc, f"auth.{self._page.netloc}", _SIGN_IN_HOST}

    def trust(self, url: str) -> bool:
        """The page's own origin, or https and a host of the sign-in, by a plain address."""
        if _PLAIN_ADDRESS.fullmatch(url) is None:
            return False
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return False
        if _origin(parts) == self._origin:
            return True
        return parts.scheme == "https" and port in (None, 443) and parts.hostname in self._trusted

    def is_end(self, url: str) -> bool:
        """True where a browser is back on the page; setocookie and the like are on the way."""
        parts = urlsplit(self.by_name(url))
        on_the_way = "/auth/" in parts.path and not parts.path.endswith("/getoxsrf")
        return parts.hostname == self._page.hostname and not on_the_way

    def by_name(self, url: str) -> str:
        """The address with the upstream's host, where another address stands for the page."""
        parts = urlsplit(url)
        named = self._page if _origin(parts) == self._origin else parts
        return urlunsplit((named.scheme, named.netloc, *parts[2:]))


def _target(url: str, reply: Reply) -> str | None:
    """The address that a redirect names, "" for none; None for any other answer."""
    if not 300 <= reply.status < 400:
        return None
    try:
        return (
            urljoin(url, reply.headers.get("Location", "")) if reply.headers.get("Location") else ""
        )
    except ValueError:
        return ""


def _origin(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc}"


def _verb(url: str) -> str:
    last = urlsplit(url).path.rpartition("/")[2]
    return last if last in ("refreshcookies", "setocookie") else "signin"


def _is_passing(status: int) -> bool:
    return status >= 500 or status == 429


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
        """The Cookie header of a request to this address; "" for none."""
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
            # Its domain is not known, so the new one did not replace it: both must not be sent.
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
    """The part of an answer that the library reads."""

    def __init__(self, headers: Message) -> None:
        self._headers = headers

    def info(self) -> Message:
        return self._headers


def _is_of_one_host(name: str) -> bool:
    return name.lower().startswith("__host-")


def _is_given(cookie: Cookie) -> bool:
    return cookie.has_nonstandard_attr(_GIVEN)
