"""The connection that is read below its file (gbproxy/outbound/gevent_reader.py)."""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import gevent.socket
import gevent.ssl
import pytest

from gbproxy.outbound.gevent_reader import GeventReader
from gbproxy.simulator.http.certificates import make_certificates
from tests.support.delays import Delays
from tests.support.polling import until

Pair = tuple[GeventReader, Any, Any]  # what is tested, its socket, and the other side's


@pytest.fixture(params=["plain", "tls"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    ours, theirs = gevent.socket.socketpair()
    if request.param == "tls":
        ours, theirs = secured(ours, theirs, tmp_path)
    wire = GeventReader(ours, soon())
    yield wire, ours, theirs
    wire.close()
    for end in (ours, theirs):
        end.close()


def soon(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


def secured(ours: Any, theirs: Any, folder: Path) -> tuple[Any, Any]:
    ca, _ = make_certificates(folder)
    server = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem")
    client = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(ca)
    greeting = gevent.spawn(server.wrap_socket, theirs, server_side=True)
    secured_ours = client.wrap_socket(ours, server_hostname="localhost")
    return secured_ours, greeting.get(timeout=5)


def everything(wire: GeventReader, size: int) -> Iterator[bytes]:
    while data := wire.read1(size):
        yield data


def test_it_gives_what_comes_when_it_comes(pair: Pair) -> None:
    wire, _, theirs = pair
    gevent.spawn_later(0.05, theirs.sendall, b"first")

    first = wire.read1(100)
    theirs.sendall(b"second")

    assert (first, wire.read1(100)) == (b"first", b"second")


def test_what_does_not_fit_is_given_next_without_a_wait(pair: Pair) -> None:
    wire, _, theirs = pair
    theirs.sendall(b"abcdefg")

    assert [wire.read1(3) for _ in range(3)] == [b"abc", b"def", b"g"]


def test_all_of_a_long_text_arrives(pair: Pair) -> None:
    wire, _, theirs = pair
    text = bytes(range(256)) * 4000

    def send() -> None:
        theirs.sendall(text)
        theirs.close()

    sending = gevent.spawn(send)

    assert b"".join(everything(wire, 70_000)) == text
    sending.get(timeout=5)


def test_silence_up_to_the_deadline_is_a_timeout(pair: Pair) -> None:
    wire, _, _ = pair

    with Delays() as machine:
        started = time.monotonic()
        wire.until = started + 0.1
        with pytest.raises(TimeoutError):
            wire.read1(100)
        took_s = time.monotonic() - started

    assert 0.09 <= took_s < 2 + machine.total_s


def test_what_trickles_in_does_not_put_the_deadline_off(pair: Pair) -> None:
    wire, _, theirs = pair
    wire.until = soon(0.4)

    def drip() -> None:
        for _ in range(20):
            gevent.sleep(0.05)  # the trickle that is tested
            theirs.sendall(b"x")

    dripping = gevent.spawn(drip)

    with pytest.raises(TimeoutError):
        b"".join(everything(wire, 100))
    assert not dripping.ready()
    dripping.get(timeout=5)


def test_a_part_of_a_tls_record_is_no_news(tmp_path: Path) -> None:
    ours, theirs = gevent.socket.socketpair()
    relayed, far = gevent.socket.socketpair()
    passing = [
        gevent.spawn(drip_records, theirs, relayed, 64),
        gevent.spawn(pass_on, relayed, theirs),
    ]
    ours, far = secured(ours, far, tmp_path)
    wire = GeventReader(ours, soon(0.5))
    with Delays() as machine:
        started = time.monotonic()
        gevent.spawn(far.sendall, bytes(16_000))  # one record: 250 pieces

        with pytest.raises(TimeoutError):
            wire.read1(100_000)
        took_s = time.monotonic() - started

    assert took_s < 3 + machine.total_s
    wire.close()
    gevent.killall(passing)
    for end in (ours, theirs, relayed, far):
        end.close()


def drip_records(out: Any, source: Any, size: int) -> None:
    """Pass on what comes, the long records in small pieces."""
    while data := source.recv(65536):
        pieces = (
            [data]
            if len(data) < 8000
            else [data[at : at + size] for at in range(0, len(data), size)]
        )
        for piece in pieces:
            out.sendall(piece)
            if len(pieces) > 1:
                gevent.sleep(0.05)  # the trickle that is tested


def pass_on(out: Any, source: Any) -> None:
    while data := source.recv(65536):
        out.sendall(data)


# The first wait ends with a byte that is there already: its time is for a busy machine.
@pytest.mark.parametrize("times_s", [(5.0, 0.1), (math.inf, 0.1), (2.0, 2.3)])
def test_the_deadline_may_be_changed_between_two_waits(
    pair: Pair, times_s: tuple[float, float]
) -> None:
    wire, _, theirs = pair
    first_s, then_s = times_s
    theirs.sendall(b"x")
    wire.until = soon(first_s)
    wire.read1(100)
    with Delays() as machine:
        started = time.monotonic()
        wire.until = started + then_s
        with pytest.raises(TimeoutError):
            wire.read1(100)
        took_s = time.monotonic() - started

    assert then_s * 0.9 <= took_s < then_s + 2 + machine.total_s


def test_it_can_be_read_again_after_a_timeout(pair: Pair) -> None:
    wire, _, theirs = pair
    wire.until = soon(0.05)
    with pytest.raises(TimeoutError):
        wire.read1(100)
    theirs.sendall(b"late")
    wire.until = soon()

    assert wire.read1(100) == b"late"


def test_who_reads_can_be_called_away(pair: Pair) -> None:
    wire, _, theirs = pair
    reading = gevent.spawn(wire.read1, 100)
    gevent.sleep(0)  # it waits for bytes now

    reading.kill()
    theirs.sendall(b"for the next")

    assert wire.read1(100) == b"for the next"


def test_between_two_waits_no_timer_runs(pair: Pair) -> None:
    wire, _, theirs = pair
    loop = gevent.get_hub().loop
    before = loop.activecnt
    theirs.sendall(b"x")
    wire.until = soon(1.0)

    wire.read1(100)

    # as soon as the timer of that wait has ended
    until(lambda: loop.activecnt == before, sleep=gevent.sleep)
