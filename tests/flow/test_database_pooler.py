"""A gateway on a shared pooler: conversations go on, and other users of the server's session find
it as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from gbproxy.storage.database import Database
from tests.support.chats import Chat, accounts, killed_in_the_end, texts_by_session, topic
from tests.support.databases import LEFT_BEHIND, PgBouncer, PostgreSQL, pgbouncer
from tests.support.serving import PATIENT, SharedUpstream


@pytest.fixture
def pooler(server: PostgreSQL) -> Iterator[PgBouncer]:
    with pgbouncer(server) as running:
        yield running


def test_two_workers_share_the_one_session_of_a_pooler_with_others(pooler: PgBouncer) -> None:
    url = pooler.new_database()
    with SharedUpstream() as upstream, closing(Database(url, request_timeout_s=10.0)) as other:
        settings = accounts(upstream, 2) | {
            "DATABASE_URL": url,
            "SECRET_KEY": "a-secret-key-for-tests-1",
        }
        with killed_in_the_end(settings, command=PATIENT, WEB_CONCURRENCY="2") as gateway:
            chats = [Chat(gateway) for _ in range(6)]
            with ThreadPoolExecutor(len(chats)) as threads:
                for _ in range(3):
                    replies = list(threads.map(lambda chat: chat.say(topic()), chats))
                    assert all(reply.succeeded for reply in replies)

            assert sorted(map(len, texts_by_session(upstream))) == [3] * len(chats)
            assert gateway.events("database.unavailable") == []
            assert other.fetch(LEFT_BEHIND) == []
