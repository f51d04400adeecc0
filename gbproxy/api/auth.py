"""Who is asking: an API key from any of the four places where clients put it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flask import g, request

from gbproxy.errors import Unauthenticated
from gbproxy.observability import trace


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking. `caller` is the digest of the key: between two callers nothing is ever shared."""

    caller: bytes


class Keys:
    """The client keys, held as digests only and compared in constant time."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = tuple(_digest(key) for key in keys)

    def knows(self, key: str) -> bool:
        presented = _digest(key)
        matches = [hmac.compare_digest(presented, digest) for digest in self._digests]  # all of them, always
        return any(matches)


def required(keys: Keys) -> Callable[[], None]:
    """A `before_request` function for what needs a key. Raises Unauthenticated."""

    def check() -> None:
        key = presented_key()
        if key is None:
            raise Unauthenticated(
                "an API key is required: Authorization: Bearer KEY, x-api-key, x-goog-api-key or ?key=KEY"
            )
        if not keys.knows(key):
            raise Unauthenticated("Incorrect API key provided")  # in the words that clients look for
        trace.current().facts["key"] = fingerprint(key)
        g.principal = Principal(_digest(key))

    return check


def principal() -> Principal:
    """Who is asking, once the key was checked."""
    found: Principal = g.principal
    return found


def presented_key() -> str | None:
    """The key in the first place that holds one: Authorization, x-api-key, x-goog-api-key, ?key=."""
    scheme, _, bearer = request.headers.get("Authorization", "").strip().partition(" ")
    places = (
        bearer if scheme.lower() == "bearer" else scheme,  # another scheme counts as a key, and a wrong one
        request.headers.get("x-api-key", ""),
        request.headers.get("x-goog-api-key", ""),
        request.args.get("key", ""),
    )
    return next((place.strip() for place in places if place.strip()), None)


def fingerprint(key: str) -> str:
    """What a log may show of a key."""
    return _digest(key).hex()[:8]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
