"""SIGTERM and SIGHUP: nothing that runs is broken, nothing that comes is lost, and the end comes in
time.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from gbproxy.app import EXTENSION
from gbproxy.simulator import Pause, Simulator, Stall, Text, answer
from tests.support.delays import Delays
from tests.support.gates import Gate
from tests.support.polling import until
from tests.support.prometheus import METRICS_KEY, answers_in_flight
from tests.support.serving import DONE, Reply, Served, SharedUpstream, in_process, serving

STREAMS = 200
KEPT_S = 0.4  # for so long after the signal a connection without a request surely is
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="workers are told apart by /proc"),
]


def settings(upstream: Simulator, **more: str) -> dict[str, str]:
    return upstream.environment() | {"ACCOUNT_CONCURRENCY": "1000", "LOG_LEVEL": "debug", **more}


def readiness(served: Served) -> tuple[int, str]:
    reply = served.request("GET", "/readyz")
    return reply.status, reply.json()["status"]


def test_all_of_many_running_streams_are_finished_and_requests_are_taken_while_readiness_fails() -> (
    None
):
    with (
        SharedUpstream() as upstream,
        # as long as the requests meanwhile take on a busy machine
        serving(settings(upstream), GRACEFUL_TIMEOUT_S="20", DRAIN_DELAY_S="5") as gateway,
    ):
        has_ended = Gate()
        upstream.script(
            Text("word "), has_ended.closed, *answer(*["word "] * 11, pause_s=0.05), times=STREAMS
        )
        with ThreadPoolExecutor(STREAMS) as pool:
            running = [
                pool.submit(gateway.ask, f"Question {number}", stream=True)
                for number in range(STREAMS)
            ]
            assert upstream.wait_for(lambda: upstream.open_streams == STREAMS, 60)
            assert readiness(gateway) == (200, "healthy")
            upstream.script(*answer("Still here."), times=math.inf)

            gateway.process.signal(signal.SIGTERM)
            gateway.wait_for_event("server.draining")
            draining, health = readiness(gateway), gateway.request("GET", "/health").status
            late = [gateway.ask(stream=stream) for stream in (False, True)]
            until(lambda: is_refused(gateway.address))
            has_ended.open()

            replies = [future.result() for future in running]
        status = gateway.process.wait()

    assert (draining, health) == ((503, "draining"), 200)
    assert [reply.text for reply in late] == ["Still here."] * 2
    assert Counter(reply.text for reply in replies) == {"word " * 12: STREAMS}
    assert all(reply.succeeded for reply in replies)
    assert status == 0


def test_answers_longer_than_the_grace_are_ended_with_an_error_that_says_why() -> None:
    with (
        SharedUpstream() as upstream,
        serving(settings(upstream), GRACEFUL_TIMEOUT_S="1") as gateway,
    ):
        upstream.script(Text("Half "), Stall(), times=20)
        with ThreadPoolExecutor(20) as pool:
            streams = [pool.submit(gateway.ask, stream=True) for _ in range(10)]
            wholes = [pool.submit(gateway.ask) for _ in range(10)]
            assert upstream.wait_for(lambda: upstream.open_streams == 20)

            with Delays() as machine:
                asked_at = time.monotonic()
                gateway.process.signal(signal.SIGTERM)
                streamed, whole = (
                    [future.result() for future in streams],
                    [future.result() for future in wholes],
                )
                answered_s = time.monotonic() - asked_at
                status = gateway.process.wait()
                ended_s = time.monotonic() - asked_at
        expired = gateway.wait_for_event("answers.expired")

    assert {(reply.status, reply.text, reply.error["code"]) for reply in streamed} == {
        (200, "Half ", "overloaded")
    }
    assert not any(reply.succeeded or DONE in reply.frames for reply in streamed)
    assert {(reply.status, reply.error["code"]) for reply in whole} == {(503, "overloaded")}
    assert all("stopping" in reply.error["message"] for reply in (*streamed, *whole))
    assert all(reply.headers["Retry-After"] == "1" for reply in whole)
    assert expired["answers"] == 20
    assert 1 <= answered_s < 2 + machine.total_s
    assert ended_s < 5 + machine.total_s
    assert status == 0


def test_one_that_waits_for_a_place_is_told_when_the_grace_is_over() -> None:
    with (
        SharedUpstream() as upstream,
        serving(
            settings(upstream, ACCOUNT_CONCURRENCY="1", METRICS_KEY=METRICS_KEY),
            GRACEFUL_TIMEOUT_S="0.5",
        ) as gateway,
    ):
        upstream.script(Text("Half "), Stall())
        with gateway.call() as holder, ThreadPoolExecutor(1) as pool:
            holder.ask()
            holder.read_until(b"Half ")
            waiting = pool.submit(gateway.ask)
            until(lambda: answers_in_flight(gateway) == 2)
            gateway.process.signal(signal.SIGTERM)
            reply = waiting.result()
        status = gateway.process.wait()

    assert (reply.status, reply.error["code"]) == (503, "overloaded")
    assert len(upstream.calls("widgetStreamAssist")) == 1
    assert status == 0


def test_connections_without_a_request_do_not_hold_up_the_end() -> None:
    with (
        SharedUpstream() as upstream,
        serving(settings(upstream), GRACEFUL_TIMEOUT_S="20") as gateway,
        ExitStack() as stack,
    ):
        used = [stack.enter_context(gateway.call()) for _ in range(5)]
        for call in used:
            assert call.ask(stream=False).reply().status == 200
        unused = [stack.enter_context(gateway.call()) for _ in range(5)]
        half_asked = stack.enter_context(gateway.call())
        half_asked.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: ga")
        gateway.request("GET", "/health")  # all are accepted

        with Delays() as machine:
            asked_at = time.monotonic()
            gateway.process.signal(signal.SIGTERM)
            status = gateway.process.wait()
            ended_s = time.monotonic() - asked_at

        assert [call.read() for call in (*used, *unused)] == [b""] * 10

    assert status == 0
    assert ended_s < 3 + machine.total_s


def test_a_request_on_a_kept_connection_is_still_answered_after_the_signal() -> None:
    for _ in range(5):
        with (
            SharedUpstream() as upstream,
            serving(settings(upstream), GRACEFUL_TIMEOUT_S="10") as gateway,
        ):
            upstream.script(*answer("One."), times=2)
            with gateway.call() as call:
                assert call.ask(stream=False).reply().text == "One."
                told_at = told_to_stop(gateway)
                call.ask(stream=False)
                is_in_time = time.monotonic() - told_at < KEPT_S
                if is_in_time:
                    reply, end = call.reply(), call.read()
            status = gateway.process.wait()
        if is_in_time:  # else a busy machine has taken longer than the connection is kept
            break

    assert is_in_time
    assert reply.text == "One."
    assert reply.headers["Connection"] == "close"
    assert (end, status) == (b"", 0)


def told_to_stop(gateway: Served) -> float:
    """Tell it to stop. When, at the earliest, its worker was told, once it was; monotonic
    seconds.
    """
    told_at = time.monotonic()

    def is_told() -> bool:
        nonlocal told_at
        asked_at = time.monotonic()
        if ends_connections(gateway):
            return True
        told_at = asked_at
        return False

    gateway.process.signal(signal.SIGTERM)
    until(is_told)
    return told_at


def ends_connections(gateway: Served) -> bool:
    """True once the worker, told to stop, keeps no connection for another request, or takes in none
    any more.
    """
    try:
        return gateway.request("GET", "/health").headers["Connection"] == "close"
    except (ConnectionError, http.client.HTTPException):
        return True


@pytest.mark.slow
def test_a_reload_under_load_loses_nothing() -> None:
    with (
        SharedUpstream() as upstream,
        serving(settings(upstream, WEB_CONCURRENCY="2"), GRACEFUL_TIMEOUT_S="20") as gateway,
    ):
        upstream.script(Text("One "), Pause(0.05), *answer("two."), times=math.inf)
        before = gateway.worker_pids()
        outcomes: Counter[str] = Counter()
        stop = threading.Event()

        def fresh(number: int) -> None:
            while not stop.is_set():
                outcomes[outcome(gateway.ask(f"{number}", stream=number % 2 == 0))] += 1

        def kept(number: int) -> None:
            with closing(http.client.HTTPConnection(*gateway.address, timeout=60)) as connection:
                body = json.dumps(
                    {"stream": number % 2 == 0, "messages": [{"role": "user", "content": "Hi"}]}
                )
                while not stop.is_set():
                    connection.request("POST", "/v1/chat/completions", body, gateway.headers)
                    response = connection.getresponse()
                    outcomes[
                        outcome(Reply(response.status, response.headers, response.read()))
                    ] += 1

        def until_so_many_more(count: int) -> None:
            so_far = outcomes.total()
            until(lambda: outcomes.total() >= so_far + count)

        def outcome(reply: Reply) -> str:
            return reply.text if reply.succeeded else f"{reply.status} {reply.body!r}"

        with ThreadPoolExecutor(16) as pool:
            callers = [pool.submit(how, number) for number in range(8) for how in (fresh, kept)]
            try:
                for _ in range(2):
                    until_so_many_more(30)
                    gateway.process.signal(signal.SIGHUP)
                    before = replaced(gateway, before, 2)
                until_so_many_more(50)
            finally:
                stop.set()
            for caller in callers:
                caller.result()

    assert outcomes.keys() == {"One two."}
    assert outcomes.total() > 100


def test_a_long_stream_survives_a_reload() -> None:
    with (
        SharedUpstream() as upstream,
        serving(settings(upstream), GRACEFUL_TIMEOUT_S="20") as gateway,
    ):
        upstream.script(*answer(*["word "] * 15, pause_s=0.2))
        (before,) = gateway.worker_pids()
        arriving = gateway.pieces()
        body = next(arriving)

        gateway.process.signal(signal.SIGHUP)
        body += b"".join(arriving)

        replaced(gateway, frozenset({before}), 1)
    assert body.count(b"word ") == 15
    assert body.endswith(b"data: [DONE]\n\n")


def test_settings_from_files_that_have_changed_hold_after_a_reload(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    old, new = "sk-old-key-0123456789", "sk-new-key-0123456789"
    keys.write_text(old)
    with (
        SharedUpstream() as upstream,
        serving(settings(upstream), API_KEYS=None, API_KEYS_FILE=str(keys)) as gateway,
    ):
        before = statuses(gateway, old, new)
        workers = gateway.worker_pids()

        keys.write_text(new)
        gateway.process.signal(signal.SIGHUP)
        replaced(gateway, workers, 1)
        after = statuses(gateway, old, new)

    assert (before, after) == ([200, 401], [401, 200])


def statuses(gateway: Served, *keys: str) -> list[int]:
    return [gateway.request("GET", "/v1/models", headers={"x-api-key": key}).status for key in keys]


def replaced(gateway: Served, before: frozenset[int], count: int) -> frozenset[int]:
    """The workers, once there are so many and none of those before."""
    until(lambda: len(workers := gateway.worker_pids()) == count and not workers & before, 60)
    return gateway.worker_pids()


def is_refused(address: tuple[str, int]) -> bool:
    """True when nothing listens there any more."""
    try:
        socket.create_connection(address, timeout=5).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it was closed in this very moment
        return False
    return False


def test_nobody_listens_once_the_end_has_begun() -> None:
    with (
        SharedUpstream() as upstream,
        serving(settings(upstream), GRACEFUL_TIMEOUT_S="10") as gateway,
    ):
        is_closed = Gate()
        upstream.script(Text("word "), is_closed.closed, *answer("word "))
        arriving = gateway.pieces()
        body = next(arriving)
        gateway.process.signal(signal.SIGTERM)
        with Delays() as machine:
            took_s = until(lambda: is_refused(gateway.address), 8)  # before the grace is over
        is_closed.open()
        body += b"".join(arriving)

        assert gateway.process.wait() == 0
    assert took_s < 2.5 + machine.total_s  # gunicorn stops to accept within a second
    assert body.endswith(b"data: [DONE]\n\n")


def test_a_reload_with_settings_that_cannot_be_read_changes_nothing(
    tmp_path: Path, upstream: SharedUpstream
) -> None:
    agent = tmp_path / "headers"
    agent.write_text("{}")

    with serving({**upstream.environment(), "UPSTREAM_HEADERS_FILE": str(agent)}) as gateway:
        agent.write_text("nonsense")
        os.kill(gateway.pid, signal.SIGHUP)
        refused = gateway.wait_for_event("settings.refused")

        assert refused["level"] == "error"
        gateway.process.wait_for(lambda: "UPSTREAM_HEADERS_FILE" in gateway.stderr or None)
        assert gateway.ask().succeeded


@pytest.mark.parametrize("stream", [False, True])
def test_what_begins_when_the_grace_is_over_is_told_so(stream: bool) -> None:
    with SharedUpstream() as upstream, in_process(upstream.environment()) as gateway:
        gateway.app.extensions[EXTENSION].responder.expire()

        reply = gateway.ask(stream=stream)

    assert (reply.status, reply.error["code"], reply.headers["Retry-After"]) == (
        503,
        "overloaded",
        "1",
    )
    assert "stopping" in reply.error["message"]
    assert not upstream.calls("widgetStreamAssist")
