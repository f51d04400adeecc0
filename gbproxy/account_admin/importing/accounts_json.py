"""JSON that holds accounts as gateways write them down, and cookies as browsers and their
extensions export them.

Accounts: one object, an array of them, or `{"accounts": [...]}`, in each gateway's spelling of the
fields; cookies may stand beside the ids. Cookies: an array of `{"domain", "name", "value", ...}`
(Cookie-Editor, EditThisCookie), also under `cookies`, one such object, an object of names and
values, a `Cookie` header's text. HAR files: `copied_requests.read_har`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gbproxy.account_admin.importing import cookies, headers
from gbproxy.account_admin.importing.bounds import Hosts, WorkLimit, further_of, host_of
from gbproxy.account_admin.importing.cookies import Cookies
from gbproxy.account_admin.importing.copied_requests import read_har
from gbproxy.account_admin.importing.lines import combined
from gbproxy.account_admin.importing.partial_account import (
    FIELDS,
    PartialAccount,
    at_page,
    from_address,
    from_config_id,
    from_cookie_header,
    from_cookies,
    merged,
)
from gbproxy.settings.account_values import is_consumer_cookie, is_consumer_cookie_name
from gbproxy.settings.entries import is_disabled

_SPELLINGS = {
    "secure_c_ses": ("secure_c_ses", "SECURE_C_SES"),
    "host_c_oses": ("host_c_oses", "HOST_C_OSES"),
    "csesidx": ("csesidx", "CSESIDX"),
    "config_id": ("config_id", "team_id", "configId", "group_id", "CONFIG_ID"),
    "edition": ("edition",),
    "location": ("location",),
    "server_token": ("server_token",),
    "user_agent": ("user_agent",),
}
_NAMES = ("name", "id")
_OF_HEADERS = ("cookie", "set-cookie")  # a list of headers, as Firefox copies them
_JARS = ("cookies", "cookie", "Cookie", "Request Cookies")
_KEYS = frozenset(
    {
        "url",
        *_JARS,
        *cookies.NAMES.split("|"),
        *(key for field in FIELDS for key in _SPELLINGS[field]),
    }
)
_WORDS_OF_AN_ACCOUNT = 30
_DEPTH = 4  # how deep accounts and cookies lie in other objects


def read(value: Any, hosts: Hosts, limit: WorkLimit) -> Iterator[PartialAccount]:
    """The accounts and cookies in a decoded JSON text."""
    match value:
        case {"log": dict(log)}:
            yield from read_har(log, hosts, limit)
        case {"request": {"url": str()}}:  # an entry of a HAR file that was cut
            yield from read_har({"entries": [value]}, hosts, limit)
        case _:
            yield from _within(value, hosts, limit, _DEPTH)


def _within(value: Any, hosts: Hosts, limit: WorkLimit, depth: int) -> Iterator[PartialAccount]:
    match value:
        case list():
            yield from _listed(value, hosts, limit, depth)
        case dict() if _is_cookie(value):
            yield replace(_cookie(value, hosts, None), is_row=True)
        case dict():
            yield from _object(value, hosts, limit, depth)
        case _:
            pass


def _listed(
    items: list[Any], hosts: Hosts, limit: WorkLimit, depth: int
) -> Iterator[PartialAccount]:
    limit.spend(len(items))
    yield from _exported(items, hosts, None)
    if depth:
        for item in items:
            if isinstance(item, dict | list) and not _is_cookie(item):
                yield from _within(item, hosts, limit, depth - 1)


def _object(
    item: dict[str, Any], hosts: Hosts, limit: WorkLimit, depth: int
) -> Iterator[PartialAccount]:
    """An account, the cookies beside it, or what lies deeper."""
    if not _KEYS.isdisjoint(item) or any(map(is_consumer_cookie_name, item)):
        limit.spend(_WORDS_OF_AN_ACCOUNT)
        yield from _beside(item, hosts, limit)
    if depth:
        for key, inner in item.items():
            if isinstance(inner, dict | list) and key not in _JARS:
                limit.spend()
                yield from _within(inner, hosts, limit, depth - 1)


def _beside(item: dict[str, Any], hosts: Hosts, limit: WorkLimit) -> Iterator[PartialAccount]:
    address = _text(item.get("url")) or ""
    account = from_address(address, hosts).overlaid(_account(item, hosts))
    by_name = {
        name: item[name]
        for name in item
        if name.lower() in cookies.FIELDS or is_consumer_cookie_name(name)
    }
    jars = [
        partial
        for jar in (by_name, *map(item.get, _JARS))
        for partial in _jar(jar, address, hosts, limit)
    ]
    if len([jar for jar in jars if jar.cookies]) <= 1:
        yield _with_jar(account, merged(jars))
    else:
        yield account
        yield from jars


def _with_jar(account: PartialAccount, jar: PartialAccount) -> PartialAccount:
    """The account with the cookies that stand beside it; its own fields win, but for a second one
    without its first.
    """
    is_account = account.is_account or bool(jar.cookies and account.given())
    pair = jar.cookies.followed_by(account.cookies)
    is_beside = bool(pair) and not jar.cookies  # a jar without the pair, which stands beside it
    partial = replace(
        account,
        cookies=pair.with_others_of(jar.cookies) if is_beside else pair,
        further=jar.further.followed_by(account.further),
        is_account=is_account,
    )
    return replace(
        partial, doubt=None if partial.cookies.secure_c_ses else jar.doubt or account.doubt
    )


def _jar(value: object, address: str, hosts: Hosts, limit: WorkLimit) -> Iterator[PartialAccount]:
    """The cookies of one jar: a header's text, a list, or an object of names and values."""
    match value:
        case str() if value.strip():
            yield from_cookie_header(value)
        case list():
            limit.spend(len(value))
            host = host_of(address)
            yield from _exported(value, hosts, host)
        case dict() if value:
            limit.spend(len(value))
            yield from_cookies((name, _value(inner)) for name, inner in value.items())
        case _:
            pass


def _exported(items: list[Any], hosts: Hosts, host: str | None) -> Iterator[PartialAccount]:
    """Cookies of an array, those of each of the browser's stores by themselves; a doubt when there
    are others only.
    """
    exported = [item for item in items if isinstance(item, dict) and _is_cookie(item)]
    if any(item["name"].lower() in _OF_HEADERS for item in exported):
        yield (
            headers.of_pairs(((item["name"], item["value"]) for item in exported), hosts)
            or PartialAccount()
        )
        return
    stores: dict[str, list[PartialAccount]] = {}
    for item in exported:
        partial = _cookie(item, hosts, host)
        if partial.given() or partial.cookies.others or partial.doubt:
            stores.setdefault(str(item.get("storeId")), []).append(partial)
    for store in stores.values():
        yield from combined(store)
    if exported and not any(
        partial.given() or partial.doubt for store in stores.values() for partial in store
    ):
        yield PartialAccount().doubted("bare")


def _is_cookie(item: object) -> bool:
    return (
        isinstance(item, dict)
        and isinstance(item.get("name"), str)
        and isinstance(item.get("value"), str)
    )


def _cookie(item: dict[str, Any], hosts: Hosts, host: str | None) -> PartialAccount:
    """One exported cookie: its domain decides, or that of the page which it was exported from,
    where there is one.
    """
    domain = _text(item.get("domain")) or _text(item.get("host")) or host
    is_one_of_two = item["name"].lower() in cookies.FIELDS
    is_own = hosts.page_gets(domain) if domain else is_one_of_two
    is_near = is_one_of_two and domain is not None and hosts.sends_cookies_of(domain)
    is_told = is_own or is_near or is_consumer_cookie(item["name"], item["value"])
    return (
        at_page(from_cookies([(item["name"], item["value"])]), domain or "")
        if is_told
        else PartialAccount()
    )


def _account(item: dict[str, Any], hosts: Hosts) -> PartialAccount:
    values = {field: _first(item, spellings) for field, spellings in _SPELLINGS.items()}
    app = from_config_id(values["config_id"], hosts) if values["config_id"] else PartialAccount()
    given = {field: value for field, value in values.items() if value is not None}
    is_account = any(values[field] for field in ("secure_c_ses", "host_c_oses", "csesidx"))
    partial = PartialAccount(
        csesidx=values["csesidx"],
        config_id=app.config_id,
        further=app.further.followed_by(further_of(given)),
        cookies=Cookies(values["secure_c_ses"], values["host_c_oses"]),
        name=_first(item, _NAMES) if is_account else None,
        is_account=is_account,
        is_disabled=is_account and is_disabled(item),
    )
    lacks = values["secure_c_ses"] is None and any(
        key in item for key in (*_SPELLINGS["secure_c_ses"], *_JARS)
    )
    return partial.doubted("bare") if lacks else partial


def _value(value: object) -> str:
    """A cookie's value, also of Firefox's `{"name": {"value": …}}`."""
    return str(value.get("value", "")) if isinstance(value, dict) else str(value)


def _first(item: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    return next((text for key in keys if (text := _text(item.get(key)))), None)


def _text(value: object) -> str | None:
    """A value as text; a number is what some write for a csesidx. None for what is empty or
    neither.
    """
    text = str(value) if type(value) is int else value
    return text.strip() or None if isinstance(text, str) else None
