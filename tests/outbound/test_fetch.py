"""Files of clients' URLs over real sockets: by checked addresses only, in limits, and with the reason
in words where one is not fetched.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gbproxy.errors import BadRequest, GatewayError, RequestTooLarge
from gbproxy.outbound.addresses import Address
from gbproxy.outbound.fetch import FetchedFile, FetchLimits, FileFetcher
from gbproxy.simulator.http.certificates import make_certificates
from tests.support.file_server import answer, serving
from tests.support.ports import refusing_port
from tests.support.relays import Proxy, Relay

HOST = "files.example.com"
LIMITS = FetchLimits(max_bytes=1000, timeout_s=20)
PLACE = "messages[0].content[1].image_url"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    return make_certificates(tmp_path_factory.mktemp("certificates"), [HOST])


class Names:
    """A resolver: each name's addresses, in turn for each lookup, the last for ever."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self._answers = answers
        self.asked: list[str] = []

    def __call__(self, name: str) -> list[str]:
        self.asked.append(name)
        if name not in self._answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answers = self._answers[name]
        return answers.pop(0) if len(answers) > 1 else answers[0]


def to(*answers: list[str]) -> Names:
    return Names(**{HOST: list(answers) or [["127.0.0.1"]]})


def is_loopback(address: Address) -> bool:
    return address.is_loopback


def fetcher(names: Names | None = None, **options: Any) -> FileFetcher:
    """It may go to loopback, and nowhere else."""
    return FileFetcher(resolve=names or to(), is_allowed=is_loopback, **options)


def refusal(
    url: str, files: FileFetcher | None = None, limits: FetchLimits = LIMITS
) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        (files or fetcher()).fetch(url, limits, PLACE)
    assert isinstance(caught.value, BadRequest | RequestTooLarge)
    assert caught.value.param == PLACE
    assert caught.value.message.startswith(f"{PLACE}: the URL")
    assert "127.0.0" not in caught.value.message
    return caught.value


# What is fetched


def test_a_file_comes_with_its_type_and_name() -> None:
    with serving(answer(b"pixels", Content_Type="Image/PNG; q=1")) as server:
        file = fetcher(user_agent="gbproxy/test").fetch(
            f"http://{HOST}:{server.port}/a/f%C3%BCchse.png?size=9#top", LIMITS
        )

    assert file == FetchedFile(b"pixels", "image/png", "füchse.png")
    [head] = server.heads
    lines = head.split("\r\n")
    assert lines[0] == "GET /a/f%C3%BCchse.png?size=9 HTTP/1.1"
    assert sorted(filter(None, lines[1:])) == [
        "Accept-Encoding: identity",
        "Accept: */*",
        "Connection: close",
        f"Host: {HOST}:{server.port}",
        "User-Agent: gbproxy/test",
    ]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "127.0.0.1.", "[::ffff:127.0.0.1]"])
def test_an_address_in_the_url_needs_no_lookup(host: str) -> None:
    names = to()
    with serving(host="::1" if host == "[::1]" else "127.0.0.1") as server:
        files = FileFetcher(resolve=names, is_allowed=lambda _: True)
        file = files.fetch(f"http://{host}:{server.port}/", LIMITS)

    assert (file.content, names.asked) == (b"content", [])


def test_chunks_and_compressed_bodies_are_read_as_what_they_hold() -> None:
    packed = gzip.compress(b"x" * 900)
    chunked = b"".join(
        b"%x\r\n%s\r\n" % (len(part), part) for part in (packed[:5], packed[5:], b"")
    )
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
    with serving(lambda peer: peer.sendall(head + chunked)) as server:
        assert fetcher().fetch(f"http://{HOST}:{server.port}/", LIMITS).content == b"x" * 900


def test_tls_is_asked_for_the_name_and_checked_against_it(
    certificates: tuple[Path, ssl.SSLContext],
) -> None:
    ca_file, context = certificates
    names = Names(**{HOST: [["127.0.0.1"]], "other.example.com": [["127.0.0.1"]]})
    with serving(tls=context) as server:
        files = fetcher(names, ca_bundle=ca_file)
        assert files.fetch(f"https://{HOST}.:{server.port}/", LIMITS).content == b"content"
        wrong_name = refusal(f"https://other.example.com:{server.port}/", files)
        unknown_ca = refusal(f"https://{HOST}:{server.port}/", fetcher(names))

    assert server.names == [HOST, "other.example.com", HOST]
    assert "certificate" in wrong_name.message
    assert "certificate" in unknown_ca.message


def test_of_several_addresses_the_next_is_tried_when_one_is_dead() -> None:
    with serving() as server:
        files = fetcher(to(["127.0.0.99", "127.0.0.1"]))
        assert files.fetch(f"http://{HOST}:{server.port}/", LIMITS).content == b"content"


# The guard


def test_a_name_is_looked_up_once_and_the_checked_address_is_the_one_that_is_used() -> None:
    names = to(["127.0.0.1"], ["10.0.0.1"])
    with serving() as server:
        files = fetcher(names)
        file = files.fetch(f"http://{HOST}:{server.port}/", LIMITS)
        assert (file.content, names.asked) == (b"content", [HOST])

        rebound = refusal(f"http://{HOST}:{server.port}/", files)

    assert "network that files are not fetched from" in rebound.message
    assert (rebound.status, server.connections) == (400, 1)


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
@pytest.mark.parametrize("is_secure", [False, True], ids=["http", "https"])
def test_a_proxy_is_told_the_checked_address_and_never_the_name(
    certificates: tuple[Path, ssl.SSLContext], scheme: str, is_secure: bool
) -> None:
    ca_file, context = certificates
    names = to(["127.0.0.1"], ["10.0.0.1"])
    with Proxy(scheme) as proxy, serving(tls=context if is_secure else None) as server:
        address = proxy.url.replace("://", "://ada:secret@")
        files = fetcher(names, proxy=address, ca_bundle=ca_file)
        url = f"http{'s' if is_secure else ''}://{HOST}:{server.port}/"
        assert files.fetch(url, LIMITS).content == b"content"
        refused = refusal(url, files)

    assert proxy.asked == [f"127.0.0.1:{server.port}"]
    assert proxy.shown == [b"ada:secret"]
    assert server.names == ([HOST] if is_secure else [])
    assert f"Host: {HOST}:{server.port}\r\n" in server.heads[0]
    assert "ada" not in server.heads[0]
    assert "network" in refused.message


@pytest.mark.parametrize("is_secure", [False, True], ids=["http", "https"])
def test_a_proxy_may_itself_be_spoken_to_in_tls(
    certificates: tuple[Path, ssl.SSLContext], is_secure: bool
) -> None:
    ca_file, context = certificates
    with (
        Proxy("http") as proxy,
        TlsFront(("127.0.0.1", proxy.port), context) as front,
        serving(tls=context if is_secure else None) as server,
    ):
        files = fetcher(proxy=f"https://localhost:{front.port}", ca_bundle=ca_file)
        url = f"http{'s' if is_secure else ''}://{HOST}:{server.port}/"
        assert files.fetch(url, LIMITS).content == b"content"

    assert proxy.asked == [f"127.0.0.1:{server.port}"]


class TlsFront(Relay):
    """Takes TLS off, in front of another address."""

    def __init__(self, target: tuple[str, int], context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(target)

    def _serve(self, peer: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            self._context.wrap_socket(peer, server_side=True) as plain,
        ):
            super()._serve(plain)


@pytest.mark.parametrize("found", [["10.0.0.1"], ["127.0.0.1", "169.254.169.254"], ["fe80::1%lo"]])
def test_one_forbidden_address_is_enough(found: list[str]) -> None:
    with serving() as server:
        refused = refusal(f"http://{HOST}:{server.port}/", fetcher(to(found)))

    assert (refused.status, server.connections) == (400, 0)
    assert not any(address in refused.message for address in found)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "[64:ff9b::7f00:1]",
             "[2002:7f00:1::]", "[::127.0.0.1]", "[fec0::1]", "192.0.0.8", "0.0.0.0", "[::]"],
)  # fmt: skip
def test_left_to_itself_it_goes_to_no_address_but_public_ones(host: str) -> None:
    with serving() as server:
        message = refusal(f"http://{host}:{server.port}/", FileFetcher()).message

    assert "network that files are not fetched from" in message
    assert server.connections == 0


def test_the_system_s_names_are_checked_as_all_others_are() -> None:
    files = FileFetcher(
        resolve=lambda _: [str(a[4][0]) for a in socket.getaddrinfo("localhost", 80)]
    )

    assert "network that" in refusal(f"http://{HOST}/", files).message


def test_a_name_that_nobody_knows_is_said_to_be_unknown() -> None:
    assert "host is not known" in refusal("http://nowhere.example.com/").message


@pytest.mark.parametrize("url", ["ftp://x.example.com/", "http://u:p@x.example.com/", "", "x"])
def test_what_is_no_url_of_the_web_is_refused_before_anything_is_asked(url: str) -> None:
    names = to()

    assert refusal(url, fetcher(names)).status == 400
    assert names.asked == []


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 P"])
def test_a_redirect_is_not_followed(status: str) -> None:
    with serving(answer(status=status, Location="http://127.0.0.1/secret")) as server:
        message = refusal(f"http://{HOST}:{server.port}/").message

    assert "redirects" in message
    assert server.connections == 1


@pytest.mark.parametrize("status", ["404 Not Found", "500 Broken", "204 No Content", "206 Partial"])
def test_any_other_status_than_200_is_named(status: str) -> None:
    with serving(answer(b"", status)) as server:
        assert status[:3] in refusal(f"http://{HOST}:{server.port}/").message


# Limits


def endless(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(1000):
        peer.sendall(b"x" * 100_000)


def bomb(peer: socket.socket) -> None:
    packed = gzip.compress(b"x" * 50_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    peer.sendall(head.encode() + packed)


@pytest.mark.parametrize(
    "serve", [answer(b"x" * 1001), endless, bomb, answer(Content_Length="99999999999999")]
)
def test_a_file_that_is_too_large_is_413_and_not_read_on(serve: Any) -> None:
    with serving(serve) as server:
        too_large = refusal(f"http://{HOST}:{server.port}/")

    assert (too_large.status, too_large.code) == (413, "request_too_large")
    assert "larger than 1000 bytes" in too_large.message


def test_a_file_may_be_as_large_as_the_limit() -> None:
    with serving(answer(b"x" * 1000)) as server:
        assert len(fetcher().fetch(f"http://{HOST}:{server.port}/", LIMITS).content) == 1000


def drip(piece: bytes) -> Any:
    def serve(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\n" if piece != b"\n" else b"")
        for _ in itertools.count():
            peer.sendall(piece)
            time.sleep(0.05)

    return serve


@pytest.mark.parametrize(
    "serve", [drip(b"\r\nx"), drip(b"A: b\r\n"), lambda peer: peer.recv(1)], ids=["body", "head", "silence"]
)  # fmt: skip
def test_the_whole_file_has_to_come_in_time(serve: Any) -> None:
    with serving(serve) as server:
        began = time.monotonic()
        late = refusal(f"http://{HOST}:{server.port}/", limits=FetchLimits(10**9, timeout_s=0.5))
        took_s = time.monotonic() - began

    assert "in time" in late.message
    assert 0.4 < took_s < 5


def test_a_lookup_that_hangs_has_no_more_time_than_the_file() -> None:
    names = HangingNames()

    late = refusal(f"http://{HOST}/", fetcher(names), FetchLimits(1000, timeout_s=0.3))

    names.gone.set()
    assert "in time" in late.message


class HangingNames(Names):
    def __init__(self) -> None:
        super().__init__()
        self.gone = threading.Event()

    def __call__(self, name: str) -> list[str]:
        self.gone.wait(20)
        return []


@pytest.mark.parametrize(
    "serve",
    [
        answer(b"x", Content_Length="2"), lambda peer: None, lambda peer: peer.sendall(b"SSH-2.0-x\r\n"),
        lambda peer: peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nno gzip"),
    ],
    ids=["cut off", "nothing", "other protocol", "broken gzip"],
)  # fmt: skip
def test_an_answer_that_breaks_off_is_no_file(serve: Any) -> None:
    with serving(serve) as server:
        assert "broke off" in refusal(f"http://{HOST}:{server.port}/").message


def test_a_host_or_proxy_that_cannot_be_reached_is_named_as_such() -> None:
    with refusing_port() as port:
        assert "could not be reached" in refusal(f"http://{HOST}:{port}/").message
        for scheme in ("http", "socks5"):
            files = fetcher(proxy=f"{scheme}://127.0.0.1:{port}")
            assert "the proxy in PROXY" in refusal(f"http://{HOST}/", files).message


@pytest.mark.parametrize("size", [10, 100_000])
def test_an_unwanted_kind_is_refused_by_its_first_bytes(size: int) -> None:
    seen: list[tuple[int, str]] = []

    def is_page(head: bytes, content_type: str) -> str | None:
        seen.append((len(head), content_type))
        return "is a web page, not an image"

    with serving(answer(b"<html>".ljust(size), Content_Type="text/html;charset=x")) as server:
        limits = FetchLimits(10**6, refusal=is_page)
        refused = refusal(f"http://{HOST}:{server.port}/", limits=limits)

    assert refused.message == f"{PLACE}: the URL is a web page, not an image"
    assert seen == [(min(size, 4096), "text/html")]


def test_it_works_the_same_where_gevent_has_patched_the_system() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support.fetching_in_gevent"],
        capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip

    told = json.loads(ran.stdout)
    assert told["contents"] == ["content"] * 20
    assert "in time" in told["late"]
    assert "network" in told["denied"]
    assert told["turns"] > 3  # others had theirs meanwhile
