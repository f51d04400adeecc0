"""Every limit of time is a deadline: a peer that sends a byte now and then gains nothing by it."""

from __future__ import annotations

import contextlib
import gc
import gzip
import itertools
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from urllib3.exceptions import ConnectTimeoutError

from gbproxy.errors import UpstreamError, UpstreamTimeout, UpstreamUnreachable
from gbproxy.observability import request_context
from gbproxy.outbound import HttpClient, Timeouts
from gbproxy.outbound.pools import POOLS
from tests.support.polling import until

LIMIT_S = 0.25
PAUSE_S = 0.02
TIMEOUTS = 300
MOST_S = 5.0  # on a busy machine; without a deadline it would be for ever

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GZIPPED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
GZIP_HEAD = gzip.compress(b"")[:10]
EMPTY_BLOCK = b"\0\0\0\xff\xff"


@contextmanager
def peer(at_once: bytes, drops: bytes, *, awaits_request: bool = True) -> Iterator[int]:
    """A port that answers with some bytes at once, and then with `drops` for ever, byte by byte."""
    sockets: list[socket.socket] = []

    def serve(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if awaits_request:
                sock.recv(65536)
            sock.sendall(at_once)
            for drop in itertools.cycle(drops):
                time.sleep(PAUSE_S)  # the slowness that is tested
                sock.sendall(bytes([drop]))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sockets.append(server.accept()[0])
                threading.Thread(target=serve, args=(sockets[-1],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    acceptor.join(MOST_S)
    for sock in sockets:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()


def failure(url: str, timeouts: Timeouts, proxy: str | None = None) -> UpstreamError:
    """What comes of a call; it must come in time."""
    outbound = HttpClient(timeouts, proxy=proxy)
    started = time.monotonic()
    with pytest.raises(UpstreamError) as caught:
        outbound.request("GET", url, {})
    assert time.monotonic() - started < MOST_S
    outbound.close()
    return caught.value


ANSWERS = {
    "status line": (b"HTTP/1.1 200 O", b"K"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "head of an interim answer": (b"HTTP/1.1 103 Early Hints\r\n", b"Link: x\r\n"),
    "chunk size": (CHUNKED, b"0"),
    "chunk extension": (CHUNKED + b"5;", b"x"),
    "trailers": (CHUNKED + b"1\r\nx\r\n0\r\n", b"X: y\r\n"),
    "empty gzip blocks": (
        GZIPPED + b"a\r\n" + GZIP_HEAD + b"\r\n",
        b"5\r\n" + EMPTY_BLOCK + b"\r\n",
    ),
    "gzip members": (
        GZIPPED,
        b"%x\r\n" % len(gzip.compress(b"")) + gzip.compress(b"", mtime=1) + b"\r\n",
    ),
}


@pytest.mark.parametrize(("at_once", "drops"), ANSWERS.values(), ids=ANSWERS.keys())
@pytest.mark.parametrize(
    ("timeouts", "words"),
    [
        (Timeouts(read_s=LIMIT_S), f"the upstream was silent for {LIMIT_S} s"),
        (Timeouts(call_s=LIMIT_S), f"the answer took longer than {LIMIT_S} s"),
    ],
    ids=["silence", "whole"],
)
def test_an_answer_that_drips_is_over_in_time(
    at_once: bytes, drops: bytes, timeouts: Timeouts, words: str
) -> None:
    with peer(at_once, drops) as port:
        error = failure(f"http://127.0.0.1:{port}/", timeouts)

    assert (type(error), error.message) == (UpstreamTimeout, words)


@pytest.mark.parametrize(
    ("at_once", "drops"), [(CHUNKED, b"1\r\nx\r\n"), (b"HTTP/1.1 200 OK\r\n\r\n", b"x")]
)
def test_the_end_of_the_request_bounds_each_of_its_calls(at_once: bytes, drops: bytes) -> None:
    request_context.begin("req-1").until = time.monotonic() + LIMIT_S
    try:
        with peer(at_once, drops) as port:
            error = failure(f"http://127.0.0.1:{port}/", Timeouts())
            after = failure(f"http://127.0.0.1:{port}/", Timeouts())
    finally:
        request_context.begin("-")

    assert type(error) is type(after) is UpstreamTimeout
    assert not after.was_taken


TLS_RECORD = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03"  # the beginning of a long ServerHello


def test_a_handshake_that_drips_is_no_connection_in_time() -> None:
    with peer(TLS_RECORD, b"\0") as port:
        error = failure(f"https://127.0.0.1:{port}/", Timeouts(connect_s=LIMIT_S))

    assert (type(error), error.message) == (
        UpstreamUnreachable,
        f"no connection to the upstream within {LIMIT_S} s",
    )
    assert not error.was_taken


@pytest.mark.parametrize(
    ("scheme", "at_once", "drops"),
    [
        ("http", b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        ("socks5", b"\5\0\5\0\0\3\xff", b"x"),
        ("socks5h", b"", b"\5\0\5\0\0\3\xff" + bytes(260)),
    ],
)
def test_a_proxy_that_drips_is_no_connection_in_time(
    scheme: str, at_once: bytes, drops: bytes
) -> None:
    with peer(at_once, drops) as port:
        error = failure(
            "https://127.0.0.1:1/", Timeouts(connect_s=LIMIT_S), f"{scheme}://127.0.0.1:{port}"
        )

    assert (type(error), error.was_taken) == (UpstreamUnreachable, False)


def test_a_lookup_that_hangs_is_no_connection_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(MOST_S))

    error = failure("http://upstream.example/", Timeouts(connect_s=LIMIT_S))

    answered.set()
    assert (type(error), error.was_taken) == (UpstreamUnreachable, False)


def test_a_connection_that_comes_as_its_time_ends_leaves_no_socket_open() -> None:
    """Each try's time is about what connecting takes, so that both end together now and then."""
    connection_kind: Any = POOLS["http"].ConnectionCls
    timeout_s, timeouts = 0.001, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()  # what other tests have left is not what is looked for
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        warnings.catch_warnings(record=True) as unclosed,
    ):
        warnings.simplefilter("always", ResourceWarning)
        server.setblocking(False)
        while timeouts < TIMEOUTS:
            connection = connection_kind(*server.getsockname(), timeout=timeout_s)
            try:
                connection.connect()
                timeout_s *= 0.8
            except ConnectTimeoutError:
                timeouts += 1
                timeout_s *= 1.25
            connection.close()
            with contextlib.suppress(BlockingIOError):
                while True:
                    server.accept()[0].close()
        del connection
        until(lambda: all(thread.name != "connecting" for thread in threading.enumerate()))

    assert [str(warning.message) for warning in unclosed] == []


@pytest.mark.slow
def test_it_holds_under_gevent() -> None:
    this = [
        __file__,
        "-q",
        "-k",
        "silence or handshake or proxy or lookup",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=",
    ]
    command = [sys.executable, "-m", "gevent.monkey", "--module", "pytest", *this]

    ran = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)

    assert ran.returncode == 0, ran.stdout[-3000:]
    assert f"{len(ANSWERS) + 5} passed" in ran.stdout
