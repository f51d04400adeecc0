"""Checks what a call brings: its token, and beside it user agent, page, location, server token.

A request is made "by name" when its Host is one of Google's, as it is through this simulator's own
proxy; under the simulator's own address all hosts are one.

Source: docs/upstream.md, token; editions and hosts; gates.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from gbproxy.simulator.http.actions import html_reply
from gbproxy.simulator.http.connection import Request
from gbproxy.simulator.scripting.actions import Script
from gbproxy.simulator.scripting.google_errors import (
    INVALID,
    UNAUTHENTICATED,
    RefusedError,
    denied,
    invalid,
    permission_denied,
)
from gbproxy.simulator.widget.accounts import (
    BUSINESS,
    EDITIONS,
    Account,
    Edition,
    edition_of,
    location_of,
)
from gbproxy.simulator.widget.switches import WidgetSwitches

SIGN_IN_HOST = "accounts.google.com"
HOSTS = (
    SIGN_IN_HOST,
    *(h for e in EDITIONS.values() for h in (e.page_host, e.auth_host, e.api_host)),
)
_BROWSER = re.compile(r"Mozilla/5\.0 \([^)]+\) .*\b(Chrome|Firefox|Safari|Edg)/\d.*")
_SERVER_TOKEN = re.compile(r"CAMS[A-Za-z0-9+/]+={0,2}")
_GOOGLE_WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
}


def user_agent(request: Request, switches: WidgetSwitches, *, is_api: bool) -> Script | None:
    """The refusal of a user agent that is no browser's, where only those are served."""
    if switches.user_agent == "any" or _BROWSER.fullmatch(request.headers.get("user-agent", "")):
        return None
    if switches.user_agent_refusal == "html":
        return html_reply(200, "This browser is not supported")
    return denied() if is_api else html_reply(403, "Forbidden")


def is_served_here(request: Request) -> bool:
    """True if the host that the request names has such a path; the simulator's own has all."""
    host, path = host_of(request), request.path
    if not host:
        return True
    if host == SIGN_IN_HOST:
        return path in ("/auth/signin", "/login", "/account-chooser")
    pages = ("/auth/getoxsrf", "/auth/setocookie", "/login", "/account-chooser")
    for edition in EDITIONS.values():
        if host == edition.page_host:
            return path in pages or "/home/cid/" in path
        if host == edition.auth_host:
            return path in ("/auth/refreshcookies", "/login", "/account-chooser")
    return "/v1alpha/" in path or path.startswith("/_media/")


def check(request: Request, location: str, account: Account, switches: WidgetSwitches) -> None:
    """Raise RefusedError unless a call of the API, whose token is good, passes every gate.

    `location` is the one in the path, or "" where none is.
    """
    edition = edition_of(account, switches)
    if host_of(request) not in ("", edition.api_host):
        raise RefusedError(401, _GOOGLE_WORDS[401], UNAUTHENTICATED)
    if is_of_another_page(request, edition):
        raise permission_denied()
    if location not in ("", location_of(account, switches)):
        status = int(switches.wrong_location)
        raise RefusedError(
            status, _GOOGLE_WORDS[status], f"Widget config was not found in location {location}."
        )
    _check_server_token(request.headers.get("x-server-token", ""), account, switches)


def _check_server_token(sent: str, account: Account, switches: WidgetSwitches) -> None:
    match switches.server_token:
        case "ignored":
            return
        case "wanted":
            is_good = _SERVER_TOKEN.fullmatch(sent) is not None
        case _:
            is_good = sent == account.server_token
    if not is_good:
        # No known refusal names the token: the words are those of any other 400, 401 or 403.
        status = int(switches.server_token_refusal)
        if status == 403:
            raise permission_denied()
        if status == 400:
            raise invalid(INVALID)
        raise RefusedError(401, _GOOGLE_WORDS[401], UNAUTHENTICATED)


def host_of(request: Request) -> str:
    """The host by whose name the request came; "" under the simulator's own address."""
    host = request.headers.get("host", "").partition(":")[0].lower()
    return host if host in HOSTS else ""


def base_of(request: Request, host: str, origin: str) -> str:
    """The base URL of `host` for this request's client; `origin` if the request came by no name."""
    return f"https://{host}" if host_of(request) else origin


def is_of_another_page(request: Request, edition: Edition) -> bool:
    """True if Origin or Referer name a page of Google's that is not this edition's."""
    # Requests without them, or from pages of others, are served all the same.
    hosts = {
        urlsplit(request.headers.get(name, "")).hostname or "" for name in ("origin", "referer")
    }
    return any(_is_googles(host) and host != edition.page_host for host in hosts)


def _is_googles(host: str) -> bool:
    return host.endswith((".google", ".google.com")) or host == "google.com"


class BadTokenError(Exception):
    """A bearer token is not accepted; the text says why, for tests and the log only."""


@dataclass
class Key:
    """A signing key that was given out."""

    key_id: str
    secret: bytes
    csesidx: str
    edition: Edition = BUSINESS
    revoked: bool = False
    signed: str = ""


@dataclass
class Keys:
    """Every key given out so far. Not locked: the caller is."""

    by_id: dict[str, Key] = field(default_factory=dict)

    def issue(self, csesidx: str, edition: Edition = BUSINESS) -> Key:
        return self.add(secrets.token_hex(16), secrets.token_bytes(32), csesidx, edition)

    def add(self, key_id: str, secret: bytes, csesidx: str, edition: Edition = BUSINESS) -> Key:
        """Register a key, for instance that of a known test vector."""
        key = Key(key_id, secret, csesidx, edition)
        self.by_id[key_id] = key
        return key

    def revoke_all(self) -> None:
        for key in self.by_id.values():
            key.revoked = True

    def verify(self, token: str, now: float, *, single_use: bool = False) -> Key:
        """The key that signed the token. Raises BadTokenError; no tolerance for clocks."""
        parts = token.split(".")
        if len(parts) != 3:
            raise BadTokenError("not three parts")
        header, claims = _json_part(parts[0]), _json_part(parts[1])
        key = self.by_id.get(str(header.get("kid")))
        if header.get("alg") != "HS256" or key is None or key.revoked:
            raise BadTokenError("unknown algorithm or key")
        wanted = hmac.new(key.secret, f"{parts[0]}.{parts[1]}".encode(), hashlib.sha256).digest()
        if not hmac.compare_digest(wanted, _b64(parts[2])):
            raise BadTokenError("wrong signature")
        _check_claims(claims, key, now)
        if single_use and key.signed not in ("", token):
            raise BadTokenError("this key has signed another token")
        key.signed = token
        return key


def bearer(request: Request) -> str:
    """The token of the Authorization header. Raises BadTokenError."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise BadTokenError("no bearer token")
    return token


def _check_claims(claims: Mapping[str, Any], key: Key, now: float) -> None:
    if claims.get("iss") != key.edition.page or claims.get("aud") != key.edition.api:
        raise BadTokenError("wrong issuer or audience")
    if claims.get("sub") != f"csesidx/{key.csesidx}":
        raise BadTokenError("wrong subject")
    times = [claims.get(name) for name in ("iat", "nbf", "exp")]
    issued, not_before, expires = times
    if type(issued) is not int or type(not_before) is not int or type(expires) is not int:
        raise BadTokenError("times are whole seconds")
    if not_before > now or expires <= now:
        raise BadTokenError("not yet, or no longer, valid")


def _json_part(part: str) -> dict[str, Any]:
    try:
        value = json.loads(_b64(part))
    except (ValueError, RecursionError) as error:
        raise BadTokenError("not JSON") from error
    if not isinstance(value, dict):
        raise BadTokenError("not an object")
    return value


def _b64(text: str) -> bytes:
    if "=" in text:
        raise BadTokenError("padding")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise BadTokenError("not base64url") from error
