"""The connection that is read below its file (gbproxy/outbound/wire.py)."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import gevent.socket
import gevent.ssl
import pytest

from gbproxy.outbound.wire import Wire
from gbproxy.simulator.ca import make_certificates

Pair = tuple[Wire, Any, Any]  # what is tested, its socket, and the other side's


@pytest.fixture(params=["plain", "tls"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    ours, theirs = gevent.socket.socketpair()
    if request.param == "tls":
        ours, theirs = secured(ours, theirs, tmp_path)
    wire = Wire(ours)
    yield wire, ours, theirs
    wire.close()
    for end in (ours, theirs):
        end.close()


def secured(ours: Any, theirs: Any, folder: Path) -> tuple[Any, Any]:
    ca, _ = make_certificates(folder)
    server = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem")
    client = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(ca)
    greeting = gevent.spawn(server.wrap_socket, theirs, server_side=True)
    secured_ours = client.wrap_socket(ours, server_hostname="localhost")
    return secured_ours, greeting.get(timeout=5)


def everything(wire: Wire, size: int) -> Iterator[bytes]:
    while data := wire.read1(size):
        yield data


def test_it_gives_what_comes_when_it_comes(pair: Pair) -> None:
    wire, ours, theirs = pair
    ours.settimeout(5)
    gevent.spawn_later(0.05, theirs.sendall, b"first")

    first = wire.read1(100)
    theirs.sendall(b"second")

    assert (first, wire.read1(100)) == (b"first", b"second")


def test_what_does_not_fit_is_given_next_without_a_wait(pair: Pair) -> None:
    wire, ours, theirs = pair
    ours.settimeout(5)
    theirs.sendall(b"abcdefg")

    assert [wire.read1(3) for _ in range(3)] == [b"abc", b"def", b"g"]


def test_all_of_a_long_text_arrives(pair: Pair) -> None:
    wire, ours, theirs = pair
    ours.settimeout(5)
    text = bytes(range(256)) * 4000

    def send() -> None:
        theirs.sendall(text)
        theirs.close()

    sending = gevent.spawn(send)

    assert b"".join(everything(wire, 70_000)) == text
    sending.get(timeout=5)


def test_silence_is_a_timeout(pair: Pair) -> None:
    wire, ours, _ = pair
    ours.settimeout(0.1)
    started = time.monotonic()

    with pytest.raises(TimeoutError):
        wire.read1(100)

    assert 0.09 <= time.monotonic() - started < 2


def test_each_wait_has_the_whole_time(pair: Pair) -> None:
    wire, ours, theirs = pair
    ours.settimeout(0.3)

    def drip() -> None:
        for _ in range(4):
            gevent.sleep(0.15)
            theirs.sendall(b"x")

    dripping = gevent.spawn(drip)

    assert [wire.read1(100) for _ in range(4)] == [b"x"] * 4
    dripping.get(timeout=5)
    with pytest.raises(TimeoutError):
        wire.read1(100)


@pytest.mark.parametrize("times_s", [(5.0, 0.1), (None, 0.1), (0.05, 0.3)])
def test_the_time_may_be_changed_between_two_waits(pair: Pair, times_s: tuple[float | None, float]) -> None:
    wire, ours, theirs = pair
    first_s, then_s = times_s
    ours.settimeout(first_s)
    theirs.sendall(b"x")
    wire.read1(100)
    ours.settimeout(then_s)
    started = time.monotonic()

    with pytest.raises(TimeoutError):
        wire.read1(100)

    assert then_s * 0.9 <= time.monotonic() - started < then_s + 2


def test_it_can_be_read_again_after_a_timeout(pair: Pair) -> None:
    wire, ours, theirs = pair
    ours.settimeout(0.05)
    with pytest.raises(TimeoutError):
        wire.read1(100)
    theirs.sendall(b"late")

    assert wire.read1(100) == b"late"


def test_who_reads_can_be_called_away(pair: Pair) -> None:
    wire, ours, theirs = pair
    ours.settimeout(5)
    reading = gevent.spawn(wire.read1, 100)
    gevent.sleep(0.02)

    reading.kill()
    theirs.sendall(b"for the next")

    assert wire.read1(100) == b"for the next"


def test_between_two_waits_no_timer_runs(pair: Pair) -> None:
    wire, ours, theirs = pair
    ours.settimeout(0.05)
    theirs.sendall(b"x")
    wire.read1(100)

    gevent.sleep(0.1)  # until the timer of that wait has ended

    assert wire._timer is None or not wire._timer.active
