"""Who is one customer, by the address that the server or a proxy in front of it tells."""

from __future__ import annotations

import pytest

from gbproxy.web.auth import client_network


@pytest.mark.parametrize(
    ("address", "customer"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:50123", "192.0.2.1"),  # so some proxies write it
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:2", "2001:db8::/64"),
        ("[2001:db8::1]", "2001:db8::/64"),
        ("[2001:db8::1]:50123", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("unknown", "unknown"),
        ("[]:1", "[]:1"),
        ("", ""),
    ],
)
def test_a_customer_is_an_address_or_a_network_whatever_its_port(
    address: str, customer: str
) -> None:
    assert client_network(address) == customer
