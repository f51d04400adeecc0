"""Connections opened ahead: the next request finds one, whatever stands between, and a failure is
nobody's.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gbproxy.outbound import HttpClient, Timeouts
from gbproxy.outbound.connections import is_quiet
from gbproxy.outbound.pools import prewarm
from gbproxy.simulator import Simulator
from gbproxy.simulator.http.certificates import make_certificates
from tests.support.ports import refusing_port

PATH = "/login"
WITHIN_S = 10.0


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def upstream(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    with Simulator(tls=request.param) as simulator:
        yield simulator


@contextmanager
def new_client(
    upstream: Simulator, proxy: str | None = None, ca_bundle: Path | None = None
) -> Iterator[HttpClient]:
    outbound = HttpClient(
        Timeouts(connect_s=WITHIN_S), proxy=proxy, ca_bundle=ca_bundle or upstream.ca_file
    )
    try:
        yield outbound
    finally:
        outbound.close()


def next_connection(outbound: HttpClient, url: str) -> Any:
    """The one that urllib3 takes for the next request to that host."""
    waiting: Any = outbound.pool(url).pool
    return waiting.queue[-1]


def connections(upstream: Simulator) -> int:
    """How many there have been."""
    return int(upstream.state()["connections"])


def test_a_warm_connection_serves_the_next_request(upstream: Simulator) -> None:
    with new_client(upstream) as outbound:
        outbound.prewarm(f"{upstream.url}/any/path")
        was_opened = upstream.wait_for(lambda: connections(upstream) == 1)
        asked = len(upstream.requests)

        reply = outbound.request("GET", upstream.url + PATH, {})

        assert (was_opened, asked) == (True, 0)
        assert (reply.status, connections(upstream)) == (200, 1)


def test_one_that_stands_ready_is_enough(upstream: Simulator) -> None:
    with new_client(upstream) as outbound:
        for _ in range(5):
            outbound.prewarm(upstream.url)

        outbound.request("GET", upstream.url + PATH, {})

        assert connections(upstream) == 1


def test_a_connection_that_a_request_has_left_is_enough(upstream: Simulator) -> None:
    with new_client(upstream) as outbound:
        outbound.request("GET", upstream.url + PATH, {})

        outbound.prewarm(upstream.url)

        outbound.request("GET", upstream.url + PATH, {})
        assert connections(upstream) == 1


def test_while_the_only_one_is_in_use_another_is_opened(upstream: Simulator) -> None:
    with new_client(upstream) as outbound, outbound.stream("GET", upstream.url + PATH, {}):
        outbound.prewarm(upstream.url)
        outbound.prewarm(upstream.url)

        outbound.request("GET", upstream.url + PATH, {})

        assert connections(upstream) == 2


def test_one_that_the_server_has_closed_is_replaced() -> None:
    """A server that closes each connection at once, but the second."""
    kept: list[socket.socket] = []
    accepted = threading.Semaphore(0)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                server.accept()[0].close()
                accepted.release()
                kept.append(server.accept()[0])
                accepted.release()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        outbound = HttpClient()
        outbound.prewarm(url)
        assert accepted.acquire(timeout=WITHIN_S)
        assert select.select([next_connection(outbound, url).sock], [], [], WITHIN_S)[0]

        outbound.prewarm(url)

        assert accepted.acquire(timeout=WITHIN_S)
        outbound.close()
        thread.join(WITHIN_S)
    for peer in kept:
        peer.close()


@pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"]
)
def test_session_tickets_are_not_taken_for_the_end(version: ssl.TLSVersion) -> None:
    with Simulator(tls=True) as upstream, new_client(upstream) as outbound:
        context = outbound.pool(upstream.url).conn_kw["ssl_context"]
        context.minimum_version = context.maximum_version = version
        outbound.prewarm(upstream.url)
        connection = next_connection(outbound, upstream.url)
        if version is ssl.TLSVersion.TLSv1_3:
            assert select.select([connection.sock], [], [], WITHIN_S)[0]  # the tickets are there

        outbound.prewarm(upstream.url)
        outbound.request("GET", upstream.url + PATH, {})

        assert (
            connection.sock.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
        )
        assert connections(upstream) == 1


def test_a_tls_connection_that_the_server_ends_is_seen_to_be_over() -> None:
    with Simulator(tls=True) as upstream:
        context = ssl.create_default_context(cafile=str(upstream.ca_file))
        raw = socket.create_connection(("127.0.0.1", upstream.port))
        sock = context.wrap_socket(raw, server_hostname="127.0.0.1")
        upstream.close()
        assert select.select([sock], [], [], WITHIN_S)[0]

        assert not is_quiet(sock)
        sock.close()


# Through a proxy


@contextmanager
def tunnel(scheme: str, context: ssl.SSLContext) -> Iterator[tuple[str, list[str]]]:
    """A proxy for one kind of tunnel, and where it was asked to lead to."""
    got: list[str] = []
    threads: list[threading.Thread] = []
    sockets: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer = server.accept()[0]
                    peer = (
                        context.wrap_socket(peer, server_side=True) if scheme == "https" else peer
                    )
                    host, port = (
                        asked_by_socks(peer) if scheme == "socks5" else asked_by_connect(peer)
                    )
                    got.append(f"{host}:{port}")
                    target = socket.create_connection((host, port))
                    peer.sendall(
                        b"\5\0\0\1" + bytes(6) if scheme == "socks5" else b"HTTP/1.1 200 OK\r\n\r\n"
                    )
                    sockets.extend((peer, target))
                    for source, sink in ((peer, target), (target, peer)):
                        threads.append(
                            threading.Thread(target=pump, args=(source, sink), daemon=True)
                        )
                        threads[-1].start()

        acceptor = threading.Thread(target=serve, daemon=True)
        acceptor.start()
        yield f"{scheme}://127.0.0.1:{server.getsockname()[1]}", got
        server.shutdown(socket.SHUT_RDWR)
    acceptor.join(WITHIN_S)
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(WITHIN_S)
    for one in sockets:
        one.close()


def asked_by_connect(peer: socket.socket) -> tuple[str, int]:
    head = b""
    while b"\r\n\r\n" not in head:
        head += peer.recv(65536)
    method, address, _ = head.split(b"\r\n", 1)[0].decode().split()
    assert method == "CONNECT"
    host, _, port = address.rpartition(":")
    return host, int(port)


def asked_by_socks(peer: socket.socket) -> tuple[str, int]:
    """RFC 1928, without authentication, for an IPv4 address."""
    with peer.makefile("rb", buffering=0) as file:
        file.read(file.read(2)[1])
        peer.sendall(b"\5\0")
        assert file.read(4) == b"\5\1\0\1"
        return socket.inet_ntoa(file.read(4)), int.from_bytes(file.read(2))


def pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)


@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
def test_a_tunnel_is_opened_ahead_too(scheme: str, tmp_path: Path) -> None:
    ca_file, context = make_certificates(tmp_path)
    with Simulator(tls=True) as upstream, tunnel(scheme, context) as (proxy, got):
        assert upstream.ca_file is not None
        both = tmp_path / "both.pem"
        both.write_bytes(ca_file.read_bytes() + upstream.ca_file.read_bytes())
        with new_client(upstream, proxy, both) as outbound:
            outbound.prewarm(upstream.url)
            sock = next_connection(outbound, upstream.url).sock
            assert select.select([sock], [], [], WITHIN_S)[0]  # the tickets are there
            outbound.prewarm(upstream.url)

            reply = outbound.request("GET", upstream.url + PATH, {})

            assert (reply.status, got) == (200, [f"127.0.0.1:{upstream.port}"])


# Failures


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://127.0.0.1:{port}", None),
        ("http://", None),
        ("https://upstream.invalid", "http://127.0.0.1:{port}"),
        ("https://127.0.0.1", "socks5h://127.0.0.1:{port}"),
    ],
    ids=["nobody there", "no address", "no proxy", "no socks proxy"],
)
def test_a_failure_is_only_logged(
    url: str, proxy: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with refusing_port() as port, caplog.at_level(logging.DEBUG, "gbproxy"):
        proxy = proxy and proxy.format(port=port)
        HttpClient(Timeouts(connect_s=1), proxy=proxy).prewarm(url.format(port=port))

    assert [record.getMessage() for record in caplog.records] == ["connection.failed"]


def test_a_certificate_that_is_not_trusted_leaves_nothing_open() -> None:
    with Simulator(tls=True) as upstream:
        outbound = HttpClient()

        outbound.prewarm(upstream.url)

        assert next_connection(outbound, upstream.url).sock is None
        outbound.close()


def test_it_waits_no_longer_than_connecting_may_take() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # never says a word of the handshake
        outbound = HttpClient(Timeouts(connect_s=0.2))

        outbound.prewarm(f"https://127.0.0.1:{silent.getsockname()[1]}")

        outbound.close()


def test_an_unknown_kind_of_pool_is_left_alone() -> None:
    class Foreign:
        pool = object()

    prewarm(Foreign(), 1.0)

    assert vars(Foreign()) == {}
