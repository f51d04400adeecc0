"""What a simulator remembers of the requests it got, and the scripts that wait for requests."""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gbproxy.simulator.http.connection import Headers, Request
from gbproxy.simulator.scripting.actions import Action

_REMEMBERED_REQUESTS = 20_000


@dataclass(frozen=True)
class RecordedRequest:
    """A request as it came. `body` is the parsed JSON if it is JSON; `time` is monotonic;
    `csesidx` is the account whose token was accepted, or that was named to getoxsrf."""

    name: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Headers
    body: Any
    time: float
    connection: int
    csesidx: str | None = None


class Records:
    """The latest requests, and the count of all. Not locked: the caller is."""

    def __init__(self) -> None:
        self.latest: deque[RecordedRequest] = deque(maxlen=_REMEMBERED_REQUESTS)
        self.counts: Counter[str] = Counter()

    def add(self, name: str, request: Request, connection: int, csesidx: str | None) -> None:
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
            csesidx=csesidx,
        )
        self.latest.append(record)


@dataclass
class _Queued:
    name: str
    script: tuple[Action, ...]
    left: float
    csesidx: str | None


class ScriptQueue:
    """Scripts in the order of queueing. Not locked: the caller is."""

    def __init__(self) -> None:
        self._queued: list[_Queued] = []

    def __len__(self) -> int:
        return len(self._queued)

    def add(self, name: str, script: tuple[Action, ...], times: float, csesidx: str | None) -> None:
        self._queued.append(_Queued(name, script, times, csesidx))

    def clear(self) -> None:
        self._queued.clear()

    def take(self, name: str, csesidx: str | None) -> tuple[Action, ...] | None:
        """The first script for this call and account, which thereby is used once."""
        for queued in self._queued:
            if queued.name == name and queued.csesidx in (None, csesidx):
                queued.left -= 1
                if queued.left <= 0:
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
