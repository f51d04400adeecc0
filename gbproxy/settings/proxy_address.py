"""The address of a proxy, and apart from it who we are there."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    """`url` has neither user nor password; both are None where none are given, and the password ""
    beside a user alone.
    """

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> ProxyAddress:
        """`scheme://[user[:password]@]host[:port]`, with %XX in user and password for UTF-8 or,
        failing that, Latin-1.
        """
        scheme, _, rest = text.partition("://")
        given, _, host = rest.rpartition("@")
        user, _, password = given.partition(":")
        if not (user or password):
            return cls(f"{scheme}://{host}")
        return cls(f"{scheme}://{host}", _decoded(user), _decoded(password))

    @property
    def is_socks(self) -> bool:
        return self.url.lower().startswith("socks")

    @property
    def authorization(self) -> str | None:
        """What an HTTP proxy is shown: Basic, in UTF-8. Source: RFC 7617."""
        if self.user is None:
            return None
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def _decoded(text: str) -> str:
    raw = unquote_to_bytes(text)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
