"""Accepts connections, and loses none when it ends."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gevent.server import StreamServer

from gbproxy.server.arbiter import BACKLOG


@dataclass(frozen=True, slots=True)
class ListeningAddress:
    """What handlers ask their listener for, also when its socket is closed before they begin."""

    address: Any

    def getsockname(self) -> Any:
        return self.address


class Listener(StreamServer):  # type: ignore[misc]
    """gevent's server, but what waits to be accepted when it closes is still accepted.

    For its client such a connection is open, and a request may have come on it: the system would
    reset it with the socket, as soon as no other worker has that either.
    """

    def close(self) -> None:
        if not self.closed:
            with suppress(OSError):  # its socket is of no use any more
                self.stop_accepting()
                self._accept_waiting()
                os.close(self.socket.detach())  # at once: gevent would in a later round of its loop
        super().close()

    def _accept_waiting(self) -> None:
        for _ in range(BACKLOG):
            if self.full() or (accepted := self.do_read()) is None:
                return
            self.do_handle(*accepted)
