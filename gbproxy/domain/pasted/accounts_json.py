"""JSON that holds accounts as gateways write them down, and cookies as browser extensions export them.

Accounts: one object, an array of them, or `{"accounts": [...]}`, in each gateway's spelling of the fields. Cookies: an array of
`{"domain", "name", "value", ...}` (Cookie-Editor, EditThisCookie), or under `cookies`. HAR files are read by `har`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gbproxy.domain.pasted import har
from gbproxy.domain.pasted.budget import Budget
from gbproxy.domain.pasted.clues import Clue, from_address, from_cookies
from gbproxy.domain.pasted.site import Site

_SPELLINGS = {
    "secure_c_ses": ("secure_c_ses", "__Secure-C_SES"),
    "host_c_oses": ("host_c_oses", "__Host-C_OSES"),
    "csesidx": ("csesidx",),
    "config_id": ("config_id", "team_id", "configId", "group_id"),
}
_NAMES = ("name", "id")


def read(value: Any, site: Site, budget: Budget) -> Iterator[Clue]:
    """What a decoded JSON text says about accounts."""
    match value:
        case {"log": dict(log)}:
            yield from har.read(log, site, budget)
        case {"request": {"url": str()}}:  # an entry of a HAR file that was cut
            yield from har.read({"entries": [value]}, site, budget)
        case {"accounts": list(items)} | list(items):
            yield from _listed(items, site, budget)
        case {"cookies": list(items)}:
            yield from_address(_text(value.get("url")) or "", site)
            yield _exported(items, site, budget)
        case dict():
            yield _account(value)
        case _:
            pass


def _listed(items: list[Any], site: Site, budget: Budget) -> Iterator[Clue]:
    yield _exported(items, site, budget)
    for item in items:
        budget.spend()
        if isinstance(item, dict) and not _is_cookie(item):
            yield _account(item)


def _exported(items: list[Any], site: Site, budget: Budget) -> Clue:
    budget.spend(len(items))
    cookies = [item for item in items if isinstance(item, dict) and _is_cookie(item)]
    return from_cookies((item["name"], item["value"]) for item in cookies if site.sends_cookies_of(item["domain"]))


def _is_cookie(item: dict[str, Any]) -> bool:
    return all(isinstance(item.get(key), str) for key in ("name", "value", "domain"))


def _account(item: dict[str, Any]) -> Clue:
    values = {field: _first(item, spellings) for field, spellings in _SPELLINGS.items()}
    is_account = any(values[field] for field in ("secure_c_ses", "host_c_oses", "csesidx"))
    return Clue(**values, name=_first(item, _NAMES) if is_account else None, is_account=is_account)


def _first(item: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    return next((text for key in keys if (text := _text(item.get(key)))), None)


def _text(value: object) -> str | None:
    """A value as text; a number is what some write for a csesidx. None for what is empty or neither."""
    text = str(value) if type(value) is int else value
    return text.strip() or None if isinstance(text, str) else None
