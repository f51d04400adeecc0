"""Redis, which counts for all workers, goes away and comes back: nobody is refused meanwhile, and
nobody waits for it.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

from tests.support.chats import accounts, killed_in_the_end
from tests.support.delays import Delays
from tests.support.polling import until
from tests.support.redis_server import redis_server
from tests.support.serving import Reply, Served, SharedUpstream

LIMIT = 2


def ask(gateway: Served, count: int) -> list[Reply]:
    return [gateway.ask() for _ in range(count)]


def test_while_redis_is_away_limits_are_open_and_nobody_waits_and_when_it_is_back_they_hold() -> (
    None
):
    with ExitStack() as stack:
        redis, upstream = stack.enter_context(redis_server()), stack.enter_context(SharedUpstream())
        limited = {"REDIS_URL": redis.url, "RATE_LIMIT": f"{LIMIT}/hour", "WEB_CONCURRENCY": "2"}
        gateway = stack.enter_context(killed_in_the_end(accounts(upstream, 2) | limited))
        within = [reply.status for reply in ask(gateway, LIMIT + 1)]

        redis.stop()
        with Delays(gateway.worker_pids()) as delays:
            began_at = time.monotonic()
            meanwhile = ask(gateway, 3 * LIMIT)
            took_s = time.monotonic() - began_at
        heard = len(upstream.questions())
        redis.start()  # and knows nothing of what was counted
        # The first to refuse may be a worker that nobody has asked meanwhile, and has seen nothing.
        until(lambda: gateway.ask().status == 429 and gateway.events("redis.available"))
        away, again = gateway.events("redis.unavailable"), gateway.events("redis.available")
        learnt = [*gateway.events("account.cooling"), *gateway.events("request.crashed")]

    assert within == [200] * LIMIT + [429]
    assert all(reply.succeeded for reply in meanwhile)
    assert heard == LIMIT + 3 * LIMIT
    assert took_s < 3 + delays.total_s
    assert 1 <= len(again) <= len(away) <= 2  # once for each worker
    assert learnt == []
