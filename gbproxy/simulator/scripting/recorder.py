"""The requests that a simulator got, and the scripts that wait for requests."""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gbproxy.simulator.http.connection import Headers, Request
from gbproxy.simulator.scripting.actions import Script

_REMEMBERED_REQUESTS = 20_000


@dataclass(frozen=True)
class RecordedRequest:
    """A request as it came.

    `body` is the parsed JSON if it is JSON; `time` is monotonic, in seconds; `csesidx` is the
    account whose token was accepted, or that was named to getoxsrf.
    """

    name: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Headers
    body: Any
    time: float
    connection: int
    csesidx: str | None = None


class Recorder:
    """The latest requests, and the count of all by name. Not locked: the caller is."""

    def __init__(self) -> None:
        self.latest: deque[RecordedRequest] = deque(maxlen=_REMEMBERED_REQUESTS)
        self.counts: Counter[str] = Counter()

    def add(self, name: str, request: Request, connection: int, account_id: str | None) -> None:
        self.counts[name] += 1
        record = RecordedRequest(
            name=name,
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
            body=_body(request),
            time=time.monotonic(),
            connection=connection,
            csesidx=account_id,
        )
        self.latest.append(record)


@dataclass
class _QueuedScript:
    name: str
    script: Script
    uses_left: float
    account_id: str | None


class ScriptQueue:
    """Scripts in the order of queueing. Not locked: the caller is."""

    def __init__(self) -> None:
        self._queued: list[_QueuedScript] = []

    def __len__(self) -> int:
        return len(self._queued)

    def add(self, name: str, script: Script, times: float, account_id: str | None) -> None:
        """Queue a script for the next `times` calls of that name, of one account or of all."""
        self._queued.append(_QueuedScript(name, script, times, account_id))

    def clear(self) -> None:
        self._queued.clear()

    def take(self, name: str, account_id: str | None) -> Script | None:
        """The first script for this call and account, which thereby is used once."""
        for queued in self._queued:
            if queued.name == name and queued.account_id in (None, account_id):
                queued.uses_left -= 1
                if queued.uses_left <= 0:
                    self._queued.remove(queued)
                return queued.script
        return None


def _body(request: Request) -> Any:
    if "json" in request.headers.get("content-type", ""):
        try:
            return json.loads(request.body)
        except (ValueError, RecursionError):
            return request.body
    return request.body
