"""Says on a connection that an answer is still being made, while no piece of it comes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import gevent

from gbproxy.errors import ClientGone
from gbproxy.web.stream_runner import StreamRunner


class Insertable(Protocol):
    """A client's connection that takes bytes between two writes of the response."""

    def insert(self, data: bytes) -> None: ...


class Heartbeat:
    """Beats from the event loop, without a greenlet of its own; only where the server's connection
    can be inserted into.
    """

    def __init__(
        self, pump: StreamRunner, environ: Mapping[str, Any], beat: bytes, interval_s: float
    ) -> None:
        """To be made once the response has begun."""
        self._pump = pump
        self._interval_s = interval_s
        self._connection: Insertable = environ.get("gunicorn.socket")  # type: ignore[assignment]
        is_chunked = environ.get("SERVER_PROTOCOL") == "HTTP/1.1"
        self._beat = b"%x\r\n%b\r\n" % (len(beat), beat) if is_chunked else beat
        self._said_at_s = 0.0  # how long the present piece had been waited for at the last beat
        self._timer = gevent.get_hub().loop.timer(0)
        if hasattr(self._connection, "insert"):
            self._look_in(interval_s)

    def stop(self) -> None:
        self._timer.stop()
        self._timer.close()

    def _look_in(self, seconds: float) -> None:
        self._timer.close()
        self._timer = gevent.get_hub().loop.timer(seconds)
        self._timer.start(self._look)

    def _look(self) -> None:
        waited_s = self._pump.waited_s()
        if waited_s < self._said_at_s:  # for another piece
            self._said_at_s = 0.0
        if waited_s - self._said_at_s < self._interval_s:
            self._look_in(self._interval_s - (waited_s - self._said_at_s))
            return
        self._said_at_s = waited_s
        try:
            self._connection.insert(self._beat)
        except OSError:
            self._pump.fail(ClientGone("the client has left"))
        else:
            self._look_in(self._interval_s)
