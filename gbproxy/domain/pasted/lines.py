"""Single lines: of a Netscape `cookies.txt`, of request headers, of the browser's table of cookies, and addresses.

Source of the first: https://curl.se/docs/http-cookies.html
"""

from __future__ import annotations

import re
from itertools import islice

from gbproxy.domain.pasted.clues import Clue, from_address, from_authorization, from_cookie_header, from_cookies
from gbproxy.domain.pasted.site import Site

_HEADER = re.compile(r"\s*+[\"']?+(cookie|set-cookie|authorization|referer)[\"']?+\s*+:[\s\"']*+", re.IGNORECASE)
_NAMED = re.compile(r"[\s\"']*+(__Secure-C_SES|__Host-C_OSES)[\"']?+(=|\s++|\s*+:\s*+)", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[^\s\"'<>`^\\]++", re.IGNORECASE)
_ADDRESSES_OF_A_LINE = 1_000
_HTTP_ONLY = "#HttpOnly_"
_FLAGS = frozenset({"TRUE", "FALSE"})
_DOMAIN_COLUMN = re.compile(r"\.?[a-z0-9-]++(?:\.[a-z0-9-]++)++", re.IGNORECASE)


def read(line: str, site: Site) -> Clue:
    """What a line says that stands for itself."""
    if header := _HEADER.match(line):
        value = line[header.end() :]
        match header[1].lower():
            case "authorization":
                return from_authorization(value)
            case "referer":
                return _addresses(value, site)
            case _:
                return from_cookie_header(value)
    columns = line.removeprefix(_HTTP_ONLY).split(None, 7)
    if len(columns) > 6 and columns[1] in _FLAGS and columns[3] in _FLAGS:
        return _netscape(columns, site)
    if named := _NAMED.match(line):
        return _named(named[1], named[2], line[named.end() :], site)
    return _addresses(line, site)


def _netscape(columns: list[str], site: Site) -> Clue:
    """A row of domain, for subdomains too, path, only by TLS, expiry, name and value."""
    return from_cookies([(columns[5], columns[6])]) if site.sends_cookies_of(columns[0]) else Clue()


def _named(name: str, divider: str, rest: str, site: Site) -> Clue:
    """A cookie by its name: `name=value; …`, `name: value`, or a row of the table with its value and domain."""
    if divider == "=":
        return from_cookie_header(f"{name}={rest}")
    columns = rest.split(None, 2)
    if len(columns) > 1 and _DOMAIN_COLUMN.fullmatch(columns[1]) and not site.sends_cookies_of(columns[1]):
        return Clue()
    return from_cookies([(name, value) for value in columns[:1]])


def _addresses(line: str, site: Site) -> Clue:
    """The ids of the addresses in a line."""
    clue = Clue()
    for address in islice(_ADDRESS.finditer(line), _ADDRESSES_OF_A_LINE):
        clue = clue.overlaid(from_address(address[0], site))
    return clue
