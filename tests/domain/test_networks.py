"""Networks as administrators write them, and addresses as servers and proxies write them."""

from __future__ import annotations

import pytest

from gbproxy.domain.networks import is_within, parse_network, read_address


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        (" 192.0.2.0/24 ", "192.0.2.0/24"),
        ("192.0.2.0/255.255.255.0", "192.0.2.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::/0", "::/0"),
    ],
)
def test_a_network_is_read(text: str, network: str) -> None:
    assert str(parse_network(text)) == network


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must be addresses"),
        ("example.com", "must be addresses"),
        ("192.0.2", "must be addresses"),
        ("192.0.2.0/33", "must be addresses"),
        ("192.0.2.7/8", "192.0.0.0/8 is the whole"),
        ("2001:db8::1/32", "2001:db8::/32 is the whole"),
        ("1.2.3.4 1.2.3.5", "must be addresses"),
    ],
)
def test_what_is_no_network_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_network(text)


@pytest.mark.parametrize(
    ("address", "is_inside"),
    [
        ("192.0.2.7", True),
        ("192.0.2.7:51000", True),
        ("::ffff:192.0.2.7", True),
        ("[::ffff:192.0.2.7]:51000", True),
        ("192.0.3.7", False),
        ("2001:db8::5", True),
        ("[2001:db8:1::5]:51000", True),
        ("2001:db9::5", False),
        ("", False),
        ("unknown", False),
        ("192.0.2.7, 10.0.0.1", False),
    ],
)
def test_an_address_lies_in_a_network_however_it_is_written(address: str, is_inside: bool) -> None:
    networks = (parse_network("192.0.2.0/24"), parse_network("2001:db8::/32"))

    assert is_within(address, networks) is is_inside


def test_what_is_no_address_is_none() -> None:
    assert read_address("not an address") is None
