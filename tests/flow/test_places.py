"""Who may be answered at once: places on an account and its waiting line, places in the worker, and
a slow reader's share.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from gbproxy.simulator import Element, Final, Rst, Stall, Text, answer, overloaded
from tests.support.delays import Delays
from tests.support.polling import until, until_steady
from tests.support.prometheus import METRICS_KEY, answers_in_flight
from tests.support.serving import (
    Call,
    Front,
    Served,
    SharedUpstream,
    fronting,
    resident_bytes,
    serving,
)

pytestmark = pytest.mark.slow

HEARTBEAT_S = 0.2
WAIT_S = 5.0
PATIENT_S = 60.0
WORKER_PLACES = 3
PING = b": ping\n\n"
Record = Callable[[str, object], None]


# Places on an account


@pytest.fixture(scope="module", params=[WAIT_S])
def one_answer(request: pytest.FixtureRequest) -> Iterator[tuple[SharedUpstream, Served]]:
    """A gateway with one account that gives one answer at a time; nobody waits for long, or for
    longer than a test asks for.
    """
    with SharedUpstream() as upstream:
        settings = {
            "ACCOUNT_CONCURRENCY": "1",
            "READ_TIMEOUT_S": str(request.param),
            "HEARTBEAT_S": str(HEARTBEAT_S),
            "METRICS_KEY": METRICS_KEY,
        }
        with serving(upstream.environment() | settings) as served:
            yield upstream, served


@pytest.fixture
def busy(
    one_answer: tuple[SharedUpstream, Served],
) -> Iterator[tuple[SharedUpstream, Served, Call]]:
    """The same with its only place taken, as long as the connection that is given is held."""
    upstream, served = one_answer
    upstream.reset()
    until(lambda: answers_in_flight(served) == 0)
    upstream.script(Text("still "), *answer(*["here "] * 200, pause_s=0.2))
    with served.call() as holder:
        holder.ask("holder")
        holder.read_until(b"still ")
        yield upstream, served, holder


@pytest.mark.parametrize("one_answer", [PATIENT_S], indirect=True)
def test_more_requests_than_places_wait_in_order_with_heartbeat(
    busy: tuple[SharedUpstream, Served, Call],
) -> None:
    upstream, served, holder = busy
    upstream.script(*answer("Done."), times=math.inf)
    questions = [f"question {number}" for number in range(5)]

    with ExitStack() as stack:
        waiting = []
        for question in questions:
            call = stack.enter_context(served.call())
            call.ask(question)
            waiting.append(call)
            # one after the other: their order is what is tested; the holder is one, too
            until(lambda: answers_in_flight(served) == len(waiting) + 1)
        for call in waiting:
            call.read_until(PING)
        assert upstream.questions() == ["holder"]
        holder.leave()
        replies = [call.read_until(b"[DONE]") for call in waiting]

    assert all(b"Done." in reply for reply in replies)
    assert upstream.questions() == ["holder", *questions]


def test_one_that_has_waited_for_too_long_is_told_that_the_gateway_is_full(
    busy: tuple[SharedUpstream, Served, Call],
) -> None:
    upstream, served, _ = busy

    started = time.monotonic()
    with ThreadPoolExecutor(2) as pool, Delays(served.worker_pids()) as delays:
        streamed, whole = pool.map(lambda stream: served.ask(stream=stream), [True, False])
    waited_s = time.monotonic() - started

    assert WAIT_S <= waited_s < WAIT_S + 1 + delays.total_s
    assert (streamed.status, streamed.error["code"]) == (200, "overloaded")
    assert streamed.body.count(PING) >= 5
    assert (whole.status, whole.error["code"]) == (503, "overloaded")
    assert int(whole.headers["Retry-After"]) > 0
    assert whole.headers["x-should-retry"] is None
    assert upstream.questions() == ["holder"]
    # waiting is not the gateway's own time
    assert served.log_of(whole)["overhead_ms"] < 500 + 1000 * delays.total_s


def test_the_place_is_free_again_after_all_that(one_answer: tuple[SharedUpstream, Served]) -> None:
    upstream, served = one_answer
    upstream.reset()

    replies = [served.ask(stream=stream) for stream in (True, False)]

    assert all(reply.succeeded for reply in replies)


# Places in the worker


@pytest.fixture(scope="module")
def small() -> Iterator[Front]:
    settings = {
        "WORKER_CONNECTIONS": str(WORKER_PLACES),
        "ACCOUNT_CONCURRENCY": "100",
        "METRICS_KEY": METRICS_KEY,
    }
    with SharedUpstream() as upstream, fronting(upstream, settings) as made:
        yield made


def renew(small: Front) -> None:
    """With all places free: a client has its answer, or has left, a little before that."""
    until(lambda: answers_in_flight(small.gateway) == 0)
    small.renew()


def held(stack: ExitStack, upstream: SharedUpstream, served: Served, count: int) -> list[Call]:
    """So many answers that do not end."""
    upstream.script(Text("Half "), Stall(), times=count)
    calls = [stack.enter_context(served.call()).ask() for _ in range(count)]
    for call in calls:
        call.read_until(b"Half ")
    return calls


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_beyond_the_worker_s_places_the_answer_is_an_overload_at_once(
    small: Front, stream: bool
) -> None:
    upstream, served = small.upstream, small.gateway
    renew(small)

    with ExitStack() as stack:
        held(stack, upstream, served, WORKER_PLACES)
        with Delays(served.worker_pids()) as delays:
            started = time.monotonic()
            reply = served.ask(stream=stream)
            took_s = time.monotonic() - started
        health = [
            served.request("GET", path).status for path in ("/health", "/livez", "/readyz", "/")
        ]

    assert (reply.status, reply.error["code"]) == (503, "overloaded")
    assert int(reply.headers["Retry-After"]) > 0
    assert reply.headers["x-should-retry"] is None
    assert took_s < 0.5 + delays.total_s
    assert health == [200] * 4


@pytest.mark.parametrize(
    "end", ["success", "error", "error after content", "fin", "rst", "whole", "whole error", "bad"]
)
def test_a_place_is_given_back_however_the_answer_ended(small: Front, end: str) -> None:
    upstream, served = small.upstream, small.gateway

    for _ in range(2 * WORKER_PLACES):
        renew(small)  # an account that cools is not asked at all
        match end:
            case "success":
                assert served.ask(stream=True).succeeded
            case "whole":
                assert served.ask().succeeded
            case "error" | "whole error":
                upstream.script(*overloaded())
                assert served.ask(stream=end == "error").status == 503
            case "error after content":
                upstream.script(Text("Half "), Rst())
                assert served.ask(stream=True).error["code"] == "upstream_error"
            case "bad":
                assert served.post({"messages": "none"}).status == 400
            case _:
                with ExitStack() as stack:
                    (call,) = held(stack, upstream, served, 1)
                    call.leave(end)
                    assert upstream.wait_for(lambda: upstream.open_streams == 0)

    renew(small)
    with ExitStack() as stack:
        assert len(held(stack, upstream, served, WORKER_PLACES)) == WORKER_PLACES
    assert upstream.wait_for(lambda: upstream.open_streams == 0)


# A slow reader


class Watched(dict[str, Any]):
    """An element of the upstream's answer that is noted when it goes out."""

    def __init__(self, text: str, sent: list[float]) -> None:
        content = {"role": "model", "text": text}
        reply = {"groundedContent": {"content": content}}
        answer = {"state": "IN_PROGRESS", "replies": [reply]}
        super().__init__({"streamAssistResponse": {"answer": answer}})
        self._sent = sent

    def items(self) -> Any:  # a view of the items
        self._sent.append(time.monotonic())
        return super().items()


PIECE = 64 * 1024
PIECES = 480  # 30 MB


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("leaves", [False, True], ids=["reads later", "leaves"])
def test_a_client_that_reads_nothing_holds_the_upstream_back(
    gateway: Served, upstream: SharedUpstream, leaves: bool, record_property: Record
) -> None:
    gateway.ask()
    # A client that the test before has left may be noticed a little later.
    assert upstream.wait_for(lambda: upstream.open_streams == 0)
    sent: list[float] = []
    upstream.script(*(Element(Watched("x" * PIECE, sent)) for _ in range(PIECES)), Final())
    (worker,) = gateway.worker_pids()
    before = resident_bytes(worker)

    with gateway.call() as call:
        call.receive_little()
        call.ask()
        assert upstream.wait_for(lambda: upstream.open_streams == 1)
        until(lambda: sent)
        settled = until_steady(lambda: len(sent))
        grown = resident_bytes(worker) - before
        record_property(
            "measured",
            f"slow reader: {settled * PIECE / 1e6:.0f} of 30 MB taken, RSS +{grown / 1e6:.1f} MB",
        )
        assert 0 < settled < PIECES * 0.5
        assert upstream.open_streams == 1
        assert grown < 10_000_000
        with Delays([worker]) as delays:
            asked_at = time.monotonic()
            assert gateway.request("GET", "/health").status == 200
            took_s = time.monotonic() - asked_at
        assert took_s < 1.0 + delays.total_s
        if leaves:
            with Delays([worker]) as delays:
                left_at = time.monotonic()
                call.leave("rst")
                assert upstream.wait_for(lambda: upstream.open_streams == 0)
                took_s = time.monotonic() - left_at
            assert took_s < 0.4 + delays.total_s
        else:
            reply = call.reply()
            assert len(reply.text) == PIECE * PIECES
            assert reply.succeeded
