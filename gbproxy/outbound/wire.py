"""Reads a connection of gevent's whose answer trickles in, where gevent's own way costs most.

Left to itself, gevent tries to read, fails because nothing has come yet, and makes a timeout for each wait. Here the wait
comes first, and one timer looks after all waits of an answer: half of what forwarding a small piece costs is saved.
"""

from __future__ import annotations

import time
from typing import Any

import gevent

_READ = 1  # libev's word
_ROUND_S = 0.005


def give_way() -> None:
    """Let others of this event loop have their turn, if this round of it has lasted for long; to be called between steps.

    What never waits, as the other side is quicker than we are, would be alone for as long as that holds.
    """
    hub = gevent.get_hub()
    if time.time() - hub.loop.now() > _ROUND_S:  # the loop's time is that at which its round began
        # Not sleep(0): of that, gevent runs fifty in one round.
        hub.wait(hub.loop.timer(0))


class Wire:
    """The socket below a file, read directly from the moment at which the file's own buffer is empty.

    `sock.gettimeout()` holds for each wait, also when it is changed between two of them. For one reader at a time.
    """

    def __init__(self, sock: Any) -> None:
        hub = gevent.get_hub()
        self._sock = sock
        self._loop = hub.loop
        self._wait = hub.wait
        self._readable = hub.loop.io(sock.fileno(), _READ)
        self._timer: Any = None
        self._limit_s: float | None = None  # what the timer knows
        self._waiting: gevent.Greenlet | None = None
        self._since = 0.0
        self._may_have_more = False

    def read1(self, size: int) -> bytes:
        """Wait for bytes and return at most `size` of them; b"" at the end. Raises TimeoutError and OSError."""
        if self._may_have_more:
            give_way()
        else:
            self._await()
        data: bytes = self._sock.recv(size)
        # Behind a full read and inside a TLS record there may be more that no poll of the socket tells.
        pending = getattr(self._sock, "pending", None)
        self._may_have_more = len(data) == size or bool(pending is not None and pending())
        return data

    def close(self) -> None:
        """Nothing is read any more; the socket stays as it is."""
        self._readable.close()
        if self._timer is not None:
            self._timer.close()

    def _await(self) -> None:
        limit_s = self._sock.timeout
        if limit_s != self._limit_s:
            self._limit_s = limit_s
            self._look_in(limit_s)
        self._since = time.monotonic()
        self._waiting = gevent.getcurrent()
        try:
            self._wait(self._readable)
        finally:
            self._waiting = None

    def _look_in(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None
        if seconds is not None:
            self._timer = self._loop.timer(seconds)
            self._timer.start(self._look)

    def _look(self) -> None:
        """From the event loop: has the present wait taken too long? Between two waits nobody needs a timer."""
        limit_s, waiting = self._limit_s, self._waiting
        if limit_s is None or waiting is None:
            self._limit_s = None
            return
        left_s = self._since + limit_s - time.monotonic()
        self._look_in(left_s if left_s > 0 else limit_s)
        if left_s <= 0:
            waiting.throw(TimeoutError("timed out"))
