"""Where a request comes from."""

from __future__ import annotations

import ipaddress
import re

# Some proxies write the client's port behind its address, and then IPv6 in brackets.
_WITH_PORT = re.compile(r"\[(?P<v6>[^\]]*)\](?::[0-9]+)?|(?P<v4>[0-9.]+):[0-9]+")


def network(address: str) -> str:
    """What one customer of a provider has: an address of IPv4, or all that one is given of IPv6
    (/64).
    """
    written = _WITH_PORT.fullmatch(address)
    try:
        parsed = ipaddress.ip_address(
            address if written is None else written["v6"] or written["v4"] or ""
        )
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
