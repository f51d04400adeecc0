"""Many at once: whoever asks whether the gateway is alive is answered, and of the others nobody is lost."""

from __future__ import annotations

import time
from contextlib import ExitStack

from gbproxy.simulator import Stall, Text
from tests.serving import SharedUpstream, serving

PLACES = 150
BEYOND = 450
WITHIN_S = 0.5  # 0.02 on a machine that does nothing else
ANSWERS = 10
PROBES = 500
PROBERS = 20


def test_health_answers_at_once_while_hundreds_of_requests_arrive_together() -> None:
    settings = {"WORKER_CONNECTIONS": str(PLACES), "ACCOUNT_CONCURRENCY": str(PLACES)}
    with SharedUpstream() as upstream, serving(upstream.environment() | settings) as gateway, ExitStack() as stack:
        upstream.script(Text("Half "), Stall(), times=PLACES)
        calls = [stack.enter_context(gateway.call()) for _ in range(PLACES + BEYOND)]
        took_s = []

        for call in calls:
            call.ask()
        while len(gateway.events("request.done", lambda line: line["status"] == 503)) < BEYOND:
            began = time.monotonic()
            assert gateway.request("GET", "/health").status == 200
            took_s.append(time.monotonic() - began)
        assert upstream.wait_for(lambda: upstream.open_streams == PLACES)
        heads = [call.read_until(b"\r\n") for call in calls]

    assert max(took_s) < WITHIN_S
    assert len(took_s) >= ANSWERS  # all through it, not only before and behind
    assert heads.count(b"HTTP/1.1 200 OK\r\n") == PLACES
    assert heads.count(b"HTTP/1.1 503 Service Unavailable\r\n") == BEYOND


def test_a_request_is_answered_while_somebody_asks_for_health_without_end() -> None:
    probe = b"GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n"
    with SharedUpstream() as upstream, serving(upstream.environment()) as gateway, ExitStack() as stack:
        probers = [stack.enter_context(gateway.call()) for _ in range(PROBERS)]
        began = time.monotonic()

        for prober in probers:
            prober.send(probe * PROBES)
        reply = gateway.ask()
        took_s = time.monotonic() - began
        statuses = {prober.reply().status for prober in probers for _ in range(PROBES)}
        all_s = time.monotonic() - began

    assert reply.succeeded
    assert statuses == {200}
    assert took_s < all_s / 3
