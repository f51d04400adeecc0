"""A steady request makes no control call on its path: however slow these are, the first token comes
no later.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import func, select

from gbproxy.simulator import RecordedRequest
from gbproxy.storage import tables
from gbproxy.storage.database import Database
from tests.support.chats import STREAM, Chat, accounts, killed_in_the_end, session_of, topic, user
from tests.support.delays import Delays
from tests.support.polling import until
from tests.support.serving import PATIENT, Served, SharedUpstream

DELAY_S = 0.15
VERY_SLOW_S = 2.5  # longer than a busy machine holds up one answer
ROOM_S = 0.05  # for a machine that does other things too
REQUESTS = 12

Record = Callable[[str, object], None]


@dataclass(frozen=True)
class Timed:
    """When a request was sent, and when the first word of its answer was there; monotonic."""

    sent_at: float
    first_at: float
    delays_s: float  # what a busy machine took of that

    @property
    def ttft_s(self) -> float:
        return self.first_at - self.sent_at - self.delays_s


@dataclass(frozen=True)
class Steady:
    """A gateway that has been in use for a moment, and its database."""

    upstream: SharedUpstream
    gateway: Served
    database: Database

    def wait_until_prewarmed(self) -> None:
        """Until the gateway has all of it: what the upstream has made may still be on its way."""
        made = select(func.count()).where(tables.sessions.c.state == "prewarmed")
        until(lambda: self.database.fetch(made) == [(2,)], every_s=0.005)

    def ask(self, messages: list[dict[str, Any]] | None = None) -> Timed:
        """Ask on a raw socket, with prewarmed sessions ready, and read the answer to its end."""
        self.wait_until_prewarmed()
        body = json.dumps({"stream": True, "messages": messages or [user(topic())]}).encode()
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.gateway.headers.items())
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\n{lines}Content-Length:"
            f" {len(body)}\r\n\r\n"
        )
        with self.gateway.call() as call:
            with Delays(self.gateway.worker_pids()) as delays:
                sent_at = time.monotonic()
                call.send(head.encode() + body)
                call.read_until(b'"content":"')
                first_at = time.monotonic()
            call.read_until(b"[DONE]")
        return Timed(sent_at, first_at, delays.total_s)

    def begin(self) -> Chat:
        """A conversation with one turn, that can be gone on with."""
        self.wait_until_prewarmed()
        chat = Chat(self.gateway)
        chat.say(topic())
        return chat

    def go_on(self, chat: Chat) -> Timed:
        return self.ask([*chat.messages, user("And now?")])

    def calls_between(self, asked: Timed) -> list[RecordedRequest]:
        return [
            call for call in self.upstream.requests if asked.sent_at <= call.time <= asked.first_at
        ]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Steady]:
    url = f"sqlite:///{tmp_path_factory.mktemp('own')}/own.db"
    own = {"DATABASE_URL": url, "SECRET_KEY": "a-secret-key-for-tests-1"}
    with (
        SharedUpstream() as upstream,
        killed_in_the_end(accounts(upstream, 2) | own, command=PATIENT) as gateway,
        closing(Database(url, request_timeout_s=10.0)) as database,
    ):
        gateway.ask(topic())
        steady = Steady(upstream, gateway, database)
        # all that comes once, with an account's first use
        steady.wait_until_prewarmed()
        gateway.wait_for_event("configuration.read")
        yield steady


@pytest.fixture
def steady(shared: Steady) -> Steady:
    shared.upstream.reset()
    return shared


@pytest.mark.parametrize("kind", ["fresh", "continued"])
def test_the_first_token_comes_no_later_when_every_control_call_is_slow(
    steady: Steady, kind: str, record_property: Record
) -> None:
    chats = [steady.begin() for _ in range(2 * REQUESTS)] if kind == "continued" else []

    def ask() -> Timed:
        return steady.go_on(chats.pop()) if chats else steady.ask()

    quick: list[Timed] = []
    slow: list[Timed] = []
    for _ in range(REQUESTS):  # by turns: what else the machine does comes and goes
        for asked, delay_s in ((quick, 0.0), (slow, DELAY_S)):
            steady.wait_until_prewarmed()
            steady.upstream.set(control_delay_s=delay_s)
            asked.append(ask())

    before, after = (statistics.median(each.ttft_s for each in some) for some in (quick, slow))
    record_property(
        "measured",
        f"first token, {kind}: {before * 1000:.1f} ms; with every control call 150 ms slower"
        f" {after * 1000:.1f} ms",
    )
    assert after < before + ROOM_S


def test_between_a_steady_request_and_its_first_token_there_is_the_stream_alone(
    steady: Steady,
) -> None:
    steady.upstream.set(control_delay_s=DELAY_S)
    chats = [steady.begin() for _ in range(4)]

    asked = [steady.go_on(chat) for chat in chats]

    assert [[call.name for call in steady.calls_between(each)] for each in asked] == [[STREAM]] * 4


def test_a_fresh_request_takes_a_session_that_was_there_before_it(steady: Steady) -> None:
    """What is called meanwhile is the next one to be prewarmed, and nobody waits for it."""
    steady.upstream.set(control_delay_s=VERY_SLOW_S)

    for _ in range(4):
        steady.wait_until_prewarmed()
        known = set(steady.upstream.sessions)
        asked = steady.ask()

        calls = steady.calls_between(asked)
        (stream,) = [call for call in calls if call.name == STREAM]
        assert session_of(stream).rpartition("/")[2] in known
        assert {call.name for call in calls} <= {STREAM, "widgetCreateSession"}
        assert asked.ttft_s < VERY_SLOW_S


def test_no_token_is_bought_on_the_way(steady: Steady) -> None:
    for _ in range(5):
        steady.ask()

    assert steady.upstream.calls("getoxsrf") == []
