"""Runs an answer for the connection that it is for.

The first chunk is made in a greenlet of its own: until it is there, the connection's greenlet can
say that it is still waiting. All others are made in the connection's greenlet, each when the one
before has been written: so a client that reads slowly holds the upstream back, and the answer knows
what was delivered. `fail` interrupts an answer from outside, wherever it is waiting.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

import gevent

from gbproxy.errors import ClientGone, GatewayError
from gbproxy.web.disconnect import DisconnectWatcher


class FirstChunkTimeout(Exception):
    """The first chunk was not there in time."""


class _Interrupted(gevent.GreenletExit):  # type: ignore[misc]
    """Thrown into an answer that has been failed. No Exception: what handles the upstream's errors
    on the way must not catch it.
    """

    def __init__(self, reason: GatewayError) -> None:
        super().__init__(reason.message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Raised:
    """The error that ended the first chunk in its own greenlet."""

    error: Exception


class StreamRunner:
    """One answer on its way; the generator `chunks` is closed with it, whatever ends it."""

    def __init__(self, chunks: Generator[bytes], environ: Mapping[str, Any]) -> None:
        self._chunks = chunks
        self._loop = gevent.get_hub().loop
        self._failure: GatewayError | None = None
        self._beginning: gevent.Greenlet | None = None
        self._inside: Any = None  # the greenlet that is making a chunk now
        self._since = 0.0  # when that began
        self._ending: gevent.Greenlet | None = None
        self._closed = False
        self._watcher = DisconnectWatcher(environ.get("gunicorn.socket"), self._client_left)

    def begin(self) -> None:
        """Have the first chunk made aside, so that `next_chunk` can wait for it with a limit."""
        self._beginning = gevent.spawn(copy_context().run, self._first)

    def next_chunk(self, timeout_s: float | None = None) -> bytes | None:
        """The next chunk, or None at the end. Raises what the answer raises, or what `fail` was
        given.

        Raises FirstChunkTimeout when a first chunk that was begun aside is not there in time.
        """
        if self._beginning is not None:
            self._beginning.join(timeout_s)
            if not self._beginning.ready():
                raise FirstChunkTimeout
            first: bytes | _Raised | None = self._beginning.value
            self._beginning = None
            if self._failure is not None:
                raise self._failure
            if isinstance(first, _Raised):
                raise first.error
            return first
        if self._failure is not None:
            raise self._failure
        self._inside = gevent.getcurrent()
        self._since = time.monotonic()
        try:
            return next(self._chunks, None)
        except _Interrupted as interrupted:
            reason = interrupted.reason
        finally:
            self._inside = None
        # Neither its cause nor a name here is to hold it: with its traceback it holds the request
        # and all its files, until somebody looks for garbage.
        try:
            raise reason
        finally:
            del reason

    def waited_s(self) -> float:
        """Seconds since the chunk that is being made now was asked for; 0 between two chunks."""
        return time.monotonic() - self._since if self._inside is not None else 0.0

    def fail(self, error: GatewayError) -> None:
        """End the answer with an error from outside, ahead of what waits; may be called from the
        event loop.
        """
        if self._failure is None:
            self._failure = error
            self._loop.run_callback(self._interrupt)

    def close(self) -> None:
        """Close the answer and release all that it holds."""
        self._closed = True
        self._watcher.stop()
        for other in (self._beginning, self._ending):
            if other is not None and self._failure is None:
                other.kill()
            # it is ending already: a second kill would hit it while it tidies up
            elif other is not None:
                other.join()
        self._chunks.close()
        self._failure = None  # with its traceback it holds this object

    def _interrupt(self) -> None:
        if self._closed or self._failure is None:
            return
        if self._beginning is not None:
            self._beginning.kill(block=False)
        elif self._inside is not None:
            self._inside.throw(_Interrupted(self._failure))
        else:  # the last chunk is still being written, perhaps to a client that never reads it
            self._ending = gevent.spawn(self._chunks.close)

    def _client_left(self) -> None:
        self.fail(ClientGone("the client has left"))

    def _first(self) -> bytes | _Raised | None:
        try:
            return next(self._chunks, None)
        except Exception as error:  # noqa: BLE001  handed over: the connection's greenlet raises it
            return _Raised(error)


class Heartbeat:
    """Writes on a client's connection while no chunk comes, from the event loop, without a greenlet
    of its own; only where the server's connection can be inserted into.
    """

    def __init__(
        self, runner: StreamRunner, environ: Mapping[str, Any], heartbeat: bytes, interval_s: float
    ) -> None:
        """To be made once the response has begun."""
        self._runner = runner
        self._interval_s = interval_s
        self._connection: Any = environ.get("gunicorn.socket")
        is_chunked = environ.get("SERVER_PROTOCOL") == "HTTP/1.1"
        self._bytes = b"%x\r\n%b\r\n" % (len(heartbeat), heartbeat) if is_chunked else heartbeat
        self._written_at_s = 0.0  # how long the present chunk was waited for at the last heartbeat
        self._timer = gevent.get_hub().loop.timer(0)
        if hasattr(self._connection, "insert"):  # server/connection.py
            self._look_in(interval_s)

    def stop(self) -> None:
        self._timer.stop()
        self._timer.close()

    def _look_in(self, seconds: float) -> None:
        self._timer.close()
        self._timer = gevent.get_hub().loop.timer(seconds)
        self._timer.start(self._look)

    def _look(self) -> None:
        waited_s = self._runner.waited_s()
        if waited_s < self._written_at_s:  # for another chunk
            self._written_at_s = 0.0
        if waited_s - self._written_at_s < self._interval_s:
            self._look_in(self._interval_s - (waited_s - self._written_at_s))
            return
        self._written_at_s = waited_s
        try:
            self._connection.insert(self._bytes)
        except OSError:
            self._runner.fail(ClientGone("the client has left"))
        else:
            self._look_in(self._interval_s)
