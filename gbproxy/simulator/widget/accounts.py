"""The accounts of the fake upstream: cookies, identifiers, edition, location.

Source: docs/upstream.md, editions and hosts.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gbproxy.simulator.widget.switches import WidgetSwitches

LOCATIONS = ("global", "us", "eu")
BROWSER = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/146.0.0.0"
    " Safari/537.36"
)
"""A user agent that is served everywhere."""


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


@dataclass
class Account:
    """One signed-in account; `getoxsrf`, `edition`, `location` override switches of those names."""

    csesidx: str = "1234567890"
    secure_c_ses: str = "CSE.AdLk3xVb9QmZr7TtYw2HnPq5Js8Ec"
    host_c_oses: str = "COS.AfWm4RzKx8LdTn6VbYp2GqHs9Jt3U"
    config_id: str = "11111111-2222-4333-8444-555555555555"
    project_number: str = "123456789012"
    getoxsrf: str | None = None
    edition: str | None = None
    location: str | None = None
    server_token: str = "CAMSEhIQ3qK9pW1mTzyVh2L0sR7d4A=="  # noqa: S105  made up, and no secret upstream either
    """Value that `x-server-token` must have where the exact one is wanted."""
    cookies: dict[str, str] = field(default_factory=lambda: {"__Secure-C_AUX": "CAX.AgTn5RwLq8Zv"})
    """Further cookies of the page's host, by name, for the switch `further_cookies`."""
    needs_renewal: bool = True
    """Meaningful under `refreshcookies`: the present cookies only lead to the renewal."""
    restricted: bool = False
    """Every call of this account, and its sign-in, is 403."""
    former_cookies: set[str] = field(default_factory=set)

    def owns(self, cookie: str | None) -> bool:
        """True if the cookie is, or once was, this account's."""
        return cookie is not None and (cookie == self.secure_c_ses or cookie in self.former_cookies)

    def renew(self) -> str:
        """Make a new session cookie, the only good one, and ask for no further renewal."""
        self.needs_renewal = False
        return self.begin_renewal()

    def begin_renewal(self) -> str:
        """Make a new session cookie, which only leads on to `finish_renewal`."""
        self.former_cookies.add(self.secure_c_ses)
        self.secure_c_ses = f"CSE.Ad{secrets.token_urlsafe(24)}"
        return self.secure_c_ses

    def finish_renewal(self) -> str:
        """Make a new host cookie, if one is due; the one before is refused from now on."""
        if self.needs_renewal:
            self.former_cookies.add(self.host_c_oses)
            self.host_c_oses = f"COS.Af{secrets.token_urlsafe(24)}"
            self.needs_renewal = False
        return self.host_c_oses


def edition_of(account: Account, switches: WidgetSwitches) -> Edition:
    """The account's own edition, else the one in force. Raises ValueError for an unknown one."""
    name = account.edition or switches.edition
    if name not in EDITIONS:
        raise ValueError(f"no edition is called {name!r}")
    return EDITIONS[name]


def location_of(account: Account, switches: WidgetSwitches) -> str:
    """The account's own location, else the one in force."""
    return account.location or switches.location


def make_account(number: int, **values: Any) -> Account:
    """The `number`-th account; what is not given is made up, always the same.

    Raises ValueError for an edition or location that does not exist.
    """
    if number:
        made_up = {
            "csesidx": str(1234567890 + number),
            "secure_c_ses": f"CSE.Ad{number}Lk3xVb9QmZr7TtYw2HnPq5Js",
            "host_c_oses": f"COS.Af{number}Wm4RzKx8LdTn6VbYp2GqHs",
            "config_id": f"11111111-2222-4333-8444-{555555555555 + number}",
            "project_number": str(123456789012 + number),
        }
        values = {**made_up, **values}
    account = Account(**values)
    if account.edition not in (None, *EDITIONS) or account.location not in (None, *LOCATIONS):
        raise ValueError(f"no such edition or location: {account.edition}, {account.location}")
    return account


def environment(account: Account, url: str, ca_file: Path | None) -> dict[str, str]:
    """The environment variables with which a gateway uses this account at `url`."""
    values = {
        "GEMINI_BUSINESS_URL": url,
        "API_BASE_URL": f"{url}/v1alpha",
        "SECURE_C_SES": account.secure_c_ses,
        "HOST_C_OSES": account.host_c_oses,
        "CSESIDX": account.csesidx,
        "CONFIG_ID": account.config_id,
    }
    return values | ({"CA_BUNDLE": str(ca_file)} if ca_file else {})


def environment_by_name(account: Account, url: str, ca_file: Path | None) -> dict[str, str]:
    """As `environment`, but for the upstream's own host names, with `url` as the proxy.

    Raises ValueError without TLS.
    """
    if ca_file is None:
        raise ValueError("the upstream's own names need TLS")
    values = environment(account, url, ca_file)
    ours = {name: value for name, value in values.items() if not name.endswith("_URL")}
    return ours | {"PROXY": url.replace("https:", "http:", 1)}


def described(account: Account, switches: WidgetSwitches) -> dict[str, str]:
    """The account as `ACCOUNTS` takes it, with all that its gates may want."""
    return {
        "secure_c_ses": account.secure_c_ses,
        "host_c_oses": account.host_c_oses,
        "csesidx": account.csesidx,
        "config_id": account.config_id,
        "edition": edition_of(account, switches).name,
        "location": location_of(account, switches),
        "cookies": "; ".join(f"{name}={value}" for name, value in account.cookies.items()),
        "server_token": account.server_token,
        "user_agent": BROWSER,
    }
