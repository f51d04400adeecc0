"""Which addresses are of the public internet, in whatever they are wrapped, and however a URL writes
them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.outbound import addresses, web_url

DENIED = [
    # this host, private, loopback, link-local, metadata
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "127.0.0.1", "127.255.255.254",
    "169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.168.0.1", "168.63.129.16",
    # shared, assignments, documentation, benchmarking, relays, multicast, reserved
    "100.64.0.1", "100.100.100.200", "100.127.255.255", "192.0.0.8", "192.0.0.192", "192.0.2.1",
    "192.88.99.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "192.31.196.1",
    "192.52.193.1", "192.175.48.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "ff02::1",
    "ff0e::1", "100::1", "2001::1", "2001:2::1", "2001:db8::1", "2001:1ff::1", "3fff::1",
    "2620:4f:8000::1", "64:ff9b:1::1", "4000::1", "5f00::1", "2606:4700::1111%1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "93.184.216.34", "100.63.255.255", "100.128.0.1",
    "126.255.255.255", "128.0.0.1", "169.253.255.255", "172.15.255.255", "172.32.0.1", "192.0.1.1", "192.167.255.255",
    "198.17.255.255", "198.20.0.1", "223.255.255.255", "2001:200::1", "2606:4700::1111", "2a00:1450:4001::200e",
]  # fmt: skip


def teredo(inner: IPv4Address) -> IPv6Address:
    """With a public server, as the client's address is the one that is hidden."""
    flipped = int(inner) ^ 0xFFFFFFFF
    return IPv6Address((0x20010000 << 96) | (int(IPv4Address("8.8.8.8")) << 64) | flipped)


WRAPPINGS: dict[str, Callable[[IPv4Address], IPv6Address]] = {
    "mapped": lambda inner: IPv6Address((0xFFFF << 32) | int(inner)),
    "compatible": lambda inner: IPv6Address(int(inner)),
    "NAT64": lambda inner: IPv6Address((0x64FF9B << 96) | int(inner)),
    "6to4": lambda inner: IPv6Address((0x2002 << 112) | (int(inner) << 80) | 1),
    "Teredo": teredo,
    "Teredo server": lambda inner: IPv6Address(
        (0x20010000 << 96) | (int(inner) << 64) | 0xF7F7F7F7
    ),
}
ANY_WRAPPING = st.sampled_from(sorted(WRAPPINGS))
DENIED_V4 = st.sampled_from(
    ["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
     "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"]
).flatmap(lambda network: st.ip_addresses(network=network))  # fmt: skip


@pytest.mark.parametrize("address", DENIED)
def test_an_address_of_no_public_network_is_denied(address: str) -> None:
    assert not addresses.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed(address: str) -> None:
    assert addresses.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("inner", [each for each in DENIED if ":" not in each])
def test_no_wrapping_hides_an_address(wrapping: str, inner: str) -> None:
    assert not addresses.is_public(WRAPPINGS[wrapping](IPv4Address(inner)))


@pytest.mark.parametrize("wrapping", ["mapped", "NAT64", "6to4"])
def test_a_public_address_stays_public_where_networks_wrap_it(wrapping: str) -> None:
    assert addresses.is_public(WRAPPINGS[wrapping](IPv4Address("8.8.8.8")))


@given(DENIED_V4, ANY_WRAPPING)
def test_whatever_is_denied_is_denied_inside_any_wrapping(
    inner: IPv4Address, wrapping: str
) -> None:
    assert not addresses.is_public(inner)
    assert not addresses.is_public(WRAPPINGS[wrapping](inner))


@given(st.ip_addresses(v=4))
def test_what_python_calls_private_is_never_public(address: IPv4Address) -> None:
    assert not (addresses.is_public(address) and (address.is_private or address.is_multicast))


# How a URL may write a host. A reader either finds the address, which is then judged, or refuses.


def octal(address: IPv4Address) -> str:
    return ".".join(f"0{byte:o}" for byte in address.packed)


def hexadecimal(address: IPv4Address) -> str:
    return ".".join(f"0x{byte:x}" for byte in address.packed)


def short(address: IPv4Address) -> str:
    first, *rest = address.packed
    return f"{first}.{int.from_bytes(rest)}"


WRITTEN: dict[str, Callable[[IPv4Address], str]] = {
    "plain": str,
    "with a dot": lambda address: f"{address}.",
    "with two dots": lambda address: f"{address}..",
    "number": lambda address: str(int(address)),
    "hexadecimal number": lambda address: hex(int(address)),
    "octal": octal,
    "hexadecimal": hexadecimal,
    "short": short,
    "wide digits": lambda address: str(address).translate({48 + i: 0xFF10 + i for i in range(10)}),
    "ideographic dots": lambda address: str(address).replace(".", "。"),
    "circled digits": lambda address: str(address).translate(
        {49 + i: 0x2460 + i for i in range(9)}
    ),
    "percent-encoded": lambda address: "".join(f"%{ord(sign):02x}" for sign in str(address)),
    "leading zeros": lambda address: ".".join(f"{byte:03}" for byte in address.packed),
    "mapped": lambda address: f"[::ffff:{address}]",
    "mapped, in hexadecimal": lambda address: f"[{WRAPPINGS['mapped'](address)}]",
    "compatible": lambda address: f"[::{address}]",
    "NAT64": lambda address: f"[64:ff9b::{address}]",
    "6to4": lambda address: f"[{WRAPPINGS['6to4'](address)}]",
    "Teredo": lambda address: f"[{teredo(address)}]",
    "with a zone": lambda address: f"[::ffff:{address}%25lo]",
    "user name": lambda address: f"www.example.com@{address}",
    "user name and backslash": lambda address: f"www.example.com\\@{address}",
    "backslash": lambda address: f"{address}\\.www.example.com",
    "line end": lambda address: f"{address}\r\n.example.com",
    "tab": lambda address: f"127.\t0.0.1#{address}",
}


@given(
    DENIED_V4,
    st.sampled_from(sorted(WRITTEN)),
    st.sampled_from(["", ":80", ":443", ":8080", ":"]),
    st.sampled_from(["", "/", "/a?b#c", "?x", "#@www.example.com"]),
)
def test_no_way_to_write_an_address_gets_it_past_the_guard(
    address: IPv4Address, form: str, port: str, rest: str
) -> None:
    try:
        host = web_url.parse(f"http://{WRITTEN[form](address)}{port}{rest}").host
    except ValueError:
        return
    assert not isinstance(host, str)
    assert not addresses.is_public(host)


@pytest.mark.parametrize(
    ("text", "host", "port", "target", "header"),
    [
        ("http://example.com", "example.com", 80, "/", "example.com"),
        ("HTTPS://Example.COM./a%20b?c=d#e", "example.com", 443, "/a%20b?c=d", "example.com"),
        ("https://example.com:8443/ü b", "example.com", 8443, "/%C3%BC%20b", "example.com:8443"),
        ("http://example.com?q", "example.com", 80, "/?q", "example.com"),
        ("  https://bücher.example/\n", "xn--bcher-kva.example", 443, "/", "xn--bcher-kva.example"),
        ("http://例え。テスト/", "xn--r8jz45g.xn--zckzah", 80, "/", "xn--r8jz45g.xn--zckzah"),
        ("http://8.8.8.8:/x", IPv4Address("8.8.8.8"), 80, "/x", "8.8.8.8"),
        ("http://[2606:4700::1111]:8080/", IPv6Address("2606:4700::1111"), 8080, "/", "[2606:4700::1111]:8080"),
        ("http://a_b.example.com/@x:y", "a_b.example.com", 80, "/@x:y", "a_b.example.com"),
    ],
)  # fmt: skip
def test_a_url_is_read_into_its_parts(
    text: str, host: object, port: int, target: str, header: str
) -> None:
    url = web_url.parse(text)

    assert (url.host, url.port, url.target, url.host_header) == (host, port, target, header)


@pytest.mark.parametrize(
    "text",
    [
        "", "example.com", "//example.com/", "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/",
        "data:text/plain,x", "javascript:alert(1)", "http:/example.com/", "http:///example.com", "http://", "http://:80/",
        "https://user@example.com/", "https://user:password@example.com/", "https://@example.com/", "http://localhost/",
        "http://metadata/", "http://example..com/", "http://.example.com/", "http://-a.example.com/", "http://exa mple.com/",
        "http://example.com:0/", "http://example.com:22/", "http://example.com:25/", "http://example.com:6379/",
        "http://example.com:65536/", "http://example.com:99999999/", "http://example.com:+80/", "http://example.com:8 0/",
        "http://example.com:80:80/", "http://example.com:٨٠/", "http://[::1/", "http://::1/", "http://[::1]x/", "http://[fe80::1%25eth0]/",
        "http://[v1.a]/", "http://1.2.3/", "http://256.1.1.1/", "http://1.2.3.4.5/", "http://0x7f.1/", "http://2130706433/",
        "http://a.b.0x10/", "http://example.com\\@x/", "http://exa%6dple.com/", "http://example.com\x00/", "http://a\tb.example/",
        "http://example.com/a\nb", "http://example.com/\ud800", f"http://{'a' * 64}.example/", f"http://{'a.' * 130}example/",
        f"http://example.com/{'a' * 8192}", "http://xn--a.example\u00ad@/", "http://☃\u200d\u200d../",
    ],
)  # fmt: skip
def test_what_others_may_read_otherwise_is_no_url(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has|holds|must) [^@]*$"):
        web_url.parse(text)


@given(
    st.text()
    | st.text().map("http://{}".format)
    | st.text("0123456789.:x%[]@/?#\\ab", max_size=30).map("http://{}".format)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        url = web_url.parse(text)
    except ValueError:
        return
    assert url.target.startswith("/")
    assert url.target.isascii()
    assert " " not in url.target + url.host_header
