"""Traces and metrics by OTLP: what arrives at a receiver, and that none is waited for."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from gbproxy.simulator import answer, overloaded
from tests.support.chats import STREAM, accounts, csesidx
from tests.support.delays import Delays
from tests.support.otlp_receiver import OtlpReceiver, attributes, receiving
from tests.support.polling import until
from tests.support.serving import KEY, Served, SharedUpstream, serving

SECRET = "what-nobody-may-read"
MODEL = "gemini-auto"
SERVER, CLIENT = 2, 3  # kinds of spans
ERROR = 2  # a status
SOON = {
    "OTEL_BSP_SCHEDULE_DELAY": "100",
    "OTEL_METRIC_EXPORT_INTERVAL": "200",
    "OTEL_EXPORTER_OTLP_HEADERS": "x-token=for-the-receiver",
}


@dataclass
class Observed:
    upstream: SharedUpstream
    gateway: Served
    receiver: OtlpReceiver


@pytest.fixture(scope="module")
def running() -> Iterator[Observed]:
    with SharedUpstream() as upstream, receiving() as (receiver, address):
        settings = accounts(upstream, 2) | SOON | {"ACCOUNT_ORDER": "first"}
        with serving(settings, OTEL_EXPORTER_OTLP_ENDPOINT=address) as gateway:
            yield Observed(upstream, gateway, receiver)


@pytest.fixture
def observed(running: Observed) -> Iterator[Observed]:
    running.upstream.reset()
    yield running
    running.receiver.behaviour = "takes"


def traced(observed: Observed, trace_id: str) -> tuple[Any, list[Any]]:
    """The span of a request, and those below it, once they have arrived."""

    def servers() -> list[Any]:
        return [each for each in observed.receiver.spans(trace_id) if each.kind == SERVER]

    until(servers, message=lambda: observed.gateway.log_lines())
    (server,) = servers()
    until(lambda: len(observed.receiver.spans(trace_id)) > 1)
    below = [each for each in observed.receiver.spans(trace_id) if each.kind == CLIENT]
    assert {each.parent_span_id for each in below} == {server.span_id}
    return server, below


def test_a_request_continues_the_clients_trace_with_a_span_for_each_try(
    observed: Observed,
) -> None:
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    observed.upstream.script(
        *overloaded(), path=STREAM, csesidx=csesidx(observed.upstream, "first")
    )
    observed.upstream.script(
        *answer(f"The answer is {SECRET}."),
        path=STREAM,
        csesidx=csesidx(observed.upstream, "second"),
    )

    reply = observed.gateway.ask(
        f"Say {SECRET}.", headers={"traceparent": f"00-{trace_id}-{span_id}-01"}
    )

    assert (reply.status, reply.text) == (200, f"The answer is {SECRET}.")
    server, tries = traced(observed, trace_id)
    assert server.parent_span_id.hex() == span_id
    assert server.name == "POST /v1/chat/completions"
    told = attributes(server)
    line = observed.gateway.log_of(reply)
    assert (told["gbproxy.request_id"], told["gbproxy.key"]) == (line["request_id"], line["key"])
    assert (told["http.response.status_code"], told["gbproxy.attempts"]) == (200, 2)
    assert told["gen_ai.usage.output_tokens"] == line["output_tokens"]
    assert [event.name for event in server.events] == ["gen_ai.first_token"]
    assert [
        (attributes(each).get("gbproxy.account"), attributes(each).get("error.type"))
        for each in tries
    ] == [("first", "upstream_overloaded"), ("second", None)]
    assert [each.status.code == ERROR for each in tries] == [True, False]
    assert [[event.name for event in each.events] for each in tries] == [
        [],
        ["gen_ai.first_token"],
    ]
    assert tries[0].end_time_unix_nano <= tries[1].start_time_unix_nano
    assert {each.name for each in tries} == {f"chat {MODEL}"}
    sent = [call.headers.get("traceparent", "") for call in observed.upstream.calls(STREAM)]
    assert all(f"{trace_id}-{server.span_id.hex()}" in header for header in sent)


def test_what_is_sent_has_no_content_and_no_secret(observed: Observed) -> None:
    observed.upstream.script(*answer(f"The answer is {SECRET}."))

    observed.gateway.ask(f"Say {SECRET}.", stream=True)

    until(lambda: observed.receiver.points("gen_ai.client.operation.duration"))
    until(lambda: observed.receiver.spans(""))
    sent = b"".join(observed.receiver.bodies)
    secret = [SECRET, KEY, *(each.secure_c_ses for each in observed.upstream.accounts.values())]
    assert not any(each.encode() in sent for each in secret)
    assert {each["x-token"] for each in observed.receiver.headers} == {"for-the-receiver"}
    assert {each["service.name"] for each in observed.receiver.resources()} == {"gbproxy"}


def test_a_request_without_a_trace_begins_one(observed: Observed) -> None:
    reply = observed.gateway.ask("Hello", stream=True)

    server, tries = traced(observed, observed.gateway.log_of(reply)["trace_id"])
    assert (server.parent_span_id, len(tries)) == (b"", 1)


def test_a_trace_that_the_client_does_not_record_is_not_recorded(observed: Observed) -> None:
    unrecorded, recorded = secrets.token_hex(16), secrets.token_hex(16)
    span = secrets.token_hex(8)
    observed.gateway.ask("Hello", headers={"traceparent": f"00-{unrecorded}-{span}-00"})
    observed.gateway.ask("Hello", headers={"traceparent": f"00-{recorded}-{span}-01"})

    traced(observed, recorded)

    assert observed.receiver.spans(unrecorded) == []


def test_metrics_have_the_names_of_the_conventions(observed: Observed) -> None:
    before = sum(
        each.count for each in observed.receiver.points("gen_ai.client.operation.duration")
    )

    observed.gateway.ask("Hello")

    def durations() -> list[Any]:
        return observed.receiver.points("gen_ai.client.operation.duration")

    def token_types() -> set[str]:
        usage = observed.receiver.points("gen_ai.client.token.usage")
        return {attributes(each)["gen_ai.token.type"] for each in usage}

    until(lambda: sum(each.count for each in durations()) > before)
    assert {attributes(each)["gen_ai.request.model"] for each in durations()} == {MODEL}
    # what is counted of one answer may be sent in two parts
    until(lambda: observed.receiver.points("gen_ai.server.time_to_first_token"))
    until(lambda: token_types() == {"input", "output"})


def test_probes_leave_no_span(observed: Observed) -> None:
    trace_id, span = secrets.token_hex(16), secrets.token_hex(8)
    header = {"traceparent": f"00-{trace_id}-{span}-01"}
    observed.gateway.request("GET", "/health", headers=header)
    observed.gateway.request("GET", "/v1/models", headers={**observed.gateway.headers, **header})

    until(lambda: observed.receiver.spans(trace_id))

    assert [each.name for each in observed.receiver.spans(trace_id)] == ["GET /v1/models"]


@pytest.mark.slow
def test_a_receiver_that_stalls_or_refuses_holds_nothing_up() -> None:
    with (
        SharedUpstream() as upstream,
        receiving() as (receiver, address),
        serving(
            upstream.environment() | SOON,
            OTEL_EXPORTER_OTLP_ENDPOINT=address,
            OTEL_EXPORTER_OTLP_TIMEOUT="1",
        ) as gateway,
    ):
        receiver.behaviour = "refuses"
        assert gateway.ask("Hello").status == 200
        until(lambda: gateway.events("telemetry.unavailable"), 30)
        receiver.behaviour = "takes"
        assert gateway.ask("Hello").status == 200
        until(lambda: gateway.events("telemetry.available"), 30)
        receiver.behaviour = "stalls"
        until(receiver.stalled.is_set, 30)

        with Delays(gateway.worker_pids()) as delays:
            began = time.monotonic()
            statuses = [gateway.ask("Hello").status for _ in range(5)]
            took_s = time.monotonic() - began
        with Delays() as delays_of_end:
            began = time.monotonic()
            gateway.stop()
            end_s = time.monotonic() - began

        assert statuses == [200] * 5
        assert took_s < 5 + delays.total_s
        assert end_s < 9 + delays_of_end.total_s


def test_nothing_of_opentelemetry_is_loaded_while_it_is_off() -> None:
    program = (
        "import sys; from gbproxy.app import create_app; from gbproxy import settings;"
        "from gbproxy.domain.catalogue import built_in_names;"
        "app = create_app(settings.load({'API_KEYS': 'a-key-for-tests-0123'}, built_in_names()));"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={}
    )

    assert done.stdout.strip() == "[]"
