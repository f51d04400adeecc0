"""Runs an answer beside the connection that it is for.

The answer is made in a greenlet of its own, a few pieces ahead at most; the connection's greenlet takes piece by piece.
So it can say that it is still there while nothing comes, a client that reads slowly holds the upstream back, and one that
leaves ends the answer at once, wherever it is waiting.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from contextlib import closing
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.queue import Empty, Full, Queue

from gbproxy.api import client
from gbproxy.errors import ClientGone, GatewayError

_AHEAD = 4  # pieces, each of what one read of the upstream brought


class Silence(Exception):
    """Nothing has come for the time given."""


@dataclass(frozen=True, slots=True)
class _Raised:
    """The answer's own end by an error, which comes after the pieces before it."""

    error: Exception


class Pump:
    """One answer on its way; the generator `pieces` is closed with it, whatever ends it."""

    def __init__(self, pieces: Generator[bytes], environ: Mapping[str, Any]) -> None:
        self._pieces = pieces
        self._queue: Queue[bytes | _Raised | None] = Queue(_AHEAD)
        self._failure: GatewayError | None = None
        self._stop_watching = client.watch(environ, lambda: self.fail(ClientGone("the client has left")))
        self._producer = gevent.spawn(copy_context().run, self._run)

    def take(self, timeout_s: float | None = None) -> bytes | None:
        """The next piece, or None at the end. Raises Silence, what the answer raises, or what `fail` was given."""
        self._raise_failure()
        try:
            piece: bytes | _Raised | None = self._queue.get(timeout=timeout_s)
        except Empty:
            raise Silence from None
        self._raise_failure()
        if isinstance(piece, _Raised):
            raise piece.error
        return piece

    def fail(self, error: GatewayError) -> None:
        """End the answer with an error from outside, ahead of what waits; may be called from the event loop."""
        if self._failure is not None:
            return
        self._failure = error
        self._producer.kill(block=False)
        with contextlib.suppress(Full):  # then nobody waits on it
            self._queue.put_nowait(None)

    def close(self) -> None:
        """Let go of the answer and of all that it holds."""
        self._stop_watching()
        if self._failure is None:
            self._producer.kill()
        else:  # it is ending already: a second kill would hit it while it tidies up
            self._producer.join()

    def _run(self) -> None:
        try:
            with closing(self._pieces) as pieces:
                for piece in pieces:
                    self._queue.put(piece)
        except Exception as error:  # noqa: BLE001  handed over: the connection's greenlet raises it
            self._hand_over(_Raised(error))
        else:
            self._hand_over(None)

    def _hand_over(self, end: _Raised | None) -> None:
        if self._failure is None:  # else nobody takes it any more, and it would wait for ever
            self._queue.put(end)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
