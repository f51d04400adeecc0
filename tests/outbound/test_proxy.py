"""Who we are at the proxy in PROXY: whatever user and password are set, as the setting reads
them.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gbproxy.outbound import HttpClient
from gbproxy.settings import load
from gbproxy.simulator import Simulator
from gbproxy.simulator.http.certificates import make_certificates
from tests.support.relays import Proxy

LONG = "p" * 200
WITHIN_S = 5.0


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


def test_a_proxy_behind_tls_passes_plain_requests_on(tmp_path: Path) -> None:
    ca_file, context = make_certificates(tmp_path)
    got: list[bytes] = []

    def serve() -> None:
        with context.wrap_socket(server.accept()[0], server_side=True) as peer:
            got.append(peer.recv(65536))
            peer.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        proxy = f"https://ada:secret@127.0.0.1:{server.getsockname()[1]}"
        outbound = HttpClient(proxy=proxy, ca_bundle=ca_file)
        try:
            reply = outbound.request("GET", "http://own:word@upstream.invalid/x?y#part", {})
        finally:
            outbound.close()
            thread.join(WITHIN_S)

    assert reply.status == 204
    assert got[0].startswith(b"GET http://upstream.invalid/x?y HTTP/1.1\r\n")
    assert b"\r\nHost: upstream.invalid\r\n" in got[0]
    assert b"\r\nProxy-Authorization: Basic YWRhOnNlY3JldA==\r\n" in got[0]
