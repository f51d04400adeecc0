"""A client that leaves is noticed at once, wherever its answer is: the upstream is left within 200
ms, the place given on.

The times are printed in the summary (tests/conftest.py).
"""

from __future__ import annotations

import json
import math
import random
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest

from gbproxy.simulator import Action, HoldHeaders, Rst, Stall, Text, answer
from gbproxy.simulator.http.actions import LazyWrites
from tests.support.chats import Chat, session_of, used_sessions, user
from tests.support.gates import Gate
from tests.support.polling import until
from tests.support.prometheus import METRICS_KEY, answers_in_flight
from tests.support.serving import Call, Front, Served, SharedUpstream, fronting, serving

pytestmark = pytest.mark.slow

NOTICED_S = 0.2
NOTICED_BEHIND_PIPELINED_S = 0.4
TRIES = 3  # the best counts: the machine may be busy with other things

Record = Callable[[str, object], None]
STREAM, OPENING, SIGN_IN = "widgetStreamAssist", "widgetCreateSession", "getoxsrf"

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
ways = pytest.mark.parametrize(
    "way", ["fin", "rst", "half", "fin after others", "rst after others"]
)

PHASES: dict[str, tuple[Action, ...]] = {
    "before the first byte": (HoldHeaders(),),
    "after the head": (Stall(),),
    "mid-stream": (Text("Half "), Stall()),
}


@pytest.fixture(scope="module")
def upstream_of_one() -> Iterator[SharedUpstream]:
    with SharedUpstream() as made:
        yield made


@pytest.fixture(scope="module")
def one_place(upstream_of_one: SharedUpstream) -> Iterator[Served]:
    """A gateway with one account that gives one answer at a time."""
    with serving(
        upstream_of_one.environment(), ACCOUNT_CONCURRENCY="1", METRICS_KEY=METRICS_KEY
    ) as served:
        yield served


@pytest.fixture(scope="module")
def front_without_prewarming() -> Iterator[Front]:
    settings = {"LOG_LEVEL": "debug", "METRICS_KEY": METRICS_KEY}
    with SharedUpstream() as made, fronting(made, settings, prewarms=False) as front:
        yield front


@pytest.fixture
def without_prewarming(front_without_prewarming: Front) -> Front:
    """A gateway in which nobody but the requests opens sessions, and the simulator behind it."""
    front_without_prewarming.renew()
    return front_without_prewarming


def best(record: Record, what: str, limit_s: float, attempt: Callable[[str], float]) -> None:
    """Record the shortest time of a few attempts, each of which is given a request id of its
    own.
    """
    times: list[float] = []
    while len(times) < TRIES and min(times, default=math.inf) > limit_s:
        times.append(attempt(f"{re.sub('[^a-z0-9]+', '-', what)}-{len(times)}"))
    record("measured", f"client gone, {what}: noticed after {min(times) * 1000:.1f} ms")
    assert min(times) <= limit_s, times


def assert_logged_as_gone(gateway: Served, request_id: str) -> None:
    done = gateway.wait_for_event("request.done", lambda line: line["request_id"] == request_id)
    assert done.get("client_gone") or done.get("code") == "client_gone"
    assert gateway.events("attempt.failed", lambda line: line["request_id"] == request_id) == []
    assert gateway.events("request.crashed") == []


def ask_before(call: Call, way: str) -> None:
    """The connection has carried other requests already, where the way says so."""
    for number in range(2 if way.endswith("after others") else 0):
        assert call.ask("Before", stream=number == 0, request_id="before").reply().succeeded


@ways
@streamed_or_not
@pytest.mark.parametrize("phase", PHASES)
def test_the_upstream_is_left_at_once(
    gateway: Served,
    upstream: SharedUpstream,
    phase: str,
    stream: bool,
    way: str,
    record_property: Record,
) -> None:
    def attempt(request_id: str) -> float:
        upstream.reset()
        with gateway.call() as call:
            ask_before(call, way)
            upstream.script(*PHASES[phase])
            assert upstream.wait_for(lambda: upstream.open_streams == 0)
            call.ask(stream=stream, request_id=request_id)
            assert upstream.wait_for(lambda: upstream.open_streams == 1)
            if phase == "mid-stream" and stream:
                call.read_until(b"Half ")
            *kept, left = used_sessions(upstream)

            left_at = time.monotonic()
            call.leave(way.partition(" ")[0])
            assert upstream.wait_for(lambda: upstream.open_streams == 0)
            noticed_s = time.monotonic() - left_at

            assert_logged_as_gone(gateway, request_id)
        assert upstream.wait_for(lambda: left.deleted)
        assert not any(session.deleted for session in kept)
        return noticed_s

    kind = "streamed" if stream else "whole"
    best(record_property, f"{phase}, {kind}, {way}", NOTICED_S, attempt)


@ways
@streamed_or_not
def test_a_sign_in_is_left_at_once(
    without_prewarming: Front, stream: bool, way: str, record_property: Record
) -> None:
    upstream, gateway = without_prewarming.upstream, without_prewarming.gateway

    def attempt(request_id: str) -> float:
        upstream.reset()
        chat = Chat(gateway)
        chat.say("Hello")
        (begun,) = used_sessions(upstream)
        with gateway.call() as call:
            ask_before(call, way)
            upstream.script(HoldHeaders(), path=SIGN_IN)
            upstream.revoke_tokens()
            before = len(upstream.calls(SIGN_IN))
            call.ask([*chat.messages, user("Go on")], stream=stream, request_id=request_id)
            assert upstream.wait_for(lambda: len(upstream.calls(SIGN_IN)) > before)
            held = upstream.calls(SIGN_IN)[before].connection

            left_at = time.monotonic()
            call.leave(way.partition(" ")[0])
            assert upstream.wait_for(lambda: not upstream.is_open(held))
            noticed_s = time.monotonic() - left_at

            assert_logged_as_gone(gateway, request_id)
        assert session_of(upstream.calls(STREAM)[-1]) == begun.short_name
        assert begun.queries == ["Hello"]
        assert upstream.wait_for(lambda: begun.deleted)
        return noticed_s

    best(
        record_property,
        f"signing in, {'streamed' if stream else 'whole'}, {way}",
        NOTICED_S,
        attempt,
    )


@ways
@streamed_or_not
def test_one_that_leaves_while_its_session_is_opened_is_let_go_at_once_and_the_session_deleted(
    without_prewarming: Front, stream: bool, way: str, record_property: Record
) -> None:
    upstream, gateway = without_prewarming.upstream, without_prewarming.gateway

    def opened_session() -> Iterable[bytes]:
        id_ = str(random.SystemRandom().randrange(10**18, 10**19))
        session = upstream.add_session(upstream.account, id_)
        yield json.dumps({"session": {"name": session.short_name}}).encode()

    def attempt(request_id: str) -> float:
        upstream.reset()
        gateway.ask("Sign in, should it be time")
        with gateway.call() as call:
            ask_before(call, way)
            known = upstream.sessions.keys()
            noticed = Gate()
            upstream.script(noticed.closed, LazyWrites(opened_session), path=OPENING)
            before = len(upstream.calls(OPENING))
            call.ask(stream=stream, request_id=request_id)
            assert upstream.wait_for(lambda: len(upstream.calls(OPENING)) > before)

            left_at = time.monotonic()
            call.leave(way.partition(" ")[0])
            gateway.wait_for_event("request.done", lambda line: line["request_id"] == request_id)
            noticed_s = time.monotonic() - left_at

            assert_logged_as_gone(gateway, request_id)
        noticed.open()
        assert upstream.wait_for(lambda: upstream.sessions.keys() - known)
        (opened,) = (session for id_, session in upstream.sessions.items() if id_ not in known)
        assert upstream.wait_for(lambda: opened.deleted)
        assert opened.queries == []
        return noticed_s

    best(
        record_property,
        f"opening a session, {'streamed' if stream else 'whole'}, {way}",
        NOTICED_S,
        attempt,
    )


@streamed_or_not
@pytest.mark.parametrize("way", ["fin", "rst", "half"])
def test_a_place_is_given_on_by_a_client_that_leaves(
    one_place: Served,
    upstream_of_one: SharedUpstream,
    way: str,
    stream: bool,
    record_property: Record,
) -> None:
    upstream = upstream_of_one
    kind = "streamed" if stream else "whole"

    def leaving_while_it_waits(request_id: str) -> float:
        upstream.reset()
        upstream.script(Stall(), times=2)
        with one_place.call() as holder, one_place.call() as waiter, one_place.call() as next_one:
            holder.ask("first")
            assert upstream.wait_for(lambda: upstream.open_streams == 1)
            waiter.ask("second", stream=stream, request_id=request_id)
            next_one.ask("third", stream=stream)
            until(lambda: answers_in_flight(one_place) == 3)

            left_at = time.monotonic()
            waiter.leave(way)
            one_place.wait_for_event("request.done", lambda line: line["request_id"] == request_id)
            noticed_s = time.monotonic() - left_at

            left_at = time.monotonic()
            holder.leave(way)
            assert upstream.wait_for(lambda: len(upstream.calls(STREAM)) == 2)
            given_on_s = time.monotonic() - left_at
            assert upstream.questions() == ["first", "third"]
            assert_logged_as_gone(one_place, request_id)
            # the call is recorded before it is counted among the open ones
            assert upstream.wait_for(lambda: upstream.open_streams == 1)
            next_one.leave()
        assert upstream.wait_for(lambda: upstream.open_streams == 0)
        return max(noticed_s, given_on_s)

    best(record_property, f"waiting for a place, {kind}, {way}", NOTICED_S, leaving_while_it_waits)


@streamed_or_not
@pytest.mark.parametrize("way", ["fin", "rst", "half"])
def test_a_client_that_leaves_while_the_gateway_connects_is_noticed(
    unconnected: Served, way: str, stream: bool, record_property: Record
) -> None:
    def attempt(request_id: str) -> float:
        with unconnected.call() as call:
            call.ask(stream=stream, request_id=request_id)
            until(lambda: answers_in_flight(unconnected) == 1)
            left_at = time.monotonic()
            call.leave(way)
            done = unconnected.wait_for_event(
                "request.done", lambda line: line["request_id"] == request_id
            )
            noticed_s = time.monotonic() - left_at
        assert done["code"] == "client_gone"
        return noticed_s

    best(
        record_property,
        f"connecting, {'streamed' if stream else 'whole'}, {way}",
        NOTICED_S,
        attempt,
    )


@pytest.fixture(scope="module")
def unconnected() -> Iterator[Served]:
    """A gateway whose upstream takes no connection."""
    with SharedUpstream() as upstream, _full_listener() as address:
        environment = upstream.environment() | {
            "GEMINI_BUSINESS_URL": address,
            "API_BASE_URL": f"{address}/v1alpha",
        }
        with serving(environment, METRICS_KEY=METRICS_KEY) as served:
            yield served


def test_a_client_that_leaves_during_the_pause_before_the_second_try_is_noticed(
    gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.script(Rst(), times=math.inf)

    for request_id in (f"leaves-in-the-pause-{number}" for number in range(5)):
        before = len(upstream.calls(STREAM))
        with gateway.call() as call:
            call.ask(request_id=request_id)
            mine = partial(_is_of, request_id)
            gateway.wait_for_event("attempt.failed", mine)
            call.leave()
            left_at = time.monotonic()
            done = gateway.wait_for_event("request.done", mine)
        later = upstream.calls(STREAM)[before + 1 :]
        left_in_time = not later or later[0].time - left_at > NOTICED_S
        if left_in_time:  # else a busy machine has taken longer than the pause
            break

    assert left_in_time
    assert done["code"] == "client_gone"
    assert done["attempts"] == 1
    assert len(upstream.calls(STREAM)) == before + 1


def _is_of(request_id: str, line: Mapping[str, Any]) -> bool:
    return bool(line["request_id"] == request_id)


def test_others_who_wait_for_the_same_sign_in_are_served_when_the_one_that_made_it_leaves(
    without_prewarming: Front,
) -> None:
    upstream, gateway = without_prewarming.upstream, without_prewarming.gateway
    chat = Chat(gateway)
    chat.say("Hello")
    upstream.reset()
    upstream.revoke_tokens()
    upstream.script(HoldHeaders(), path=SIGN_IN)

    with gateway.call() as first, gateway.call() as second:
        # in a session that is there already: it signs in by itself
        first.ask([*chat.messages, user("first")])
        assert upstream.wait_for(lambda: len(upstream.calls(SIGN_IN)) == 1)
        second.ask("second")
        until(lambda: answers_in_flight(gateway) == 2)
        first.leave("rst")
        reply = second.reply()

    assert reply.succeeded
    assert len(upstream.calls(SIGN_IN)) == 2
    assert upstream.questions() == ["second"]


# Pipelined requests: bytes that wait are no hang-up


@streamed_or_not
@pytest.mark.parametrize("together", [True, False], ids=["in one write", "later"])
def test_a_request_with_another_behind_it_is_answered_and_then_the_other(
    gateway: Served, upstream: SharedUpstream, together: bool, stream: bool
) -> None:
    upstream.script(*answer("One ", "two ", "three.", pause_s=0.15))
    upstream.script(*answer("Four."))

    with gateway.call() as call:
        first, second = call.request("first", stream=stream), call.request("second", stream=stream)
        if together:
            call.send(first + second)
        else:
            call.send(first)
            assert upstream.wait_for(lambda: upstream.open_streams == 1)
            call.send(second)
        replies = [call.reply(), call.reply()]

    assert [reply.text for reply in replies] == ["One two three.", "Four."]
    assert all(reply.succeeded for reply in replies)


@pytest.mark.parametrize(
    ("size", "way"),
    [
        *((1, way) for way in ("fin", "rst", "half")),
        *((20_000, way) for way in ("fin", "rst", "half")),
        # a FIN behind more than the gateway's system takes in does not even arrive
        (1_000_000, "rst"),
    ],
)
def test_a_client_that_leaves_with_bytes_waiting_is_noticed(
    gateway: Served, upstream: SharedUpstream, way: str, size: int, record_property: Record
) -> None:
    def attempt(request_id: str) -> float:
        upstream.reset()
        assert upstream.wait_for(lambda: upstream.open_streams == 0)
        upstream.script(Text("Half "), Stall())
        with gateway.call() as call:
            call.ask(request_id=request_id)
            call.read_until(b"Half ")
            call.send_what_fits(b"P" * size)
            # bytes that wait are no hang-up
            assert not upstream.wait_for(lambda: upstream.open_streams == 0, 0.15)

            left_at = time.monotonic()
            call.leave(way)
            assert upstream.wait_for(lambda: upstream.open_streams == 0)
            noticed_s = time.monotonic() - left_at
        done = gateway.wait_for_event("request.done", lambda line: line["request_id"] == request_id)
        assert done["client_gone"] is True
        return noticed_s

    what = f"{size} byte(s) of a next request waiting, {way}"
    best(record_property, what, NOTICED_BEHIND_PIPELINED_S, attempt)


@contextmanager
def _full_listener() -> Iterator[str]:
    """The address of a socket whose queue is full, so that no connection is made to it."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield "http://127.0.0.1:{1}".format(*listener.getsockname())
