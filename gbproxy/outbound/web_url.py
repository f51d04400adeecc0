"""Reads a client's URL once, into the parts that a connection is made of.

Two parsers that disagree about where a host ends are how address guards are passed by. So there is
one here, which refuses whatever others might read differently, and no later step parses again.
Source: RFC 3986; WHATWG URL, host parsing; WHATWG Fetch, port blocking.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote

from gbproxy.outbound.addresses import Address

MAX_URL_CHARS = 8192
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LEAST_FREE_PORT = 1024  # below it stand mail, shells and name servers
# Services that would take the lines of an HTTP request for commands.
_BAD_PORTS = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6379, 6566, *range(6665, 6670)}
    | {6679, 6697, 10080, 11211}
)

_URL = re.compile(r"(?i:(https?))://([^/?#]*)([^#]*)(?:#.*)?", re.DOTALL)
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]{0,5}))?")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")
_HOST_SIGNS = re.compile(r"[\s%@<>^|`{}\"]")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})+")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_KEPT = "!#$%&'()*+,-./:;=?@[]_~"  # in a request's target, beside letters and digits


@dataclass(frozen=True, slots=True)
class WebUrl:
    """`host` is an address, or a name in lower case and ASCII without a dot at its end; `target` is
    path and query as they are sent.
    """

    scheme: str
    host: Address | str
    port: int
    target: str

    @property
    def name(self) -> str:
        """The host as certificates name it."""
        return str(self.host)

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if isinstance(self.host, IPv6Address) else str(self.host)
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def parse(text: str) -> WebUrl:
    """Raises ValueError, whose message completes "the URL …" and quotes nothing."""
    text = text.strip(" \t\r\n")
    if len(text) > MAX_URL_CHARS:
        raise ValueError(f"is longer than {MAX_URL_CHARS} characters")
    if _FORBIDDEN.search(text):
        raise ValueError("holds a backslash or a control character")
    parts = _URL.fullmatch(text)
    if parts is None:
        raise ValueError("must begin with http:// or https://")
    scheme = parts[1].lower()
    if "@" in parts[2]:
        raise ValueError("must not hold a user name or password")
    authority = _AUTHORITY.fullmatch(parts[2])
    if authority is None:
        raise ValueError("has no readable host and port")
    return WebUrl(
        scheme,
        _host(authority[1]),
        _port(authority[2], _DEFAULT_PORTS[scheme]),
        _target(parts[3]),
    )


def _host(text: str) -> Address | str:
    if text.startswith("["):
        return _ipv6(text[1:-1])
    if _HOST_SIGNS.search(text):
        raise ValueError("has a host with signs that no name has")
    name = _ascii(text).lower().removesuffix(".")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        return _ipv4(name)
    if "." not in name:
        raise ValueError("must name its host in full, such as www.example.com")
    if not _NAME.fullmatch(name):
        raise ValueError("has a host that is no name")
    return name


def _ipv6(text: str) -> IPv6Address:
    if "%" in text:
        raise ValueError("must not name a zone of an address")
    try:
        return IPv6Address(text)
    except ValueError:
        raise ValueError("has a host that is no IPv6 address") from None


def _ipv4(text: str) -> IPv4Address:
    # Octal, hexadecimal and short forms are read in as many ways as there are readers.
    try:
        return IPv4Address(text)
    except ValueError:
        raise ValueError("must write an IPv4 address as four decimal numbers") from None


def _ascii(name: str) -> str:
    """The name as it is looked up: other scripts as punycode, wide digits as plain ones."""
    if name.isascii():
        return name
    import idna  # loaded only here: its tables of all of Unicode are large, and seldom needed

    try:
        return idna.encode(name, uts46=True).decode()
    except ValueError:  # also idna's
        raise ValueError("has a host that is no name") from None


def _port(text: str | None, default: int) -> int:
    port = int(text) if text else default
    is_web = port in _DEFAULT_PORTS.values()
    if not is_web and not (_LEAST_FREE_PORT <= port <= 65535 and port not in _BAD_PORTS):
        raise ValueError("has a port that files are not fetched from")
    return port


def _target(text: str) -> str:
    """Path and query with all that is not plain ASCII percent-encoded; what is encoded stays."""
    try:
        target = quote(text, safe=_KEPT)
    except UnicodeEncodeError:
        raise ValueError("holds half of a character") from None
    return target if target.startswith("/") else f"/{target}"
