"""Signing keys that were given out, and the check of the bearer tokens that they signed.

Source: docs/upstream.md, token.
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

from gbproxy.simulator.http.connection import Request
from gbproxy.simulator.widget.editions import BUSINESS, Edition


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
