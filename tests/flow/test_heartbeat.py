"""A stream that has nothing to send says that it is alive, and stays free to fail over until its
first content.
"""

from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from gbproxy.simulator import (
    HoldHeaders,
    Pause,
    Rst,
    Stall,
    Text,
    answer,
    http_error,
    overloaded,
)
from gbproxy.simulator.http.actions import LazyElements
from tests.support.delays import Delays
from tests.support.gates import Gate
from tests.support.serving import DONE, Front, Reply, Served, SharedUpstream, fronting, serving

pytestmark = pytest.mark.slow

HEARTBEAT_S = 0.3
SELDOM_S = 3.0  # a heart that beats no more often finds no silence where a busy machine was late
READ_TIMEOUT_S = 4.5
PING = b": ping\n\n"
CONTENT = {"text": "Hm.", "thought": True}
THOUGHT = {
    "streamAssistResponse": {
        "answer": {"state": "IN_PROGRESS", "replies": [{"groundedContent": {"content": CONTENT}}]}
    }
}
ASKED: Any = [{"role": "user", "content": "Hello"}]

_numbers = itertools.count()


@pytest.fixture(scope="module")
def slow_front() -> Iterator[Front]:
    """A gateway whose heart beats often."""
    settings = {"HEARTBEAT_S": str(HEARTBEAT_S), "READ_TIMEOUT_S": str(READ_TIMEOUT_S)}
    with SharedUpstream() as upstream, fronting(upstream, settings) as made:
        yield made


@pytest.fixture
def upstream(slow_front: Front) -> SharedUpstream:
    slow_front.renew()
    return slow_front.upstream


@pytest.fixture
def beating(slow_front: Front) -> Served:
    return slow_front.gateway


def beaten(gateway: Served, silence: Gate, *behind: bytes) -> Reply:
    """The whole answer to a question for which the upstream goes on once the heart has beaten."""
    with gateway.call() as call:
        call.ask(request_id=f"beaten-{next(_numbers)}")
        call.wait_for(*behind, PING)
        silence.open()
        return call.reply()


def test_a_response_begins_with_a_heartbeat_when_nothing_comes(
    beating: Served, upstream: SharedUpstream
) -> None:
    silence = Gate()
    upstream.script(silence.closed, *answer("All ", "is ", "well."))

    with Delays() as machine:
        asked_at = time.monotonic()
        arriving = beating.pieces()
        first = next(arriving)
        began_s = time.monotonic() - asked_at
    second = next(arriving)
    silence.open()
    body = first + second + b"".join(arriving)
    took_s = time.monotonic() - asked_at

    assert first == PING
    assert HEARTBEAT_S <= began_s < 2 * HEARTBEAT_S + machine.total_s
    assert 2 <= body.count(PING) <= took_s / HEARTBEAT_S
    assert body.rindex(PING) < body.index(b"All ")
    assert body.endswith(b"data: [DONE]\n\n")


def test_an_error_after_a_heartbeat_is_an_event(beating: Served, upstream: SharedUpstream) -> None:
    silence = Gate()
    upstream.script(silence.closed, *overloaded())

    reply = beaten(beating, silence)

    assert reply.status == 200
    assert reply.body.startswith(PING)
    assert reply.error["code"] == "upstream_overloaded"
    assert DONE not in reply.frames


def test_an_error_before_a_heartbeat_has_its_own_status(front: Front) -> None:
    """Of a heart that beats so seldom that the error comes before it."""
    front.upstream.script(*overloaded())

    assert front.gateway.ask(stream=True).status == 503


@pytest.mark.parametrize("script", [(Rst(),), http_error(500, "INTERNAL")], ids=["reset", "500"])
def test_another_try_is_made_after_a_heartbeat(
    beating: Served, upstream: SharedUpstream, script: Any
) -> None:
    silence = Gate()
    upstream.script(silence.closed, *script)
    upstream.script(*answer("All is well."))

    reply = beaten(beating, silence)

    assert reply.body.startswith(PING)
    assert reply.text == "All is well."
    assert reply.succeeded
    assert reply.chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert reply.headers["x-gbproxy-attempts"] == "1"  # as known when the headers went out
    assert beating.log_of(reply)["attempts"] == 2


def test_two_failed_tries_after_a_heartbeat_are_one_error(
    beating: Served, upstream: SharedUpstream
) -> None:
    silence = Gate()
    upstream.script(silence.closed, Rst(), times=2)

    reply = beaten(beating, silence)

    assert (reply.status, reply.error["code"]) == (200, "upstream_error")
    assert re.sub(rb"^(: ping\n\n)+", b"", reply.body).count(b"data: ") == 1


def test_a_busy_stream_has_no_heartbeat(upstream: SharedUpstream) -> None:
    """Though it lasts longer than silence may."""
    words = math.ceil(1.2 * SELDOM_S / 0.1)
    upstream.script(*answer(*["word "] * words, pause_s=0.1))

    with serving(upstream.environment(), HEARTBEAT_S=str(SELDOM_S)) as gateway:
        reply = gateway.ask(stream=True)

    assert reply.text == "word " * words
    assert PING not in reply.body


def test_a_stream_that_falls_silent_beats_between_its_words(
    beating: Served, upstream: SharedUpstream
) -> None:
    silence = Gate()
    upstream.script(Text("Half "), silence.closed, *answer("an answer."))

    reply = beaten(beating, silence, b"Half ")

    assert re.search(b"Half .*%b.*an answer" % PING, reply.body, re.DOTALL)
    assert reply.text == "Half an answer."


def test_hidden_thoughts_are_silence(beating: Served, upstream: SharedUpstream) -> None:
    silence = Gate()

    def thoughts() -> Iterator[dict[str, Any]]:
        while not silence.wait(0.1):
            yield THOUGHT

    upstream.script(LazyElements(thoughts), *answer("Well."))

    reply = beaten(beating, silence)

    assert reply.body.startswith(PING)
    assert reply.text == "Well."
    assert reply.succeeded


def test_an_answer_in_one_piece_has_no_heartbeat(beating: Served, upstream: SharedUpstream) -> None:
    upstream.script(*answer("All is well.", first_byte_s=0.7))

    reply = beating.ask()

    assert reply.text == "All is well."
    assert reply.body.startswith(b"{")


def test_the_sdk_does_not_see_heartbeats(beating: Served, upstream: SharedUpstream) -> None:
    upstream.script(HoldHeaders(0.7), Text("All "), Pause(0.7), *answer("is well."))

    with (
        openai.OpenAI(base_url=f"{beating.url}/v1", api_key=beating.key, max_retries=0) as client,
        client.chat.completions.create(model="gemini-auto", messages=ASKED, stream=True) as stream,
    ):
        chunks = list(stream)

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "All is well."
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_the_sdk_raises_an_error_behind_a_heartbeat(
    beating: Served, upstream: SharedUpstream
) -> None:
    silence = Gate()
    upstream.script(silence.closed, *overloaded())

    with (
        openai.OpenAI(base_url=f"{beating.url}/v1", api_key=beating.key, max_retries=0) as client,
        client.chat.completions.create(model="gemini-auto", messages=ASKED, stream=True) as stream,
    ):
        silence.open()  # the stream has begun, with a heartbeat
        with pytest.raises(openai.APIError) as raised:
            list(stream)

    assert raised.value.code == "upstream_overloaded"


def test_a_client_that_leaves_after_a_heartbeat_is_noticed(
    beating: Served, upstream: SharedUpstream
) -> None:
    upstream.script(Stall())

    with beating.call() as call:
        call.ask(request_id="leaves-after-a-beat")
        call.read_until(PING)
        with Delays() as machine:
            left_at = time.monotonic()
            call.leave()
            assert upstream.wait_for(lambda: upstream.open_streams == 0)
            noticed_s = time.monotonic() - left_at

    done = beating.wait_for_event(
        "request.done", lambda line: line["request_id"] == "leaves-after-a-beat"
    )
    assert (done["status"], done["client_gone"]) == (200, True)
    assert noticed_s < 0.2 + machine.total_s


def test_without_a_heartbeat_a_late_error_still_has_its_status(upstream: SharedUpstream) -> None:
    with serving(upstream.environment(), HEARTBEAT_S="0") as gateway:
        upstream.script(HoldHeaders(0.6), *overloaded())
        reply = gateway.ask(stream=True)

    assert reply.status == 503
    assert reply.error["code"] == "upstream_overloaded"


def test_a_silence_beyond_the_limit_is_a_timeout_after_heartbeats(
    beating: Served, upstream: SharedUpstream
) -> None:
    upstream.script(HoldHeaders(), times=math.inf)

    reply = beating.ask(stream=True)

    assert reply.body.startswith(PING)
    assert reply.error["code"] == "upstream_timeout"
    assert f"silent for {READ_TIMEOUT_S} s" in reply.error["message"]
    assert len(upstream.calls("widgetStreamAssist")) == 1
