"""The addresses that may be fetched from on a client's behalf: those of the public internet alone.

`ipaddress` has `is_global`, which is True for IPv4 addresses in several IPv6 wrappings, for
multicast and for other ranges that lead nowhere public. Here stands a list of our own, and an
address is unwrapped before it is judged. Source: IANA's registries of special-purpose addresses.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address

_DENIED_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this host
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared by a carrier's customers; also metadata at one cloud
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # the host of Azure's machines, in the middle of public addresses
            "169.254.0.0/16",  # link-local, metadata
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments; also metadata at one cloud
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # AMT
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",  # private
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarking
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
# All of IPv6 that was ever given out for public use. Outside are loopback, unique local,
# link-local, site-local, multicast and what is not assigned yet.
_PUBLIC_V6 = IPv6Network("2000::/3")
_DENIED_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, benchmarking
            "2001:db8::/32",  # documentation
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",  # documentation
        ),
    )
)

_COMPATIBLE = IPv6Network("::/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_LOW_32_BITS = 0xFFFFFFFF


def is_public(address: Address) -> bool:
    """True if the address, and every IPv4 address inside it, is one of the public internet."""
    if isinstance(address, IPv4Address):
        return not _is_in(address, _DENIED_V4)
    if address.scope_id is not None:  # a zone: it leads to a network of this machine
        return False
    inner = unwrapped(address)
    if inner:
        return all(map(is_public, inner))
    return address in _PUBLIC_V6 and not _is_in(address, _DENIED_V6)


def unwrapped(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that an IPv6 address leads to: mapped, compatible, NAT64, 6to4, Teredo.

    Of Teredo both: the server's and the client's. None for any other address.
    """
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    if address in _NAT64 or address in _COMPATIBLE:
        return (IPv4Address(int(address) & _LOW_32_BITS),)
    return ()


def _is_in(address: Address, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    return any(address in network for network in networks)
