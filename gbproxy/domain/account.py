"""One Gemini Business seat that answers requests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from gbproxy.domain.edition import EditionName, Location

QuotaClass = Literal["text", "images", "videos"]
"""What the upstream counts apart, for each account."""

AccountState = Literal["ready", "cooling", "refused", "disabled"]
"""`cooling`: not asked for some time; `refused`: not until its credential is replaced, or a probe
finds it good again.
"""

QUOTA_CLASSES: tuple[QuotaClass, ...] = ("text", "images", "videos")

WIDGET = "widget"
"""The name of the upstream that the settings' accounts belong to."""

IDENTITY_CHARS = 16
"""How much of a seat tells whose it is upstream."""


@dataclass(frozen=True, slots=True)
class Account:
    """The values that a signed-in browser shows (docs/upstream.md, credentials).

    `id` and `name` may be logged; the secrets never leave `upstreams/`, and `repr` does not show
    them. `cookies` are further cookies of the account's page, as a Cookie header; `server_token`
    and `user_agent` are what its browser sends along.
    """

    id: str
    name: str
    csesidx: str
    config_id: str
    secure_c_ses: str = field(repr=False)
    host_c_oses: str | None = field(default=None, repr=False)
    edition: EditionName = "business"
    location: Location = "global"
    cookies: str | None = field(default=None, repr=False)
    server_token: str | None = field(default=None, repr=False)
    user_agent: str | None = None
    upstream: str = WIDGET

    @property
    def account_key(self) -> str:
        """What is kept of this account stands under this: its id, and a digest of whose seat that
        is upstream.

        So another one that is configured under the same name inherits nothing; new cookies of the
        same one change nothing.
        """
        return _account_key(self.id, self.csesidx, self.config_id)

    def credential(self) -> str:
        """What tells one set of credentials from another without showing any: a SHA-256 digest in
        hex.
        """
        further = {
            "edition": "" if self.edition == "business" else self.edition,
            "location": "" if self.location == "global" else self.location,
            "cookies": self.cookies,
            "server_token": self.server_token,
            "user_agent": self.user_agent,
        }
        # Only what is given: an account without any of it keeps the digest under which its tokens
        # and cookies are stored.
        return _digest(
            *self._sign_in(), *(f"{name}={value}" for name, value in further.items() if value)
        )

    def sign_in(self) -> str:
        """As `credential`, of the ids and the two cookies alone: what cookies that the upstream has
        renewed stand in for.
        """
        return _digest(*self._sign_in())

    def _sign_in(self) -> tuple[str, ...]:
        return (self.csesidx, self.config_id, self.secure_c_ses, self.host_c_oses or "")


ID_IN_KEY = IDENTITY_CHARS + 1
"""Where in a seat the account's id begins."""


def id_of(account_key: str) -> str:
    """The account's id, as logs and administrators know it."""
    return account_key[ID_IN_KEY:]


def identity(csesidx: str, config_id: str) -> str:
    """Whose seat upstream such an account's is."""
    return _digest(csesidx, config_id)[:IDENTITY_CHARS]


def identity_of(account_key: str) -> str:
    """Whose seat that is upstream: the same when it is configured again under another id."""
    return account_key[:IDENTITY_CHARS]


@lru_cache(maxsize=4096)  # asked for several times for each request
def _account_key(id_: str, csesidx: str, config_id: str) -> str:
    return f"{identity(csesidx, config_id)}:{id_}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()
