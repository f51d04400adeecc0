"""Clients that send too slowly: they are let go, and nobody else is the worse for it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.delays import Delays
from tests.support.health import waits_for_health
from tests.support.serving import Call, Reply, Served

Record = Callable[[str, object], None]
LIMIT_S = 15.0


def dripping(call: Call, head: bytes, drops: bytes) -> tuple[bytes, float]:
    """Send a byte a second until the other side has enough: all that came back, and after how long
    its end came.
    """
    started = time.monotonic()
    call.send(head)
    call.wait_at_most(1.0)
    received = b""
    for drop in drops:
        try:
            if not (data := call.read()):
                break
            received += data
        except TimeoutError:
            call.send(bytes([drop]))
        except (ConnectionResetError, BrokenPipeError):  # a drop came just as it was closed
            break
    return received, time.monotonic() - started


@pytest.mark.slow
@pytest.mark.waits
def test_a_client_that_sends_a_byte_a_second_is_let_go_and_others_are_served(
    gateway: Served, record_property: Record
) -> None:
    post = f"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {gateway.key}\r\n".encode()
    kinds = {
        "body": (
            post + b"Content-Type: application/json\r\nContent-Length: 30000000\r\n\r\n",
            b"{" + b" " * 25,
        ),
        "chunks": (
            post + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n{",
            b" " * 25,
        ),
        "head": (post[:20], b"x" * 25),
    }

    with (
        ThreadPoolExecutor(len(kinds)) as pool,
        gateway.call() as a,
        gateway.call() as b,
        gateway.call() as c,
    ):
        dripped = {
            kind: pool.submit(dripping, call, *kinds[kind])
            for kind, call in zip(kinds, (a, b, c), strict=True)
        }
        waits = waits_for_health(gateway, dripped.values(), every_s=0.1)
        ends = {kind: future.result() for kind, future in dripped.items()}

    for kind, (_, after_s) in ends.items():
        record_property("measured", f"slow {kind}: let go after {after_s:.1f} s")
        assert 9 < after_s < LIMIT_S
    for kind in ("body", "chunks"):
        reply = Reply.parse(ends[kind][0])
        assert (reply.status, reply.error["code"]) == (408, "request_timeout")
        assert reply.headers["x-should-retry"] == "false"
    assert waits.is_short, waits


def test_a_client_that_drips_behind_a_refused_request_is_let_go(gateway: Served) -> None:
    with socket.create_connection(gateway.address, timeout=5) as dripping:
        dripping.sendall(b"GARBAGE\r\n\r\n")
        with Delays(gateway.worker_pids()) as delays:
            started = time.monotonic()
            with pytest.raises(OSError, match=r"reset|pipe|abort"):
                _drip(dripping, until=started + 15)
            took_s = time.monotonic() - started

    assert took_s < 3 + delays.total_s


def _drip(connection: socket.socket, until: float) -> None:
    while time.monotonic() < until:
        connection.sendall(b"x")
        time.sleep(0.1)  # the slowness that is tested


def test_a_body_that_comes_in_pieces_is_taken(gateway: Served) -> None:
    with gateway.call() as call:
        request = call.request(stream=False)
        for start in range(0, len(request), 40):
            call.send(request[start : start + 40])
            time.sleep(0.02)  # the slowness that is tested
        reply = call.reply()

    assert reply.status == 200


def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing_behind(
    gateway: Served,
) -> None:
    with gateway.call() as call:
        call.send(call.request(request_id="half-a-body")[:-10])
        call.leave()
        done = gateway.wait_for_event(
            "request.done", lambda line: line["request_id"] == "half-a-body"
        )

    assert done["status"] == 400
    with socket.create_connection(gateway.address, timeout=5):
        assert gateway.request("GET", "/health").status == 200
