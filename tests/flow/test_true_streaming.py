"""An answer reaches the client while the upstream is still giving it, proved by times."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import pairwise

import openai
import pytest

from gbproxy.simulator import Final, Stall, Text, answer
from tests.support.serving import DONE, Served, SharedUpstream

PAUSE_S = 0.1
WORDS = tuple(f"word{number} " for number in range(8))
LAST_SENT_S = PAUSE_S * (len(WORDS) - 1)

ways = pytest.mark.parametrize(
    ("framing", "switches"),
    [
        pytest.param("json", {}, id="array"),
        pytest.param("json", {"layout": "compact", "transfer": "close"}, id="compact-array"),
        pytest.param("json", {"gzip": True}, id="gzip"),
        pytest.param("sse", {}, id="events"),
        pytest.param("sse", {"gzip": True}, id="gzipped-events"),
    ],
)


def assert_arrived_as_said(arrivals: list[tuple[float, str]], asked_at: float) -> None:
    """Word by word, in the upstream's pace; a busy machine may let one wait for the next."""
    assert "".join(text for _, text in arrivals) == "".join(WORDS)
    assert len(arrivals) >= len(WORDS) - 1, arrivals
    assert arrivals[0][0] - asked_at < LAST_SENT_S / 2
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(arrivals)]
    assert min(sorted(gaps)[1:]) >= PAUSE_S / 2, gaps


@ways
def test_deltas_come_over_the_wire_in_the_pace_of_the_upstream(
    gateway: Served, upstream: SharedUpstream, switches: dict[str, object]
) -> None:
    upstream.script(*answer(*WORDS, pause_s=PAUSE_S))
    upstream.set(**switches)

    arrivals = list(_deltas_over_socket(gateway))

    assert_arrived_as_said(arrivals, upstream.calls("widgetStreamAssist")[0].time)


@ways
def test_deltas_come_out_of_the_sdk_in_the_pace_of_the_upstream(
    client: openai.OpenAI, upstream: SharedUpstream, switches: dict[str, object]
) -> None:
    upstream.script(*answer(*WORDS, pause_s=PAUSE_S))
    upstream.set(**switches)
    arrivals = []

    with client.chat.completions.create(
        model="gemini-auto", messages=[{"role": "user", "content": "Count"}], stream=True
    ) as stream:
        for chunk in stream:
            if chunk.choices[0].delta.content:
                arrivals.append((time.monotonic(), chunk.choices[0].delta.content))

    assert_arrived_as_said(arrivals, upstream.calls("widgetStreamAssist")[0].time)


def test_words_that_arrive_together_leave_in_one_piece(
    gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.script(*answer(*WORDS))
    upstream.set(cuts="joined", layout="compact")  # so small that the first read takes all of it

    arrived = list(gateway.pieces())

    assert [piece.count(b"word") for piece in arrived if b"word" in piece] == [len(WORDS)]


def test_an_answer_that_is_whole_ends_though_the_upstream_keeps_the_line(
    gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.script(*map(Text, WORDS), Final(), Stall())

    reply = gateway.ask(stream=True)

    assert reply.text == "".join(WORDS)
    assert reply.frames[-1] == DONE
    assert upstream.wait_for(lambda: upstream.open_streams == 0)


def test_the_upstream_is_left_when_the_client_leaves(
    gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.script(*answer(*["word "] * 600, pause_s=0.02))
    arriving = gateway.pieces("leaves-early")

    first = next(arriving)
    arriving.close()

    assert first
    assert upstream.wait_for(lambda: upstream.open_streams == 0)
    done = gateway.wait_for_event("request.done", lambda line: line["request_id"] == "leaves-early")
    assert done["client_gone"] is True
    assert upstream.wait_for(lambda: not upstream.alive_sessions())


def _deltas_over_socket(gateway: Served) -> Iterator[tuple[float, str]]:
    """Each piece of the answer's text, and when the last byte of its event was here."""
    buffer = b""
    for piece in gateway.pieces():
        buffer += piece
        *events, buffer = buffer.split(b"\n\n")
        for event in events:
            data = event.removeprefix(b"data: ")
            if data != DONE.encode() and (
                text := json.loads(data)["choices"][0]["delta"].get("content")
            ):
                yield time.monotonic(), text
