"""Many at once: health checks are answered, and no other request is lost."""

from __future__ import annotations

import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from gbproxy.simulator import Stall, Text
from tests.support.delays import Delays
from tests.support.serving import Call, Served, SharedUpstream, resident_bytes, serving

pytestmark = pytest.mark.slow

PLACES = 150
BEYOND = 450
WITHIN_S = 0.5  # 0.02 on a machine that does nothing else
ANSWERS = 10
PROBES = 500
PROBERS = 20

HELD = 1000
MORE = 4000
HELD_MB = 85
HELD_WITHIN_S = 5.0  # beside a busy core; behind the held answers it would be for ever
OPEN_FILES = HELD * 2 + MORE + 500  # of this process, which plays clients and upstream

Record = Callable[[str, object], None]


def test_health_answers_at_once_while_hundreds_of_requests_arrive_together() -> None:
    settings = {"WORKER_CONNECTIONS": str(PLACES), "ACCOUNT_CONCURRENCY": str(PLACES)}
    with (
        SharedUpstream() as upstream,
        serving(upstream.environment() | settings) as gateway,
        ExitStack() as stack,
    ):
        upstream.script(Text("Half "), Stall(), times=PLACES)
        workers = gateway.worker_pids()
        heads: list[bytes] = []
        took_s: list[float] = []
        beyond = 0

        # all through it, not only before and behind: more are refused while too few were answered
        while len(took_s) < ANSWERS:
            count = BEYOND if heads else PLACES + BEYOND
            calls = [stack.enter_context(gateway.call()) for _ in range(count)]
            beyond += BEYOND
            for call in calls:
                call.ask()
            while refused(gateway) < beyond:
                with Delays(workers) as delays:
                    began = time.monotonic()
                    assert gateway.request("GET", "/health").status == 200
                    health_s = time.monotonic() - began
                took_s.append(health_s - delays.total_s)
            assert upstream.wait_for(lambda: upstream.open_streams == PLACES)
            heads += [leave_if_refused(call) for call in calls]

    assert max(took_s) < WITHIN_S
    assert heads.count(b"HTTP/1.1 200 OK\r\n") == PLACES
    assert heads.count(b"HTTP/1.1 503 Service Unavailable\r\n") == beyond


def refused(gateway: Served) -> int:
    return len(gateway.events("request.done", lambda line: line["status"] == 503))


def leave_if_refused(call: Call) -> bytes:
    """The first line of its answer."""
    head = call.read_until(b"\r\n")
    if b" 503 " in head:
        call.leave()
    return head


def test_a_request_is_answered_while_somebody_asks_for_health_without_end() -> None:
    probe = b"GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n"
    with (
        SharedUpstream() as upstream,
        serving(upstream.environment()) as gateway,
        ExitStack() as stack,
    ):
        probers = [stack.enter_context(gateway.call()) for _ in range(PROBERS)]

        with Delays() as delays:
            began = time.monotonic()
            for prober in probers:
                prober.send(probe * PROBES)
            reply = gateway.ask()
            took_s = time.monotonic() - began
        statuses = {prober.reply().status for prober in probers for _ in range(PROBES)}
        all_s = time.monotonic() - began

    assert reply.succeeded
    assert statuses == {200}
    assert took_s - delays.total_s < all_s / 3


@contextmanager
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < OPEN_FILES:
        pytest.skip(f"the system lets a process open no more than {hard} files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, OPEN_FILES), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Probe:
    """Asks for health again and again, on a new connection each time."""

    def __init__(self, gateway: Served) -> None:
        self.took_s: list[float] = []
        self.statuses: set[int] = set()
        self._gateway = gateway
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._stopped.wait(0.01):
            began = time.monotonic()
            self.statuses.add(self._gateway.request("GET", "/health").status)
            self.took_s.append(time.monotonic() - began)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_thousand_answers_are_held_and_thousands_more_refused_while_health_answers(
    record_property: Record,
) -> None:
    settings = {"WORKER_CONNECTIONS": str(HELD), "ACCOUNT_CONCURRENCY": str(HELD)}
    with (
        many_files(),
        SharedUpstream() as upstream,
        serving(upstream.environment() | settings) as gateway,
        ExitStack() as stack,
    ):
        gateway.ask()
        (worker,) = gateway.worker_pids()
        idle = resident_bytes(worker)
        upstream.script(Text("Half "), Stall(), times=HELD)
        with Probe(gateway) as probe:
            for _ in range(HELD):
                stack.enter_context(gateway.call()).ask()
            assert upstream.wait_for(lambda: upstream.open_streams == HELD, 60)
            held_mb = (resident_bytes(worker) - idle) / 1e6
            calls = [stack.enter_context(gateway.call()) for _ in range(MORE)]
            for call in calls:
                call.ask()
            heads = {call.read_until(b"\r\n") for call in calls}
        still = upstream.open_streams

    took_ms = sorted(1000 * seconds for seconds in probe.took_s)
    record_property(
        "measured",
        f"{HELD} answers held (+{held_mb:.0f} MB) and {MORE} more refused: health after "
        f"{took_ms[len(took_ms) // 2]:.0f} ms at the median, {took_ms[-1]:.0f} ms at most",
    )
    assert heads == {b"HTTP/1.1 503 Service Unavailable\r\n"}
    assert still == HELD
    assert probe.statuses == {200}
    assert max(probe.took_s) < HELD_WITHIN_S
    assert held_mb < HELD_MB
