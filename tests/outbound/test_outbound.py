"""The client of other people's HTTP servers: every failure has its words, and none of them tells an
address or a secret.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from gbproxy.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gbproxy.observability import request_context
from gbproxy.outbound import MAX_BODY_BYTES, HttpClient, Timeouts
from gbproxy.simulator import (
    Action,
    End,
    Fin,
    Head,
    HoldHeaders,
    Pause,
    Raw,
    Rst,
    Simulator,
    Stall,
    Write,
)
from tests.support.delays import Delays
from tests.support.gates import Gate
from tests.support.ports import refusing_port

PATH = "/auth/getoxsrf"
PATIENT = Timeouts(connect_s=10, read_s=10, request_s=30)
QUICK = Timeouts(connect_s=10, read_s=0.3, request_s=30)
TYPE = {"Content-Type": "text/plain"}


@pytest.fixture
def upstream() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@contextmanager
def new_client(
    timeouts: Timeouts = PATIENT, *, proxy: str | None = None, ca_bundle: Path | None = None
) -> Iterator[HttpClient]:
    outbound = HttpClient(timeouts, proxy=proxy, ca_bundle=ca_bundle)
    try:
        yield outbound
    finally:
        outbound.close()


def failure(
    url: str,
    timeouts: Timeouts = PATIENT,
    *,
    proxy: str | None = None,
    ca_bundle: Path | None = None,
) -> UpstreamError:
    headers = {"Cookie": "__Secure-C_SES=CSE.secret", "Authorization": "Bearer secret"}
    with (
        new_client(timeouts, proxy=proxy, ca_bundle=ca_bundle) as outbound,
        pytest.raises(UpstreamError) as caught,
    ):
        outbound.request("GET", url, headers)
    return caught.value


@contextmanager
def listening(reply: bytes | None = b"") -> Iterator[tuple[int, list[bytes]]]:
    """A port that takes connections, reads something and answers so (None: never accepts); and what
    it read.
    """
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0), backlog=0 if reply is None else 16) as server:
        if reply is None:
            yield server.getsockname()[1], got
            return

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    data = peer.recv(65536)
                    if data:
                        got.append(data)
                        peer.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], got
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


# Answers


def test_a_whole_answer_is_status_headers_cookies_and_body(upstream: Simulator) -> None:
    cookies = ("a=1; Path=/, b", "c=2")
    upstream.script(
        Head(418, {"X-Thing": "é", "Set-Cookie": cookies}),
        Write(b"Hel"),
        Write(b"lo"),
        End(),
        path="getoxsrf",
    )

    with new_client() as outbound:
        reply = outbound.request("GET", f"{upstream.url}{PATH}?csesidx=1", {"X-Mine": "1"})

    assert (reply.status, reply.body, reply.set_cookies) == (418, b"Hello", cookies)
    assert reply.headers["x-thing"] == reply.headers["X-THING"] == "é"
    assert upstream.requests[0].headers["X-Mine"] == "1"


def test_a_body_is_sent_as_it_is(upstream: Simulator) -> None:
    body = '{"text":"你好\u2028"}'.encode()

    with new_client() as outbound:
        outbound.request("POST", f"{upstream.url}/page", {"Content-Type": "text/plain"}, body)

    assert upstream.requests[0].body == body


@pytest.mark.parametrize("coding", ["gzip", "plain"])
def test_a_compressed_body_is_unpacked(upstream: Simulator, coding: str) -> None:
    upstream.set(gzip=coding == "gzip")
    upstream.script(Head(200, TYPE), Write(b"Hel"), Write(b"lo"), End(), path="getoxsrf")

    with new_client() as outbound:
        reply = outbound.request(
            "GET", f"{upstream.url}{PATH}", {"Accept-Encoding": "gzip, deflate"}
        )

    assert reply.body == b"Hello"


def test_bytes_are_given_as_they_arrive(upstream: Simulator) -> None:
    gate = Gate()
    upstream.script(
        Head(200, TYPE), Write(b"first"), gate.closed, Write(b"second"), End(), path="getoxsrf"
    )

    with new_client() as outbound, outbound.stream("GET", f"{upstream.url}{PATH}", {}) as reply:
        reads = reply.reads()
        first = next(reads)
        gate.open()

        assert [first, *reads] == [b"first", b"second"]


def test_redirects_are_answers_like_any_other(upstream: Simulator) -> None:
    upstream.script(Head(302, {"Location": f"{upstream.url}/elsewhere"}), End(), path="getoxsrf")

    with new_client() as outbound:
        reply = outbound.request("GET", f"{upstream.url}{PATH}", {"Authorization": "Bearer secret"})

    assert (reply.status, reply.headers["Location"]) == (302, f"{upstream.url}/elsewhere")
    assert len(upstream.requests) == 1


def test_no_cookie_is_kept_for_the_next_call(upstream: Simulator) -> None:
    upstream.script(Head(200, {"Set-Cookie": "NID=1; Path=/"}), End(), path="getoxsrf", times=2)

    with new_client() as outbound:
        for _ in range(2):
            outbound.request("GET", f"{upstream.url}{PATH}", {})

    assert all("Cookie" not in request.headers for request in upstream.requests)


def test_nothing_that_nobody_asked_for_is_sent(
    upstream: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ada password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    with new_client() as outbound:
        outbound.request("GET", f"{upstream.url}{PATH}", {"User-Agent": "gbproxy/test"})

    sent = upstream.requests[0].headers
    assert "Authorization" not in sent
    assert sent["User-Agent"] == "gbproxy/test"


# Limits


@pytest.mark.parametrize(("size", "fits"), [(MAX_BODY_BYTES, True), (MAX_BODY_BYTES + 1, False)])
def test_a_whole_answer_may_be_so_large_and_no_larger(
    upstream: Simulator, size: int, fits: bool
) -> None:
    upstream.script(Head(200, TYPE), Write(b"x" * size), End(), path="getoxsrf")

    if fits:
        with new_client() as outbound:
            assert len(outbound.request("GET", f"{upstream.url}{PATH}", {}).body) == size
        return
    error = failure(f"{upstream.url}{PATH}")

    assert type(error) is UpstreamProtocolError
    assert f"larger than {MAX_BODY_BYTES} bytes" in error.message


def test_a_small_compressed_body_that_unpacks_to_a_large_one_is_refused(
    upstream: Simulator,
) -> None:
    upstream.set(gzip=True)
    upstream.script(Head(200, TYPE), Write(bytes(MAX_BODY_BYTES * 4)), End(), path="getoxsrf")

    with new_client() as outbound, pytest.raises(UpstreamProtocolError):
        outbound.request("GET", f"{upstream.url}{PATH}", {"Accept-Encoding": "gzip"})


def test_a_whole_answer_may_take_only_so_long(upstream: Simulator) -> None:
    drip: tuple[Action, ...] = (Write(b"x"), Pause(0.05)) * 100
    upstream.script(Head(200, TYPE), *drip, End(), path="getoxsrf")

    with Delays() as machine:
        started = time.monotonic()
        error = failure(f"{upstream.url}{PATH}", Timeouts(2, 5, 0.4))
        took_s = time.monotonic() - started

    assert type(error) is UpstreamTimeout
    assert error.message == "the answer took longer than 0.4 s"
    assert took_s - machine.total_s < 2


@pytest.mark.parametrize(
    "script", [(HoldHeaders(),), (Head(200, TYPE), Write(b"x"), Stall())], ids=["head", "body"]
)
def test_a_small_call_has_a_limit_of_its_own(
    upstream: Simulator, script: tuple[Action, ...]
) -> None:
    upstream.script(*script, path="getoxsrf")

    error = failure(f"{upstream.url}{PATH}", Timeouts(2, 8, 30, call_s=0.4))

    assert type(error) is UpstreamTimeout


@pytest.mark.parametrize("transfer", ["chunked", "content_length", "close"])
@pytest.mark.parametrize(
    "script", [(HoldHeaders(),), (Head(200, TYPE), Write(b"x"), Stall())], ids=["head", "body"]
)
def test_silence_may_not_outlast_the_time_for_a_whole_answer(
    upstream: Simulator, script: tuple[Action, ...], transfer: str
) -> None:
    upstream.set(transfer=transfer)
    upstream.script(*script, path="getoxsrf")

    with Delays() as machine:
        started = time.monotonic()
        error = failure(f"{upstream.url}{PATH}", Timeouts(2, 8, 0.4))
        took_s = time.monotonic() - started

    assert type(error) is UpstreamTimeout
    assert error.message == "the answer took longer than 0.4 s"
    assert took_s - machine.total_s < 2


@pytest.mark.parametrize("transfer", ["chunked", "content_length", "close"])
def test_the_rest_of_an_answer_can_be_given_less_time_while_it_arrives(
    upstream: Simulator, transfer: str
) -> None:
    upstream.set(transfer=transfer)
    upstream.script(Head(200, TYPE), Write(b"x"), Stall(), path="getoxsrf")

    with Delays() as machine:
        started = time.monotonic()
        with (
            new_client(Timeouts(2, 8, 8)) as outbound,
            outbound.stream("GET", f"{upstream.url}{PATH}", {}) as reply,
        ):
            reads = reply.reads()
            assert next(reads) == b"x"
            reply.limit_rest(0.1)
            with pytest.raises(UpstreamTimeout):
                next(reads)
        took_s = time.monotonic() - started

    assert took_s - machine.total_s < 2


# What breaks


@pytest.mark.parametrize(
    "script",
    [(HoldHeaders(),), (Head(200, TYPE), Stall()), (Head(200, TYPE), Write(b"x"), Stall())],
    ids=["no head", "no body", "half a body"],
)
def test_silence_is_a_timeout_that_says_so(upstream: Simulator, script: tuple[Action, ...]) -> None:
    upstream.script(*script, path="getoxsrf")

    error = failure(f"{upstream.url}{PATH}", QUICK)

    assert (type(error), error.status) == (UpstreamTimeout, 504)
    assert error.message == "the upstream was silent for 0.3 s"


def test_no_connection_in_time_is_a_timeout_that_says_so() -> None:
    with listening(None) as (port, _):
        taken = []
        for _ in range(8):  # fill the queue of a listener that never accepts
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            taken.append(sock)

        error = failure(
            f"http://127.0.0.1:{port}/", Timeouts(connect_s=0.3, read_s=5, request_s=10)
        )

        for sock in taken:
            sock.close()
    assert (type(error), error.message) == (
        UpstreamUnreachable,
        "no connection to the upstream within 0.3 s",
    )
    assert not error.was_taken


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    upstream: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where IPv6 leads nowhere."""
    resolve = socket.getaddrinfo
    here = resolve("127.0.0.1", upstream.port, type=socket.SOCK_STREAM)
    # set aside for documents: RFC 5737
    nowhere = resolve("192.0.2.1", upstream.port, type=socket.SOCK_STREAM)

    def both(host: str, *rest: object, **more: object) -> object:
        return nowhere + here if host == "upstream.example" else resolve(host, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", both)

    with new_client(Timeouts(connect_s=2)) as outbound:
        reply = outbound.request("GET", f"http://upstream.example:{upstream.port}/login", {})

    assert reply.status == 200


@pytest.mark.parametrize(
    "script",
    [
        (Rst(),),
        (Fin(),),
        (Raw(b"SSH-2.0-OpenSSH_9.0\r\n"), Fin()),
        (Head(200, TYPE), Write(b"x"), Rst()),
        (Head(200, TYPE), Write(b"x"), Fin()),
        (Head(200, TYPE), Raw(b"zz\r\n"), Fin()),
        (Head(200, {"Content-Length": "10"}), Write(b"short"), Fin()),
    ],
    ids=["reset", "closed", "not http", "reset later", "cut", "broken chunk", "too short"],
)
def test_a_connection_that_breaks_is_an_upstream_error(
    upstream: Simulator, script: tuple[Action, ...]
) -> None:
    upstream.script(*script, path="getoxsrf")

    error = failure(f"{upstream.url}{PATH}")

    assert (type(error), error.status) == (UpstreamBroken, 502)
    assert error.message.startswith("the connection to the upstream broke (")


def test_a_body_that_is_not_what_its_header_says_is_an_error(upstream: Simulator) -> None:
    head = Head(200, {"Content-Encoding": "gzip", "Content-Length": "8"})
    upstream.script(head, Write(b"not gzip"), End(), path="getoxsrf")

    error = failure(f"{upstream.url}{PATH}")

    assert type(error) is UpstreamProtocolError
    assert "decompressed" in error.message


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:{port}/secret", "Connection refused"),
        ("http://no-such-host.invalid/secret", ""),
        ("http://[::1/secret", ""),
        ("https://example.com:99999/secret", ""),
        ("gopher://example.com/secret", ""),
        ("/secret", ""),
    ],
)
def test_an_address_that_does_not_answer_is_an_upstream_error_without_the_address(
    url: str, words: str
) -> None:
    with refusing_port() as port:
        error = failure(url.format(port=port))

    assert type(error) is UpstreamBroken
    assert words in error.message
    assert_tells_nothing(error, str(port))


# TLS


@pytest.fixture(scope="module")
def tls() -> Iterator[Simulator]:
    with Simulator(tls=True) as simulator:
        yield simulator


def test_a_certificate_of_the_given_authority_is_accepted(tls: Simulator) -> None:
    with new_client(ca_bundle=tls.ca_file) as outbound:
        reply = outbound.request("GET", f"{tls.url}/login", {})

    assert reply.status == 200


def test_an_empty_directory_of_authorities_trusts_nobody(tls: Simulator, tmp_path: Path) -> None:
    error = failure(f"{tls.url}/login", ca_bundle=tmp_path)

    assert "CERTIFICATE_VERIFY_FAILED" in error.message


def test_a_certificate_of_an_unknown_authority_is_refused(tls: Simulator) -> None:
    before = len(tls.requests)

    error = failure(f"{tls.url}/login")

    assert type(error) is UpstreamBroken
    assert not error.was_taken
    assert (
        error.message
        == "the upstream's TLS certificate or handshake failed (CERTIFICATE_VERIFY_FAILED)"
    )
    assert len(tls.requests) == before


def test_a_certificate_for_another_host_name_is_refused(
    tls: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The name leads here, as a poisoned resolver's would; the certificate is for localhost.
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: resolve("127.0.0.1", *rest, **more)
    )
    before = len(tls.requests)

    error = failure(f"https://wrong.example:{tls.port}/login", ca_bundle=tls.ca_file)

    assert type(error) is UpstreamBroken
    assert not error.was_taken
    assert (
        error.message
        == "the upstream's TLS certificate or handshake failed (CERTIFICATE_VERIFY_FAILED)"
    )
    assert len(tls.requests) == before


def test_plain_http_behind_an_https_address_is_a_handshake_that_failed() -> None:
    with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as (port, _):
        error = failure(f"https://127.0.0.1:{port}/")

    assert type(error) is UpstreamBroken
    assert not error.was_taken
    assert error.message.startswith("the upstream's TLS certificate or handshake failed (")


def test_a_handshake_that_is_not_answered_is_no_connection_in_time(upstream: Simulator) -> None:
    error = failure(
        upstream.url.replace("http:", "https:"), Timeouts(connect_s=0.3, read_s=5, request_s=10)
    )

    assert (type(error), error.message) == (
        UpstreamUnreachable,
        "no connection to the upstream within 0.3 s",
    )
    assert not error.was_taken


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_no_authority_comes_from_the_environment(
    tls: Simulator, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(tls.ca_file))

    error = failure(f"{tls.url}/login")

    assert "CERTIFICATE_VERIFY_FAILED" in error.message


# Proxies

PROXY_VARIABLES = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
)


def test_no_proxy_comes_from_the_environment(
    upstream: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with listening(b"HTTP/1.1 502 No\r\n\r\n") as (port, got):
        for name in PROXY_VARIABLES:
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")

        with new_client() as outbound:
            reply = outbound.request("GET", f"{upstream.url}/login", {})

    assert reply.status == 200
    assert got == []


def test_the_environment_does_not_except_a_host_from_the_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHi"

    with listening(reply) as (port, got), new_client(proxy=f"http://127.0.0.1:{port}") as outbound:
        answer = outbound.request("GET", "http://upstream.invalid/x", {})

    assert answer.body == b"Hi"
    assert got[0].startswith(b"GET http://upstream.invalid/x HTTP/1.1\r\n")


def test_a_proxy_s_own_name_and_password_go_to_the_proxy(upstream: Simulator) -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHi"

    with (
        listening(reply) as (port, got),
        new_client(proxy=f"http://ada:secret@127.0.0.1:{port}") as outbound,
    ):
        outbound.request("GET", "http://upstream.invalid/x", {})

    assert b"Proxy-Authorization: Basic YWRhOnNlY3JldA==" in got[0]


@pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks5h"])
@pytest.mark.parametrize("target", ["http://upstream.invalid/x", "https://upstream.invalid/x"])
def test_a_proxy_that_does_not_answer_is_named_and_nothing_else(scheme: str, target: str) -> None:
    if scheme == "socks5":
        target = target.replace("upstream.invalid", "127.0.0.1")  # this kind resolves names here

    with refusing_port() as port:
        error = failure(target, proxy=f"{scheme}://ada:secret@127.0.0.1:{port}")

    assert type(error) is UpstreamBroken
    assert not error.was_taken
    assert error.message.startswith("the proxy in PROXY could not be used (")
    assert_tells_nothing(error, str(port))


@pytest.mark.parametrize(
    "reply",
    [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"HTTP/1.1 403 Forbidden\r\n\r\n"],
    ids=["407", "403"],
)
def test_a_proxy_that_refuses_the_tunnel_is_named(reply: bytes) -> None:
    with listening(reply) as (port, _):
        error = failure("https://upstream.invalid/x", proxy=f"http://ada:secret@127.0.0.1:{port}")

    assert type(error) is UpstreamBroken
    assert not error.was_taken
    assert error.message.startswith("the proxy in PROXY could not be used (")
    assert_tells_nothing(error, str(port))


def test_a_socks_proxy_that_is_none_is_named() -> None:
    with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as (port, _):
        error = failure("http://127.0.0.1:9/x", proxy=f"socks5h://ada:secret@127.0.0.1:{port}")

    assert type(error) is UpstreamBroken
    assert not error.was_taken
    assert error.message.startswith("the proxy in PROXY could not be used (")
    assert_tells_nothing(error, str(port))


# Time


def test_the_time_spent_waiting_on_the_upstream_is_measured(upstream: Simulator) -> None:
    measured = request_context.begin("req-1")
    upstream.script(
        HoldHeaders(0.3),
        Head(200, TYPE),
        Write(b"x"),
        Pause(0.3),
        Write(b"y"),
        End(),
        path="getoxsrf",
    )

    with new_client() as outbound, Delays() as machine:
        outbound.request("GET", f"{upstream.url}{PATH}", {})

    # who comes late to a wait has less of it
    assert measured.upstream_s + machine.total_s >= 0.5
    assert measured.upstream_s - machine.total_s < 2.0
    assert measured.overhead_ms() < measured.elapsed_ms() - 490 + machine.total_s * 1000


# Messages


def assert_tells_nothing(error: UpstreamError, *more: str) -> None:
    for word in (
        "secret",
        "ada",
        "127.0.0.1",
        "upstream.invalid",
        "no-such-host",
        "example",
        "http",
        "0x",
        *more,
    ):
        assert word not in error.message, error.message


@pytest.mark.parametrize(
    "script", [(Rst(),), (Fin(),), (HoldHeaders(),), (Raw(b"nonsense\r\n\r\n"), Fin())]
)
def test_no_message_tells_an_address_or_a_credential(
    upstream: Simulator, script: tuple[Action, ...]
) -> None:
    upstream.script(*script, path="getoxsrf")

    error = failure(f"{upstream.url}{PATH}?csesidx=secret", QUICK)

    assert_tells_nothing(error, str(upstream.port))


def test_headers_that_cannot_be_sent_are_an_upstream_error_without_their_value(
    upstream: Simulator,
) -> None:
    headers: Mapping[str, str] = {"Cookie": "a=secret\r\nX-Injected: 1"}

    with new_client() as outbound, pytest.raises(UpstreamError) as caught:
        outbound.request("GET", f"{upstream.url}{PATH}", headers)

    assert "secret" not in caught.value.message
    assert upstream.requests == []
