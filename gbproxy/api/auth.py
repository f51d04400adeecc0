"""Who is asking: an API key from any of the four places where clients put it."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flask import g

from gbproxy.errors import Unauthenticated
from gbproxy.observability import trace
from gbproxy.web.keys import digest, fingerprint, presented_key


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking. `caller` is the digest of the key: between two callers nothing is ever shared."""

    caller: bytes


class Keys:
    """The client keys, held as digests only and compared in constant time."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = tuple(digest(key) for key in keys)

    def knows(self, key: str) -> bool:
        presented = digest(key)
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
        g.principal = Principal(digest(key))

    return check


def principal() -> Principal:
    """Who is asking, once the key was checked."""
    found: Principal = g.principal
    return found
