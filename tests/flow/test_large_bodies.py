"""Bodies that are as large as MAX_BODY_MB lets them be: they cost their senders time, and nobody
else.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.conftest import MEASURED
from tests.support.serving import Reply, Served

pytestmark = pytest.mark.slow

Record = Callable[[str, object], None]

SIZE = 30_000_000
HEAD = b'{"model": "gemini-auto", "messages": ['
USUAL_S = 0.3  # for a probe; a busy machine may have longer, but no single step of a body's
LONGEST_S = 3.0


def filled(head: bytes, item: bytes, tail: bytes, size: int = SIZE) -> bytes:
    return head + b",".join([item] * ((size - len(head) - len(tail)) // (len(item) + 1))) + tail


def text(content: bytes) -> bytes:
    return HEAD + b'{"role":"user","content":"' + content + b'"}]}'


# What is made, and how it is refused: by its name, or as too long. A long history is not: its older
# turns go up as a file.
BODIES: dict[str, tuple[Callable[[], bytes], str | None, str | None]] = {
    "a million tiny messages": (
        lambda: filled(HEAD, b'{"role":"user","content":"a"}', b"]}"), "messages", "invalid_request_error",
    ),
    "a message of a million parts": (
        lambda: filled(HEAD + b'{"role":"user","content":[', b'{"type":"text","text":"a"}', b"]}]}"),
        "messages[0].content", "invalid_request_error",
    ),
    "ten million empty arrays": (
        lambda: filled(b'{"messages":[{"role":"user","content":"a"}],"metadata":[', b"[]", b"]}"),
        "metadata", "invalid_request_error",
    ),
    "deep nesting": (lambda: HEAD + b"[" * SIZE, None, "invalid_request_error"),
    "one long text": (lambda: text(b"abcdefgh " * (SIZE // 9)), "messages", "context_length_exceeded"),
    "one long text of wide characters": (
        lambda: text("你好世界".encode() * (SIZE // 12)), "messages", "context_length_exceeded",
    ),
    "a long history": (
        lambda: filled(
            HEAD,
            b'{"role":"user","content":"' + b"abc " * 1200 + b'"},{"role":"assistant","content":"' + b"xyz " * 1200 + b'"}',
            b',{"role":"user","content":"q"}]}',
        ),
        None, None,
    ),
}  # fmt: skip


def probed_until(gateway: Served, sent: Sequence[Future[Reply]]) -> Iterator[float]:
    """How long each probe took, in seconds, while these requests ran: one at least."""
    while True:
        started = time.monotonic()
        assert gateway.request("GET", "/health").status == 200
        yield time.monotonic() - started
        if all(each.done() for each in sent):
            return


def in_time(took_s: list[float], what: str, record: Record) -> None:
    usual_s, longest_s = statistics.median(took_s), max(took_s)
    record(
        MEASURED, f"{what}: health took {usual_s * 1000:.0f} ms, at most {longest_s * 1000:.0f} ms"
    )
    assert usual_s < USUAL_S
    assert longest_s < LONGEST_S


@pytest.mark.parametrize("kind", BODIES)
def test_a_large_body_costs_only_its_sender(
    gateway: Served, kind: str, record_property: Record
) -> None:
    make, param, code = BODIES[kind]
    body = make()
    with ThreadPoolExecutor() as pool:
        sent = [
            pool.submit(gateway.request, "POST", "/v1/chat/completions", body, gateway.headers, 60)
        ]
        took_s = list(probed_until(gateway, sent))

    in_time(took_s, kind, record_property)
    reply = sent[0].result()
    if code is None:
        assert reply.succeeded
    else:
        assert (reply.status, reply.error["param"], reply.error["code"]) == (400, param, code)


def test_ten_large_bodies_at_once_cost_only_their_senders(
    gateway: Served, record_property: Record
) -> None:
    bodies = [BODIES[kind][0]() for kind in ("deep nesting", "one long text")] * 5
    with ThreadPoolExecutor(11) as pool:
        sent = [
            pool.submit(gateway.request, "POST", "/v1/chat/completions", body, gateway.headers, 60)
            for body in bodies
        ]
        asked = pool.submit(gateway.ask, "Hello")
        took_s = list(probed_until(gateway, sent))

    in_time(took_s, "ten large bodies at once", record_property)
    assert [each.result().status for each in sent] == [400] * 10
    assert asked.result().succeeded


def test_a_large_history_that_is_not_too_long_is_answered(gateway: Served) -> None:
    turns = [
        {"role": role, "content": "x" * 20} for _ in range(2_500) for role in ("user", "assistant")
    ]
    parts = [{"type": "text", "text": "y"} for _ in range(5_000)]

    reply = gateway.ask([*turns, {"role": "user", "content": parts}])

    assert reply.succeeded
    assert len(json.dumps(turns)) > 256 * 1024
