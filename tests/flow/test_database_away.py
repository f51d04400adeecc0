"""The database goes away and comes back: running answers finish, new ones begin afresh, and nothing
is claimed twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial

import pytest

from gbproxy.domain.principal import ApiKey, key_digest
from gbproxy.simulator import Rst, Text, answer
from gbproxy.storage.api_keys import ApiKeyStore
from gbproxy.storage.database import Database
from tests.support import chats
from tests.support.chats import (
    Chat,
    accounts,
    asked,
    csesidx,
    one_at_a_time,
    texts_by_session,
    topic,
    used_sessions,
)
from tests.support.databases import PostgreSQL
from tests.support.gates import Gate
from tests.support.polling import until
from tests.support.serving import PATIENT, Reply, SharedUpstream

pytestmark = pytest.mark.slow

SECRET = "a-secret-key-for-tests-1"
STORED_KEY, UNKNOWN_KEY = "sk-test-stored-0a1b2c3d", "sk-test-unknown-0a1b2c3d"
Record = Callable[[str, object], None]
killed_in_the_end = partial(chats.killed_in_the_end, command=PATIENT)


@contextmanager
def away(server: PostgreSQL) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


@pytest.fixture
def upstream() -> Iterator[SharedUpstream]:
    with SharedUpstream() as made, one_at_a_time(made):
        yield made


@pytest.fixture
def environment(server: PostgreSQL, upstream: SharedUpstream) -> dict[str, str]:
    shared = {"DATABASE_URL": server.new_database(), "SECRET_KEY": SECRET, "ACCOUNT_ORDER": "first"}
    return accounts(upstream, 2) | shared


def test_answers_go_on_without_the_database_and_conversations_with_it(
    server: PostgreSQL,
    upstream: SharedUpstream,
    environment: dict[str, str],
    record_property: Record,
) -> None:
    with killed_in_the_end(environment) as one, killed_in_the_end(environment) as other:
        running, beginning, waiting = Chat(one), Chat(one), Chat(one)
        for chat in (running, waiting):
            chat.say(f"{topic()}: what is the moon?")
        with ThreadPoolExecutor(2) as threads:
            is_away = Gate()
            upstream.script(Text("Slowly "), is_away.closed, *answer("and more."), times=2)
            streams = [
                threads.submit(running.say, "And the sun?", stream=True),
                threads.submit(beginning.say, f"{topic()}: and Mars?", stream=True),
            ]
            assert upstream.wait_for(lambda: upstream.open_streams == 2)

            with closing(Database(environment["DATABASE_URL"], request_timeout_s=10.0)) as database:
                ApiKeyStore(database).add(ApiKey("1", "known", key_digest(STORED_KEY), 0.0))
            known = [one.request("GET", "/v1/models", headers={"x-api-key": STORED_KEY})]

            with away(server):
                is_away.open()
                finished = [stream.result() for stream in streams]
                begun_at = time.monotonic()
                afresh = [waiting.fork(), waiting.fork(), Chat(other, *waiting.messages)]
                fresh = [chat.say("And the stars?", stream=chat is afresh[1]) for chat in afresh]
                took_s = time.monotonic() - begun_at
                by_id = one.ask("Go on.", headers={"X-Conversation-Id": str(waiting.conversation)})
                upstream.script(Rst(), csesidx=csesidx(upstream, "first"))
                elsewhere = one.ask(topic())
                known.append(one.request("GET", "/v1/models", headers={"x-api-key": STORED_KEY}))
                unknown = one.request("GET", "/v1/models", headers={"x-api-key": UNKNOWN_KEY})
                one.wait_for_event("api_keys.behind")
                without = used_sessions(upstream)

        for gateway in (one, other):
            gateway.ask(topic())  # any request finds out that it is back
            back = gateway.wait_for_event("database.available")
            record_property(
                "measured",
                f"database away for {back['away_s']} s; meanwhile 3 requests took {took_s:.2f} s",
            )
        before = len(used_sessions(upstream))
        two = [waiting.fork(), Chat(other, *waiting.messages)]
        upstream.script(*answer("Slowly.", first_byte_s=0.3), times=2)
        with ThreadPoolExecutor(2) as threads:
            assert all(
                reply.succeeded for reply in threads.map(lambda chat: chat.say("And now?"), two)
            )
        new = len(used_sessions(upstream)) - before
        for chat in (running, beginning, *afresh):
            assert chat.say("And now?").succeeded
        logged = {
            gateway: {line["event"] for line in gateway.log_lines()} for gateway in (one, other)
        }
        crashed = [
            *one.events("request.crashed"),
            *other.events("request.crashed"),
            *one.events("sweeper.failed"),
        ]

        assert [reply.text for reply in finished] == ["Slowly and more."] * 2
        assert all(reply.succeeded for reply in finished)
        assert all(reply.succeeded for reply in [*fresh, elsewhere])
        assert asked(upstream).count("second") >= 1
        assert (by_id.status, by_id.error["code"]) == (503, "storage_unavailable")
        assert by_id.headers["Retry-After"] == "2"
        assert [reply.status for reply in known] == [200, 200]
        assert (unknown.status, unknown.error["code"]) == (503, "storage_unavailable")
        assert unknown.headers["Retry-After"] == "2"
        assert one.request("GET", "/v1/models", headers={"x-api-key": UNKNOWN_KEY}).status == 401
        for events in logged.values():
            assert {"database.unavailable", "conversation.unavailable"} <= events
        assert crashed == []
        assert took_s < 3
        # Of the two that went on at once from the same history one was continued; nothing of the
        # outage was.
        assert new == 1
        assert sorted(map(len, texts_by_session(upstream)[: len(without)])) == [1] * (
            len(without) - 2
        ) + [2, 2]
        assert upstream.wait_for(
            lambda: all(session.deleted for session in without if len(session.queries) == 1)
        )


def test_a_database_that_takes_no_writes_is_away_until_it_does(
    server: PostgreSQL, upstream: SharedUpstream, environment: dict[str, str]
) -> None:
    with (
        killed_in_the_end(environment, WEB_CONCURRENCY="2") as gateway,
        ThreadPoolExecutor(8) as threads,
    ):
        chats = [Chat(gateway) for _ in range(8)]
        assert all(reply.succeeded for reply in threads.map(lambda chat: chat.say(topic()), chats))

        server.refuse_writes()
        try:
            meanwhile: list[Reply] = []
            until(lambda: len(gateway.events("database.unavailable")) == 2)
            for _ in range(10):
                meanwhile += threads.map(lambda chat: chat.fork().say("And the sun?"), chats)
            by_id = gateway.ask("Go on.", headers={"X-Conversation-Id": str(chats[0].conversation)})
        finally:
            server.take_writes()
        until(lambda: len(gateway.events("database.available")) == 2)
        before = len(used_sessions(upstream))
        after = list(threads.map(lambda chat: chat.say("And the stars?"), chats))
        lines = gateway.log_lines()

    assert all(reply.succeeded for reply in [*meanwhile, *after])
    assert (by_id.status, by_id.error["code"]) == (503, "storage_unavailable")
    assert len(used_sessions(upstream)) == before  # all go on from before
    told = [
        line
        for line in lines
        if line["event"].startswith("database.") and line["event"] != "database.migrated"
    ]
    assert [line["event"] for line in told] == ["database.unavailable"] * 2 + [
        "database.available"
    ] * 2
    assert all("read-only" in line["reason"] for line in told[:2])
    assert not any("exc_info" in line for line in lines)
