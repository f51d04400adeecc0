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
