"""The credential of a widget account: the values that a signed-in browser shows.

Source: docs/upstream.md, credentials.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, Self

from gbproxy.domain.account import Account, Credential, digest, short_digest

EditionName = Literal["business", "enterprise"]
Location = Literal["global", "us", "eu"]
"""The region of an app's data: a part of each widget call's path."""


@dataclass(frozen=True, slots=True)
class Edition:
    """`page_url` is the origin of the page and of the sign-in, and the tokens' `iss`; `api_origin`
    is their `aud`.
    """

    name: EditionName
    page_url: str
    api_origin: str

    @property
    def api_base_url(self) -> str:
        return f"{self.api_origin}/v1alpha"


EDITIONS: Mapping[EditionName, Edition] = {
    edition.name: edition
    for edition in (
        Edition(
            "business",
            "https://business.gemini.google",
            "https://biz-discoveryengine.googleapis.com",
        ),
        Edition(
            "enterprise",
            "https://vertexaisearch.cloud.google",
            "https://content-discoveryengine.googleapis.com",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class WidgetCredential:
    """Ids and cookies of one sign-in. `cookies` are further cookies of the account's page, as a
    Cookie header; its browser sends `server_token` and `user_agent` along.
    """

    csesidx: str
    config_id: str
    secure_c_ses: str = field(repr=False)
    host_c_oses: str | None = field(default=None, repr=False)
    edition: EditionName = "business"
    location: Location = "global"
    cookies: str | None = field(default=None, repr=False)
    server_token: str | None = field(default=None, repr=False)
    user_agent: str | None = None

    @property
    def identity(self) -> str:
        return short_digest(self.csesidx, self.config_id)

    def fingerprint(self) -> str:
        further = {
            "edition": "" if self.edition == "business" else self.edition,
            "location": "" if self.location == "global" else self.location,
            "cookies": self.cookies,
            "server_token": self.server_token,
            "user_agent": self.user_agent,
        }
        # Only what is given: an account without any of it keeps the digest under which its tokens
        # and cookies are stored.
        given = [f"{name}={value}" for name, value in further.items() if value]
        return digest(*self._sign_in(), *given)

    def sign_in_fingerprint(self) -> str:
        """As `fingerprint`, of the ids and the two cookies alone: renewed cookies replace these."""
        return digest(*self._sign_in())

    def is_same_sign_in(self, other: Credential) -> bool:
        return isinstance(other, WidgetCredential) and (
            (self.csesidx, self.secure_c_ses) == (other.csesidx, other.secure_c_ses)
        )

    def public(self) -> Mapping[str, str | None]:
        return {
            "csesidx": self.csesidx,
            "config_id": self.config_id,
            "edition": self.edition,
            "location": self.location,
            "user_agent": self.user_agent,
        }

    def private(self) -> Iterator[str]:
        """Every value that a capture must not show, the further cookies one by one."""
        yield from filter(None, (self.secure_c_ses, self.host_c_oses, self.server_token))
        yield from (self.csesidx, self.config_id)
        for pair in (self.cookies or "").split(";"):
            yield pair.partition("=")[2].strip()

    def to_json(self) -> Mapping[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Raises ValueError when a value that every account has is missing."""
        # Older versions have stored fewer values, newer ones may have stored more.
        known = {each.name: stored[each.name] for each in fields(cls) if each.name in stored}
        try:
            return cls(**known)
        except TypeError:
            raise ValueError("values of a widget credential are missing") from None

    def _sign_in(self) -> tuple[str, ...]:
        return (self.csesidx, self.config_id, self.secure_c_ses, self.host_c_oses or "")


def credential_of(account: Account) -> WidgetCredential:
    """The opened credential. Raises TypeError for an account of another upstream."""
    if not isinstance(account.credential, WidgetCredential):
        raise TypeError(f"{account.id} is no account of the widget")
    return account.credential


def with_values(account: Account, **values: Any) -> Account:
    """The account with other values in its credential."""
    return replace(account, credential=replace(credential_of(account), **values))
