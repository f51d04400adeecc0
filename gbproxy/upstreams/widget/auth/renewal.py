"""The renewal of an account's cookies: from getoxsrf over refreshcookies and some hosts of the
sign-in, back to the page.

Source: docs/upstream.md, renewal.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from gbproxy.domain.account import Account
from gbproxy.errors import CredentialRefused, UpstreamBroken, UpstreamError, UpstreamWords
from gbproxy.outbound import Reply
from gbproxy.upstreams.stream_assist.words import of_reply
from gbproxy.upstreams.widget.auth.browser import BrowserCookies
from gbproxy.upstreams.widget.credential import EDITIONS
from gbproxy.upstreams.widget.endpoints import Endpoints

MAX_HOPS = 5
_SIGN_IN_HOST = "accounts.google.com"
# What every reader of addresses reads alike: others may take `https://a.example\\.google/` for
# a.example.
_PLAIN_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+/[!-\[\]-~]*")

Ask = Callable[[str, str, str], Reply]
"""Gives the answer to a GET: verb for the metrics, address, Cookie header."""


class Renewal:
    """One walk along the hops. What they have set counts, also when a later one fails."""

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
        """Why the walk did not end where it should."""

    @property
    def account(self) -> Account:
        """With its cookies as they are now."""
        return self._cookies.account

    def is_wanted(self, reply: Reply) -> bool:
        """Whether this answer of getoxsrf leads to refreshcookies, at a host that may be asked."""
        target = _target(self._url, reply)
        return (
            target is not None
            and self._hosts.trust(target)
            and "refreshcookies" in urlsplit(target).path
        )

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
        elif (
            self.hops == MAX_HOPS
        ):  # addresses may come twice, asked with other cookies: only their number tells a circle
            self.fault = f"it was led on after {MAX_HOPS} hops"
        else:
            return target
        return None


class _Hosts:
    """Which addresses may be asked, and by which name of the upstream's each of them goes."""

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
        """Whether a browser would be back on the page there; setocookie and the like are still on
        the way.
        """
        parts = urlsplit(self.by_name(url))
        on_the_way = "/auth/" in parts.path and not parts.path.endswith("/getoxsrf")
        return parts.hostname == self._page.hostname and not on_the_way

    def by_name(self, url: str) -> str:
        parts = urlsplit(url)
        named = self._page if _origin(parts) == self._origin else parts
        return urlunsplit((named.scheme, named.netloc, *parts[2:]))


def _target(url: str, reply: Reply) -> str | None:
    """Where a redirect leads, "" for no address at all; None for any other answer."""
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
