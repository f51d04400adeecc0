"""Who is asking, and what the key that was shown allows."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from gbproxy.domain.rate import Rate

KEY_PREFIX = "sk-gbproxy-"
FINGERPRINT_CHARS = 8


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """What one key allows; None: nothing is said about it. `tokens_per_day` are those of a day in
    UTC.
    """

    models: frozenset[str] | None = None
    rate_limit: Rate | None = None
    tokens_per_day: int | None = None
    concurrent_streams: int | None = None

    @property
    def limits(self) -> dict[str, object]:
        """The limits that are set, each by the name of its field: those that are counted."""
        named = {
            "rate_limit": self.rate_limit,
            "tokens_per_day": self.tokens_per_day,
            "concurrent_streams": self.concurrent_streams,
        }
        return {name: limit for name, limit in named.items() if limit is not None}


UNRESTRICTED = KeyPolicy()


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking. `caller` is the digest of the key: between two callers nothing is ever shared.

    b"" is nobody in particular, for whom nothing is kept (`ANONYMOUS`). `key_id` is a stored key's;
    None: one of the environment. `address` is where the request came from.
    """

    caller: bytes = b""
    key_id: str | None = None
    allowance: KeyPolicy = UNRESTRICTED
    address: str = ""

    def may_use(self, model_id: str) -> bool:
        return self.allowance.models is None or model_id in self.allowance.models


ANONYMOUS = Principal()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A stored client key: of the key itself only its digest is known. Times are Unix seconds."""

    id: str
    name: str
    digest: bytes
    created_at: float
    expires_at: float | None = None
    allowance: KeyPolicy = UNRESTRICTED

    @property
    def fingerprint(self) -> str:
        """What a log shows of the key."""
        return self.digest.hex()[:FINGERPRINT_CHARS]

    def has_expired(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now


def digest(key: str) -> bytes:
    """What is kept and compared in a key's place: its SHA-256. Keys are random and long: nothing
    slower is needed.
    """
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def fingerprint(key: str) -> str:
    """What a log may show of a key: the first hex digits of its digest."""
    return digest(key).hex()[:FINGERPRINT_CHARS]


def new_key() -> str:
    """A key that nobody can guess: 256 random bits."""
    return f"{KEY_PREFIX}{secrets.token_urlsafe(32)}"
