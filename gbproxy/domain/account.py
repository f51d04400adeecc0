"""One account of an upstream, and the keys that stored rows know it by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

QuotaClass = Literal["text", "images", "videos"]
"""A kind of answer for which the upstream counts a quota of its own, by account."""

AccountState = Literal["ready", "cooling", "refused", "disabled"]
"""`cooling`: not used for some time; `refused`: not used until its credential is replaced, or a
probe finds it valid again.
"""

QUOTA_CLASSES: tuple[QuotaClass, ...] = ("text", "images", "videos")

QuotaScope = str
"""A quota class, or `class:model`: that of one model alone, see `Model.quota_scope`."""


def quota_class(scope: QuotaScope) -> str:
    """The class that a scope is, or is of."""
    return scope.partition(":")[0]


def quota_model(scope: QuotaScope) -> str:
    """The model that a scope is of alone, or ""."""
    return scope.partition(":")[2]


WIDGET = "widget"
"""The name of the upstream that the settings' accounts belong to."""

IDENTITY_CHARS = 16
"""Length of the upstream identity at the beginning of an account key."""

ID_IN_KEY = IDENTITY_CHARS + 1
"""Index in an account key at which the account's id begins."""


class Credential(Protocol):
    """The values that an account signs in with; only its upstream opens them. `repr` shows none."""

    @property
    def identity(self) -> str:
        """Digest of the upstream account, IDENTITY_CHARS long; it stays when cookies change."""
        ...

    def fingerprint(self) -> str:
        """SHA-256 in hex of all values that the account signs in with."""
        ...

    def sign_in_fingerprint(self) -> str:
        """As `fingerprint`, of the sign-in alone: what else is sent along may change under it."""
        ...

    def is_same_sign_in(self, other: Credential) -> bool:
        """True if both are one sign-in: the same account, configured twice."""
        ...

    def public(self) -> Mapping[str, str | None]:
        """The values that administrators are shown, by the names of the admin API's fields."""
        ...

    def to_json(self) -> Mapping[str, Any]:
        """All values, secrets too, as `CredentialReader` takes them."""
        ...


CredentialReader = Callable[[Mapping[str, Any]], Credential]
"""`to_json` -> the credential. Raises ValueError for values that do not make one."""


@dataclass(frozen=True, slots=True)
class Account:
    """`id` and `name` may be logged; `upstream` names the adapter that opens the credential."""

    id: str
    name: str
    upstream: str
    credential: Credential
    account_key: str = field(init=False, repr=False, compare=False)
    """Storage key: upstream identity plus the account's id. It changes when the id is reused for
    another upstream account, which so inherits nothing, and stays when cookies are renewed.
    """

    def __post_init__(self) -> None:
        # Made once: each request looks it up several times.
        object.__setattr__(self, "account_key", f"{self.credential.identity}:{self.id}")

    def __hash__(self) -> int:
        # Each request looks its account's token up: cheaper than a hash of all values.
        return hash(self.account_key)

    def fingerprint(self) -> str:
        """SHA-256 of the credential in hex, which shows nothing of it."""
        return self.credential.fingerprint()

    def sign_in_fingerprint(self) -> str:
        """As `fingerprint`, of the sign-in alone."""
        return self.credential.sign_in_fingerprint()


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as administrators and metrics see it. `state` is the worst of `states`;
    `models_cooling_until`: by model, for those with a quota of their own that cool down, which no
    state tells; `in_flight` counts this worker's answers alone. Times are Unix seconds.
    """

    id: str
    name: str
    state: AccountState
    states: Mapping[QuotaClass, AccountState]
    cooling_until: Mapping[QuotaClass, float]
    in_flight: int
    last_used_at: float | None
    last_error: str | None
    last_error_said: Mapping[str, Any] | None
    last_error_kind: str | None = None
    models_cooling_until: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CredentialMoments:
    """When an account's cookies were given, or renewed by the upstream; and when the upstream was
    last asked whether they are good, by a check or a sign-in. Unix seconds; None before.
    """

    cookies_at: float | None
    checked_at: float | None


def id_of(account_key: str) -> str:
    """The account's id in an account key, as logs and the admin API show it."""
    return account_key[ID_IN_KEY:]


def identity_of(account_key: str) -> str:
    """The upstream identity in an account key: the same under any configured id."""
    return account_key[:IDENTITY_CHARS]


def digest(*parts: str) -> str:
    """SHA-256 in hex. Each part counts with its length, so no two lists of parts are alike.

    Stored rows hold such digests: what this returns for the same parts must never change.
    """
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()


def short_digest(*parts: str) -> str:
    """The first IDENTITY_CHARS of `digest`: enough to keep apart what one gateway knows."""
    return digest(*parts)[:IDENTITY_CHARS]
