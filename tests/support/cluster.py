"""Several gateways on one PostgreSQL and one Redis behind one nginx, and what may happen to them.

All have one clock, which a test may set: with it every session expires at once.
"""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gbproxy.simulator import Session, Simulator
from tests.support.chats import accounts
from tests.support.databases import PostgreSQL
from tests.support.nginx import Address, Front, nginx
from tests.support.polling import until
from tests.support.redis_server import Redis, redis_server
from tests.support.serving import Served, free_port, serving

ADMIN_KEY = "admin-key-of-these-tests-0123"
COMMAND = (
    sys.executable,
    "-m",
    "gunicorn",
    "-c",
    "tests/support/jumping.conf.py",
    "gbproxy.app:create_app()",
)
WORKERS = 2
_LINE = re.compile(r" by=(?P<by>.*?) request=(?P<request>\S+)$")


class Machine:
    """One gateway, which ends and begins anew at its address."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._stack = ExitStack()
        self.ended: list[Served] = []  # its former lives, with their logs
        self.address: Address = ("127.0.0.1", 0)
        self.served: Served

    def start(self, *, elsewhere: bool = False) -> None:
        """Start, and return once it is ready; `elsewhere`: at another address than before."""
        port = free_port() if elsewhere or not self.address[1] else self.address[1]
        self.address = ("127.0.0.1", port)
        self.served = self._stack.enter_context(
            serving(self._environment, command=COMMAND, PORT=str(port))
        )

    def stop(self) -> int:
        """End it with grace; its exit status."""
        self.ended.append(self.served)
        return self.served.stop()

    def kill(self) -> None:
        """End its first process and its workers at once, as a machine that loses its power."""
        self.ended.append(self.served)
        os.killpg(self.served.pid, signal.SIGKILL)
        self.served.process.wait()

    def close(self) -> None:
        self._stack.close()


@dataclass
class Cluster:
    upstream: Simulator
    database: PostgreSQL
    redis: Redis
    machines: list[Machine]
    front: Front
    clock: Path
    addresses: list[Address] = field(default_factory=list)

    def replace(self, machine: Machine) -> int:
        """As a rolling update does: another one is ready first and gets what comes; then the one
        before is told to end. Its exit status.
        """
        before = machine.served
        machine.start(elsewhere=True)
        self.front.turn_to([each.address for each in self.machines])
        machine.ended.append(before)
        return before.stop()

    def new_key(self, **policy: object) -> str:
        """A stored client key with these limits."""
        reply = self.machines[0].served.request(
            "POST",
            "/api/admin/keys",
            json.dumps({"name": "limited", **policy}),
            {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"},
        )
        assert reply.status == 201, reply.body
        return str(reply.json()["key"])

    def served_by(self, since: int = 0) -> dict[str, list[str]]:
        """By request id: the addresses that nginx tried, the last one being that which answered, of
        the requests behind the first `since` in its log.
        """
        lines = (self.front.logs / "access.log").read_text().splitlines()[since:]
        found = [match for match in map(_LINE.search, lines) if match]
        return {match["request"]: match["by"].split(", ") for match in found}

    def wait_until_asked(self, machine: Machine) -> None:
        """Wait until nginx has turned to it again."""
        address = ":".join(map(str, machine.address))
        since = len((self.front.logs / "access.log").read_text().splitlines())
        until(lambda: any(tried[-1] == address for tried in self.served_by(since).values()), 30)

    def expire_sessions(self, after_s: float) -> None:
        """Set the clock ahead, for all gateways at once."""
        with self.clock.open("r+b") as file:
            file.write(struct.pack("d", after_s))

    def used_and_alive(self) -> list[Session]:
        return [s for s in self.upstream.sessions.values() if s.asked and not s.deleted]

    def alive(self) -> list[Session]:
        return [s for s in self.upstream.sessions.values() if not s.deleted]

    def events(self, name: str) -> list[dict[str, object]]:
        """The log lines of this event of all gateways, also of those that have ended."""
        lives = [life for each in self.machines for life in {*each.ended, each.served}]
        return [line for life in lives for line in life.events(name)]


@contextmanager
def cluster(
    folder: Path, upstream: Simulator, database: PostgreSQL, count: int, **settings: str
) -> Iterator[Cluster]:
    """So many gateways with two workers each, for two accounts of this upstream."""
    clock = folder / "clock"
    clock.write_bytes(bytes(8))
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server())
        environment = accounts(upstream, 2) | {
            "DATABASE_URL": database.new_database(),
            "REDIS_URL": redis.url,
            "SECRET_KEY": "a-secret-key-for-tests-1",
            "ADMIN_KEY": ADMIN_KEY,
            "WEB_CONCURRENCY": str(WORKERS),
            "TRUSTED_PROXIES": "1",
            "ACCOUNT_CONCURRENCY": "100",
            "GRACEFUL_TIMEOUT_S": "15",
            "DRAIN_DELAY_S": "0.5",
            "CLOCK_FILE": str(clock),
            **settings,
        }
        machines = [Machine(environment) for _ in range(count)]
        for machine in machines:
            stack.callback(machine.close)
            machine.start()
        front = stack.enter_context(nginx(folder, *(each.address for each in machines)))
        yield Cluster(upstream, database, redis, machines, front, clock)
