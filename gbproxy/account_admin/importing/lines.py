"""Single lines: rows of cookies and of an account's other values, by name or in a table, a cookie
string, and addresses.

Source of `cookies.txt`: https://curl.se/docs/http-cookies.html
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from gbproxy.account_admin.importing import cookies
from gbproxy.account_admin.importing.bounds import Hosts, further_of, host_of, is_consumers
from gbproxy.account_admin.importing.cookies import MAX_OTHERS, Cookies
from gbproxy.account_admin.importing.partial_account import (
    Doubt,
    PartialAccount,
    at_page,
    from_address,
    from_config_id,
    from_cookie_header,
    from_cookies,
)
from gbproxy.settings.account_values import has_consumer_cookie, is_consumer_cookie

_COOKIE = re.compile(rf"[\s\"']*+({cookies.NAMES})[\"']?+(\s*+=|\s++|\s*+:)", re.IGNORECASE)
# As a gateway's environment and configuration spell them. Between quotes it is a part of JSON, and
# that is broken.
_VALUE = re.compile(
    r"\s*+(?:-\s++)?+(?:export\s++)?+(secure_c_ses|host_c_oses|csesidx|config_id|team_id|configId)\s*+[=:]\s*+(.*+)",
    re.IGNORECASE,
)
_FIELDS = {"team_id": "config_id", "configid": "config_id"}
_COOKIES_BY_FIELD = {field: name for name, field in cookies.FIELDS.items()}
# A caret and a backslash are some shell's: what they protect is not read by guess.
_ANYWHERE = re.compile(
    rf"(?<![\w-])({cookies.NAMES})=\"?+([^\s;,\"'\\^]++)(?=[\s;,\"']|$)", re.IGNORECASE
)
_COOKIE_STRING = re.compile(r"[\"']?(?:[^\s=;\"']{1,256}+=[^\s;\"']*+(?:;[ ]*+|[\"']?$))++[\"']?")
_MENTION = re.compile(rf"{cookies.NAMES}|secure_c_ses|host_c_oses", re.IGNORECASE)
_OTHER_COOKIE = re.compile(r"[\w.$-]{1,256}+=[^\s;]*+;?+\s*+")
_ADDRESS = re.compile(r"https?://[^\s\"'<>`^\\]++", re.IGNORECASE)
_ADDRESSES_OF_A_LINE = 1_000
_HTTP_ONLY = "#HttpOnly_"
_FLAGS = frozenset({"TRUE", "FALSE"})
_DOMAIN_COLUMN = re.compile(r"\.?[a-z0-9-]++(?:\.[a-z0-9-]++)++", re.IGNORECASE)
_ROW = PartialAccount(is_row=True)


def read(line: str, hosts: Hosts) -> PartialAccount:
    """The values in a line that stands for itself, or beside others of its kind."""
    columns = line.removeprefix(_HTTP_ONLY).split(None, 7)
    if len(columns) > 6 and columns[1] in _FLAGS and columns[3] in _FLAGS:
        return _netscape(columns, hosts)
    if named := _COOKIE.match(line):
        return _named(named[1], named[2], line[named.end() :], hosts)
    if value := _VALUE.match(line):
        return _value(value[1].lower(), value[2], hosts)
    is_mentioned = any(
        mark in line.lower() for mark in ("c_ses", "c_oses")
    )  # a search by pattern takes ten times as long
    if is_mentioned and _COOKIE_STRING.fullmatch(line.strip()):
        return from_cookie_header(line)
    if is_mentioned and (found := _ANYWHERE.findall(line)):
        return from_cookies(found)
    if has_consumer_cookie(line):
        return _ROW.doubted("consumer")
    if len(columns) > 2 and "\t" in line and _DOMAIN_COLUMN.fullmatch(columns[2]):
        return _of_domain(columns[0], columns[1], columns[2], hosts)
    if _OTHER_COOKIE.fullmatch(line):
        return _ROW
    partial = _addresses(line, hosts)
    return partial.doubted("unread") if is_mentioned and _MENTION.search(line) else partial


def _netscape(columns: list[str], hosts: Hosts) -> PartialAccount:
    """A row of domain, for subdomains too, path, only by TLS, expiry, name and value."""
    return _of_domain(columns[5], columns[6], columns[0], hosts)


def _named(name: str, divider: str, rest: str, hosts: Hosts) -> PartialAccount:
    """A cookie by its name: `name=value; …`, `name: value`, or a row of the table with its value
    and domain.
    """
    if divider.strip() == "=":
        value, _, others = rest.partition(";")
        return from_cookie_header(f"{name}={rest}") if others.strip("\"' \t") else _row(name, value)
    columns = rest.split(None, 2)
    domain = columns[1] if len(columns) > 1 and _DOMAIN_COLUMN.fullmatch(columns[1]) else None
    if domain is not None:
        return _of_domain(name, columns[0], domain, hosts)
    if len(columns) > 1 and set(divider) == {" "}:  # a sentence
        return PartialAccount().doubted("unread")
    return _row(name, columns[0] if columns else "")


def _of_domain(name: str, value: str, domain: str, hosts: Hosts) -> PartialAccount:
    """A cookie of a list in which each has its domain."""
    if is_consumer_cookie(name, value):
        return _ROW.doubted("consumer")
    is_own = hosts.page_gets(domain) or (
        name.lower() in cookies.FIELDS and hosts.sends_cookies_of(domain)
    )
    return at_page(_row(name, value), domain) if is_own else _ROW


def _value(name: str, value: str, hosts: Hosts) -> PartialAccount:
    """An account's value by the gateway's own name for it."""
    field, bare = _FIELDS.get(name, name), value.strip(" \t\"',;")
    match field:
        case "csesidx":
            return PartialAccount(csesidx=bare or None, is_row=True)
        case "config_id":
            return replace(from_config_id(bare, hosts), is_row=True) if bare else _ROW
        case _:
            cookie = _COOKIES_BY_FIELD[field]
            return (
                _row(cookie, re.sub(f"^{cookie}=", "", bare, flags=re.IGNORECASE)) if bare else _ROW
            )


def _row(name: str, value: str) -> PartialAccount:
    return replace(from_cookies([(name, value)]), is_row=True)


def _addresses(line: str, hosts: Hosts) -> PartialAccount:
    """The ids of the addresses in a line."""
    partial = PartialAccount()
    for address in islice(_ADDRESS.finditer(line), _ADDRESSES_OF_A_LINE):
        partial = partial.overlaid(from_address(address[0], hosts))
        if is_consumers(host_of(address[0])):
            partial = partial.overlaid(PartialAccount().doubted("app"))
    return partial


# Rows beside each other: which of them are one jar's, or one account's.


def combined(rows: Sequence[PartialAccount]) -> Iterator[PartialAccount]:
    """The values of rows that stand beside each other.

    Where a value stands there twice and differs, they are several jars': one after another if each
    has the same rows in the same order. Otherwise a second cookie might be put to another's first,
    and is left out.
    """
    pairs = [
        (name, value) for row in rows for name, value in (row.given() | row.further.given()).items()
    ]
    names = [name for name, _ in pairs]
    if len(set(pairs)) == len(set(names)):
        yield _one(dict(pairs), _others(rows))
    elif length := _period(names):
        for at in range(0, len(pairs), length):
            yield _one(dict(pairs[at : at + length]))
    else:
        yield from (_one({name: value}) for name, value in pairs if name in _ALONE)
        yield PartialAccount(doubt=Doubt("mixed"))
    yield from _doubts(rows, has_first="secure_c_ses" in names)


# fields that are useful without knowing what is beside them
_ALONE = frozenset({"secure_c_ses", "csesidx", "config_id"})


def _others(rows: Sequence[PartialAccount]) -> tuple[tuple[str, str], ...]:
    """The further cookies of one jar, but those that stand there with two values."""
    pairs = dict.fromkeys(pair for row in rows for pair in row.cookies.others)
    times = Counter(name for name, _ in pairs)
    return tuple(pair for pair in pairs if times[pair[0]] == 1)[:MAX_OTHERS]


def _doubts(rows: Sequence[PartialAccount], *, has_first: bool) -> Iterator[PartialAccount]:
    """The doubts of all rows; that cookies are the consumer app's only once, and not of a browser
    that has both.
    """
    has_consumer = has_first
    for row in rows:
        if row.doubt is not None and not (has_consumer and row.doubt.kind == "consumer"):
            has_consumer = has_consumer or row.doubt.kind == "consumer"
            yield PartialAccount(doubt=row.doubt)


def _period(names: list[str]) -> int:
    """After how many rows the same ones come again; 0 when they do not."""
    length = len(set(names))
    repeats, rest = divmod(len(names), length)
    return length if not rest and names == names[:length] * repeats else 0


def _one(values: dict[str, str], others: tuple[tuple[str, str], ...] = ()) -> PartialAccount:
    cookies = Cookies(values.get("secure_c_ses"), values.get("host_c_oses"), others)
    return PartialAccount(
        csesidx=values.get("csesidx"),
        config_id=values.get("config_id"),
        cookies=cookies,
        further=further_of(values),
    )
