"""An answer reaches the client while the upstream is still giving it, which says each word only when
the one before has arrived.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import openai
import pytest

from gbproxy.simulator import End, Final, Stall, Text, answer
from tests.support.gates import Gate
from tests.support.serving import DONE, Served, SharedUpstream

WORDS = tuple(f"word{number} " for number in range(8))

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


def said_one_by_one(upstream: SharedUpstream) -> list[Gate]:
    """Let the next answer be the words, behind each of which is one of these gates."""
    gates = [Gate() for _ in WORDS]
    said = [
        action
        for word, gate in zip(WORDS, gates, strict=True)
        for action in (Text(word), gate.closed)
    ]
    upstream.script(*said, Final(), End())
    return gates


@ways
def test_deltas_come_over_the_wire_in_the_pace_of_the_upstream(
    gateway: Served, upstream: SharedUpstream, switches: dict[str, object]
) -> None:
    gates = said_one_by_one(upstream)
    upstream.set(**switches)
    arrived = []

    for text in _deltas_over_socket(gateway):
        gates[len(arrived)].open()
        arrived.append(text)

    assert arrived == [*WORDS]


@ways
def test_deltas_come_out_of_the_sdk_in_the_pace_of_the_upstream(
    client: openai.OpenAI, upstream: SharedUpstream, switches: dict[str, object]
) -> None:
    gates = said_one_by_one(upstream)
    upstream.set(**switches)
    arrived = []

    with client.chat.completions.create(
        model="gemini-auto", messages=[{"role": "user", "content": "Count"}], stream=True
    ) as stream:
        for chunk in stream:
            if chunk.choices[0].delta.content:
                gates[len(arrived)].open()
                arrived.append(chunk.choices[0].delta.content)

    assert arrived == [*WORDS]


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


def _deltas_over_socket(gateway: Served) -> Iterator[str]:
    """Each piece of the answer's text, as soon as the last byte of its event is here."""
    buffer = b""
    for piece in gateway.pieces():
        buffer += piece
        *events, buffer = buffer.split(b"\n\n")
        for event in events:
            data = event.removeprefix(b"data: ")
            if data != DONE.encode() and (
                text := json.loads(data)["choices"][0]["delta"].get("content")
            ):
                yield text
