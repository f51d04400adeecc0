"""What workers and gateways on one database share: conversations, what is known of the accounts,
and how they end.
"""

from __future__ import annotations

import itertools
import math
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from gbproxy.simulator import (
    Action,
    HoldHeaders,
    Rst,
    Session,
    Simulator,
    Stall,
    Text,
    answer,
    denied,
    failed_alone,
    http_error,
    overloaded,
    policy_violation,
    quota,
)
from gbproxy.storage import tables
from gbproxy.storage.database import Database
from gbproxy.storage.session_statements import PREWARMED
from tests.support import chats
from tests.support.chats import (
    NAMES,
    STREAM,
    Chat,
    accounts,
    asked,
    assistant,
    csesidx,
    holds,
    one_at_a_time,
    only,
    session_of,
    text_of,
    texts_by_session,
    topic,
    used_sessions,
    user,
    workers,
)
from tests.support.databases import PostgreSQL
from tests.support.delays import Delays
from tests.support.gates import Gate
from tests.support.polling import until
from tests.support.serving import KEY, PATIENT, Reply, Served, SharedUpstream, serving

OTHER_KEY = "sk-test-another-0a1b2c3d4e"
SECRET = "a-secret-key-for-tests-1"
FREE_S = 2.0
KNOWN_S = 1.0
LAST_DELETIONS_S = 2.0
UNDER_WAY = text(
    "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend' AND state <> 'idle' AND"
    " pid <> pg_backend_pid()"
)

Record = Callable[[str, object], None]
Script = tuple[Action, ...]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="workers are told apart by /proc"),
]

killed_in_the_end = partial(chats.killed_in_the_end, command=PATIENT)
either_database = pytest.mark.parametrize("kind", ["sqlite", "postgresql"])


@pytest.fixture
def url(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """An empty database that outlives every gateway on it."""
    if kind == "sqlite":
        return f"sqlite:///{tmp_path}/gbproxy.db"  # the name by which `only` finds it
    server: PostgreSQL = request.getfixturevalue("server")
    return server.new_database()


@pytest.fixture
def upstream() -> Iterator[SharedUpstream]:
    """At the end, what holds for every session whatever was done."""
    with SharedUpstream() as made, one_at_a_time(made):
        yield made


def on(url: str, upstream: Simulator, count: int = 2) -> dict[str, str]:
    """The environment of a gateway on that database with so many accounts."""
    common = {
        "ACCOUNT_ORDER": "first",
        "ACCOUNT_CONCURRENCY": "100",
        "API_KEYS": f"{KEY},{OTHER_KEY}",
    }
    return accounts(upstream, count) | common | {"DATABASE_URL": url, "SECRET_KEY": SECRET}


def alive(upstream: Simulator) -> list[Session]:
    return [session for session in upstream.sessions.values() if not session.deleted]


def prewarmed(upstream: Simulator) -> list[Session]:
    """What was made ahead and not used yet."""
    return [session for session in alive(upstream) if not session.asked]


def has_prewarmed(upstream: Simulator, workers: int) -> bool:
    return upstream.wait_for(lambda: len(prewarmed(upstream)) == 2 * workers)


def wait_until_recorded(upstream: Simulator, url: str) -> None:
    """What was made ahead is cleared away once it is recorded, which comes a moment after it is
    made.
    """
    recorded = select(tables.sessions.c.name).where(tables.sessions.c.state == PREWARMED)
    with closing(Database(url, request_timeout_s=10.0)) as database:
        until(lambda: len(database.fetch(recorded)) == len(prewarmed(upstream)))


# Conversations


@pytest.mark.parametrize("kind", ["sqlite"])
def test_a_conversation_goes_on_in_whichever_worker_or_gateway_answers(
    upstream: SharedUpstream, url: str
) -> None:
    environment = on(url, upstream) | {"WEB_CONCURRENCY": "2"}
    with killed_in_the_end(environment) as one, killed_in_the_end(environment) as other:
        chat = Chat(one)
        for number in range(2):
            for gateway in (one, other):
                chat.gateway = gateway
                for worker in workers(gateway, 2):
                    with only(gateway, worker):
                        chat.say(f"{topic()} in round {number}", stream=number == 0)

        by_id = other.ask(
            "And without a history?", headers={"X-Conversation-Id": str(chat.conversation)}
        )

    assert [len(texts) for texts in texts_by_session(upstream)] == [9]
    assert by_id.headers["X-Conversation-Id"] == chat.conversation


@pytest.mark.parametrize("kind", ["postgresql"])
def test_a_conversation_is_busy_and_another_key_s_in_every_gateway(
    upstream: SharedUpstream, url: str
) -> None:
    environment = on(url, upstream)
    with killed_in_the_end(environment) as one, killed_in_the_end(environment) as other:
        chat = Chat(one)
        chat.say(topic())
        named = {"X-Conversation-Id": str(chat.conversation)}
        others = Gate()
        upstream.script(Text("Slowly "), others.closed, *answer("and more."))
        with ThreadPoolExecutor(1) as threads:
            running = threads.submit(chat.ask, [user("Go on.")], named, stream=True)
            assert upstream.wait_for(lambda: upstream.open_streams == 1)
            busy = other.ask("And I?", headers=named)
            foreign = other.ask("And I?", headers={**named, "Authorization": f"Bearer {OTHER_KEY}"})
            with_history = Chat(other, *chat.messages).say("And I?")
            others.open()
            assert running.result().succeeded
        free = other.ask("And now?", headers=named)

    assert (busy.status, busy.error["code"]) == (409, "conversation_busy")
    assert (foreign.status, foreign.error["code"]) == (404, "conversation_not_found")
    assert with_history.succeeded
    assert free.succeeded
    assert [len(texts) for texts in texts_by_session(upstream)] == [3, 1]


# What is known of the accounts


@pytest.mark.parametrize("kind", ["postgresql"])
def test_what_one_worker_learns_of_an_account_all_know_within_a_second(
    upstream: SharedUpstream, url: str, kind: str, record_property: Record
) -> None:
    """Out of quota, busy and refused; only the fourth account answers, in all of three workers."""
    causes = dict(zip(NAMES, (quota(), overloaded(30), denied()), strict=True))
    settings = {"MAX_ATTEMPTS": "4", "ACCOUNT_CONCURRENCY": "1", "ACCOUNT_ORDER": "least-busy"}
    environment = on(url, upstream, count=4) | settings
    with (
        killed_in_the_end(environment, WEB_CONCURRENCY="2") as one,
        killed_in_the_end(environment) as other,
    ):
        for gateway in (one, other):
            gateway.ask(topic())
        for name, script in causes.items():
            upstream.script(
                *script, csesidx=csesidx(upstream, name), times=1 if name != "third" else math.inf
            )
        upstream.script(
            *denied(), path="widgetListSessions", csesidx=csesidx(upstream, "third"), times=math.inf
        )
        upstream.set(first_byte_delay_s=0.02)
        seen = len(upstream.calls(STREAM))
        tries = int(one.ask(topic()).headers["x-gbproxy-attempts"])
        # what the third denies is asked in a fresh session too, and without tools
        assert 4 <= tries <= 6
        learnt_at = time.monotonic()
        before = len(upstream.calls(STREAM))
        teachers = {call.csesidx for call in upstream.calls(STREAM)[seen:before]}
        assert {csesidx(upstream, name) for name in causes} < teachers

        def keep_asking(gateway: Served) -> None:
            for number in itertools.count():
                if number >= 2 and time.monotonic() >= learnt_at + 1.3 * KNOWN_S:
                    return
                assert gateway.ask(topic()).succeeded

        # more than a worker that knows nothing asks of the fourth at once
        with Delays() as machine, ThreadPoolExecutor(15) as threads:
            list(threads.map(keep_asking, [one, one, other] * 5))

    later = upstream.calls(STREAM)[before:]
    assert len(later) > 20
    known_s = []
    for name, cause in zip(causes, ("out of quota", "busy", "refused"), strict=True):
        unknowing = [
            call.time - learnt_at for call in later if call.csesidx == csesidx(upstream, name)
        ]
        # what was learnt first may be known everywhere already
        known_s.append(max(unknowing, default=0.0))
        record_property(
            "measured",
            f"{cause}, on {kind}: known to all workers after {known_s[-1] * 1000:.0f} ms",
        )
    assert max(known_s) < KNOWN_S + machine.total_s


@pytest.mark.parametrize("kind", ["postgresql"])
def test_what_is_known_of_accounts_and_conversations_outlives_a_restart(
    upstream: SharedUpstream, url: str
) -> None:
    """So do the cookies that the upstream has renewed, encrypted."""
    environment = on(url, upstream, count=3)
    stale = {account.secure_c_ses for account in upstream.accounts.values()}
    upstream.set(getoxsrf="refreshcookies")
    with killed_in_the_end(environment) as gateway:
        upstream.script(
            *denied(),
            path="widgetCreateSession",
            csesidx=csesidx(upstream, "first"),
            times=math.inf,
        )
        refused, limited, ready = Chat(gateway), Chat(gateway), Chat(gateway)
        refused.say(topic())
        upstream.clear_scripts()
        limited.say(topic())
        upstream.script(*quota(retry_delay_s=100), csesidx=csesidx(upstream, "second"))
        ready.say(topic())
        third = csesidx(upstream, "third")
        assert upstream.wait_for(lambda: [s.owner for s in prewarmed(upstream)].count(third) == 2)
        wait_until_recorded(upstream, url)
        assert gateway.stop() == 0
    *_, limited_call, _, _ = upstream.calls(STREAM)
    # which nobody is let into
    assert {session.owner for session in prewarmed(upstream)} <= {csesidx(upstream, "first")}
    assert asked(upstream)[-4:] == ["second", "second", "second", "third"]
    kept = {session.short_name for session in alive(upstream)}
    renewed = {account.secure_c_ses for account in upstream.accounts.values()}
    assert len(upstream.calls("refreshcookies")) == 3
    upstream.revoke_tokens()

    with killed_in_the_end(environment) as gateway:
        assert _next(gateway, upstream) == "third"  # also the first request knows of it
        by_id = gateway.ask("Go on.", headers={"X-Conversation-Id": str(limited.conversation)})
        for chat in (ready, limited):
            chat.gateway = gateway
            before = len(upstream.calls(STREAM))
            chat.say("And the sun?")
            (call,) = upstream.calls(STREAM)[before:]
            assert call.csesidx == csesidx(upstream, "third")
            assert (
                text_of(call) == "And the sun?"
                if chat is ready
                else holds(text_of(call), chat.messages[:3])
            )
        assert gateway.stop() == 0
    # left for another
    assert kept - {session.short_name for session in alive(upstream)} <= {session_of(limited_call)}

    assert len(upstream.calls("refreshcookies")) == 3
    with closing(Database(url, request_timeout_s=10.0)) as database:
        written = str([database.fetch(select(table)) for table in (tables.cookies, tables.tokens)])
    assert "third" in written
    assert renewed & stale == set()
    assert not any(cookie in written for cookie in renewed | stale)

    upstream.account.secure_c_ses = "CSE.Afresh"
    with killed_in_the_end(on(url, upstream, count=3)) as gateway:
        assert _next(gateway, upstream) == "first"

    assert (by_id.status, by_id.error["code"]) == (429, "insufficient_quota")
    assert 60 <= int(by_id.headers["Retry-After"]) <= 100


def _next(gateway: Served, upstream: SharedUpstream) -> str:
    """Who answers now, well as all are."""
    before = len(asked(upstream))
    assert gateway.ask(topic()).succeeded
    return asked(upstream)[before]


# Cookies and tokens


def test_one_secret_and_one_temporary_database_serve_three_workers_and_a_reload() -> None:
    with SharedUpstream() as upstream:
        upstream.set(getoxsrf="refreshcookies")
        with serving(upstream.environment(), WEB_CONCURRENCY="3") as gateway:
            chat = Chat(gateway)
            for worker in workers(gateway, 3):
                with only(gateway, worker):
                    assert chat.say(topic()).succeeded
            before = gateway.worker_pids()

            gateway.process.signal(signal.SIGHUP)
            until(
                lambda: (
                    len(gateway.worker_pids() - before) == 3 and not gateway.worker_pids() & before
                )
            )
            # else several of them, each of which opens one, would find the token refused at once
            assert has_prewarmed(upstream, workers=3)
            upstream.revoke_tokens()
            for worker in workers(gateway, 3):
                with only(gateway, worker):
                    assert chat.say(topic()).succeeded

            assert [len(texts) for texts in texts_by_session(upstream)] == [6]
            assert len(upstream.calls("refreshcookies")) == 1
            assert (
                len(upstream.calls("getoxsrf")) == 3
            )  # with the stale cookies, with fresh ones, and after the revocation
            assert gateway.stop() == 0
        assert alive(upstream) == []


# Everybody at once


@dataclass
class Said:
    """What one request said, and what came of it."""

    key: str
    messages: list[dict[str, Any]]
    answer: str | None = None


@dataclass
class Client:
    """Somebody who chats, and edits, branches and leaves out, with failures in between; knows what
    it has said.
    """

    gateways: Sequence[Served]
    key: str
    seed: int
    said: list[Said] = field(default_factory=list)

    def chat(self, turns: int) -> None:
        chance = random.Random(self.seed)
        messages: list[dict[str, Any]] = []
        for number in range(turns):
            new = user(chance.choice(["What is the moon?", "And the sun?", "Why?"]))
            if number and chance.random() < 0.5:
                new = user(f"{new['content']} (client {self.seed}, turn {number})")
            asked_with = Said(self.key, [*messages, new])
            self.said.append(asked_with)
            reply = chance.choice(self.gateways).ask(
                asked_with.messages,
                stream=chance.random() < 0.5,
                headers={"Authorization": f"Bearer {self.key}"},
            )
            if reply.succeeded and reply.finish_reason == "stop":
                asked_with.answer = reply.text
                messages = [*messages, new, assistant(reply.text)]
            match chance.random():
                case luck if luck < 0.1:
                    messages = messages[2:]
                case luck if luck < 0.2:
                    messages = messages[:-2]
                case luck if luck < 0.25:
                    messages = []


_HICCUPS: tuple[Script, ...] = (
    (Rst(),),
    (Text("Half "), Rst()),
    policy_violation(),
    failed_alone("Half "),
    http_error(404, "NOT_FOUND", "Session 1 not found."),
    http_error(500, "INTERNAL"),
    http_error(400, "INVALID_ARGUMENT", "No."),
    http_error(503, "UNAVAILABLE", headers={"Retry-After": "1"}),
)


@pytest.mark.slow
@either_database
def test_whatever_everybody_does_a_session_holds_one_history_of_one_key(
    upstream: SharedUpstream, url: str, record_property: Record, kind: str
) -> None:
    """Many who begin alike, on two keys, two gateways and three workers, with edits and failures in
    between.
    """
    environment = on(url, upstream) | {"MAX_ATTEMPTS": "1"}
    with (
        killed_in_the_end(environment, WEB_CONCURRENCY="2") as one,
        killed_in_the_end(environment) as other,
    ):
        clients = [
            Client((one, other), (KEY, OTHER_KEY)[number % 2], number) for number in range(12)
        ]
        chance = random.Random(7)
        for _ in range(20):
            upstream.script(*answer("Cheese.", first_byte_s=0.02), times=chance.randrange(8))
            upstream.script(*chance.choice(_HICCUPS))
        with ThreadPoolExecutor(len(clients)) as threads:
            list(threads.map(lambda client: client.chat(16), clients))

    said = [each for client in clients for each in client.said]
    sessions = texts_by_session(upstream)
    continued = 0
    for texts in sessions:
        assert _explained(texts, said), texts
        continued += len(texts) - 1
    record_property(
        "measured",
        f"{kind}: {len(said)} requests in {len(sessions)} sessions, {continued} continued",
    )
    assert continued > 30


def _explained(texts: list[str], said: list[Said]) -> bool:
    """True if one key's requests, each the one before with its answer and one new turn, were sent
    into this session.
    """
    candidates = [each for each in said if _is_whole(texts[0], each)]
    for new in texts[1:]:
        candidates = [
            each
            for each in said
            for before in candidates
            if before.answer is not None
            and each.key == before.key
            and each.messages == [*before.messages, assistant(before.answer), user(new)]
        ]
    return bool(candidates)


def _is_whole(prompt: str, request: Said) -> bool:
    if len(request.messages) == 1:
        return prompt == request.messages[0]["content"]
    # one for each turn, and the one to be written
    parts = prompt.count("\n\n==") + prompt.startswith("==") - 1
    return holds(prompt, request.messages) and parts == len(request.messages)


# How they end


@pytest.mark.parametrize("kind", ["temporary", "postgresql"])
def test_after_the_end_no_prewarmed_session_is_left_and_with_a_temporary_database_no_session(
    upstream: SharedUpstream, kind: str, request: pytest.FixtureRequest, record_property: Record
) -> None:
    """Though each call takes 150 ms."""
    environment = on(request.getfixturevalue("url") if kind != "temporary" else "", upstream)
    if kind == "temporary":
        del environment["DATABASE_URL"], environment["SECRET_KEY"]
    with serving(environment, command=PATIENT, WEB_CONCURRENCY="2") as gateway:
        gateway.key = KEY
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: Chat(gateway).say(topic()), range(30)))
        assert has_prewarmed(upstream, workers=2)
        upstream.set(control_delay_s=0.15)

        with Delays() as machine:
            asked_at = time.monotonic()
            assert gateway.stop() == 0
            took_s = time.monotonic() - asked_at

    left = alive(upstream)
    assert prewarmed(upstream) == []
    assert len(left) == (0 if kind == "temporary" else 30)
    assert gateway.events("session.left") == []
    deletions = [
        call.time for call in upstream.calls("widgetDeleteSession") if call.time > asked_at
    ]
    last_s = max(deletions) - min(deletions)
    record_property(
        "measured",
        f"end, {kind}, calls delayed by 150 ms: {took_s:.2f} s, deletions {last_s:.2f} s",
    )
    assert last_s < LAST_DELETIONS_S + machine.total_s
    # what gunicorn itself takes, and room
    assert took_s < 2.5 + LAST_DELETIONS_S + machine.total_s


def test_deletions_that_hang_do_not_hold_up_the_end(
    upstream: SharedUpstream, record_property: Record
) -> None:
    environment = {name: value for name, value in on("", upstream).items() if value}
    with serving(environment, API_KEYS=KEY) as gateway:
        gateway.ask(topic())
        assert has_prewarmed(upstream, workers=1)
        upstream.script(HoldHeaders(), path="widgetDeleteSession", times=math.inf)

        with Delays() as machine:
            asked_at = time.monotonic()
            status = gateway.stop()
            took_s = time.monotonic() - asked_at

    assert status == 0
    assert gateway.events("session.left")
    record_property("measured", f"end while deletions hang: {took_s:.2f} s")
    # what gunicorn itself takes, and room
    assert took_s < 2.5 + LAST_DELETIONS_S + machine.total_s


@dataclass
class Casualty:
    """A gateway whose only worker will be killed in the middle of a conversation's second turn."""

    upstream: SharedUpstream
    gateway: Served
    chat: Chat
    held: frozenset[str]  # the sessions that it has in hand

    @property
    def is_cleared_away(self) -> bool:
        return self.held <= {
            session.short_name for session in self.upstream.sessions.values() if session.deleted
        }

    def continued_by_id(self, gateway: Served) -> Reply:
        return gateway.ask("Go on.", headers={"X-Conversation-Id": str(self.chat.conversation)})


def in_no_transaction(url: str) -> bool:
    """True if nobody is in the midst of one on PostgreSQL."""
    with closing(Database(url, request_timeout_s=10.0)) as database:
        return database.kind == "sqlite" or not database.fetch(UNDER_WAY)


def casualty_of(
    gateway: Served, upstream: SharedUpstream, url: str, threads: ThreadPoolExecutor
) -> Casualty:
    chat = Chat(gateway)
    chat.say(topic())
    upstream.script(Text("Slowly "), Stall())
    threads.submit(chat.ask, [*chat.messages, user("Never answered")], stream=True)
    assert upstream.wait_for(lambda: upstream.open_streams == 1)
    assert has_prewarmed(upstream, workers=1)
    wait_until_recorded(upstream, url)
    (running,) = used_sessions(upstream)
    return Casualty(
        upstream, gateway, chat, frozenset(s.short_name for s in [*prewarmed(upstream), running])
    )


@either_database
def test_the_conversation_of_a_worker_that_was_killed_is_free_within_two_seconds(
    upstream: SharedUpstream, url: str, record_property: Record, kind: str
) -> None:
    """Also where another worker goes on, which does not know of it."""
    with (
        ThreadPoolExecutor(1) as threads,
        killed_in_the_end(on(url, upstream), WEB_CONCURRENCY="2") as gateway,
    ):
        victim, _ = workers(gateway, 2)
        with only(gateway, victim, nothing_is_held=lambda: in_no_transaction(url)):
            casualty = casualty_of(gateway, upstream, url, threads)
        busy = casualty.continued_by_id(gateway)

        os.kill(victim, signal.SIGKILL)
        with Delays() as machine:
            free_s = until(lambda: casualty.continued_by_id(gateway).status != 409, every_s=0.05)

        assert busy.status == 409
        # of its last turn nobody knows what the session holds
        assert casualty.continued_by_id(gateway).status == 404
        assert Chat(gateway, *casualty.chat.messages).say("And then?").succeeded
        assert upstream.wait_for(lambda: casualty.is_cleared_away)
    record_property(
        "measured", f"killed in mid-answer, {kind}: its conversation is free after {free_s:.2f} s"
    )
    assert free_s < FREE_S + machine.total_s


@pytest.mark.slow
@pytest.mark.waits
def test_a_gateway_that_is_killed_leaves_nothing_claimed_and_nothing_upstream(
    server: PostgreSQL, upstream: SharedUpstream, record_property: Record
) -> None:
    """Another one finds out by its silence."""
    url = server.new_database()
    with ExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(1))
        casualty = casualty_of(
            stack.enter_context(killed_in_the_end(on(url, upstream))), upstream, url, threads
        )
        os.killpg(casualty.gateway.pid, signal.SIGKILL)
        killed_at = time.monotonic()
        heir = stack.enter_context(killed_in_the_end(on(url, upstream)))

        assert casualty.continued_by_id(heir).status == 409
        afresh = Chat(heir, *casualty.chat.messages)
        assert afresh.say("At once").succeeded
        assert afresh.say("And then").succeeded
        assert texts_by_session(upstream)[1][1:] == ["And then"]
        assert upstream.wait_for(lambda: casualty.is_cleared_away, 90)
        took_s = time.monotonic() - killed_at
        record_property(
            "measured", f"gateway killed: nothing of it left upstream after {took_s:.1f} s"
        )
        assert casualty.continued_by_id(heir).status == 404
