"""The end of a listener, by connections of the system's own."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import gevent
import gevent.event
import gevent.socket
from gevent.pool import Pool

from gbproxy.server.listener import Listener


def listening(stack: ExitStack) -> gevent.socket.socket:
    made = stack.enter_context(gevent.socket.socket())
    made.bind(("127.0.0.1", 0))
    made.listen()
    return made


def test_what_waits_to_be_accepted_at_the_end_is_served() -> None:
    handled: list[bytes] = []

    def handle(client: gevent.socket.socket, address: object) -> None:
        handled.append(client.recv(100))
        client.sendall(b"served")

    with ExitStack() as stack:
        bound = listening(stack)
        pool = Pool(10)
        listener = Listener(bound, handle=handle, spawn=pool)
        listener.start()
        # No round of the event loop, in which it would accept, passes before it is closed.
        clients = [
            stack.enter_context(socket.create_connection(bound.getsockname(), timeout=5))
            for _ in range(3)
        ]
        for client in clients:
            client.sendall(b"request")

        listener.close()
        listener.close()  # as its worker does at the end of its time
        assert pool.join(5)

        assert handled == [b"request"] * 3
        assert [client.recv(100) for client in clients] == [b"served"] * 3
        assert listener.closed


def test_more_than_it_may_handle_at_once_do_not_hold_up_its_end() -> None:
    release = gevent.event.Event()
    with ExitStack() as stack:
        bound = listening(stack)
        pool = Pool(1)
        listener = Listener(bound, handle=lambda client, address: release.wait(), spawn=pool)
        listener.start()
        for _ in range(3):
            stack.enter_context(socket.create_connection(bound.getsockname(), timeout=5))

        with gevent.Timeout(5):
            listener.close()

        assert len(pool) == 1
        release.set()
        assert pool.join(5)
