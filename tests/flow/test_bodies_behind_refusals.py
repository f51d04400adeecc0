"""Bodies that nobody asked for: little of them is read, the refusal arrives, and nobody else waits
for it.
"""

from __future__ import annotations

import itertools
import math
import selectors
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import pytest

from tests.support.health import waits_for_health
from tests.support.serving import Call, Reply, Served, SharedUpstream, resident_bytes, serving

pytestmark = pytest.mark.slow

Record = Callable[[str, object], None]

BODY_MB = 1
KERNEL_BYTES = 8 * 1024 * 1024  # what the systems on both sides may hold though nobody reads it
ENDS_S = 0.5  # after the refusal
BUSY_S = 3.0  # more, on a machine that does other things too
LETTERS = b"x" * 65536
CHUNKED = "Transfer-Encoding: chunked"


@dataclass(frozen=True)
class Body:
    """A body that does not end: how it is announced, what comes first, what then comes again and
    again.
    """

    announced: str
    first: bytes
    again: bytes
    every_s: float = 0.0


BODIES = {
    "ten gigabytes": Body("Content-Length: 10737418240", b"", LETTERS),
    "chunks": Body(CHUNKED, b"", b"10000\r\n" + LETTERS + b"\r\n"),
    "one chunk of gigabytes": Body(CHUNKED, b"fffffffff\r\n", LETTERS),
    "chunks of a byte": Body(CHUNKED, b"", b"1\r\nx\r\n" * 10_000),
    "extensions": Body(CHUNKED, b"", (b"1;" + b"a" * 4000 + b"\r\nx\r\n") * 16),
    "an extension that drips": Body(CHUNKED, b"1;a", b"a", every_s=0.05),
    "a chunk that drips": Body(CHUNKED, b"10000\r\n", b"x", every_s=0.05),
    "trailers": Body(CHUNKED, b"0\r\n", b"A: b\r\n" * 10_000),
    "trailers that drip": Body(CHUNKED, b"0\r\nA: ", b"b", every_s=0.05),
}
QUICK = [name for name, body in BODIES.items() if not body.every_s]
OF_EACH_KIND = ("ten gigabytes", "one chunk of gigabytes", "an extension that drips")

REFUSALS = {
    "no key": ("POST /v1/chat/completions", "Content-Type: application/json", 401),
    "no such path": ("POST /v2/nothing", "Content-Type: application/json", 404),
    "no such method": ("DELETE /v1/chat/completions", "Content-Type: application/json", 405),
    "a foreign type": (
        "POST /v1/chat/completions",
        "Content-Type: text/plain\r\nAuthorization: Bearer {key}",
        415,
    ),
    "a compressed body": (
        "POST /v1/chat/completions",
        "Content-Encoding: br\r\nAuthorization: Bearer {key}",
        415,
    ),
    "health": ("GET /health", "Accept: */*", 200),
    "health's head": ("HEAD /health", "Accept: */*", 200),
    "a preflight": ("OPTIONS /v1/chat/completions", "Origin: https://example.com", 204),
    "a list": ("GET /v1/models", "Authorization: Bearer {key}", 200),
    "an expectation": ("POST /v1/chat/completions", "Expect: 100-continue", 401),
}
TOO_LARGE = (
    "POST /v1/chat/completions",
    "Content-Type: application/json\r\nAuthorization: Bearer {key}",
    413,
)


@dataclass(frozen=True)
class Flooded:
    """What became of a body: how much of it was taken, what came back, and when the connection
    ended behind that.
    """

    sent: int
    received: bytes
    ended_s: float

    @property
    def statuses(self) -> list[int]:
        """Of all answers, but for the invitation to send."""
        statuses = [int(part[1:4]) for part in self.received.split(b"HTTP/1.1")[1:]]
        return [status for status in statuses if status != 100]


def flood(gateway: Served, refusal: tuple[str, str, int], body: Body) -> Flooded:
    """Send that body, as fast as it is taken and whatever comes back, until the connection is
    gone.
    """
    line, headers, _ = refusal
    head = (
        f"{line} HTTP/1.1\r\nHost:"
        f" gateway\r\n{headers.format(key=gateway.key)}\r\n{body.announced}\r\n\r\n"
    )
    pieces = itertools.chain((head.encode() + body.first,), itertools.repeat(body.again))
    waiting, sent, received, answered_at = b"", 0, b"", math.inf
    deadline = time.monotonic() + 20
    with socket.socket() as sock, selectors.DefaultSelector() as selector:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        sock.connect(gateway.address)
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
        try:
            while time.monotonic() < deadline:
                ready = sum(events for _, events in selector.select(0.05))
                if ready & selectors.EVENT_READ:
                    data = sock.recv(65536)
                    answered_at = min(answered_at, time.monotonic())
                    received += data
                    if not data:  # nothing more is said; it may still be listened
                        selector.modify(sock, selectors.EVENT_WRITE)
                if ready & selectors.EVENT_WRITE:
                    waiting = waiting or next(pieces)
                    taken = sock.send(waiting)
                    sent, waiting = sent + taken, waiting[taken:]
                    time.sleep(body.every_s)  # the slowness that is tested
            raise AssertionError("the connection did not end")
        except OSError:
            with suppress(OSError):  # what came behind the last look, and before the end
                while data := sock.recv(65536):
                    answered_at = min(answered_at, time.monotonic())
                    received += data
            return Flooded(sent, received, time.monotonic() - answered_at)


def flood_all(
    gateway: Served,
    floods: Mapping[str, tuple[tuple[str, str, int], Body]],
    record: Record,
    what: str,
) -> dict[str, Flooded]:
    """All of them, some at a time, while health is asked for."""
    before = resident_bytes(next(iter(gateway.worker_pids())))
    with ThreadPoolExecutor(4) as pool:
        running = {name: pool.submit(flood, gateway, *each) for name, each in floods.items()}
        waits = waits_for_health(gateway, running.values())
        done = {name: future.result() for name, future in running.items()}
    grown_mb = (resident_bytes(next(iter(gateway.worker_pids()))) - before) / 1e6
    most_mb = max(flooded.sent for flooded in done.values()) / 1e6
    record(
        "measured",
        f"{what}: {waits}, {grown_mb:.1f} MB, of one {most_mb:.1f} MB",
    )
    assert waits.is_short, waits
    assert grown_mb < 30
    return done


@pytest.fixture(scope="module")
def gateway() -> Iterator[Served]:
    with (
        SharedUpstream() as upstream,
        serving(upstream.environment(), MAX_BODY_MB=str(BODY_MB)) as made,
    ):
        made.ask("Hello")
        yield made


def test_little_is_read_behind_a_refusal_and_nobody_else_waits(
    gateway: Served, record_property: Record
) -> None:
    everywhere, anything = (
        itertools.product(REFUSALS, OF_EACH_KIND),
        itertools.product(("no key", "health"), BODIES),
    )
    pairs = {*everywhere, *anything}
    floods = {f"{refusal}, {body}": (REFUSALS[refusal], BODIES[body]) for refusal, body in pairs}

    done = flood_all(gateway, floods, record_property, "bodies behind refusals")

    for name, flooded in done.items():
        assert flooded.statuses == [floods[name][0][2]], (name, flooded)
        assert flooded.sent < BODY_MB * 1024 * 1024 + KERNEL_BYTES, (name, flooded.sent)
        assert flooded.ended_s < ENDS_S + BUSY_S, (name, flooded.ended_s)


def test_a_body_that_is_too_large_is_refused_however_it_comes(
    gateway: Served, record_property: Record
) -> None:
    floods = {name: (TOO_LARGE, BODIES[name]) for name in QUICK if name != "trailers"}

    done = flood_all(gateway, floods, record_property, "bodies that are too large")

    for name, flooded in done.items():
        assert flooded.statuses == [413], (name, flooded)
        assert b"request_too_large" in flooded.received
        assert flooded.sent < 2 * BODY_MB * 1024 * 1024 + KERNEL_BYTES, (name, flooded.sent)


@pytest.mark.parametrize("size", [BODY_MB * 1024 * 1024 + 1, 2**33])
def test_a_chunk_that_is_too_large_is_refused_when_it_announces_that(
    gateway: Served, size: int
) -> None:
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer"
        f" {gateway.key}\r\n{CHUNKED}\r\n\r\n"
    )
    with gateway.call() as call:
        call.wait_at_most(5)
        call.send(head.encode() + b"10\r\n" + b" " * 16 + b"\r\n%x\r\n" % size)  # and nothing of it
        reply = call.reply()

    assert (reply.status, reply.error["code"], reply.headers["Connection"]) == (
        413,
        "request_too_large",
        "close",
    )


def test_endless_trailers_are_no_request(gateway: Served) -> None:
    assert flood(gateway, TOO_LARGE, BODIES["trailers"]).statuses == [400]


def test_who_is_told_to_stop_while_much_is_left_is_told_that_the_connection_ends(
    gateway: Served,
) -> None:
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nContent-Length: 5000000\r\n\r\n"
    with gateway.call() as call:
        call.send(head.encode())
        reply = call.reply()

    assert (reply.status, reply.headers["Connection"]) == (401, "close")


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 300000\r\n\r\n" + b"x" * 300_000,
        b"Transfer-Encoding: chunked\r\n\r\n"
        + b"1000\r\n%b\r\n" % (b"x" * 4096) * 70
        + b"0\r\nA: b\r\n\r\n",
    ],
    ids=["length", "chunks"],
)
@pytest.mark.parametrize(
    "refusal", ["no key", "no such path", "no such method", "health", "a preflight"]
)
def test_behind_a_body_of_little_the_connection_is_kept(
    gateway: Served, refusal: str, body: bytes
) -> None:
    line, headers, status = REFUSALS[refusal]
    with gateway.call() as call:
        for _ in range(3):
            call.send(f"{line} HTTP/1.1\r\nHost: gateway\r\n{headers}\r\n".encode() + body)
            assert _status(call) == status
        call.send(call.request(stream=False))
        reply = call.reply()

    assert (reply.status, reply.headers["Connection"]) == (200, "keep-alive")


def test_an_expected_body_is_taken_and_the_connection_is_kept(gateway: Served) -> None:
    with gateway.call() as call:
        for _ in range(2):
            head, _, body = call.request(stream=False).partition(b"\r\n\r\n")
            call.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
            assert call.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
            call.send(body)
            assert call.reply().status == 200


def _status(call: Call) -> int:
    head = call.read_until(b"\r\n\r\n")
    length = int(Reply.parse(head).headers["Content-Length"] or 0)
    if length:
        call.read_until(b"}\n" if head.startswith((b"HTTP/1.1 4", b"HTTP/1.1 2")) else b"}")
    return Reply.parse(head).status
