"""Where a request comes from."""

from __future__ import annotations

import ipaddress


def network(address: str) -> str:
    """What one customer of a provider has: an address of IPv4, or all that one is given of IPv6 (/64)."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
