"""Answers requests: from a request to what is written on its connection, and the record of it."""

from __future__ import annotations

import json
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic

from gbproxy.simulator.http.actions import HoldHeaders, HttpAction, LazyElements
from gbproxy.simulator.http.connection import Connection, Headers, Request
from gbproxy.simulator.http.transport import Transport
from gbproxy.simulator.scripting.actions import AnswerAction
from gbproxy.simulator.scripting.replay import Replay
from gbproxy.simulator.scripting.service import AnswerStream, Call, Context, Reply, SwitchesT
from gbproxy.simulator.scripting.switches import FramingSwitches

_REMEMBERED_REQUESTS = 20_000


class Handler(Generic[SwitchesT]):
    """Answers requests as `accept` says; the context's lock is notified of every change."""

    def __init__(self, accept: Callable[[Request, SwitchesT], Call], context: Context) -> None:
        self.recorder = Recorder()
        self.open_streams = 0
        self._accept = accept
        self._context = context

    def answer(self, connection: Connection, request: Request, switches: SwitchesT) -> bool:
        """Answer a call of a service. True if the connection may carry another request."""
        with self._context.lock:
            call = self._accept(request, switches)
            self.recorder.add(call.name, request, connection.number, call.account_id)
            self._context.lock.notify_all()
            reply = call.reply()
        delay_s = switches.control_delay_s if call.delayed else 0.0
        if reply.stream is None:
            return self.perform(connection, request, reply, switches, delay_s)
        with self._open(reply.stream):
            return self.perform(connection, request, reply, switches, delay_s)

    def replay(self, connection: Connection, request: Request, replay: Replay) -> bool:
        """Answer a call as a capture has it. True if the connection may carry another request."""
        with self._context.lock:
            self.recorder.add(request.path.rpartition("/")[2], request, connection.number, None)
            self._context.lock.notify_all()
            script = replay.answer(request, self._context.origin)
        return self.perform(connection, request, Reply(script), FramingSwitches())

    def perform(
        self,
        connection: Connection,
        request: Request,
        reply: Reply,
        switches: FramingSwitches,
        delay_s: float = 0.0,
    ) -> bool:
        """Send a reply. True if the connection may carry another request."""
        transport = Transport(
            connection=connection,
            request=request,
            layout=reply.layout,
            coding=switches.transfer,
            cuts=switches.cuts,
            gzip=switches.gzip,
            now=self._context.now,
            rng=random.Random(self._context.rng.random()),  # noqa: S311  where to cut
        )
        delay = [HoldHeaders(delay_s)] if delay_s else []
        return transport.perform([*delay, *_http_actions(reply)])

    @contextmanager
    def _open(self, stream: AnswerStream) -> Iterator[None]:
        """Count an answer while it is under way."""
        with self._context.lock:
            self.open_streams += 1
            stream.begin()
            self._context.lock.notify_all()
        try:
            yield
        finally:
            with self._context.lock:
                stream.end()
                self.open_streams -= 1
                self._context.lock.notify_all()


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


def _http_actions(reply: Reply) -> Iterator[HttpAction]:
    """The script as HTTP has it: what a model says becomes elements when its turn has come."""
    for action in reply.script:
        if not isinstance(action, AnswerAction):
            yield action
        elif reply.stream is None:
            raise ValueError("this answer has no elements; use Write, json_reply and the like")
        else:
            yield LazyElements(partial(reply.stream.elements, action))


def _body(request: Request) -> Any:
    if "json" in request.headers.get("content-type", ""):
        try:
            return json.loads(request.body)
        except (ValueError, RecursionError):
            return request.body
    return request.body
