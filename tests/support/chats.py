"""Several accounts on one simulator, chats as clients keep them, and what the upstream has seen of
both.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from gbproxy.simulator import RecordedRequest, Session, Simulator
from tests.support.polling import until
from tests.support.serving import GUNICORN, KEY, Asking, Reply, Served, serving

NAMES = ("first", "second", "third")
_MORE = (*NAMES, "fourth")
STREAM = "widgetStreamAssist"

_topics = itertools.count(1)


def accounts(upstream: Simulator, count: int) -> dict[str, str]:
    """The environment of a gateway with so many accounts, the first three by the names in
    `NAMES`.
    """
    while len(upstream.accounts) < count:
        upstream.add_account()
    given = [
        {
            "name": name,
            "secure_c_ses": account.secure_c_ses,
            "host_c_oses": account.host_c_oses,
            "csesidx": account.csesidx,
            "config_id": account.config_id,
        }
        for name, account in zip(_MORE, list(upstream.accounts.values())[:count], strict=False)
    ]
    addresses = {
        name: value for name, value in upstream.environment().items() if name.endswith("_URL")
    }
    return addresses | {"ACCOUNTS": json.dumps(given)}


def csesidx(upstream: Simulator, name: str) -> str:
    """By what the upstream knows this account."""
    return list(upstream.accounts)[_MORE.index(name)]


def asked(upstream: Simulator) -> list[str]:
    """The accounts that were asked for an answer, in order; calls with a refused token apart."""
    names = dict(zip(upstream.accounts, _MORE, strict=False))
    return [names[call.csesidx] for call in upstream.calls(STREAM) if call.csesidx is not None]


def topic() -> str:
    """Words that no other conversation of this process has."""
    return f"Topic {next(_topics)}"


def texts_by_session(upstream: Simulator) -> list[list[str]]:
    """The texts asked in each session, in the order of their first use."""
    found: dict[str, list[str]] = {}
    for call in upstream.calls(STREAM):
        if call.csesidx is not None:
            found.setdefault(session_of(call), []).append(text_of(call))
    return list(found.values())


def session_of(call: RecordedRequest) -> str:
    return str(call.body["streamAssistRequest"]["session"])


def text_of(call: RecordedRequest) -> str:
    return str(call.body["streamAssistRequest"]["query"]["parts"][0]["text"])


def used_sessions(upstream: Simulator) -> list[Session]:
    """The sessions in which anything was asked since the last reset, those first that were used
    first.
    """
    by_name = {session.short_name: session for session in upstream.sessions.values()}
    return [
        by_name[name] for name in dict.fromkeys(session_of(call) for call in upstream.calls(STREAM))
    ]


def deletions_of(upstream: Simulator) -> list[str]:
    """The sessions that were to be deleted, in the order of the calls."""
    return [
        call.body["deleteSessionRequest"]["name"] for call in upstream.calls("widgetDeleteSession")
    ]


@contextmanager
def one_at_a_time(upstream: Simulator) -> Iterator[None]:
    """At the end: no session was ever asked while an answer was still under way in it."""
    yield
    assert [session.id for session in upstream.sessions.values() if session.most_at_once > 1] == []


def holds(prompt: str, messages: list[dict[str, Any]]) -> bool:
    """True if a prompt tells these messages, all of them and in this order."""
    at = 0
    for message in messages:
        at = prompt.find(message["content"], at)
        if at < 0:
            return False
        at += len(message["content"])
    return True


@contextmanager
def killed_in_the_end(
    environment: Mapping[str, str], *, command: Sequence[str] = GUNICORN, **overrides: str
) -> Iterator[Served]:
    """A gateway for tests in which nothing hangs on how it ends: one with a temporary database
    removes that first.
    """
    with serving(environment, command=command, **overrides) as gateway:
        gateway.key = KEY
        try:
            yield gateway
        finally:
            if "DATABASE_URL" in {**environment, **overrides}:
                with suppress(ProcessLookupError):
                    os.killpg(gateway.pid, signal.SIGKILL)


@contextmanager
def only(
    gateway: Served, worker: int, *, nothing_is_held: Callable[[], bool] = lambda: True
) -> Iterator[None]:
    """Nobody but this worker answers, and none of the others holds what it needs.

    `nothing_is_held`: says so of a database on a server, once the others are stopped.
    """
    others = gateway.worker_pids() - {worker}
    assert worker in gateway.worker_pids()
    try:
        until(lambda: _are_stopped(others, nothing_is_held))
        yield
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)


def _are_stopped(workers: Collection[int], nothing_is_held: Callable[[], bool]) -> bool:
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    states = [Path(f"/proc/{worker}/status").read_text() for worker in workers]
    if not all("\nState:\tT" in state for state in states):
        return False
    # One that was stopped within a transaction would keep SQLite's lock, or a row's: the request
    # would go on without the database, and begin a conversation of its own.
    files = {file for worker in workers for file in _databases(worker)}
    if any(map(_is_locked, files)) or not nothing_is_held():
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
        return False
    return True


def _databases(worker: int) -> Iterator[Path]:
    """The SQLite files that a process has open."""
    for descriptor in Path(f"/proc/{worker}/fd").iterdir():
        with suppress(OSError):  # just closed
            file = descriptor.readlink()
            if file.name == "gbproxy.db":  # prometheus has files of that kind, too
                yield file


def _is_locked(file: Path) -> bool:
    with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        database.execute("ROLLBACK")
        return False


def workers(gateway: Served, count: int) -> list[int]:
    """The workers' process ids, once there are so many."""
    until(lambda: len(gateway.worker_pids()) == count)
    return sorted(gateway.worker_pids())


class Chat:
    """A conversation as a client has it: the whole history, sent with each request."""

    def __init__(self, gateway: Asking, *messages: dict[str, Any], **headers: str) -> None:
        self.gateway = gateway
        self.messages: list[dict[str, Any]] = list(messages)
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.conversation: str | None = None

    def say(self, text: str, **options: Any) -> Reply:
        """One more turn; a whole answer becomes part of the history."""
        reply = self.ask([*self.messages, user(text)], **options)
        if reply.succeeded:
            self.messages += [user(text), assistant(reply.text)]
            self.conversation = reply.headers["X-Conversation-Id"]
        return reply

    def ask(
        self,
        messages: list[dict[str, Any]],
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Reply:
        """Ask with any history, which leaves this one as it is."""
        return self.gateway.ask(messages, headers={**self.headers, **(headers or {})}, **options)

    def fork(self) -> Chat:
        made = Chat(self.gateway, *self.messages)
        made.headers = self.headers
        return made


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}
