"""Which hosts belong to an account: nothing of any other is looked into. Source: docs/upstream.md, credentials."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

BUSINESS_HOST, API_HOST = "business.gemini.google", "biz-discoveryengine.googleapis.com"

_HOST = re.compile(r"https?://([a-z0-9.-]{1,253}+)(?::[0-9]{1,5})?+(?=[/?#]|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Site:
    """The hosts whose requests are looked into; the API is also called at other hosts of Google's than its own."""

    business: frozenset[str] = frozenset({BUSINESS_HOST})
    api: frozenset[str] = frozenset({API_HOST})

    @classmethod
    def of(cls, business_url: str, api_base_url: str) -> Site:
        """Also the hosts of these addresses, where a gateway asks others than the real ones."""
        return cls(
            frozenset({BUSINESS_HOST, urlsplit(business_url).hostname or BUSINESS_HOST}),
            frozenset({API_HOST, urlsplit(api_base_url).hostname or API_HOST}),
        )

    def is_business(self, host: str) -> bool:
        return any(host == own or host.endswith(f".{own}") for own in self.business)

    def is_api(self, host: str) -> bool:
        return host in self.api or host.endswith((".googleapis.com", ".clients6.google.com")) or self.is_business(host)

    def sends_cookies_of(self, domain: str) -> bool:
        """Whether a cookie of this domain, with or without a dot before it, is one of the account's page."""
        bare = domain.strip().lstrip(".").lower()
        return self.is_business(bare) or ("." in bare and any(own.endswith(f".{bare}") for own in self.business))


def host_of(url: str) -> str | None:
    """The host of an http(s) address without a user name in it, in lower case."""
    found = _HOST.match(url)
    return found[1].lower() if found else None
