"""The two editions: the hosts of their pages, sign-in and APIs, and the one that a request names.

Source: docs/upstream.md, editions and hosts. A request is made "by name" when its Host is one of
Google's, as it is through this simulator's own proxy; under the simulator's own address all hosts
are one.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from gbproxy.simulator.http.connection import Request
from gbproxy.simulator.widget.accounts import Account
from gbproxy.simulator.widget.switches import WidgetSwitches

LOCATIONS = ("global", "us", "eu")
SIGN_IN_HOST = "accounts.google.com"


@dataclass(frozen=True)
class Edition:
    """One edition's hosts; `page` and `api` are also the issuer and the audience of its tokens."""

    name: str
    title: str
    page_host: str
    api_host: str

    @property
    def page(self) -> str:
        return f"https://{self.page_host}"

    @property
    def api(self) -> str:
        return f"https://{self.api_host}"

    @property
    def auth_host(self) -> str:
        return f"auth.{self.page_host}"


BUSINESS = Edition(
    "business", "Gemini Business", "business.gemini.google", "biz-discoveryengine.googleapis.com"
)
ENTERPRISE = Edition(
    "enterprise",
    "Gemini Enterprise",
    "vertexaisearch.cloud.google",
    "content-discoveryengine.googleapis.com",
)
EDITIONS = {edition.name: edition for edition in (BUSINESS, ENTERPRISE)}
HOSTS = (
    SIGN_IN_HOST,
    *(h for e in EDITIONS.values() for h in (e.page_host, e.auth_host, e.api_host)),
)


def edition_of(account: Account, switches: WidgetSwitches) -> Edition:
    """The account's own edition, else the one in force. Raises ValueError for an unknown one."""
    name = account.edition or switches.edition
    if name not in EDITIONS:
        raise ValueError(f"no edition is called {name!r}")
    return EDITIONS[name]


def location_of(account: Account, switches: WidgetSwitches) -> str:
    """The account's own location, else the one in force."""
    return account.location or switches.location


def host_of(request: Request) -> str:
    """The host by whose name the request came; "" under the simulator's own address."""
    host = request.headers.get("host", "").partition(":")[0].lower()
    return host if host in HOSTS else ""


def base_of(request: Request, host: str, origin: str) -> str:
    """The base URL of `host` for this request's client; `origin` if the request came by no name."""
    return f"https://{host}" if host_of(request) else origin


def is_of_another_page(request: Request, edition: Edition) -> bool:
    """True if Origin or Referer name a page of Google's that is not this edition's."""
    # Requests without them, or from pages of others, are served all the same.
    hosts = {
        urlsplit(request.headers.get(name, "")).hostname or "" for name in ("origin", "referer")
    }
    return any(_is_googles(host) and host != edition.page_host for host in hosts)


def _is_googles(host: str) -> bool:
    return host.endswith((".google", ".google.com")) or host == "google.com"
