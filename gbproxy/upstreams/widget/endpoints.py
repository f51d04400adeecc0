"""The addresses of each account's calls, and the headers that say where they come from.

Source: docs/upstream.md, editions and hosts; gates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self
from urllib.parse import urlsplit

from gbproxy.domain.account import Account
from gbproxy.settings import Settings
from gbproxy.upstreams.widget.credential import EDITIONS, EditionName, Location, credential_of


@dataclass(frozen=True, slots=True)
class Endpoints:
    """`api_url` ends with the location, a verb follows. The headers lack what changes with each
    call: token, cookies.

    `issuer` and `audience` are what tokens name: the edition's hosts, also where others are asked
    in their place.
    """

    page_url: str
    api_url: str
    issuer: str
    audience: str
    page_headers: Mapping[str, str] = field(repr=False)
    api_headers: Mapping[str, str] = field(repr=False)

    def headers_with(self, bearer: str) -> dict[str, str]:
        """The headers of one call with this token."""
        return {**self.api_headers, "Authorization": f"Bearer {bearer}"}


class EndpointMap:
    """The endpoints of each account, made once; safe for use by many threads at once."""

    def __init__(
        self,
        *,
        page_url: str | None = None,
        api_base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        server_timeout_s: int = 1800,
    ) -> None:
        """`page_url`, `api_base_url`: in place of those of every account's edition; `headers` go
        with all calls.
        """
        self._page_url = page_url
        self._api_base_url = api_base_url
        self._headers = headers or {}
        self._server_timeout_s = server_timeout_s
        self._made = lru_cache(maxsize=4096)(self._make)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        further = {
            name: each.get_secret_value() for name, each in settings.upstream_headers.items()
        }
        return cls(
            page_url=settings.gemini_business_url,
            api_base_url=settings.api_base_url,
            headers={"User-Agent": settings.user_agent, **further},
            server_timeout_s=round(settings.request_timeout_s),
        )

    def of(self, account: Account) -> Endpoints:
        credential = credential_of(account)
        return self._made(
            credential.edition,
            credential.location,
            credential.server_token,
            credential.user_agent,
        )

    def _make(
        self,
        edition_name: EditionName,
        location: Location,
        server_token: str | None,
        user_agent: str | None,
    ) -> Endpoints:
        edition = EDITIONS[edition_name]
        page = self._page_url or edition.page_url
        parts = urlsplit(page)
        origin = f"{parts.scheme}://{parts.netloc}"
        own = {"User-Agent": user_agent} if user_agent else {}
        everywhere = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "Referer": f"{origin}/"}
        to_api = {
            "Content-Type": "application/json",
            "Origin": origin,
            "X-Server-Timeout": str(self._server_timeout_s),
        }
        token = {"X-Server-Token": server_token} if server_token else {}
        return Endpoints(
            page_url=page,
            api_url=f"{self._api_base_url or edition.api_base_url}/locations/{location}",
            issuer=edition.page_url,
            audience=edition.api_origin,
            page_headers=_merged(everywhere, self._headers, own),
            api_headers=_merged(everywhere, to_api, self._headers, own, token),
        )


def _merged(*layers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers of all layers: a later one replaces an earlier one, however their names are
    written.
    """
    merged = {name.lower(): (name, value) for layer in layers for name, value in layer.items()}
    return dict(merged.values())
