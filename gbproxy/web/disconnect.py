"""Notices that a client has left, by a watch on its socket that reads nothing.

A half-closed connection counts as gone: no client of this kind of API closes its sending side and
goes on listening.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

import gevent
from gevent import monkey

_POLL_S = 0.1

# The real poll: a look at one descriptor that never waits needs no event loop.
_poll = monkey.get_original("select", "poll")
_GONE = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


class DisconnectWatcher:
    """Calls `on_gone` once, from the event loop, when the client of a connection has left; at once
    when it is gone already. Without a connection (another server, a test client) it never does.

    Costs nothing while nothing arrives; once bytes of a next request wait, which hides the end, it
    looks regularly.
    """

    def __init__(self, connection: socket.socket | None, on_gone: Callable[[], None]) -> None:
        self._connection = connection
        self._on_gone = on_gone
        if connection is None:
            return
        loop = gevent.get_hub().loop
        self._readable = loop.io(connection.fileno(), 1)
        self._timer = loop.timer(_POLL_S, _POLL_S)
        if is_gone(connection):  # it has left while its request waited
            on_gone()
        else:
            self._readable.start(self._look)

    def stop(self) -> None:
        if self._connection is None:
            return
        self._readable.stop()
        self._readable.close()
        self._timer.stop()
        self._timer.close()

    def _look(self) -> None:
        if self._connection is None or is_gone(self._connection):
            self._readable.stop()
            self._timer.stop()
            self._on_gone()
        elif not self._timer.active:
            self._readable.stop()
            self._timer.start(self._look)


def is_gone(connection: socket.socket) -> bool:
    """True if the other side has closed or reset the connection."""
    descriptor = connection.fileno()
    if descriptor < 0:
        return True
    events = _events(descriptor)
    if events & _GONE:
        return True
    return bool(events) and not hasattr(select, "POLLRDHUP") and _is_at_end(descriptor)


def has_input(connection: socket.socket) -> bool:
    """True if bytes wait to be read, or the connection's end."""
    descriptor = connection.fileno()
    return descriptor < 0 or bool(_events(descriptor))


def _events(descriptor: int) -> int:
    poll = _poll()
    poll.register(descriptor, select.POLLIN | _GONE)
    found = poll.poll(0)
    return found[0][1] if found else 0


def _is_at_end(descriptor: int) -> bool:
    """The same where the system's poll does not tell: nothing to read behind what made the socket
    readable.
    """
    plain = socket.socket(fileno=descriptor)
    try:
        return not plain.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        plain.detach()
