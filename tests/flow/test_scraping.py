"""Metrics of a server with two workers: whichever is asked tells the same, and what was counted
outlives who has counted it.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gbproxy.simulator import Action, HoldHeaders, Stall, Text
from tests.support.chats import only
from tests.support.polling import until
from tests.support.prometheus import METRICS_KEY, Page, scraped
from tests.support.serving import Front, Served, SharedUpstream, fronting, serving

SETTINGS = {"WEB_CONCURRENCY": "2", "METRICS_KEY": METRICS_KEY, "LOG_LEVEL": "debug"}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
REQUESTS = "gbproxy_requests_total"
STARTS = "gbproxy_worker_starts_total"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="workers are told apart by /proc"),
]


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[SharedUpstream, Served]]:
    with SharedUpstream() as made, serving(made.environment(), **SETTINGS) as served:
        until(lambda: page(served).value(STARTS) == 2)
        yield made, served


@pytest.fixture
def upstream(shared: tuple[SharedUpstream, Served]) -> SharedUpstream:
    shared[0].reset()
    return shared[0]


@pytest.fixture
def gateway(shared: tuple[SharedUpstream, Served]) -> Served:
    return shared[1]


def page(gateway: Served) -> Page:
    return scraped(gateway)


def answered(page: Page) -> float:
    return page.value(REQUESTS, surface="openai_chat", status="200")


def test_every_worker_tells_what_all_have_counted(gateway: Served) -> None:
    before = page(gateway)
    for worker in gateway.worker_pids():
        with only(gateway, worker):
            gateway.log_of(gateway.ask())

    told = []
    for worker in gateway.worker_pids():
        with only(gateway, worker):
            told.append(page(gateway))

    for after in told:
        assert answered(after) - answered(before) == 2
        assert after.value("gbproxy_upstream_calls_total", verb="streamAssist", result="ok") >= 2
        assert after.value("gbproxy_token_refreshes_total", result="ok") >= 1
        assert after.value(STARTS) == before.value(STARTS) >= 2
        assert after.value("gbproxy_database_up") == 1


def test_what_runs_in_one_worker_is_told_by_the_other_until_it_is_killed(
    gateway: Served, upstream: SharedUpstream
) -> None:
    gateway.log_of(gateway.ask())
    upstream.script(Text("Moon"), Stall())
    held_by, other = sorted(gateway.worker_pids())
    with ExitStack() as stack:
        with only(gateway, held_by):
            call = stack.enter_context(gateway.call())
            call.ask()
            call.read_until(b"Moon")
        with only(gateway, other):
            before = page(gateway)
        os.kill(held_by, signal.SIGKILL)
        until(lambda: page(gateway).value(STARTS) - before.value(STARTS) == 1)

    after = page(gateway)
    assert before.by("gbproxy_answers_in_flight", "kind") == {"stream": 1}
    assert before.by("gbproxy_account_in_flight", "account") == {"default": 1}
    assert (
        after.by("gbproxy_answers_in_flight", "kind")
        == after.by("gbproxy_account_in_flight", "account")
        == {}
    )
    assert answered(after) == answered(before) > 0
    # What it had counted may still stand in its own files: a reader of them keeps them from being
    # added up.
    assert f"gauge_livesum_{held_by}.db" not in {file.name for file in files(gateway)}


def test_the_counts_go_on_over_a_reload(gateway: Served) -> None:
    gateway.log_of(gateway.ask())
    before, workers = page(gateway), gateway.worker_pids()

    gateway.process.signal(signal.SIGHUP)
    until(lambda: not gateway.worker_pids() & workers, 30)
    until(lambda: page(gateway).value(STARTS) - before.value(STARTS) == 2)
    gateway.log_of(gateway.ask())

    after = page(gateway)
    assert answered(after) - answered(before) == 1
    left = {0, gateway.pid, *gateway.worker_pids()}
    until(lambda: {int(file.stem.rpartition("_")[2]) for file in files(gateway)} == left)


@pytest.fixture(scope="module")
def one_place() -> Iterator[Front]:
    """A gateway with one account that gives one answer at a time; nobody but its requests opens
    sessions.
    """
    settings = {"METRICS_KEY": METRICS_KEY, "ACCOUNT_CONCURRENCY": "1"}
    with SharedUpstream() as made, fronting(made, settings, prewarms=False) as front:
        yield front


LEAVING: dict[str, tuple[str, tuple[Action, ...]]] = {
    "connecting": ("widgetCreateSession", (HoldHeaders(),)),
    "first_byte": ("widgetStreamAssist", (HoldHeaders(),)),
    "streaming": ("widgetStreamAssist", (Text("Moon"), Stall())),
}


@pytest.mark.parametrize("phase", LEAVING)
def test_who_leaves_is_counted_by_what_it_waited_for(one_place: Front, phase: str) -> None:
    one_place.renew()
    gateway, upstream = one_place.gateway, one_place.upstream
    path, script = LEAVING[phase]
    upstream.script(*script, path=path)
    before = page(gateway)

    with gateway.call() as call:
        call.ask(request_id=phase)
        assert upstream.wait_for(lambda: upstream.calls(path))
        if phase == "streaming":
            call.read_until(b"Moon")
    gateway.wait_for_event("request.done", lambda line: line["request_id"] == phase)

    assert gone_between(before, page(gateway)) == {phase: 1}


def test_who_leaves_while_it_waits_for_an_account_is_counted_as_waiting(one_place: Front) -> None:
    one_place.renew()
    gateway, upstream = one_place.gateway, one_place.upstream
    upstream.script(Text("Moon"), Stall())
    before = page(gateway)

    with gateway.call() as first, gateway.call() as second:
        first.ask(request_id="held")
        first.read_until(b"Moon")
        second.ask(stream=False, request_id="waiting")
        until(lambda: page(gateway).value("gbproxy_answers_in_flight", kind="whole") == 1)
        second.leave()
        gateway.wait_for_event("request.done", lambda line: line["request_id"] == "waiting")
    # It leaves last; the next test is not to count it.
    gateway.wait_for_event("request.done", lambda line: line["request_id"] == "held")

    after, waits = page(gateway), "gbproxy_account_wait_seconds_count"
    assert gone_between(before, after) == {"waiting": 1, "streaming": 1}
    assert after.value(waits) - before.value(waits) == 1


def gone_between(before: Page, after: Page) -> dict[str, float]:
    """How many clients have left, by phase."""
    name = "gbproxy_clients_gone_total"
    told = {
        phase: after.value(name, phase=phase) - before.value(name, phase=phase)
        for phase in after.by(name, "phase")
    }
    return {phase: number for phase, number in told.items() if number}


def test_a_trace_goes_on_upstream_and_into_every_line(
    gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.revoke_tokens()

    reply = gateway.ask(headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, model="gpt-4o")

    gateway.log_of(reply)
    request_id = reply.headers["x-request-id"]
    lines = [line for line in gateway.log_lines() if line["request_id"] == request_id]
    assert {line.get("trace_id") for line in lines} == {TRACE}
    assert {line["event"] for line in lines} >= {"model.mapped", "request.done"}
    sent = {r.headers["traceparent"] for r in upstream.requests if "traceparent" in r.headers}
    assert len(sent) == 1
    assert re.fullmatch(f"00-{TRACE}-(?!00f067aa0ba902b7)[0-9a-f]{{16}}-01", sent.pop())
    assert all("traceparent" in r.headers for r in upstream.calls("widgetStreamAssist"))


@pytest.mark.parametrize(
    "headers", [{}, {"traceparent": "00-no-trace-01"}], ids=["none", "invalid"]
)
def test_without_a_valid_one_there_is_no_trace(
    gateway: Served, upstream: SharedUpstream, headers: dict[str, str]
) -> None:
    reply = gateway.ask(headers=headers)

    assert "trace_id" not in gateway.log_of(reply)
    assert [r for r in upstream.requests if "traceparent" in r.headers] == []


def test_the_files_are_gone_with_the_server() -> None:
    with SharedUpstream() as made, serving(made.environment(), **SETTINGS) as gateway:
        until(lambda: page(gateway).value(STARTS) == 2)
        folders = {file.parent for file in files(gateway)}
        assert folders

        assert gateway.stop() == 0

    assert [folder for folder in folders if folder.exists()] == []


def files(gateway: Served) -> list[Path]:
    """What the server's processes count in."""
    places = (Path("/dev/shm"), Path(tempfile.gettempdir()))
    return [
        file for place in places for file in place.glob(f"gbproxy-metrics-{gateway.pid}-*/*.db")
    ]
