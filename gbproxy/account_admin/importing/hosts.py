"""Which hosts belong to an account: nothing of any other is looked into. Source: docs/upstream.md,
editions and hosts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from gbproxy.domain.edition import EDITIONS, EditionName
from gbproxy.settings import consumer


def _host(address: str) -> str:
    return urlsplit(address).hostname or ""


_PAGES = {_host(edition.page_url): edition.name for edition in EDITIONS.values()}
_APIS = {_host(edition.api_origin): edition.name for edition in EDITIONS.values()}
BUSINESS_HOST = _host(EDITIONS["business"].page_url)

_HOST = re.compile(r"https?://([a-z0-9.-]{1,253}+)(?::[0-9]{1,5})?+(?=[/?#]|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts whose requests are looked into: pages, and the API, which is also called at other
    hosts of Google's.
    """

    pages: frozenset[str] = frozenset(_PAGES)
    apis: frozenset[str] = frozenset(_APIS)

    @classmethod
    def of(cls, business_url: str | None, api_base_url: str | None) -> Hosts:
        """Also the hosts of these addresses, where a gateway asks others than the real ones."""
        return cls(
            frozenset(_PAGES) | ({_host(business_url)} if business_url else set()),
            frozenset(_APIS) | ({_host(api_base_url)} if api_base_url else set()),
        )

    def is_page(self, host: str) -> bool:
        """Whether it is a page's host, or one below it, where the page signs in."""
        return any(host == own or host.endswith(f".{own}") for own in self.pages)

    def is_api(self, host: str) -> bool:
        return (
            host in self.apis
            or host.endswith((".googleapis.com", ".clients6.google.com"))
            or self.is_page(host)
        )

    def sends_cookies_of(self, domain: str) -> bool:
        """Whether a cookie of this domain, with or without a dot before it, is one of a page, or of
        a host below it.
        """
        return self.is_page(_bare(domain)) or self.page_gets(domain)

    def page_gets(self, domain: str) -> bool:
        """Whether a browser sends a cookie of this domain, with or without a dot before it, to a
        page itself.
        """
        bare = _bare(domain)
        return bare in self.pages or (
            "." in bare and any(own.endswith(f".{bare}") for own in self.pages)
        )


def edition_of(host: str) -> EditionName | None:
    """The edition that a host is a page or the API of; None for one that several have, and for a
    gateway's stand-in.
    """
    pages = (name for own, name in _PAGES.items() if host == own or host.endswith(f".{own}"))
    return _APIS.get(host) or next(pages, None)


def host_of(url: str) -> str | None:
    """The host of an http(s) address without a user name in it, in lower case."""
    found = _HOST.match(url)
    return found[1].lower() if found else None


def is_consumers(host: str | None) -> bool:
    return host == consumer.HOST


def _bare(domain: str) -> str:
    return domain.strip().lstrip(".").lower()
