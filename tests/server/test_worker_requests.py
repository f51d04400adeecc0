"""How a worker takes requests in (gbproxy/server/worker.py)."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import gevent
import gevent.event
import gevent.socket
import gevent.ssl
import pytest
from gevent.pool import Pool
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser

from gbproxy.server.arbiter import Log
from gbproxy.server.connection import is_in
from gbproxy.server.worker import RequestPacer, Worker
from tests.support.polling import until

HEAD_S = 1  # for a head to arrive
MAX_BODY_BYTES = 4 * 1024 * 1024


class Closed:
    """A pacer that lets nobody through before it is opened."""

    def __init__(self) -> None:
        self.waiting = 0
        self.arrived = gevent.event.Event()
        self._open = gevent.event.Event()

    def wait_turn(self) -> None:
        self.waiting += 1
        self.arrived.set()
        self._open.wait()
        self.waiting -= 1

    def open(self) -> None:
        self._open.set()


class Client:
    """Somebody who is connected to a worker."""

    def __init__(self, worker: Worker, listener: Any) -> None:
        ours, self.socket = gevent.socket.socketpair()
        self.socket.settimeout(10)
        self.handling = gevent.spawn(worker.handle, listener, ours, ("127.0.0.1", 1))

    def send(self, *requests: str) -> None:
        self.socket.sendall(
            "".join(f"{request} HTTP/1.1\r\nHost: gateway\r\n\r\n" for request in requests).encode()
        )

    def read_until(self, mark: bytes) -> bytes:
        data = b""
        while mark not in data and (more := self.socket.recv(65536)):
            data += more
        return data

    def close(self) -> None:
        self.socket.close()
        self.handling.get(timeout=5)


@pytest.fixture
def pacer() -> Closed:
    return Closed()


@pytest.fixture
def worker(pacer: Closed) -> Iterator[Worker]:
    """One that answers with the path and the body, but reads no body on /refused, and fails in
    the middle on /late.
    """

    def failing(start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"begun"
        raise RuntimeError("a bug")

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/late":
            return failing(start_response)
        body = environ["PATH_INFO"].encode() + b" "
        if environ["PATH_INFO"] != "/refused":
            body += environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    config = Config()
    config.set("keepalive", HEAD_S)
    worker = Worker(0, os.getpid(), [], None, 30, config, Log(config))
    worker.wsgi = application
    worker.request_pacer = pacer  # type: ignore[assignment]
    worker.probe_pacer = RequestPacer()
    worker.max_body_bytes = MAX_BODY_BYTES
    yield worker
    worker.tmp.close()


@pytest.fixture
def client(worker: Worker, pacer: Closed) -> Iterator[Client]:
    with gevent.socket.socket() as listener:
        client = Client(worker, listener)
        yield client
        pacer.open()
        client.close()


def test_who_waits_for_a_turn_for_longer_than_a_head_may_take_is_answered(
    client: Client, pacer: Closed
) -> None:
    client.send("GET /v1/models")
    assert pacer.arrived.wait(5)

    gevent.sleep(HEAD_S + 0.2)  # the long wait that is tested
    pacer.open()

    assert client.read_until(b"/v1/models").startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "probe", ["GET /health", "GET /readyz", "HEAD /livez", "GET /metrics", "GET /health?from=lb"]
)
def test_a_probe_waits_for_no_request(client: Client, pacer: Closed, probe: str) -> None:
    client.send(probe)

    assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "request_line", ["POST /health", "GET /healthy", "GET /v1/models", "HEAD /"]
)
def test_what_is_no_probe_waits(client: Client, pacer: Closed, request_line: str) -> None:
    client.send(request_line)

    assert pacer.arrived.wait(5)


def test_half_a_head_takes_nobody_s_turn(client: Client, pacer: Closed) -> None:
    client.socket.sendall(b"GET /v1/models HTTP/1.1\r\nHost: ")

    assert not pacer.arrived.wait(0.1)


def test_each_of_several_requests_on_a_connection_waits_for_its_turn(
    client: Client, pacer: Closed
) -> None:
    client.send("GET /health", "GET /v1/models")

    assert client.read_until(b"/health ").endswith(b"/health ")
    assert pacer.arrived.wait(5)


def test_who_waits_for_a_turn_is_not_taken_for_idle_when_the_worker_stops(
    client: Client, pacer: Closed, worker: Worker
) -> None:
    client.socket.sendall(b"POST /v1/files HTTP/1.1\r\nHost: gateway\r\nContent-Length: 4\r\n\r\n")
    assert pacer.arrived.wait(5)
    ending = gevent.spawn(worker.end_idle)
    assert not gevent.wait([client.handling], timeout=1.2)  # longer than the worker lets one idle
    ending.kill()

    client.socket.sendall(b"body")
    pacer.open()

    assert client.read_until(b"body").endswith(b"/v1/files body")


def test_who_has_no_request_when_the_worker_stops_can_see_the_end_of_the_connection_at_once(
    worker: Worker,
) -> None:
    """Until then a proxy may send a request on it, which nobody would answer."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    seen: list[bytes] = []

    class Watched(gevent.socket.socket):  # type: ignore[misc]
        def shutdown(self, how: int) -> None:
            super().shutdown(how)
            seen.append(theirs.recv(1))

    with gevent.socket.socket() as listener, theirs:
        watched = Watched(fileno=ours.detach())
        handling = gevent.spawn(worker.handle, listener, watched, ("127.0.0.1", 1))
        ending = gevent.spawn(worker.end_idle)
        handling.get(timeout=5)
        ending.kill()

    assert seen == [b""]


def test_a_request_that_has_come_and_is_not_read_yet_is_answered_when_the_worker_stops(
    pacer: Closed, worker: Worker
) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    worker.alive = False
    with gevent.socket.socket() as listener, theirs:
        kept = gevent.socket.socket(fileno=ours.detach())
        handling = gevent.spawn(worker.handle, listener, kept, ("127.0.0.1", 1))
        ending = gevent.spawn(worker.end_idle)
        gevent.sleep(0.3)  # it waits for a request
        theirs.sendall(b"GET /v1/models HTTP/1.1\r\nHost: gateway\r\n\r\n")
        time.sleep(0.4)  # the worker is busy for longer than it lets one idle
        pacer.open()
        handling.get(timeout=5)
        ending.kill()

        assert theirs.recv(65536).endswith(b"/v1/models ")


def test_a_kept_connection_stays_while_the_worker_that_stops_is_still_asked(
    pacer: Closed, worker: Worker
) -> None:
    """A proxy that uses its kept connections may be sending on any of them."""
    pacer.open()
    worker.alive = False
    for _ in range(10):
        with gevent.socket.socket() as listener:
            kept = Client(worker, listener)
            stopped = gevent.event.Event()
            others = gevent.spawn(keep_asking, worker, stopped)
            ending = gevent.spawn(worker.end_idle)
            # longer than the worker lets one idle, and shorter than the time for a head
            ended = gevent.wait([kept.handling], timeout=0.75)
            stopped.set()
            longest_s = others.get(timeout=5)
            ending.kill()
            kept.close()
        if longest_s < 0.25:  # else a busy machine has let nobody ask for too long
            break

    assert longest_s < 0.25
    assert ended == []


def keep_asking(worker: Worker, stopped: gevent.event.Event) -> float:
    """Ask until it is stopped. For how long, at most, nobody asked."""
    longest_s, last_at = 0.0, time.monotonic()
    with gevent.socket.socket() as listener:
        while not stopped.is_set():
            other = Client(worker, listener)
            other.send("GET /v1/models")
            assert other.read_until(b"/models ").endswith(b"/models ")
            other.socket.close()
            other.close()
            longest_s, last_at = max(longest_s, time.monotonic() - last_at), time.monotonic()
    return longest_s


@pytest.mark.parametrize("length", ["Content-Length: 50005", "Transfer-Encoding: chunked"])
def test_who_is_refused_while_sending_can_read_the_answer(
    client: Client, pacer: Closed, length: str
) -> None:
    pacer.open()
    client.socket.sendall(
        f"POST /refused HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n{length}\r\n\r\n".encode()
    )
    client.socket.sendall(b"1000\r\n" + b"x" * 20_000)
    gevent.socket.wait_read(client.socket.fileno(), timeout=5)  # the answer is out
    client.socket.sendall(b"x" * 20_000)

    assert client.read_until(b"nothing but the end").endswith(b"/refused ")


@pytest.mark.parametrize(
    ("length", "body"),
    [("Content-Length: 4", b"body"), ("Transfer-Encoding: chunked", b"4\r\nbody\r\n0\r\n\r\n")],
)
def test_a_connection_whose_request_was_read_ends_at_once(
    client: Client, pacer: Closed, length: str, body: bytes
) -> None:
    pacer.open()
    head = f"POST /v1/files HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n{length}\r\n\r\n"

    client.socket.sendall(head.encode() + body)

    assert client.read_until(b"nothing but the end").endswith(b"/v1/files body")
    client.handling.get(timeout=0.3)


def test_an_answer_that_fails_midway_ends_without_its_end(client: Client, pacer: Closed) -> None:
    pacer.open()
    client.send("GET /late", "GET /v1/models")

    answer = client.read_until(b"nothing but the end")

    assert answer.count(b"HTTP/1.1") == 1
    assert answer.endswith(b"5\r\nbegun\r\n")


def test_after_as_many_requests_as_it_may_serve_a_worker_stops(
    client: Client, pacer: Closed, worker: Worker
) -> None:
    pacer.open()
    worker.max_requests = 2
    client.send("GET /one", "GET /two", "GET /three")

    answers = client.read_until(b"nothing but the end")

    assert [b"Connection: keep-alive" in answers, b"Connection: close" in answers] == [True, True]
    assert answers.endswith(b"/two ")
    assert not worker.alive


@pytest.mark.parametrize(
    ("words", "is_closed"),
    [
        ("TE, close", True),
        ("keep-alive,Close", True),
        ("TE", False),
        ("TE, closed", False),
        ("TE\r\nConnection: close, TE", True),
    ],
)
def test_a_connection_is_closed_where_that_is_one_of_its_words(
    client: Client, pacer: Closed, words: str, is_closed: bool
) -> None:
    pacer.open()
    head = f"GET /one HTTP/1.1\r\nHost: gateway\r\nConnection: {words}\r\n\r\n"
    client.socket.sendall(head.encode())

    answer = client.read_until(b"/one ")

    assert (b"Connection: close" in answer) == is_closed


def test_a_certificate_that_gunicorn_was_given_is_used(worker: Worker) -> None:
    context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with gevent.socket.socket() as listener:
        plain = worker.server_class(listener, spawn="default", log=None)
        secured = worker.server_class(listener, spawn="default", log=None, ssl_context=context)

    assert (plain.ssl_enabled, secured.ssl_enabled) == (False, True)


AT_ONCE = 2


class Rounds:
    """Counts the rounds of the event loop: a timer of no duration runs once in each."""

    def __init__(self) -> None:
        self.now = 0
        self._timer = gevent.get_hub().loop.timer(0, 0.000_001)
        self._timer.start(self._next)

    def close(self) -> None:
        self._timer.close()

    def _next(self) -> None:
        self.now += 1


def rush(count: int, pacer: RequestPacer, work: Callable[[int], None]) -> list[gevent.Greenlet]:
    def one(number: int) -> None:
        pacer.wait_turn()
        work(number)

    # its time is that of its last round, maybe of another test: limits would be over
    gevent.get_hub().loop.update_now()
    return [gevent.spawn(one, number) for number in range(count)]


def test_without_a_rush_nobody_waits() -> None:
    pacer = RequestPacer(AT_ONCE)
    rounds = Rounds()

    for _ in range(AT_ONCE):
        pacer.wait_turn()

    assert rounds.now == 0
    rounds.close()


def test_a_rush_passes_in_order_and_a_few_in_each_round() -> None:
    pacer = RequestPacer(AT_ONCE)
    rounds = Rounds()
    passed: list[tuple[int, int]] = []

    gevent.joinall(rush(20, pacer, lambda number: passed.append((number, rounds.now))), timeout=5)

    assert [number for number, _ in passed] == list(range(20))
    in_round = [[now for _, now in passed].count(now) for now in range(rounds.now + 1)]
    assert max(in_round) <= 2 * AT_ONCE  # two of the pacer's rounds may fall into one of ours
    assert sum(count > 0 for count in in_round) >= 20 / (2 * AT_ONCE)
    rounds.close()


def test_other_work_goes_on_between_the_rounds() -> None:
    pacer = RequestPacer(AT_ONCE)
    passed: list[int] = []
    rush(40, pacer, passed.append)
    gevent.sleep(0)

    gevent.sleep(0.000_001)  # one round of the event loop

    assert 0 < len(passed) < 40
    until(lambda: len(passed) == 40, sleep=gevent.sleep)


def test_who_is_called_away_takes_nobody_s_turn() -> None:
    pacer = RequestPacer(AT_ONCE)
    passed: list[int] = []
    greenlets = rush(10, pacer, passed.append)
    gevent.sleep(0)

    gevent.killall(greenlets[4:8])
    gevent.joinall(greenlets, timeout=5)

    assert passed == [0, 1, 2, 3, 8, 9]


def test_after_a_rush_there_is_none() -> None:
    pacer = RequestPacer(AT_ONCE)
    gevent.joinall(rush(10, pacer, lambda _: None), timeout=5)
    rounds = Rounds()
    until(lambda: rounds.now >= 2, sleep=gevent.sleep)  # the pacer's last round is over
    before = rounds.now

    for _ in range(AT_ONCE):
        pacer.wait_turn()

    assert rounds.now == before
    rounds.close()


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        ("Content-Length: 4\r\n\r\nbody", True),
        ("Content-Length: 4\r\n\r\nbodyGET / HTTP/1.1\r\n\r\n", True),
        ("Content-Length: 4\r\n\r\nbod", False),
        ("Content-Length: 0\r\n\r\n", False),
        ("Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", False),
        ("Accept: */*\r\n\r\n", False),
    ],
)
def test_a_body_that_came_whole_with_its_head_is_known(received: str, expected: bool) -> None:
    source = iter([f"POST / HTTP/1.1\r\nHost: gateway\r\n{received}".encode(), b"y"])
    request = next(RequestParser(Config(), source, ("127.0.0.1", 1)))

    assert is_in(request) is expected
    if "Content-Length: 4" in received:
        assert request.body.read(10) == b"body"


def test_a_connection_that_was_waiting_when_the_worker_closed_its_listener_is_answered(
    worker: Worker, pacer: Closed
) -> None:
    pacer.open()
    with gevent.socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = worker.server_class(listener, spawn=Pool(10))
        server.start()
        # No round of the event loop, in which it would accept, passes before it is closed.
        with socket.create_connection(listener.getsockname(), timeout=10) as waiting:
            waiting.sendall(
                b"GET /late-comer HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n"
            )
            server.close()
            assert server.pool.join(10)

            assert waiting.recv(65536).endswith(b"/late-comer ")
