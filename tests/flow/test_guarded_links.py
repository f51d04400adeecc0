"""Links that lead into networks that nobody outside may reach: none is followed, whoever asks."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gbproxy.outbound.fetch import FileFetcher
from tests.support import file_server
from tests.support.file_server import answer
from tests.support.messages_with_files import PNG, files_of, link, questions, says, text
from tests.support.serving import InProcess, Served, SharedUpstream, in_process

PLACE = "messages[0].content[1].image_url"
# {port}: of a server on loopback, which nobody must ask.
HOSTS = [
    "127.0.0.1:{port}", "127.1:{port}", "2130706433:{port}", "0x7f.1:{port}", "0x7f000001:{port}", "017700000001:{port}",
    "0177.0.0.1:{port}", "127.0.0.1.:{port}", "0.0.0.0:{port}", "0:{port}", "localhost:{port}", "localhost.:{port}",
    "[::1]:{port}", "[::]:{port}", "[::ffff:127.0.0.1]:{port}", "[::ffff:7f00:1]:{port}", "[::127.0.0.1]:{port}",
    "[64:ff9b::7f00:1]:{port}", "[2002:7f00:1::]:{port}", "[2001:0:808:808:0:0:80ff:fffe]:{port}", "[::1%25lo]:{port}",
    "１２７.0.0.1:{port}", "127。0。0。1:{port}", "user@127.0.0.1:{port}", "93.184.216.34@127.0.0.1:{port}",
    "127.0.0.1:{port}\\@93.184.216.34", "93.184.216.34:80\\@127.0.0.1:{port}", "127.0.0.1:{port}#@93.184.216.34",
    "169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "100.100.100.200", "168.63.129.16", "10.0.0.1",
    "172.16.0.1", "192.168.0.1", "100.64.0.1", "192.0.0.8", "198.18.0.1", "224.0.0.1", "255.255.255.255", "[fe80::1]",
    "[fc00::1]", "[fec0::1]", "[ff02::1]", "metadata", "93.184.216.34:22", "93.184.216.34:6379", "",
]  # fmt: skip


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_link_leads_into_a_private_network(
    gateway: Served, upstream: SharedUpstream, scheme: str
) -> None:
    with file_server.serving(answer(PNG, Content_Type="image/png")) as server:
        for host in HOSTS:
            url = f"{scheme}://{host.format(port=server.port)}/x.png"
            reply = gateway.ask([says(text("What is it?"), link(url))])
            assert (reply.status, reply.error["code"]) == (400, "invalid_request_error"), url
            assert reply.error["param"] == PLACE, url
            assert reply.error["message"].startswith(PLACE), url
        assert server.connections == 0
    assert questions(upstream) == []


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "gopher://127.0.0.1/x", "//127.0.0.1/x", "http:/127.0.0.1/", "x"]
)
def test_no_other_scheme_is_followed(gateway: Served, url: str) -> None:
    reply = gateway.ask([says(text("What is it?"), link(url))])

    assert (reply.status, reply.error["param"]) == (400, PLACE)


@contextmanager
def resolving(
    *answers: list[str], allowed: str
) -> Iterator[tuple[InProcess, list[str], SharedUpstream]]:
    """A gateway whose names lead to these addresses, one list after the other, and that takes one
    of them for public.
    """
    asked: list[str] = []

    def resolve(name: str) -> list[str]:
        asked.append(name)
        return answers[min(len(asked), len(answers)) - 1]

    fetcher = FileFetcher(resolve=resolve, is_allowed=lambda to: str(to) == allowed)
    with (
        SharedUpstream() as upstream,
        in_process(upstream.environment(), fetcher=fetcher) as gateway,
    ):
        yield gateway, asked, upstream


def test_a_name_that_leads_elsewhere_after_the_check_leads_nowhere_else() -> None:
    """It is looked up once, and the address that was checked is the one that is connected to."""
    with (
        file_server.serving(answer(PNG, Content_Type="image/png"), host="127.0.0.2") as checked,
        _on_port(checked.port) as other,
        resolving(["127.0.0.2"], ["127.0.0.1"], allowed="127.0.0.2") as (gateway, asked, upstream),
    ):
        url = f"http://rebinding.example:{checked.port}/x.png"
        reply = gateway.ask([says(text("What is it?"), link(url))])

        assert reply.succeeded
        assert asked == ["rebinding.example"]
        assert checked.connections == 1
        assert _connections(other) == 0
        assert files_of(upstream, questions(upstream)[0]) == [("x.png", "image/png", PNG)]


def test_a_name_with_one_forbidden_address_among_good_ones_is_refused() -> None:
    with (
        file_server.serving(answer(PNG, Content_Type="image/png"), host="127.0.0.2") as server,
        resolving(["127.0.0.2", "127.0.0.1"], allowed="127.0.0.2") as (gateway, _, _upstream),
    ):
        url = f"http://several.example:{server.port}/x.png"
        reply = gateway.ask([says(text("What is it?"), link(url))])

    assert (reply.status, reply.error["param"]) == (400, PLACE)
    assert server.connections == 0


@contextmanager
def _on_port(port: int) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.setblocking(False)
        yield listener


def _connections(listener: socket.socket) -> int:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return 0
    return 1
