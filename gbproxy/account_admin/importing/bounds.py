"""Bounds on reading a paste: the hosts whose requests alone are read, with what their addresses and
headers tell beside ids and cookies; and how much work one text may cost.

Source: docs/upstream.md, editions and hosts; gates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from gbproxy.errors import BadRequest
from gbproxy.settings.account_values import CONSUMER_HOST
from gbproxy.upstreams.widget.credential import EDITIONS, EditionName


def _host(address: str) -> str:
    return urlsplit(address).hostname or ""


_PAGES = {_host(edition.page_url): edition.name for edition in EDITIONS.values()}
_APIS = {_host(edition.api_origin): edition.name for edition in EDITIONS.values()}
BUSINESS_HOST = _host(EDITIONS["business"].page_url)

_HOST = re.compile(r"https?://([a-z0-9.-]{1,253}+)(?::[0-9]{1,5})?+(?=[/?#]|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts whose requests are read: pages, and the API, which is also called at other hosts of
    Google's.
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
        """True for a page's host, and for one below it, where the page signs in."""
        return any(host == own or host.endswith(f".{own}") for own in self.pages)

    def is_api(self, host: str) -> bool:
        return (
            host in self.apis
            or host.endswith((".googleapis.com", ".clients6.google.com"))
            or self.is_page(host)
        )

    def sends_cookies_of(self, domain: str) -> bool:
        """True when a cookie of this domain, with or without a dot before it, is one of a page, or
        of a host below it.
        """
        return self.is_page(_bare(domain)) or self.page_gets(domain)

    def page_gets(self, domain: str) -> bool:
        """True when a browser sends a cookie of this domain, with or without a dot before it, to a
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
    return host == CONSUMER_HOST


def _bare(domain: str) -> str:
    return domain.strip().lstrip(".").lower()


# What an account carries beside its ids and cookies

_MOST = 4  # of the editions and locations that are named: there are two and three
_LOCATION_OF_CALL = re.compile(r"[^?#]{0,2048}?/locations/(global|us|eu)/")
_LOCATION_OF_PAGE = re.compile(
    r"https?://[^/?#]{1,300}+(?:/(global|us|eu))?/home/cid/", re.IGNORECASE
)
_SERVER_TOKEN = re.compile(r"[A-Za-z0-9+/_-]{4,1024}={0,2}")
_BROWSER = re.compile(r"Mozilla/[ -~]{1,500}")  # and no command's own, such as curl's


@dataclass(frozen=True, slots=True)
class Further:
    """`editions` and `locations`: each that was named, once; the last counts, and several
    contradict each other.
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


NO_FURTHER = Further()


def _joined(names: tuple[str, ...], later: tuple[str, ...]) -> tuple[str, ...]:
    return (*(name for name in names if name not in later), *later)[-_MOST:] if later else names


def further_of(values: dict[str, str]) -> Further:
    """From values by the fields' names."""
    return Further(
        editions=_one(values.get("edition")),
        locations=_one(values.get("location")),
        server_token=values.get("server_token"),
        user_agent=values.get("user_agent"),
    )


def further_of_host(host: str) -> Further:
    return Further(editions=_one(edition_of(host)))


def further_of_page(url: str, host: str) -> Further:
    """Edition and location of a page's address: one without a location in its path is global."""
    home = _LOCATION_OF_PAGE.match(url)
    return Further(
        editions=_one(edition_of(host)),
        locations=_one((home[1] or "global").lower() if home else None),
    )


def further_of_call(url: str, host: str) -> Further:
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


# How much is read

WORD_CHARS = 65_536
"""Longest part of one word that is read: cookies and ids are shorter, and begin a body."""


class WorkLimit:
    """A budget, by which each character of a paste is read a few times at most.

    Both methods raise BadRequest when a text holds more than any browser copies.
    """

    def __init__(self, chars: int, *, words: int = 200_000) -> None:
        self._words = words
        self._chars = chars + chars // 2 + 100_000

    def spend(self, words: int = 1) -> None:
        """Charge a word of a command or a row of a list; a line costs several."""
        self._words -= words
        if self._words < 0:
            raise BadRequest(
                "the text holds too many commands and lines: paste only those of the Gemini"
                " Business page",
                param="text",
            )

    def backtrack(self, chars: int) -> None:
        """Charge reading that found nothing and begins again at another place."""
        self._chars -= chars
        if self._chars < 0:
            raise BadRequest(
                "the text is cut off or damaged in too many places: copy it anew", param="text"
            )
