"""The sign-in: cookies fetch a signing key, which signs a token; the cookies are renewed on the way
when the upstream asks for it.

Source: docs/upstream.md, token.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import partial
from urllib.parse import urlsplit

from gbproxy.domain.account import Account
from gbproxy.errors import CredentialRefused
from gbproxy.observability.meter import SILENT, Meter, UpstreamCall
from gbproxy.outbound import HttpClient, Reply
from gbproxy.upstreams.widget.auth import cookies
from gbproxy.upstreams.widget.auth.cookies import CookieJar
from gbproxy.upstreams.widget.auth.jwt import Token, TokenAges, XsrfKey, read_key, server_time, sign
from gbproxy.upstreams.widget.auth.renewal import Renewal
from gbproxy.upstreams.widget.credential import credential_of, with_values
from gbproxy.upstreams.widget.endpoints import EndpointMap

log = logging.getLogger(__name__)


class SignIn:
    """Mints tokens. Cookies that come with a good answer are in use from then on."""

    def __init__(
        self,
        client: HttpClient,
        endpoints: EndpointMap,
        jar: CookieJar,
        ages: TokenAges,
        meter: Meter = SILENT,
    ) -> None:
        self._client = client
        self._endpoints = endpoints
        self._jar = jar
        self._ages = ages
        self._meter = meter

    def token(self, given: Account) -> Token:
        """A new token, signed by the upstream's clock: a host whose clock is off gets good ones
        too.

        Raises CredentialRefused, UpstreamTimeout or UpstreamError.
        """
        started, _ = self._ages.now()
        key, upstream_time = self.fetch_signing_key(given)
        now, wall = self._ages.now()
        if upstream_time is not None:
            self._ages.clock_observed(upstream_time)
        issued_at = wall if upstream_time is None else upstream_time
        self._meter.token_refreshed("ok")
        log.info(
            "token.refreshed",
            extra={
                "account": given.id,
                "skew_s": round(issued_at - wall, 1),
                "elapsed_ms": round((now - started) * 1000),
            },
        )
        names = self._endpoints.of(given)
        bearer = sign(
            key,
            credential_of(given).csesidx,
            int(issued_at),
            issuer=names.issuer,
            audience=names.audience,
        )
        # As old as its sign-in: what was refused meanwhile may be refused of this one too.
        return Token(bearer, started, wall)

    def fetch_signing_key(self, given: Account) -> tuple[XsrfKey, float | None]:
        """A key, and the upstream's clock as it gave it (Unix seconds). Raises as `token`."""
        tried: list[Account] = []
        strayed: list[Renewal] = []
        refusals: list[CredentialRefused] = []
        were_alone = credential_of(self._jar.current(given)).cookies is None
        for account in self._candidates(given):
            if account not in tried:
                try:
                    fetched = self._ask(given, account, tried, strayed)
                except CredentialRefused as error:
                    refusals.append(error)
                else:
                    if refusals and were_alone and credential_of(account).cookies is not None:
                        log.info("cookies.further_needed", extra={"account": given.id})
                    return fetched
        raise refusals[0]

    def _candidates(self, given: Account) -> Iterator[Account]:
        """The account with each set of cookies that may be good, the likeliest first."""
        yield self._jar.look(given)
        yield self._jar.recorded(given)  # another worker may just have renewed them
        # As it was given: a renewal that went wrong must not outlast what is configured.
        yield with_values(given, cookies=None)
        further = cookies.further(given)
        if further is not None:
            yield with_values(self._jar.current(given), cookies=further)
            yield with_values(given, cookies=further)

    def _ask(
        self, given: Account, account: Account, tried: list[Account], strayed: list[Renewal]
    ) -> tuple[XsrfKey, float | None]:
        tried.append(account)
        reply = self._get_key(account)
        renewal = Renewal(self._endpoints.of(given), account, partial(self._get_hop, account))
        # Where one was led astray another would be, and what it sets would replace newer cookies.
        if strayed or not renewal.is_wanted(reply):
            return self._accept_key(given, renewal, reply)
        renewed = self._renew(given, renewal, reply)
        tried.append(renewed)
        try:
            return self._accept_key(given, renewal, self._get_key(renewed))
        except CredentialRefused as error:
            if renewal.fault is not None:
                strayed.append(renewal)
            raise renewal.explained(error) from None

    def _renew(self, given: Account, renewal: Renewal, reply: Reply) -> Account:
        """The account with what the renewal has set, which is in use from then on."""
        before = renewal.account
        try:
            renewal.follow(reply)
        finally:  # also when a hop fails: the old cookies may be dead
            renewed = renewal.account
            if renewed != before:
                self._use(given, renewed)
        log.info(
            "cookies.refreshed",
            extra={
                "account": given.id,
                "status": renewal.status,
                "hops": renewal.hops,
                "reason": renewal.fault,
            },
        )
        return renewed

    def _accept_key(
        self, given: Account, renewal: Renewal, reply: Reply
    ) -> tuple[XsrfKey, float | None]:
        """The key of an answer, whose cookies are in use from then on if it is good."""
        key = read_key(reply, urlsplit(self._endpoints.of(given).issuer).netloc)
        renewal.take(reply)
        self._use(given, renewal.account)
        return key, server_time(reply)

    def _use(self, given: Account, account: Account) -> None:
        if account != self._jar.current(given):
            self._jar.put(given, account)

    def _get_key(self, account: Account) -> Reply:
        endpoints = self._endpoints.of(account)
        url = f"{endpoints.page_url}/auth/getoxsrf?csesidx={credential_of(account).csesidx}"
        return self._get(
            "getoxsrf", url, {**endpoints.page_headers, "Cookie": cookies.header(account)}
        )

    def _get_hop(self, account: Account, verb: str, url: str, cookie: str) -> Reply:
        # A cookie that the settings send along is for the page alone.
        headers = {
            n: value
            for n, value in self._endpoints.of(account).page_headers.items()
            if n.lower() != "cookie"
        }
        return self._get(verb, url, {**headers, "Cookie": cookie} if cookie else headers)

    def _get(self, verb: str, url: str, headers: Mapping[str, str]) -> Reply:
        with UpstreamCall(self._meter, verb) as call:
            reply = self._client.request("GET", url, headers)
            if reply.status >= 300:
                call.result = "redirected" if reply.status < 400 else "refused"
            return reply
