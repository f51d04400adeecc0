"""Cookies -> xsrf key -> the bearer token of the widget calls.

A token is signed for 300 s and used for 240. It is cached per account; one refresh runs however many requests wait for it.
Source: docs/upstream.md, credentials and token.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

from gbproxy.domain.account import Account
from gbproxy.errors import AccountRestricted, CredentialRefused, UpstreamBroken, UpstreamError
from gbproxy.observability import trace
from gbproxy.outbound import Outbound, Reply

log = logging.getLogger(__name__)

TOKEN_LIFE_S = 300
TOKEN_USE_S = 240
_LAST_USE_S = 290  # when a new one cannot be had

_ISSUER = "https://business.gemini.google"
_AUDIENCE = "https://biz-discoveryengine.googleapis.com"
# What every reader of addresses reads alike: others may take `https://a.example\\.google/` for a.example.
_PLAIN_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+/[!-\[\]-~]*")
_ADVICE = (
    "Sign in to business.gemini.google again and renew SECURE_C_SES, HOST_C_OSES, CSESIDX and CONFIG_ID of this account"
)


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer; `signed_at` and the times of its use are on the monotonic clock, in seconds."""

    bearer: str
    signed_at: float

    def age_s(self, now: float) -> float:
        return now - self.signed_at


@dataclass(frozen=True, slots=True)
class XsrfKey:
    key: bytes
    key_id: str


class WidgetAuth:
    """Bearer tokens for accounts; safe for use by many threads at once."""

    def __init__(
        self,
        outbound: Outbound,
        base_url: str,
        headers: dict[str, str],
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbound = outbound
        self._base_url = base_url
        self._headers = headers
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._tokens: dict[Account, Token] = {}  # by the account as it is: one that was changed signs in anew
        self._refreshing: dict[Account, Future[Token]] = {}
        self._renewed: dict[str, tuple[Account, Account]] = {}  # the account as given, and with its renewed cookies

    def bearer(self, account: Account) -> str:
        """A token that the upstream will take. Raises CredentialRefused, UpstreamTimeout or UpstreamError."""
        while True:
            with self._lock:
                token = self._tokens.get(account)
                if token is not None and token.age_s(self._monotonic()) < TOKEN_USE_S:
                    return token.bearer
                future = self._refreshing.get(account)
                mine = future is None
                if future is None:
                    future = self._refreshing[account] = Future()
            if mine:
                return self._refresh(account, future).bearer
            trace.current().wait_begins()
            try:
                return future.result().bearer
            except _Abandoned:
                continue
            finally:
                trace.current().wait_ends()

    def discard(self, account: Account, bearer: str) -> None:
        """The upstream has refused this token: the next `bearer` makes a new one. A newer token stays."""
        with self._lock:
            token = self._tokens.get(account)
            if token is not None and token.bearer == bearer:
                del self._tokens[account]

    def _refresh(self, account: Account, future: Future[Token]) -> Token:
        """Make a token for all who wait on `future`; who was interrupted leaves the work to one of them."""
        try:
            token = self._sign_in(account)
        except UpstreamError as error:
            old = self._tokens.get(account)
            if isinstance(error, CredentialRefused) or old is None or old.age_s(self._monotonic()) > _LAST_USE_S:
                self._settle(account, future, error=error)
                raise
            token = old  # a passing fault, and the old one still holds
        except BaseException:
            self._settle(account, future, error=_Abandoned())
            raise
        self._settle(account, future, token=token)
        return token

    def _settle(
        self, account: Account, future: Future[Token], *, token: Token | None = None, error: Exception | None = None
    ) -> None:
        with self._lock:
            if token is not None:
                self._tokens[account] = token
            self._refreshing.pop(account, None)
        if token is not None:
            future.set_result(token)
        else:
            future.set_exception(error)

    def _sign_in(self, account: Account) -> Token:
        """Fetch a key with the cookies, renewed ones first, and sign a token with it."""
        given, renewed = self._renewed.get(account.id, (account, account))
        current = renewed if given == account else account
        started = self._monotonic()
        reply = self._get_key(current)
        refresh_url = _refresh_url(reply, self._base_url)
        if refresh_url is not None:
            current = self._refresh_cookies(current, refresh_url, reply)
            self._renewed[account.id] = (account, current)
            reply = self._get_key(current)
        key = _read_key(reply)
        now = _server_time(reply, self._clock())
        log.info(
            "token.refreshed",
            extra={
                "account": account.id,
                "skew_s": round(now - self._clock(), 1),
                "elapsed_ms": self._ms_since(started),
            },
        )
        return Token(sign(key, account.csesidx, int(now)), self._monotonic())

    def _get_key(self, account: Account) -> Reply:
        url = f"{self._base_url}/auth/getoxsrf?csesidx={account.csesidx}"
        return self._outbound.call("GET", url, self._headers_of(account))

    def _refresh_cookies(self, account: Account, url: str, redirect: Reply) -> Account:
        """Follow the redirect once, with the cookies, and take over what it sets."""
        reply = self._outbound.call("GET", url, self._headers_of(account))
        log.info("cookies.refreshed", extra={"account": account.id, "status": reply.status})
        return _merge_cookies(account, (*redirect.set_cookies, *reply.set_cookies))

    def _headers_of(self, account: Account) -> dict[str, str]:
        return {
            "Accept": "*/*",
            "Accept-Encoding": "gzip, deflate",
            "Referer": f"{self._base_url}/",
            **self._headers,
            "Cookie": _cookie_header(account),
        }

    def _ms_since(self, started: float) -> int:
        return round((self._monotonic() - started) * 1000)


class _Abandoned(Exception):
    """Whoever refreshed for all was interrupted."""


def sign(key: XsrfKey, csesidx: str, issued_at: int) -> str:
    """The HS256 token for a session index, valid from `issued_at` (Unix seconds) for TOKEN_LIFE_S."""
    header = {"alg": "HS256", "typ": "JWT", "kid": key.key_id}
    payload = {
        "iss": _ISSUER,
        "aud": _AUDIENCE,
        "sub": f"csesidx/{csesidx}",
        "iat": issued_at,
        "exp": issued_at + TOKEN_LIFE_S,
        "nbf": issued_at,
    }
    signed = f"{_b64url(_compact(header))}.{_b64url(_compact(payload))}"
    return f"{signed}.{_b64url(hmac.digest(key.key, signed.encode(), hashlib.sha256))}"


def _read_key(reply: Reply) -> XsrfKey:
    """The key of a getoxsrf answer: optional `)]}'`, any white space, JSON. Raises CredentialRefused or UpstreamError."""
    if reply.status >= 500 or reply.status == 429:
        raise UpstreamBroken(f"the sign-in service answered {reply.status}")
    if reply.status == 403:
        raise AccountRestricted(
            "the account's cookies were refused (status 403): open business.gemini.google with this account to see "
            f"whether it is restricted. If not: {_ADVICE}"
        )
    if reply.status != 200:
        raise CredentialRefused(f"the account's cookies were refused ({_refusal(reply)}). {_ADVICE}")
    if not reply.body:
        raise UpstreamBroken("the sign-in service sent an empty answer")
    text = reply.body.decode("utf-8", "replace").strip().removeprefix(")]}'")
    try:
        answer = json.loads(text)
        key, key_id = answer["xsrfToken"], answer["keyId"]
        if not isinstance(key_id, str) or not key_id:
            raise ValueError("no key id")
        return XsrfKey(_unb64url(key), key_id)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CredentialRefused(f"the sign-in service gave a page in place of a key. {_ADVICE}") from error


def _refusal(reply: Reply) -> str:
    return "redirected to a sign-in page" if 300 <= reply.status < 400 else f"status {reply.status}"


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


def _merge_cookies(account: Account, set_cookies: tuple[str, ...]) -> Account:
    """Take over renewed session cookies; others (NID and the like) can make the sign-in ask for a refresh again."""
    names = {"__Secure-C_SES": "secure_c_ses", "__Host-C_OSES": "host_c_oses"}
    pairs = [line.split(";", 1)[0].partition("=") for line in set_cookies]
    given = {name.strip(): value.strip().strip('"') for name, _, value in pairs}
    return replace(account, **{names[name]: value for name, value in given.items() if name in names and value})


def _cookie_header(account: Account) -> str:
    cookies = f"__Secure-C_SES={account.secure_c_ses}"
    return f"{cookies}; __Host-C_OSES={account.host_c_oses}" if account.host_c_oses else cookies


def _server_time(reply: Reply, local: float) -> float:
    """Google's clock by the answer's Date header, so that a host whose clock is off signs tokens that are valid."""
    try:
        date = parsedate_to_datetime(reply.headers["Date"])
    except (KeyError, ValueError, TypeError, OverflowError):
        return local
    return date.replace(tzinfo=date.tzinfo or UTC).timestamp()


def _compact(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64url(text: str) -> bytes:
    """Decode base64 in either alphabet, padded or not. Raises ValueError."""
    plain = text.translate({ord("+"): "-", ord("/"): "_"}).rstrip("=")
    try:
        key = base64.urlsafe_b64decode(plain + "=" * (-len(plain) % 4))
    except (binascii.Error, ValueError) as error:
        raise ValueError("not base64") from error
    if not key:
        raise ValueError("an empty key")
    return key
