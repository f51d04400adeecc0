"""The accounts of the fake upstream: their cookies and identifiers, and how cookies are renewed."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field


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
    """What `x-server-token` must be where the exact value is wanted."""
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
