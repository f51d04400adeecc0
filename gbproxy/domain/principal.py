"""API keys of clients: what one allows (`KeyPolicy`, `Rate`), what is stored of it (`ApiKey`), and
the `Principal` of a request.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass

from gbproxy.domain.networks import Network

KEY_PREFIX = "sk-gbproxy-"
_FINGERPRINT_CHARS = 8

_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_PATTERN = re.compile(
    rf"([0-9]{{1,9}})(?:\s*/\s*|\s+per\s+)([0-9]{{1,9}}\s*)?({'|'.join(_UNITS)})s?", re.IGNORECASE
)
_MAX_AMOUNT = 100_000  # each is remembered while it counts
_MAX_PERIOD_S = 31 * 86_400


@dataclass(frozen=True, slots=True)
class Rate:
    """`amount` in any period of `per_s` seconds. `str` gives what `parse_rate` reads."""

    amount: int
    per_s: int

    def __str__(self) -> str:
        name, size = next(
            (name, size) for name, size in reversed(_UNITS.items()) if self.per_s % size == 0
        )
        multiple = self.per_s // size
        return f"{self.amount}/{name}" if multiple == 1 else f"{self.amount}/{multiple} {name}s"


def parse_rate(text: str) -> Rate:
    """Parse `60/hour`, `10 per second`, `100/15 minutes`. Raises ValueError, which says what is
    allowed.
    """
    found = _PATTERN.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            "must look like 60/hour, 10/second or 100/15 minutes; the units go from second to day"
        )
    amount, multiple, unit = found.groups()
    rate = Rate(int(amount), int(multiple or 1) * _UNITS[unit.lower()])
    if not 1 <= rate.amount <= _MAX_AMOUNT or not 1 <= rate.per_s <= _MAX_PERIOD_S:
        raise ValueError(f"must be from 1 to {_MAX_AMOUNT} in at most 31 days")
    return rate


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """Models and limits of one key; None: not limited by the key. `tokens_per_day` by UTC.
    `allowed_addresses`: where it may be used from.
    """

    models: frozenset[str] | None = None
    rate_limit: Rate | None = None
    tokens_per_day: int | None = None
    concurrent_streams: int | None = None
    allowed_addresses: tuple[Network, ...] | None = None

    @property
    def limits(self) -> dict[str, object]:
        """The limits that are set and need a counter, by field name."""
        named = {
            "rate_limit": self.rate_limit,
            "tokens_per_day": self.tokens_per_day,
            "concurrent_streams": self.concurrent_streams,
        }
        return {name: limit for name, limit in named.items() if limit is not None}


UNRESTRICTED = KeyPolicy()


@dataclass(frozen=True, slots=True)
class Principal:
    """The client of a request. Conversations and counts are never shared between two `key_digest`s,
    and none are stored for b"" (`ANONYMOUS`). `key_id`: None for a key of the environment;
    `address`: the client's network address.
    """

    key_digest: bytes = b""
    key_id: str | None = None
    policy: KeyPolicy = UNRESTRICTED
    address: str = ""

    @property
    def fingerprint(self) -> str:
        """The part of the key's digest that logs show."""
        return _fingerprint(self.key_digest)

    def may_use(self, model_id: str) -> bool:
        return self.policy.models is None or model_id in self.policy.models


ANONYMOUS = Principal()

# The console's pages. No client can be this one: nothing has such a SHA-256, as far as anybody can
# find out.
CONSOLE = Principal(hashlib.sha512(b"gbproxy console").digest()[:32], "console")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A stored client key, by its digest: the key itself is not stored. Times are Unix seconds."""

    id: str
    name: str
    digest: bytes
    created_at: float
    expires_at: float | None = None
    policy: KeyPolicy = UNRESTRICTED

    @property
    def fingerprint(self) -> str:
        """The part of the key's digest that logs show."""
        return _fingerprint(self.digest)

    def has_expired(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now


def key_digest(key: str) -> bytes:
    """SHA-256 of a key, stored and compared in its place. Keys are random and long: a slow hash
    would protect them no better.
    """
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def fingerprint(key: str) -> str:
    """The first hex digits of a key's digest, for logs."""
    return _fingerprint(key_digest(key))


def _fingerprint(digest: bytes) -> str:
    return digest.hex()[:_FINGERPRINT_CHARS]


def new_key() -> str:
    """A new key of 256 random bits."""
    return f"{KEY_PREFIX}{secrets.token_urlsafe(32)}"
