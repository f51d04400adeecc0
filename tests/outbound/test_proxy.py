"""Who we are at the proxy in PROXY: whatever user and password are set, as the setting reads
them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gbproxy.outbound import HttpClient
from gbproxy.settings import load
from gbproxy.simulator import Simulator
from tests.support.relays import Proxy

LONG = "p" * 200


@pytest.fixture(scope="module")
def upstream() -> Iterator[Simulator]:
    with Simulator(tls=True) as simulator:
        yield simulator


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("ada:secret", "ada:secret"),
        ("ada", "ada:"),
        ("ada:", "ada:"),
        (":token", ":token"),
        ("ad%C3%A9:p%E2%82%AC%F0%9F%94%91", "adé:p€🔑"),
        ("ada:caf%E9", "ada:café"),
        ("adé:p€", "adé:p€"),
        ("ada:caf\udce9", "ada:café"),
        ("ada:p@ss:%3A%2F%3F%23%25%20+&%", "ada:p@ss::/?#% +&%"),
        (f"ada:{LONG}", f"ada:{LONG}"),
        ("", None),
        (":", None),
    ],
)
def test_any_user_and_password_is_shown_in_utf_8(
    upstream: Simulator, scheme: str, given: str, shown: str | None
) -> None:
    with Proxy(scheme) as proxy:
        setting = load({"PROXY": proxy.url.replace("://", f"://{given}@")}).proxy
        assert setting is not None
        outbound = HttpClient(proxy=setting.get_secret_value(), ca_bundle=upstream.ca_file)
        try:
            reply = outbound.request("GET", f"{upstream.url}/nothing", {})
        finally:
            outbound.close()

    assert reply.status == 404
    assert proxy.shown == ([] if shown is None else [shown.encode()])


@pytest.mark.parametrize(
    "value", [f"socks5://ada:{'%C3%A9' * 128}@h:1", f"socks5h://{'a' * 256}@h", "http://a:\ud800@h"]
)
def test_what_no_proxy_can_be_shown_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"^PROXY: has a user or password"):
        load({"PROXY": value})
