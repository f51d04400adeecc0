"""Faults of the upstream and of the way to it, each met by one of two accounts, then by both.

What the client got, what the upstream saw, and what the pool learnt: nothing, as none of this is an
account's own fault.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from gbproxy.simulator import (
    Action,
    End,
    Fin,
    Head,
    HoldHeaders,
    Pause,
    Rst,
    Simulator,
    Stall,
    Text,
    Write,
    answer,
    cut_after,
    empty_body,
    html_reply,
    overloaded,
)
from tests.support.chats import accounts, asked, csesidx
from tests.support.gates import Gate
from tests.support.polling import until
from tests.support.relays import Relay
from tests.support.serving import DONE, Front, Reply, Served, SharedUpstream, fronting

pytestmark = pytest.mark.slow

READ_TIMEOUT_S = 3.5  # far more than a busy machine may be late by
HEARTBEAT_S = 0.12

# of what was said in another test; they may come until its relay leads elsewhere
DELETIONS = {"widgetDeleteSession"}
LEARNT = ("account.cooling", "account.refused")
JSON = Head(200, {"Content-Type": "application/json"})
GZIP = Head(200, {"Content-Type": "application/json", "Content-Encoding": "gzip"})


@dataclass(frozen=True)
class Way:
    """A gateway for two accounts, the simulator, and the relay between them. TLS goes all the
    way.
    """

    front: Front
    relay: Relay

    @property
    def gateway(self) -> Served:
        return self.front.gateway

    @property
    def upstream(self) -> SharedUpstream:
        return self.front.upstream

    def heard(self) -> set[str]:
        """The names of the requests that reached the simulator."""
        return {request.name for request in self.upstream.requests}

    def learnt(self, reply: Reply) -> list[tuple[str, str]]:
        """What the pool took from one request: which account rests, or is set aside."""
        done = self.gateway.log_of(reply)
        lines = [
            line for line in self.gateway.log_lines() if line["request_id"] == done["request_id"]
        ]
        return [(line["event"], line["account"]) for line in lines if line["event"] in LEARNT]


@pytest.fixture(scope="module")
def made() -> Iterator[Way]:
    """Requests open their own sessions, so that nobody but them is heard upstream."""
    with ExitStack() as stack:
        upstream = stack.enter_context(SharedUpstream(tls=True))
        relay = stack.enter_context(Relay(("127.0.0.1", upstream.port)))
        settings = accounts(upstream, 2) | {
            **dict.fromkeys(("SECURE_C_SES", "HOST_C_OSES", "CSESIDX", "CONFIG_ID"), ""),
            "GEMINI_BUSINESS_URL": f"https://127.0.0.1:{relay.port}",
            "API_BASE_URL": f"https://127.0.0.1:{relay.port}/v1alpha",
            "ACCOUNT_ORDER": "first",
            "READ_TIMEOUT_S": str(READ_TIMEOUT_S),
            "HEARTBEAT_S": str(HEARTBEAT_S),
        }
        way = Way(stack.enter_context(fronting(upstream, settings, prewarms=False)), relay)

        def both_sign_in() -> bool:
            upstream.script(Rst(), csesidx=csesidx(upstream, "first"))
            return way.gateway.ask().succeeded

        until(both_sign_in)  # on a busy machine an answer may come after READ_TIMEOUT_S
        yield way


@pytest.fixture
def way(made: Way) -> Way:
    made.front.renew()
    return made


def element(text: str, state: str = "IN_PROGRESS") -> bytes:
    reply = {"groundedContent": {"content": {"text": text}}}
    return json.dumps(
        {"streamAssistResponse": {"answer": {"state": state, "replies": [reply]}}}
    ).encode()


def _begun(text: str) -> bytes:
    """The beginning of a compressed answer: all of its first element."""
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    return packer.compress(b"[" + element(text)) + packer.flush(zlib.Z_SYNC_FLUSH)


@dataclass(frozen=True)
class Fault:
    """`asked`: which accounts are asked, in order, when all meet it."""

    script: tuple[Action, ...]
    status: int = 502
    code: str = "upstream_error"
    asked: tuple[str, ...] = ("first", "second", "second")


# no third wait for the same
SILENCE = {"status": 504, "code": "upstream_timeout", "asked": ("first", "second")}

BEFORE_CONTENT = {
    "reset": Fault((Rst(),)),
    "hang-up": Fault((Fin(),)),
    "headers never": Fault((HoldHeaders(),), **SILENCE),  # type: ignore[arg-type]
    "stall": Fault((JSON, Stall()), **SILENCE),  # type: ignore[arg-type]
    "truncated JSON": Fault((JSON, Write(b'[{"streamAssistResponse": {"answer"'), End())),
    "HTML with 200": Fault(html_reply(200, "Sign in")),
    "empty 200": Fault(empty_body()),
    "broken gzip": Fault((GZIP, Write(b"\x1f\x8b\x08 this is no gzip"), End())),
}
AFTER_CONTENT = {
    "reset": Fault((Text("Half "), Rst())),
    "hang-up": Fault((Text("Half "), Fin())),
    "stall": Fault((Text("Half "), Stall()), 504, "upstream_timeout"),
    "truncated JSON": Fault(
        (Text("Half "), Write(b',\n{"streamAssistResponse": {"ans'), End(close_array=False))
    ),
    "broken gzip": Fault(
        (GZIP, Write(_begun("Half ")), Pause(0.05), Write(b"\xff this is no gzip"), End())
    ),
}


def cases(table: dict[str, Fault]) -> list[Any]:
    return [pytest.param(fault, id=name) for name, fault in table.items()]


WHOLE_AND_STREAMED = [
    *(pytest.param(fault, False, id=name) for name, fault in BEFORE_CONTENT.items()),
    *(
        pytest.param(BEFORE_CONTENT[name], True, id=f"{name}, streamed")
        for name in ("reset", "headers never")
    ),
]


def assert_told(reply: Reply, fault: Fault) -> None:
    """By a status of its own, or, after a heartbeat, as the last event of the stream."""
    assert reply.status == (200 if reply.streamed else fault.status), reply.body
    assert reply.error["code"] == fault.code
    assert DONE not in reply.body.decode()
    assert not reply.succeeded


@pytest.mark.parametrize("fault", cases(BEFORE_CONTENT))
def test_what_one_account_meets_before_content_nobody_sees(way: Way, fault: Fault) -> None:
    way.upstream.script(*fault.script, csesidx=csesidx(way.upstream, "first"))

    reply = way.gateway.ask("Hello", stream=True)

    assert reply.succeeded
    assert reply.finish_reason == "stop"
    assert asked(way.upstream) == ["first", "second"]
    assert way.upstream.questions() == ["Hello", "Hello"]
    assert way.learnt(reply) == []


@pytest.mark.parametrize(("fault", "stream"), WHOLE_AND_STREAMED)
def test_what_all_accounts_meet_before_content_is_an_error_and_the_next_answer_is_whole(
    way: Way, fault: Fault, stream: bool
) -> None:
    way.upstream.script(*fault.script, times=math.inf)

    reply = way.gateway.ask(stream=stream)

    assert_told(reply, fault)
    assert asked(way.upstream) == list(fault.asked)
    assert way.learnt(reply) == []
    way.upstream.clear_scripts()
    assert way.gateway.ask(stream=stream).succeeded


@pytest.mark.parametrize("fault", cases(AFTER_CONTENT))
def test_after_content_it_is_an_error_behind_what_was_said(way: Way, fault: Fault) -> None:
    way.upstream.script(*fault.script)

    reply = way.gateway.ask(stream=True)

    assert_told(reply, fault)
    assert reply.text == "Half "
    assert asked(way.upstream) == ["first"]  # nothing is ever said twice
    assert way.upstream.wait_for(lambda: way.upstream.open_streams == 0)
    assert way.learnt(reply) == []


def test_what_is_an_account_s_own_would_be_learnt(way: Way) -> None:
    way.upstream.script(*overloaded(), csesidx=csesidx(way.upstream, "first"))

    reply = way.gateway.ask()

    assert reply.succeeded
    assert asked(way.upstream) == ["first", "second"]
    assert way.learnt(reply) == [("account.cooling", "first")]


def test_a_cut_at_every_border_between_elements_is_made_good_before_content_and_told_after_it(
    way: Way,
) -> None:
    words = [f"{number} " for number in range(5)]
    script = answer(*words, thoughts=("Hm.",))
    way.upstream.set(suggestions=False)

    for border in range(len(words) + 2):  # the thought before them, the end after them
        way.front.renew()
        way.upstream.set(suggestions=False)
        way.upstream.script(*cut_after(border, script), csesidx=csesidx(way.upstream, "first"))

        reply = way.gateway.ask(stream=True)

        said = words[: max(0, border - 1)]
        if said:
            assert reply.text == "".join(said)
            assert_told(reply, Fault(()))
            assert asked(way.upstream) == ["first"]
        else:
            assert reply.succeeded
            assert asked(way.upstream) == ["first", "second"]
        assert way.learnt(reply) == []


@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream", ""])
def test_an_answer_with_a_wrong_content_type_is_read_all_the_same(
    way: Way, content_type: str
) -> None:
    way.upstream.script(Head(200, {"Content-Type": content_type}), *answer("All ", "of ", "it."))

    reply = way.gateway.ask(stream=True)

    assert reply.text == "All of it."
    assert reply.succeeded
    assert asked(way.upstream) == ["first"]
    assert way.learnt(reply) == []


def test_a_late_first_byte_is_bridged_by_heartbeats(way: Way) -> None:
    silence = Gate()
    way.upstream.script(silence.closed, *answer("At ", "last."))

    with way.gateway.call() as call:
        call.ask(request_id="bridged")
        call.wait_for(b": ping\n\n")
        silence.open()
        reply = call.reply()

    assert reply.body.startswith(b": ping\n\n")
    assert reply.text == "At last."
    assert reply.succeeded
    assert asked(way.upstream) == ["first"]
    assert way.learnt(reply) == []


def test_an_answer_that_trickles_in_byte_by_byte_is_whole(way: Way) -> None:
    """It takes longer than silence may last, and is never silent."""
    body = b"[" + element("Drop ") + b"," + element("by drop.", state="SUCCEEDED") + b"]"
    pause = 1.3 * READ_TIMEOUT_S / len(body)
    drops: list[Action] = [step for byte in body for step in (Write(bytes([byte])), Pause(pause))]
    way.upstream.script(JSON, *drops, End())

    reply = way.gateway.ask(stream=True)

    assert reply.text == "Drop by drop."
    assert reply.succeeded
    assert asked(way.upstream) == ["first"]
    assert way.learnt(reply) == []


def test_a_refused_connection_is_an_error_until_somebody_listens_again(way: Way) -> None:
    way.relay.close()

    reply = way.gateway.ask()

    assert_told(reply, Fault(()))
    assert "127.0.0.1" not in reply.error["message"]
    assert way.heard() <= DELETIONS
    assert way.learnt(reply) == []
    way.relay.open()
    assert way.gateway.ask().succeeded


def test_a_tls_failure_is_an_error_and_nothing_is_sent(way: Way) -> None:
    with Simulator(tls=True) as impostor:  # of an authority that nobody has named
        way.relay.lead_to(("127.0.0.1", impostor.port))

        reply = way.gateway.ask()

        assert impostor.requests == []
    assert_told(reply, Fault(()))
    assert "TLS" in reply.error["message"]
    assert way.heard() <= DELETIONS
    assert way.learnt(reply) == []
    way.relay.lead_to(("127.0.0.1", way.upstream.port))
    assert way.gateway.ask().succeeded
