"""Faults of the machine that the gateway runs on: a full disk, a killed worker, a clock that
jumps.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from gbproxy.simulator import Fin, Stall, Text, answer, http_error, overloaded
from tests.support.chats import (
    Chat,
    accounts,
    asked,
    csesidx,
    deletions_of,
    killed_in_the_end,
    topic,
    used_sessions,
)
from tests.support.polling import until
from tests.support.serving import DONE, Served, SharedUpstream

pytestmark = pytest.mark.slow

COMMAND = (
    sys.executable,
    "-m",
    "gunicorn",
    "-c",
    "tests/support/jumping.conf.py",
    "gbproxy.app:create_app()",
)
HOUR_S = 3600.0


@dataclass(frozen=True)
class Machine:
    """A gateway for two accounts with a SQLite file, whose clock and disk a test has in its
    hands.
    """

    gateway: Served
    upstream: SharedUpstream
    clock: Path

    def set_clock(self, ahead_s: float) -> None:
        """So far ahead of the real time, or behind it."""
        # never shorter than it is: the gateway has it in its memory
        with self.clock.open("r+b") as file:
            file.write(struct.pack("d", ahead_s))

    def asked_next(self) -> str:
        """The account that a new question goes to: the first, unless it rests or is set aside."""
        assert self.gateway.ask(topic()).succeeded
        return asked(self.upstream)[-1]

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """No file of the workers' grows any more: their own limit, as filling a disk would need one
        of its own.
        """
        limits = {
            pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in self.gateway.worker_pids()
        }
        for pid, (_, hard) in limits.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))
        try:
            yield
        finally:
            for pid, before in limits.items():
                resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine")
    clock = folder / "clock"
    clock.write_bytes(bytes(8))
    with ExitStack() as stack:
        upstream = stack.enter_context(SharedUpstream())
        settings = accounts(upstream, 2) | {
            "ACCOUNT_ORDER": "first",
            "CLOCK_FILE": str(clock),
            "DATABASE_URL": f"sqlite:///{folder}/gateway.db",
            "SECRET_KEY": "a-secret-key-for-tests-1",
        }
        yield Machine(
            stack.enter_context(killed_in_the_end(settings, command=COMMAND)), upstream, clock
        )


@pytest.fixture
def machine(made: Machine) -> Iterator[Machine]:
    made.upstream.reset()
    yield made
    made.set_clock(0)


def test_a_full_disk_costs_no_answer_and_its_end_is_noticed(machine: Machine) -> None:
    gateway, upstream = machine.gateway, machine.upstream
    before, during, idle = Chat(gateway), Chat(gateway), Chat(gateway)
    before.say(topic())
    idle.say(topic())
    upstream.script(Text("Slowly "), *answer("and on.", first_byte_s=0.5))

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(Chat(gateway).say, topic(), stream=True)
        assert upstream.wait_for(lambda: upstream.open_streams == 1)
        with machine.full_disk():
            finished = running.result()
            answers = [before.say("Go on."), during.say(topic()), during.say("Go on.", stream=True)]
            by_id = gateway.ask("Go on.", headers={"X-Conversation-Id": str(idle.conversation)})

    assert finished.text == "Slowly and on."
    assert all(reply.succeeded for reply in [finished, *answers])
    assert (by_id.status, by_id.error["code"], by_id.headers["Retry-After"]) == (
        503,
        "storage_unavailable",
        "2",
    )
    assert set(asked(upstream)) == {"first"}  # the accounts have nothing to do with it
    gateway.wait_for_event("database.unavailable")
    until(lambda: Chat(gateway).say(topic()).succeeded and gateway.events("database.available"))
    for chat in (before, during):
        assert chat.say("Still there?").succeeded
        questions = len(upstream.questions())
        assert chat.say("And now?").succeeded
        # continued again: the history was not sent
        assert upstream.questions()[questions:] == ["And now?"]
    assert gateway.events("request.crashed") == []


def test_a_killed_worker_breaks_its_answers_visibly_and_another_takes_its_place(
    machine: Machine,
) -> None:
    gateway, upstream = machine.gateway, machine.upstream
    chat = Chat(gateway)
    chat.say(topic())
    upstream.script(Text("Half "), Stall())
    (worker,) = gateway.worker_pids()

    with gateway.call() as call:
        call.ask([*chat.messages, {"role": "user", "content": "Go on."}])
        got = call.read_until(b"Half ")
        os.kill(worker, signal.SIGKILL)
        with suppress(ConnectionResetError):
            while more := call.read():
                got += more

    # the end of a chunked body: every client sees that it is missing
    assert not got.endswith(b"0\r\n\r\n")
    assert DONE.encode() not in got
    assert b'"finish_reason":"stop"' not in got
    assert upstream.wait_for(lambda: upstream.open_streams == 0)
    until(lambda: worker not in gateway.worker_pids() and gateway.worker_pids())
    assert chat.say("Once more.").succeeded
    assert machine.asked_next() == "first"


def test_a_deletion_that_fails_is_tried_again_and_harms_nobody(machine: Machine) -> None:
    gateway, upstream = machine.gateway, machine.upstream
    chat = Chat(gateway)
    chat.say(topic())
    (session,) = used_sessions(upstream)
    refused = session.short_name
    # also those that other tests have left
    upstream.script(*http_error(500, "INTERNAL"), path="widgetDeleteSession", times=math.inf)
    upstream.script(Text("Half "), Fin())

    chat.say("Go on.")  # after which nobody continues this session
    assert upstream.wait_for(lambda: refused in deletions_of(upstream))
    upstream.clear_scripts()
    tries = deletions_of(upstream).count(refused)
    answered = gateway.ask(topic())
    machine.set_clock(60.0)  # longer than the pause before the second try

    assert upstream.wait_for(lambda: deletions_of(upstream).count(refused) == tries + 1)
    assert answered.succeeded
    assert upstream.wait_for(lambda: session.deleted)


@pytest.mark.parametrize("jump_s", [24 * HOUR_S, -24 * HOUR_S], ids=["forward", "back"])
def test_a_clock_that_jumps_costs_no_answer(machine: Machine, jump_s: float) -> None:
    gateway, upstream = machine.gateway, machine.upstream
    chat, idle = Chat(gateway), Chat(gateway)
    for each in (chat, idle):
        each.say(topic())
    upstream.script(Text("Slowly "), *answer("and on.", first_byte_s=0.4))

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(Chat(gateway).say, topic(), stream=True)
        assert upstream.wait_for(lambda: upstream.open_streams == 1)
        machine.set_clock(jump_s)
        finished = running.result()
    by_id = gateway.ask("Go on.", headers={"X-Conversation-Id": str(idle.conversation)})
    answers = [chat.say("Go on."), chat.say("And on.", stream=True)]

    assert by_id.status == (404 if jump_s > 0 else 200)  # a day is longer than SESSION_TIMEOUT
    assert finished.text == "Slowly and on."
    assert all(reply.succeeded for reply in [finished, *answers])
    # continued, be it in the session from before or in a new one
    assert upstream.questions()[-1] == "And on."
    assert {call.csesidx for call in upstream.calls("widgetStreamAssist")} == {
        csesidx(upstream, "first")
    }
    assert machine.asked_next() == "first"
    # And back to the right time.
    machine.set_clock(0)
    assert chat.say("Still there?").succeeded
    assert machine.asked_next() == "first"
    assert gateway.events("request.crashed") == gateway.events("sweeper.failed") == []


@pytest.mark.parametrize("jump_s", [24 * HOUR_S, -24 * HOUR_S], ids=["forward", "back"])
def test_an_account_that_rests_while_the_clock_jumps_comes_back(
    machine: Machine, jump_s: float
) -> None:
    gateway, upstream = machine.gateway, machine.upstream
    machine.set_clock(max(0.0, -jump_s))  # to where it is set back from
    upstream.script(*overloaded(HOUR_S), csesidx=csesidx(upstream, "first"))
    assert gateway.ask().succeeded
    assert machine.asked_next() == "second"

    machine.set_clock(max(0.0, -jump_s) + jump_s)

    # as soon as the workers have read what others have learnt
    until(lambda: machine.asked_next() == "first", every_s=0.2)
