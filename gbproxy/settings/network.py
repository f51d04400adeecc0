"""Parsers of network addresses: to listen on, of the upstream, its proxy, Redis and the database,
and the origins of web pages.

Each raises ValueError with what is allowed, without the value, which may be a secret.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit

from gbproxy.settings.validators import comma_separated


def origins(text: str) -> tuple[str, ...]:
    """Origins as browsers send them, `scheme://host[:port]`, patterns of such, or `*`."""
    found = comma_separated(text)
    wrong: list[str] = []
    result: list[str] = []
    for position, origin in enumerate(found, start=1):
        try:
            result.append(normalized(origin))
        except ValueError as error:
            wrong.append(f"origin {position} {error}")
    if wrong:
        raise ValueError("; ".join(wrong))
    return tuple(dict.fromkeys(result))


def host(text: str) -> str:
    """An address or host name to listen on; an IPv6 address comes back without brackets."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not _is_address(bare) and not _HOST_NAME.fullmatch(text):
        raise ValueError("must be an IP address or a host name, without scheme, port or path")
    return bare


def is_loopback(address: str) -> bool:
    """True if an address or host name, as `host` returns it, is reached from this machine only."""
    if _is_address(address):
        return ipaddress.ip_address(address).is_loopback
    return address.casefold() == "localhost"


# Labels as sockets take them: one that is empty or too long would fail at the first request.
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"


_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def base_url(text: str) -> str:
    """An http(s) address that paths can be added to: no slash at its end."""
    parts = _url(text, ("http", "https"))
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or password")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path}".rstrip("/")


def otlp_endpoint(text: str) -> str:
    """Where OpenTelemetry's exporters send to, if they are installed."""
    try:
        found = find_spec("opentelemetry.exporter.otlp.proto.http")
    except ModuleNotFoundError:
        found = None
    if found is None or find_spec("opentelemetry.sdk") is None:
        raise ValueError("needs OpenTelemetry's packages: pip install 'gbproxy[otel]'")
    return base_url(text)


def proxy_url(text: str) -> str:
    """A proxy's address; user and password may be any, and come back as ASCII."""
    given, at, host = text.rpartition("@")
    parts = _url(
        re.sub(r"[^\x00-\x7f]+|[][\\]+", _percent_encoded, given) + at + host,
        ("http", "https", "socks5", "socks5h"),
    )
    if parts.path not in ("", "/"):
        raise ValueError("must end after the host and port; a `/` in a password is written %2F")
    url = f"{parts.scheme}://{parts.netloc}"
    address = ProxyAddress.parse(url)
    if address.is_socks and any(
        len((part or "").encode()) > 255 for part in (address.user, address.password)
    ):
        raise ValueError("has a user or password of more than 255 bytes, which SOCKS5 cannot carry")
    return url


def _percent_encoded(found: re.Match[str]) -> str:
    try:
        # bytes of an environment that are no UTF-8 stay as they are
        return quote(found[0], errors="surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("has a user or password with characters that are none") from None


def redis_url(text: str) -> str:
    allowed = "must look like redis://:password@host:port/0, or rediss:// for TLS"
    if not re.fullmatch(r"rediss?://[!-~]+", text) or re.search(r"[?#]", text):
        raise ValueError(f"{allowed}; other signs in a password are written as %XX")
    try:
        parts = urlsplit(text)
        name, _ = parts.hostname or "", parts.port  # reading the port checks it
    except ValueError:
        raise ValueError(f"{allowed}, with a port up to 65535") from None
    if not (_HOST_NAME.fullmatch(name) or _is_address(name)) or not re.fullmatch(
        r"(/[0-9]{0,5})?", parts.path
    ):
        raise ValueError(allowed)
    return text


def _url(text: str, schemes: tuple[str, ...]) -> SplitResult:
    allowed = f"must be an address such as {schemes[0]}://host:port; allowed: {', '.join(schemes)}"
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError(f"{allowed}, all of it printable ASCII without spaces")
    if "?" in text or "#" in text:
        raise ValueError("must not contain `?` or `#`; in a password they are written %3F and %23")
    try:
        parts = urlsplit(text)
        name, _ = parts.hostname or "", parts.port  # reading the port checks it
    except ValueError:
        raise ValueError(f"{allowed}, with a port up to 65535") from None
    if parts.scheme not in schemes or not (_HOST_NAME.fullmatch(name) or _is_address(name)):
        raise ValueError(allowed)
    return parts


def database_url(text: str) -> str:
    if text.startswith("sqlite:///"):
        if outlives_the_process(text):
            _writable_file(text.removeprefix("sqlite:///"))
    elif text.startswith("postgresql://"):
        _server(text)
    else:
        raise ValueError(
            "must begin with sqlite:/// (four slashes for an absolute path) or postgresql://"
        )
    return text


def _writable_file(path: str) -> None:
    if re.search(r"[?#\x00-\x1f]", path):
        raise ValueError("must not contain `?`, `#` or control characters")
    if not os.path.isdir(os.path.dirname(path) or "."):
        raise ValueError("the directory of its file does not exist")
    if os.path.isdir(path):
        raise ValueError("must be the path of a file, and is a directory")
    # SQLite puts files of its own beside it.
    if not os.access(os.path.dirname(path) or ".", os.W_OK | os.X_OK) or (
        os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK)
    ):
        raise ValueError("the file, or the directory it is in, cannot be written to")


def _server(text: str) -> None:
    allowed = "must look like postgresql://user:password@host:port/database"
    if not re.fullmatch(r"[!-~]+", text) or "#" in text:
        raise ValueError(f"{allowed}; other signs in a password are written as %XX")
    try:
        parts = urlsplit(text)
        named, _ = parts.netloc or parts.query, parts.port  # reading the port checks it
    except ValueError:
        raise ValueError(
            f"{allowed}; `@`, `:` and `/` in a password are written %40, %3A and %2F"
        ) from None
    if not named or not parts.path.strip("/"):
        raise ValueError(allowed)


def outlives_the_process(url: str) -> bool:
    """True for a database that keeps its rows: "" (none) and SQLite in memory do not."""
    return url not in ("", "sqlite:///", "sqlite:///:memory:")


_ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]+)(?::([0-9]{1,5}|\*))?/?", re.IGNORECASE
)


_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}


_ALLOWED = (
    "must be * or look like https://chat.example.com; `*` may stand for a port (http://localhost:*)"
    " or for the first labels of a host (https://*.example.com)"
)


def normalized(origin: str) -> str:
    """An origin, or a pattern of origins: lower case, names as punycode, without the default port
    of its scheme.

    A pattern has `*` as its port, or `*.` before its host. Raises ValueError with what is allowed.
    """
    if origin == "*":
        return origin
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        raise ValueError(_ALLOWED)
    scheme, host, port = found[1].lower(), found[2].lower(), found[3]
    any_first = host.startswith("*.")
    host = _host(host.removeprefix("*."))
    if port not in (None, "*"):
        port = str(int(port))
    if port is not None and port != "*" and not 0 < int(port) <= 65535:
        raise ValueError("must have a port from 1 to 65535")
    tail = "" if port in (None, _DEFAULT_PORTS.get(scheme)) else f":{port}"
    return f"{scheme}://{'*.' if any_first else ''}{host}{tail}"


def _host(host: str) -> str:
    if "*" in host:
        raise ValueError(_ALLOWED)
    try:
        if host.startswith("["):
            return f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]"
        return host if host.isascii() else _punycode(host)
    except ValueError:  # also idna's
        raise ValueError("must have the name of a host or an address") from None


def _punycode(host: str) -> str:
    import idna  # loaded only here: its tables of all of Unicode are large, and seldom needed

    return idna.encode(host, uts46=True).decode()


def pattern(origins: tuple[str, ...]) -> re.Pattern[str]:
    """A regular expression of the `Origin` headers that are allowed by these, which are as
    `normalized` returns them.
    """
    return re.compile("|".join(map(_expression, origins)) or r"(?!)")


def _expression(origin: str) -> str:
    scheme, _, rest = origin.partition("://")
    any_port, any_first = rest.endswith(":*"), rest.startswith("*.")
    labels = "(?:[a-z0-9_-]+[.])+" if any_first else ""
    host = re.escape(rest.removesuffix(":*").removeprefix("*."))
    port = "(?::[0-9]{1,5})?" if any_port else ""
    return f"{re.escape(scheme)}://{labels}{host}{port}"


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    """`url` has neither user nor password; both are None where none are given, and the password ""
    beside a user alone.
    """

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> ProxyAddress:
        """`scheme://[user[:password]@]host[:port]`, with %XX in user and password for UTF-8 or,
        failing that, Latin-1.
        """
        scheme, _, rest = text.partition("://")
        given, _, host = rest.rpartition("@")
        user, _, password = given.partition(":")
        if not (user or password):
            return cls(f"{scheme}://{host}")
        return cls(f"{scheme}://{host}", _decoded(user), _decoded(password))

    @property
    def is_socks(self) -> bool:
        return self.url.lower().startswith("socks")

    @property
    def authorization(self) -> str | None:
        """The Proxy-Authorization header, in UTF-8; None without a user. Source: RFC 7617."""
        if self.user is None:
            return None
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def _decoded(text: str) -> str:
    raw = unquote_to_bytes(text)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
