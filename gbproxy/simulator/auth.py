"""Credentials: the key that getoxsrf gives, the renewal of cookies, and the check of bearer tokens.

Source: docs/upstream.md, credentials and tokens.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from gbproxy.simulator.accounts import Account
from gbproxy.simulator.failures import Script, html_reply, http_error
from gbproxy.simulator.script import Action, End, Fin, Head, Write, http_head
from gbproxy.simulator.switches import Switches
from gbproxy.simulator.wire import Request

ISSUER = "https://business.gemini.google"
AUDIENCE = "https://biz-discoveryengine.googleapis.com"
BAD_CREDENTIALS = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie "
    "or other valid authentication credential. "
    "See https://developers.google.com/identity/sign-in/web/devconsole-project."
)
_PREFIXES = {"newline": ")]}'\n", "bare": ")]}'", "none": "", "spaces": " )]}' \r\n\t "}


class BadTokenError(Exception):
    """A bearer token is not accepted; the text says why, for tests and the log only."""


@dataclass
class Key:
    """A signing key that was given out."""

    key_id: str
    secret: bytes
    csesidx: str
    revoked: bool = False
    signed: str = ""


@dataclass
class Keys:
    """Every key given out so far. Not locked: the caller is."""

    by_id: dict[str, Key] = field(default_factory=dict)

    def issue(self, csesidx: str) -> Key:
        return self.add(secrets.token_hex(16), secrets.token_bytes(32), csesidx)

    def add(self, key_id: str, secret: bytes, csesidx: str) -> Key:
        """Register a key, for instance that of a known test vector."""
        key = Key(key_id, secret, csesidx)
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


def unauthenticated() -> Script:
    """401 as Google words it."""
    return http_error(401, "UNAUTHENTICATED", BAD_CREDENTIALS)


def getoxsrf(
    request: Request,
    accounts: Mapping[str, Account],
    keys: Keys,
    switches: Switches,
    origin: str,
) -> Script:
    """Answer `GET /auth/getoxsrf`: a fresh key, or one of the refusals."""
    account = accounts.get(request.query.get("csesidx", ""))
    cookies = request.cookies
    if account is None or not account.owns(cookies.get("__Secure-C_SES")):
        return _refused(switches.bad_cookie, origin)
    if switches.host_c_oses == "required" and cookies.get("__Host-C_OSES") != account.host_c_oses:
        return _refused(switches.bad_cookie, origin)
    mode = "403" if account.restricted else account.getoxsrf or switches.getoxsrf
    if mode == "refreshcookies" and account.needs_renewal:
        return _to_refreshcookies(request, origin)
    if mode in ("ok", "refreshcookies"):
        if switches.nid_triggers_refresh and "NID" in cookies:
            return _to_refreshcookies(request, origin)
        if cookies["__Secure-C_SES"] != account.secure_c_ses:
            return _refused(switches.bad_cookie, origin)
        return _key_reply(keys.issue(account.csesidx), switches)
    return _refused(mode, origin, request, switches)


def refreshcookies(request: Request, accounts: Mapping[str, Account], switches: Switches) -> Script:
    """Answer `GET /auth/refreshcookies`: new cookies, then back to `continue` or a page."""
    cookie = request.cookies.get("__Secure-C_SES")
    account = next((a for a in accounts.values() if a.owns(cookie)), None)
    if account is None:
        return _redirect("/login")
    dead = (account.getoxsrf or switches.getoxsrf) == "refreshcookies_dead"
    renewed = account.secure_c_ses if dead else account.renew()
    headers = {
        "Set-Cookie": (
            f"__Secure-C_SES={renewed}; Path=/; Secure; HttpOnly; SameSite=none",
            f"__Host-C_OSES={account.host_c_oses}; Path=/; Secure; HttpOnly; SameSite=none",
            "NID=525=Qk9HVVMtTklE; Path=/; Domain=.google.com; Secure; HttpOnly",
        )
    }
    if switches.refreshcookies_answer == "page" and not dead:
        return (http_head(200, "text/html; charset=UTF-8", headers), Write(b"<html>"), End())
    return _redirect(request.query.get("continue", "/"), headers)


def _key_reply(key: Key, switches: Switches) -> Script:
    value = {"xsrfToken": _b64_text(key.secret), "keyId": key.key_id}
    if switches.extra_fields:
        value = {"version": "2", **value, "note": ")]}'"}
    body = _PREFIXES[switches.xsrf_prefix] + json.dumps(value, separators=(",", ":"))
    return (http_head(200, "application/json; charset=utf-8"), Write(body.encode()), End())


def _refused(mode: str, origin: str, request: Request | None = None, switches: Switches | None = None) -> Script:
    if mode == "refreshcookies_dead" and request is not None:
        return _to_refreshcookies(request, origin)
    if mode == "refreshcookies_elsewhere" and switches is not None:
        return _redirect(switches.elsewhere_url)
    if mode == "eof":
        return (Fin(),)
    return _REFUSALS[mode]


def _to_refreshcookies(request: Request, origin: str) -> Script:
    back = f"{origin}/auth/getoxsrf?csesidx={request.query.get('csesidx', '')}"
    return _redirect(f"{origin}/auth/refreshcookies?continue={quote(back, safe='')}")


def _redirect(location: str, headers: Mapping[str, str | tuple[str, ...]] | None = None) -> Script:
    return (Head(302, {"Location": location, **(headers or {})}), End())


def _json_reply(body: bytes) -> tuple[Action, ...]:
    return (http_head(200, "application/json; charset=utf-8"), Write(body), End())


_REFUSALS: Mapping[str, Script] = {
    "login": _redirect("/login"),
    "account_chooser": _redirect("https://auth.business.gemini.google/account-chooser"),
    "401": http_error(401, "UNAUTHENTICATED", BAD_CREDENTIALS),
    "403": html_reply(403, "Access Restricted"),
    "html": html_reply(200, "Sign in"),
    "missing_fields": _json_reply(b')]}\'\n{"xsrfToken":"AAECAwQFBgc"}'),
    "500": html_reply(500, "Error 500 (Server Error)!!1"),
    "503": html_reply(503, "Error 503 (Service Unavailable)!!1"),
    "garbage": _json_reply(b')]}\'\n{"xsrfToken": tru'),
}


def _check_claims(claims: Mapping[str, Any], key: Key, now: float) -> None:
    if claims.get("iss") != ISSUER or claims.get("aud") != AUDIENCE:
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


def _b64_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
