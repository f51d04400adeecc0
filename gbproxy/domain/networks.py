"""Addresses of clients, and the networks that a key may be used from."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MAPPED_BITS = 96  # in front of an IPv4 address that is written as one of IPv6
# Some proxies write the client's port behind its address, and then IPv6 in brackets.
_WITH_PORT = re.compile(r"\[(?P<v6>[^\]]*)\](?::[0-9]+)?|(?P<v4>[0-9.]+):[0-9]+")


@lru_cache(maxsize=1024)
def read_address(text: str) -> Address | None:
    """The address that a server or a proxy has written, with or without a port; of IPv4 also where
    it is mapped to IPv6. None for a text that is none.
    """
    written = _WITH_PORT.fullmatch(text)
    try:
        found = ip_address(text if written is None else written["v6"] or written["v4"] or "")
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def parse_network(text: str) -> Network:
    """Parse `192.0.2.7`, `192.0.2.0/24`, `2001:db8::/32`. Raises ValueError, which says what is
    allowed.
    """
    text = text.strip()
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            "must be addresses or networks such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32"
        ) from None
    if "/" in text and ip_address(text.partition("/")[0]) != found.network_address:
        # What was meant is not clear: a wrong length may open the key to many.
        raise ValueError(f"has an address inside of a network: {found} is the whole network")
    if isinstance(found, IPv6Network):
        mapped = found.network_address.ipv4_mapped
        if mapped is not None and found.prefixlen >= _MAPPED_BITS:
            return IPv4Network((mapped, found.prefixlen - _MAPPED_BITS))
    return found


def is_within(address: str, networks: tuple[Network, ...]) -> bool:
    """True if an address, as `read_address` reads it, lies in one of the networks."""
    found = read_address(address)
    return found is not None and any(found in network for network in networks)
