"""What an account carries beside its ids and cookies: where its app lives, and what its browser
sends along.

Source: docs/upstream.md, editions and hosts; gates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gbproxy.account_admin.importing.hosts import edition_of

_MOST = 4  # of editions and locations that are named: there are two and three
_LOCATION_OF_CALL = re.compile(r"[^?#]{0,2048}?/locations/(global|us|eu)/")
_LOCATION_OF_PAGE = re.compile(
    r"https?://[^/?#]{1,300}+(?:/(global|us|eu))?/home/cid/", re.IGNORECASE
)
_SERVER_TOKEN = re.compile(r"[A-Za-z0-9+/_-]{4,1024}={0,2}")
_BROWSER = re.compile(r"Mozilla/[ -~]{1,500}")  # and no command's own, such as curl's


@dataclass(frozen=True, slots=True)
class Further:
    """`editions` and `locations`: each that was named, once; the last counts, and several speak
    against each other.
    """

    editions: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    server_token: str | None = field(default=None, repr=False)
    user_agent: str | None = None

    def given(self) -> dict[str, str]:
        values = {
            "edition": self.editions[-1] if self.editions else None,
            "location": self.locations[-1] if self.locations else None,
            "server_token": self.server_token,
            "user_agent": self.user_agent,
        }
        return {name: value for name, value in values.items() if value is not None}

    def followed_by(self, later: Further, *, is_of_same_app: bool = True) -> Further:
        """The same with what a later piece says. A server token belongs to one app."""
        return Further(
            editions=_joined(self.editions, later.editions),
            locations=_joined(self.locations, later.locations),
            server_token=later.server_token or (self.server_token if is_of_same_app else None),
            user_agent=later.user_agent or self.user_agent,
        )


NONE = Further()


def _joined(names: tuple[str, ...], later: tuple[str, ...]) -> tuple[str, ...]:
    return (*(name for name in names if name not in later), *later)[-_MOST:] if later else names


def of(values: dict[str, str]) -> Further:
    """What somebody wrote down by the fields' names."""
    return Further(
        editions=_one(values.get("edition")),
        locations=_one(values.get("location")),
        server_token=values.get("server_token"),
        user_agent=values.get("user_agent"),
    )


def of_host(host: str) -> Further:
    return Further(editions=_one(edition_of(host)))


def of_page(url: str, host: str) -> Further:
    """Edition and location of a page's address: one without a location in its path is global."""
    home = _LOCATION_OF_PAGE.match(url)
    return Further(
        editions=_one(edition_of(host)),
        locations=_one((home[1] or "global").lower() if home else None),
    )


def of_call(url: str, host: str) -> Further:
    """Edition and location of a widget call's address."""
    path = _LOCATION_OF_CALL.match(url)
    return Further(editions=_one(edition_of(host)), locations=_one(path[1] if path else None))


def server_token(header: str) -> str | None:
    """The value of `x-server-token`, unless it is cut off or blacked out."""
    return header if _SERVER_TOKEN.fullmatch(header) else None


def user_agent(header: str) -> str | None:
    """The value of `user-agent`, if it is a browser's."""
    bare = header.rstrip(" ;")  # as commands are joined
    return bare if _BROWSER.fullmatch(bare) else None


def _one(name: str | None) -> tuple[str, ...]:
    return (name,) if name else ()
