"""Callers are held to their limits, by one worker from memory and by two over Redis; keys come and
go in every worker.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from gbproxy.domain.principal import ApiKey, KeyPolicy
from gbproxy.rate_limits.limiter import LEASE_S, RENEW_S
from gbproxy.simulator import Stall, Text, answer
from gbproxy.storage.api_keys import ApiKeyStore
from gbproxy.storage.database import Database
from gbproxy.storage.prepare import prepare
from tests.support.chats import killed_in_the_end, only, workers
from tests.support.delays import Delays
from tests.support.gates import Gate
from tests.support.polling import until
from tests.support.redis_server import Redis, redis_server
from tests.support.serving import GUNICORN, KEY, Reply, Served, SharedUpstream, free_port, process

ADMIN_KEY = "ak-test-5b3c9e71d2f84a60"
SECRET_KEY = "a-secret-key-for-tests-1"
WINDOW_S = 1.0
KNOWN_S = 1.0

Record = Callable[[str, object], None]
_numbers = itertools.count()
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are told apart by /proc")


@pytest.fixture(scope="module")
def upstream() -> Iterator[SharedUpstream]:
    with SharedUpstream() as made:
        yield made


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module")
def gateways(upstream: SharedUpstream) -> Iterator[Callable[[dict[str, str]], Served]]:
    """Makes one gateway for each set of settings."""
    made: dict[str, Served] = {}
    common = {
        **upstream.environment(),
        "ADMIN_KEY": ADMIN_KEY,
        "ACCOUNT_CONCURRENCY": "100",
        "RATE_LIMIT": "10/second",
    }
    with ExitStack() as stack:

        def gateway(settings: dict[str, str]) -> Served:
            name = json.dumps(settings)
            if name not in made:
                made[name] = stack.enter_context(killed_in_the_end({**common, **settings}))
            return made[name]

        yield gateway


@pytest.fixture
def two_workers(
    upstream: SharedUpstream, redis: Redis, gateways: Callable[[dict[str, str]], Served]
) -> Served:
    """A gateway of two workers that count in Redis."""
    upstream.reset()
    gateway = gateways({"WEB_CONCURRENCY": "2", "REDIS_URL": redis.url})
    workers(gateway, 2)
    return gateway


@pytest.fixture
def one_worker(upstream: SharedUpstream, gateways: Callable[[dict[str, str]], Served]) -> Served:
    """A gateway that counts in its memory."""
    upstream.reset()
    return gateways({})


@pytest.fixture(params=["one_worker", "two_workers"])
def gateway(request: pytest.FixtureRequest) -> Served:
    found: Served = request.getfixturevalue(request.param)
    return found


def administer(gateway: Served, method: str, path: str = "", body: object = None) -> Reply:
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"}
    return gateway.request(
        method, f"/api/admin/keys{path}", None if body is None else json.dumps(body), headers
    )


def create(gateway: Served, **fields: object) -> dict[str, Any]:
    reply = administer(gateway, "POST", "", {"name": "n", "rate_limit": "1000/second", **fields})
    assert reply.status == 201, reply.body
    made: dict[str, Any] = reply.json()
    return made


def ask(gateway: Served, key: str, **fields: Any) -> Reply:
    return gateway.ask("Hello", headers={"Authorization": f"Bearer {key}"}, **fields)


def by_each(gateway: Served, act: Callable[[], Any]) -> list[Any]:
    """What each worker, asked alone, makes of it."""

    def alone(worker: int) -> Any:
        with only(gateway, worker):
            return act()

    return [alone(worker) for worker in workers(gateway, 2)]


def burst(gateway: Served, callers: int, key: str = KEY) -> tuple[list[Reply], float]:
    """What so many callers get who ask at once, and how long that took."""
    caller = Served(gateway.process, gateway.url, key)
    with ExitStack() as stack:
        # connected already, and without threads: this process is to take little of the time
        calls = [stack.enter_context(caller.call()) for _ in range(callers)]
        began = time.monotonic()
        for number, call in enumerate(calls):
            call.ask(stream=number % 2 == 0, request_id=f"burst-{next(_numbers)}")
        return [call.reply() for call in calls], time.monotonic() - began


def test_of_fifty_callers_at_once_exactly_ten_get_by(
    gateway: Served, record_property: Record
) -> None:
    for _ in range(30):
        key = create(gateway, rate_limit=None)["key"]  # in whose window nobody has asked yet
        replies, took_s = burst(gateway, 50, key)
        if took_s < WINDOW_S:  # on a machine that is busy elsewhere a second window has begun
            break
    record_property("measured", f"50 callers at once, 10 of them answered: {took_s * 1000:.0f} ms")

    statuses = [reply.status for reply in replies]
    assert took_s < WINDOW_S
    assert (statuses.count(200), statuses.count(429)) == (10, 40)
    assert {reply.headers["x-ratelimit-limit-requests"] for reply in replies} == {"10"}
    assert {int(reply.headers["x-ratelimit-remaining-requests"]) for reply in replies} <= {
        *range(10)
    }
    refused = [reply for reply in replies if reply.status == 429]
    assert {reply.headers["x-ratelimit-remaining-requests"] for reply in refused} == {"0"}
    assert {reply.headers["Retry-After"] for reply in refused} == {"1"}
    assert all(reply.headers["x-ratelimit-reset-requests"].endswith("ms") for reply in refused)
    assert {reply.error["code"] for reply in refused} == {"rate_limit_exceeded"}


def test_a_new_key_is_good_at_once_and_a_revoked_one_refused_within_a_second_everywhere(
    two_workers: Served, record_property: Record
) -> None:
    made = create(two_workers)
    at_once = by_each(two_workers, lambda: ask(two_workers, made["key"]).status)
    administer(two_workers, "DELETE", f"/{made['id']}")

    with Delays(two_workers.worker_pids()) as delays:
        waited_s = until(
            lambda: (
                by_each(two_workers, lambda: ask(two_workers, made["key"]).status) == [401, 401]
            ),
            every_s=0.02,
        )

    assert at_once == [200, 200]
    assert waited_s < KNOWN_S + delays.total_s
    record_property(
        "measured", f"a revoked key is refused by both workers: {waited_s * 1000:.0f} ms"
    )


def test_two_workers_count_as_one(two_workers: Served) -> None:
    key = create(two_workers, rate_limit="2/hour", tokens_per_day=1_000_000)["key"]

    first = by_each(two_workers, lambda: ask(two_workers, key))
    second = by_each(two_workers, lambda: ask(two_workers, key).status)

    assert [reply.status for reply in first] == [200, 200]
    assert [reply.headers["x-ratelimit-remaining-requests"] for reply in first] == ["1", "0"]
    used = first[0].json()["usage"]["total_tokens"]
    assert [int(reply.headers["x-ratelimit-remaining-tokens"]) for reply in first] == [
        1_000_000,
        1_000_000 - used,
    ]
    assert second == [429, 429]


def test_many_at_once_cannot_overrun_a_days_tokens(
    upstream: SharedUpstream, gateway: Served
) -> None:
    key = create(gateway, tokens_per_day=100)["key"]
    question = "What is the moon made of? " * 8  # some fifty tokens
    ready = Barrier(30)

    def one(number: int) -> Reply:
        ready.wait(30)
        return gateway.ask(
            question, stream=number % 2 == 0, headers={"Authorization": f"Bearer {key}"}
        )

    has_begun = Gate()
    upstream.script(has_begun.closed, *answer("Rock."), times=2)
    with ThreadPoolExecutor(30) as threads:
        asked = [threads.submit(one, number) for number in range(30)]
        try:  # none has ended when the last one comes
            until(lambda: sum(each.done() for each in asked) == 28)
        finally:
            has_begun.open()
        replies = [each.result() for each in asked]

    refused = [reply for reply in replies if reply.status == 429]
    assert sorted(reply.status for reply in replies) == [200] * 2 + [429] * 28
    assert {reply.error["code"] for reply in refused} == {"rate_limit_exceeded"}
    assert all("00:00 UTC" in reply.error["message"] for reply in refused)
    assert ask(gateway, key).headers["x-ratelimit-remaining-tokens"] == "0"


def test_a_place_is_free_again_when_its_client_has_left(
    upstream: SharedUpstream, gateway: Served
) -> None:
    key = create(gateway, concurrent_streams=1)["key"]
    caller = Served(gateway.process, gateway.url, key)
    upstream.script(Text("One, "), Stall())
    with caller.call() as call:
        call.ask("Count")
        call.read_until(b"One, ")
        busy = ask(gateway, key, stream=True)

    until(lambda: ask(gateway, key, stream=True).status == 200, every_s=0.02)

    assert (busy.status, busy.error["code"]) == (429, "rate_limit_exceeded")


def test_the_place_of_a_worker_that_was_killed_gets_free(
    upstream: SharedUpstream, two_workers: Served, redis: Redis
) -> None:
    made = create(two_workers, concurrent_streams=1)
    name = f"gbproxy:members:streams:key:{made['id']}"
    caller = Served(two_workers.process, two_workers.url, made["key"])
    upstream.script(Text("One, "), Stall())
    before = workers(two_workers, 2)
    with caller.call() as call:
        call.ask("Count")
        call.read_until(b"One, ")
        for worker in before:
            os.kill(worker, signal.SIGKILL)

    left_ms = int(redis.ask("PTTL", name).strip(":\r\n"))
    assert 0 < left_ms <= LEASE_S * 1000
    # nobody renews it
    until(lambda: int(redis.ask("PTTL", name).strip(":\r\n")) < (LEASE_S - RENEW_S - 0.5) * 1000)
    redis.ask("PEXPIRE", name, "1")
    until(lambda: len(two_workers.worker_pids() - set(before)) == 2)
    assert ask(two_workers, made["key"], stream=True).status == 200


def test_workers_that_would_each_count_alone_are_not_added_at_run_time(
    one_worker: Served, two_workers: Served
) -> None:
    os.kill(one_worker.pid, signal.SIGTTIN)
    os.kill(one_worker.pid, signal.SIGTTOU)
    until(lambda: len(one_worker.events("workers.unchanged")) == 2)
    os.kill(two_workers.pid, signal.SIGTTIN)
    workers(two_workers, 3)
    os.kill(two_workers.pid, signal.SIGTTOU)
    workers(two_workers, 2)

    assert len(workers(one_worker, 1)) == 1
    assert {line["workers"] for line in one_worker.events("workers.unchanged")} == {1}
    assert two_workers.events("workers.unchanged") == []


def test_without_redis_everybody_is_answered_and_the_log_says_so(
    two_workers: Served, redis: Redis
) -> None:
    before = len(two_workers.events("redis.unavailable"))
    redis.stop()
    try:
        with Delays(two_workers.worker_pids()) as delays:
            replies, took_s = burst(two_workers, 30)
        for reply in replies:  # each line of theirs is there then
            two_workers.log_of(reply)
        told = two_workers.events("redis.unavailable")[before:]
    finally:
        redis.start()
    # A worker that has noticed that it is away notices its return by a request of its own.
    until(
        lambda: (
            429 in [reply.status for reply in burst(two_workers, 30)[0]]
            and len(two_workers.events("redis.available"))
            == len(two_workers.events("redis.unavailable"))
        ),
        timeout_s=20,
    )

    assert [reply.status for reply in replies] == [200] * 30
    assert took_s < 5 + delays.total_s
    assert {line["level"] for line in told} == {"error"}
    assert 1 <= len(told) <= 2  # each worker once


@pytest.mark.slow
def test_workers_that_cannot_count_together_do_not_start_with_a_limited_key(
    upstream: SharedUpstream, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/gbproxy.db"
    prepare(url, [SECRET_KEY])
    with closing(Database(url)) as database:
        ApiKeyStore(database).add(
            ApiKey("1", "the laptop's", b"d" * 32, 0.0, None, KeyPolicy(tokens_per_day=5))
        )
    kept = {"DATABASE_URL": url, "SECRET_KEY": SECRET_KEY}
    settings = {**upstream.environment(), **kept, "API_KEYS": KEY, "HOST": "127.0.0.1"}

    with process(
        GUNICORN, {**settings, "PORT": str(free_port()), "WEB_CONCURRENCY": "2"}
    ) as running:
        status = running.wait()

    assert status == 2
    assert running.stderr.count("REDIS_URL: is needed") == 1
    assert "the laptop's" in running.stderr
