"""The accounts of the fake upstream: their cookies and identifiers, and how a cookie is renewed."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field


@dataclass
class Account:
    """One signed-in account. `getoxsrf` overrides the switch of that name for this account."""

    csesidx: str = "1234567890"
    secure_c_ses: str = "CSE.AdLk3xVb9QmZr7TtYw2HnPq5Js8Ec"
    host_c_oses: str = "COS.AfWm4RzKx8LdTn6VbYp2GqHs9Jt3U"
    config_id: str = "11111111-2222-4333-8444-555555555555"
    project_number: str = "123456789012"
    getoxsrf: str | None = None
    needs_renewal: bool = True
    """Meaningful under `refreshcookies`: the present cookie only leads to the renewal."""
    restricted: bool = False
    """Every call of this account, and its sign-in, is 403."""
    former_cookies: set[str] = field(default_factory=set)

    def owns(self, cookie: str | None) -> bool:
        """Whether the cookie is, or once was, this account's."""
        return cookie is not None and (cookie == self.secure_c_ses or cookie in self.former_cookies)

    def renew(self) -> str:
        """Make a new cookie; from now on only it is good."""
        self.former_cookies.add(self.secure_c_ses)
        self.secure_c_ses = f"CSE.Ad{secrets.token_urlsafe(24)}"
        self.needs_renewal = False
        return self.secure_c_ses
