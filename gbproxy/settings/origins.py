"""CORS_ORIGINS, in the form in which browsers send an `Origin`. Source:
https://url.spec.whatwg.org/#host-writing
"""

from __future__ import annotations

import ipaddress
import re

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
    import idna  # with its tables of all of Unicode, which hardly anybody needs

    return idna.encode(host, uts46=True).decode()


def pattern(origins: tuple[str, ...]) -> re.Pattern[str]:
    """What of the `Origin`s that browsers send is one of these, as `normalized` gives them."""
    return re.compile("|".join(map(_expression, origins)) or r"(?!)")


def _expression(origin: str) -> str:
    scheme, _, rest = origin.partition("://")
    any_port, any_first = rest.endswith(":*"), rest.startswith("*.")
    host = re.escape(rest.removesuffix(":*").removeprefix("*."))
    return f"{re.escape(scheme)}://{'(?:[a-z0-9_-]+[.])+' if any_first else ''}{host}{'(?::[0-9]{1,5})?' if any_port else ''}"
