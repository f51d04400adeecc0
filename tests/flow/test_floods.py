"""An upstream that sends faster than anybody can handle: it is read in turns with all others, and
not for ever.
"""

from __future__ import annotations

import json
import math
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import Any

import pytest

from gbproxy.simulator import Action, Head, Write
from tests.support.delays import Delays
from tests.support.polling import until, until_steady
from tests.support.serving import Call, Reply, Served, SharedUpstream, resident_bytes, serving

pytestmark = pytest.mark.slow

Record = Callable[[str, object], None]

HEALTH_S = 0.5  # on a machine that does other things too; it is to be under 0.2
MB = 1024 * 1024
JSON, EVENTS = "application/json", "text/event-stream"
WITHOUT_END = 4000
_PACE_S = 0.005  # between two looks


def said(text: str, **content: Any) -> bytes:
    reply = {"groundedContent": {"content": {"role": "model", "text": text, **content}}}
    answer = {"state": "IN_PROGRESS", "replies": [reply]}
    return json.dumps({"streamAssistResponse": {"answer": answer}}).encode()


def flood(first: bytes, again: bytes, content_type: str = JSON) -> tuple[Action, ...]:
    """What begins so and then goes on without an end."""
    many = again * (128 * 1024 // len(again) + 1)
    return (
        Head(headers={"Content-Type": content_type}),
        Write(first),
        *[Write(many)] * WITHOUT_END,
    )


def bomb(again: bytes) -> tuple[Action, ...]:
    """The same, packed: what comes is little, what it says is gigabytes."""
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    first = packer.compress(b"[{}") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(again * (8 * MB // len(again))) + packer.flush(zlib.Z_FULL_FLUSH)
    head = Head(headers={"Content-Type": JSON, "Content-Encoding": "gzip"})
    # behind a full flush, a block says the same anywhere
    return (head, Write(first), *[Write(block)] * WITHOUT_END)


BEFORE_CONTENT: dict[str, tuple[Action, ...]] = {
    "white space": flood(b"[", b" \n"),
    "elements of nothing": flood(b"[{}", b",{}"),
    "elements without an end": flood(b'[{"a":"', b"x"),
    "objects in an element": flood(b'[{"a":[{}', b",{}"),
    "thoughts": flood(b"[{}", b"," + said("Hm, let me think. " * 200, thought=True)),
    "white space of the answer's": flood(b"[{}", b"," + said("\n" * 500)),
    "replies": flood(
        b"[{}", b',{"streamAssistResponse":{"answer":{"replies":[{}%b]}}}' % (b",{}" * 900)
    ),
    "more replies": flood(
        b"[{}", b',{"streamAssistResponse":{"answer":{"replies":[{}%b]}}}' % (b",{}" * 10_000)
    ),
    "comments": flood(b"", b": keep-alive\n\n", EVENTS),
    "events without data": flood(b"", b"id: 1\n\n", EVENTS),
    "an event without an end": flood(b"data: ", b"x", EVENTS),
    "lines without an end": flood(b"", b"data: x\n", EVENTS),
    "packed white space": bomb(b" "),
    "packed elements": bomb(b",{}"),
}
AFTER_CONTENT = flood(b"[" + said("Hello, "), b"," + said("and so on, " * 100))


class Watch:
    """Asks for health all the time, and how much memory the worker holds, until it is left. What
    the machine's other work takes is no part of `slowest_s`.
    """

    def __init__(self, gateway: Served) -> None:
        self._gateway = gateway
        [self._worker] = gateway.worker_pids()
        self._before = resident_bytes(self._worker)
        self.slowest_s, self.grown_bytes, self.asked = 0.0, 0, 0

    def look(self) -> None:
        with Delays([self._worker]) as delays:
            started = time.monotonic()
            assert self._gateway.request("GET", "/health").status == 200
            took_s = time.monotonic() - started
        self.slowest_s = max(self.slowest_s, took_s - delays.total_s)
        self.grown_bytes = max(self.grown_bytes, resident_bytes(self._worker) - self._before)
        self.asked += 1

    def while_running(self, running: list[Future[Reply]]) -> list[Reply]:
        while wait(running, timeout=_PACE_S).not_done:
            self.look()
        return [future.result() for future in running]

    def __str__(self) -> str:
        return (
            f"health {self.slowest_s * 1000:.0f} ms at most, {self.grown_bytes / MB:.0f} MB more at"
            " most"
        )


@pytest.fixture(scope="module")
def upstream() -> Iterator[SharedUpstream]:
    with SharedUpstream() as made:
        yield made


@pytest.fixture(scope="module")
def gateway(upstream: SharedUpstream) -> Iterator[Served]:
    """One that takes answers of two megabytes."""
    limits = {"MAX_ANSWER_MB": "2", "ACCOUNT_CONCURRENCY": "100", "MAX_ATTEMPTS": "1"}
    # a heartbeat would begin the answer, and its status could no longer tell the error
    with serving(upstream.environment() | limits | {"HEARTBEAT_S": "0"}) as made:
        made.ask("Hello")
        yield made


@pytest.fixture(autouse=True)
def quiet(upstream: SharedUpstream) -> None:
    upstream.reset()
    assert upstream.wait_for(lambda: upstream.open_streams == 0)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_a_flood_ends_as_an_error_and_nobody_else_waits(
    gateway: Served, upstream: SharedUpstream, record_property: Record, stream: bool
) -> None:
    watch = Watch(gateway)
    floods = list(BEFORE_CONTENT.values()) if stream else list(BEFORE_CONTENT.values())[::3]
    for script in floods:
        upstream.script(*script)

    with ThreadPoolExecutor(len(floods)) as pool:
        replies = watch.while_running([pool.submit(gateway.ask, stream=stream) for _ in floods])

    record_property(
        "measured", f"{len(floods)} floods at once, {'streamed' if stream else 'whole'}: {watch}"
    )
    assert [(reply.status, reply.error["code"]) for reply in replies] == [
        (502, "upstream_error")
    ] * len(floods)
    assert len(upstream.questions()) == len(floods)  # nobody is asked for that once more
    assert watch.slowest_s < HEALTH_S
    assert watch.grown_bytes < 250 * MB


def test_a_flood_of_text_is_given_up_to_the_limit_and_then_an_error(
    gateway: Served, upstream: SharedUpstream, record_property: Record
) -> None:
    watch = Watch(gateway)
    for _ in range(4):
        upstream.script(*AFTER_CONTENT)

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(gateway.ask, stream=stream) for stream in (True, True, True, False)]
        *streamed, whole = watch.while_running(asked)

    record_property("measured", f"4 floods of text at once: {watch}")
    for reply in streamed:
        assert "MAX_ANSWER_MB" in reply.error["message"]
        assert 2 * MB - 2000 < len(reply.text) <= 2 * MB
        assert reply.finish_reason is None
    assert (whole.status, whole.error["code"]) == (502, "upstream_error")
    assert watch.slowest_s < HEALTH_S


def test_streams_that_nobody_reads_cost_little(
    gateway: Served, upstream: SharedUpstream, record_property: Record
) -> None:
    first, more = 4, 12  # the first ones also cost what a worker needs only once
    upstream.script(*AFTER_CONTENT, times=math.inf)
    with ExitStack() as stack:
        calls: list[Call] = [
            stack.enter_context(gateway.call()).ask("Say much") for _ in range(first)
        ]
        until(lambda: upstream.open_streams == first)
        _settled(Watch(gateway))
        watch = Watch(gateway)
        calls += [stack.enter_context(gateway.call()).ask("Say much") for _ in range(more)]
        until(lambda: upstream.open_streams == first + more)
        held_mb = _settled(watch) / MB / more
        running = upstream.open_streams
        texts = [call.read_until(b"and so on") for call in calls]

    record_property("measured", f"a stream that nobody reads: {held_mb:.2f} MB; {watch}")
    assert all(b"Hello, " in text for text in texts)
    assert running == first + more
    assert held_mb < 1
    assert watch.slowest_s < HEALTH_S


def _settled(watch: Watch) -> int:
    """How much more the worker holds, once that has not grown for a while."""

    def grown_bytes() -> int:
        watch.look()
        return watch.grown_bytes

    return until_steady(grown_bytes, every_s=_PACE_S)
