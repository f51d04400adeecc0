"""The calls to the page's host: cookies buy a signing key, and are renewed when the upstream asks for it.

Source: docs/upstream.md, token.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from urllib.parse import urljoin, urlsplit

from gbproxy.domain.account import Account
from gbproxy.errors import CredentialRefused
from gbproxy.observability.meter import SILENT, Meter, UpstreamCall
from gbproxy.outbound import Outbound, Reply
from gbproxy.upstreams.endpoints import EndpointMap
from gbproxy.upstreams.widget_auth import cookies
from gbproxy.upstreams.widget_auth.cookies import CookieJar
from gbproxy.upstreams.widget_auth.signing import XsrfKey, read_key, server_time

log = logging.getLogger(__name__)

# What every reader of addresses reads alike: others may take `https://a.example\\.google/` for a.example.
_PLAIN_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+/[!-\[\]-~]*")


class SignIn:
    """Buys keys; whatever cookies come with an answer that is good are in use from then on."""

    def __init__(
        self,
        outbound: Outbound,
        endpoints: EndpointMap,
        jar: CookieJar,
        clock: Callable[[], float],
        meter: Meter = SILENT,
    ) -> None:
        self._outbound = outbound
        self._endpoints = endpoints
        self._jar = jar
        self._clock = clock
        self._meter = meter

    def buy_key(self, given: Account) -> tuple[XsrfKey, float | None]:
        """A key, and the upstream's clock when it gave it. Raises CredentialRefused, UpstreamTimeout or UpstreamError."""
        tried: list[Account] = []
        refusals: list[CredentialRefused] = []
        for account in self._candidates(given):
            if account not in tried:
                try:
                    return self._ask(given, account, tried)
                except CredentialRefused as error:
                    refusals.append(error)
        raise refusals[0]

    def _candidates(self, given: Account) -> Iterator[Account]:
        """The account with the cookies in use; if they are refused, with those that another worker may just have got.

        Last, as it was given: a renewal that went wrong must not outlast what is configured.
        """
        yield self._jar.look(given)
        yield self._jar.recorded(given)
        yield given

    def _ask(self, given: Account, account: Account, tried: list[Account]) -> tuple[XsrfKey, float | None]:
        tried.append(account)
        reply = self._get_key(account)
        refresh_url = _refresh_url(reply, self._endpoints.of(given).page_url)
        if refresh_url is not None:
            account = self._renew(given, account, refresh_url, reply)
            tried.append(account)
            reply = self._get_key(account)
        key = read_key(reply, urlsplit(self._endpoints.of(given).issuer).netloc)
        self._use(given, self._merged(account, reply, reply.set_cookies))
        return key, server_time(reply)

    def _renew(self, given: Account, account: Account, url: str, redirect: Reply) -> Account:
        """Follow the redirect once, with the cookies, and take over what it sets."""
        reply = self._get("refreshcookies", url, account)
        log.info("cookies.refreshed", extra={"account": account.id, "status": reply.status})
        renewed = self._merged(account, reply, (*redirect.set_cookies, *reply.set_cookies))
        if renewed != account:
            self._use(given, renewed)
        return renewed

    def _use(self, given: Account, account: Account) -> None:
        if account != self._jar.current(given):
            self._jar.put(given, account)

    def _merged(self, account: Account, reply: Reply, set_cookies: tuple[str, ...]) -> Account:
        now = server_time(reply)
        return cookies.merged(account, set_cookies, self._clock() if now is None else now)

    def _get_key(self, account: Account) -> Reply:
        page_url = self._endpoints.of(account).page_url
        return self._get("getoxsrf", f"{page_url}/auth/getoxsrf?csesidx={account.csesidx}", account)

    def _get(self, verb: str, url: str, account: Account) -> Reply:
        headers = {**self._endpoints.of(account).page_headers, "Cookie": cookies.header(account)}
        with UpstreamCall(self._meter, verb) as call:
            reply = self._outbound.call("GET", url, headers)
            if reply.status >= 300:
                call.result = "redirected" if reply.status < 400 else "refused"
            return reply


def _refresh_url(reply: Reply, base_url: str) -> str | None:
    """Where a redirect to refreshcookies leads, at the same origin or over https at Google; None for any other answer."""
    if not 300 <= reply.status < 400:
        return None
    try:
        url = urljoin(f"{base_url}/auth/getoxsrf", reply.headers.get("Location", ""))
        target, own = urlsplit(url), urlsplit(base_url)
        host, _port = target.hostname or "", target.port
    except ValueError:  # no address at all
        return None
    is_same_origin = (target.scheme, target.netloc) == (own.scheme, own.netloc)
    is_google = host == "google.com" or host.endswith((".google.com", ".google"))
    is_trusted = is_same_origin or (target.scheme == "https" and is_google and "@" not in target.netloc)
    is_plain = _PLAIN_ADDRESS.fullmatch(url) is not None
    return url if is_trusted and is_plain and "refreshcookies" in target.path else None
