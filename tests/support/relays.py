"""Relays between the gateway and a simulator: one that may be out of order, and a proxy."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Self

from tests.support.serving import free_port

Address = tuple[str, int]

_WITHIN_S = 5.0


class Relay:
    """A port of its own that leads to another address, and may be closed, and opened again, at any
    time.
    """

    def __init__(self, target: Address) -> None:
        self._target = target
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._drops = 0
        # none that, while it is closed, an outgoing connection of anybody's may get
        self.port = free_port()
        self.open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        for thread in self._threads:
            thread.join(_WITHIN_S)

    def open(self) -> None:
        """Listen, on the same port as before."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self._start(self._accept, self._listener)

    def close(self) -> None:
        """Refuse connections, and end those that are there."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.drop()

    def lead_to(self, target: Address) -> None:
        """From now on another address is behind it; what was connected to the old one ends."""
        self._target = target
        self.drop()

    def drop(self) -> None:
        """End every connection."""
        with self._lock:
            self._drops += 1
            ended, self._sockets = self._sockets, []
        for one in ended:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer = listener.accept()[0]
                self._keep(peer, lambda: self._listener is listener)
                self._start(self._serve, peer)

    def _serve(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            drops = self._drops
            target = socket.create_connection(self._ask_target(peer))
            self._keep(target, lambda: self._drops == drops)
            self._connected(peer)
            self._start(_pump, target, peer)
            _pump(peer, target)

    def _ask_target(self, peer: socket.socket) -> Address:
        del peer
        return self._target

    def _connected(self, peer: socket.socket) -> None:
        """Say so, where the protocol does."""

    def _keep(self, one: socket.socket, may_stay: Callable[[], bool]) -> None:
        """Keep it until all are dropped. Raises OSError where they were already."""
        with self._lock:
            if may_stay():
                self._sockets.append(one)
                return
        one.close()
        raise OSError("it came as all were dropped")

    def _start(self, target: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)


class Proxy(Relay):
    """A proxy for tunnels: `http` by CONNECT, `socks5h` by RFC 1928 for names and IPv4 addresses.
    It lets everybody in.

    `asked`: where it was asked to lead to, `host:port`. `shown`: the user and password of each,
    `user:password`.
    """

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme
        self.asked: list[str] = []
        self.shown: list[bytes] = []
        super().__init__(("", 0))
        self.url = f"{scheme}://127.0.0.1:{self.port}"

    def _ask_target(self, peer: socket.socket) -> Address:
        ask = _asked_by_connect if self._scheme == "http" else _asked_by_socks
        host, port = ask(peer, self.shown)
        self.asked.append(f"{host}:{port}")
        return host, port

    def _connected(self, peer: socket.socket) -> None:
        peer.sendall(
            b"HTTP/1.1 200 OK\r\n\r\n" if self._scheme == "http" else b"\5\0\0\1" + bytes(6)
        )


def _asked_by_connect(peer: socket.socket, shown: list[bytes]) -> Address:
    head = b""
    while b"\r\n\r\n" not in head:
        head += _some(peer)
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"proxy-authorization: basic "):
            shown.append(base64.b64decode(line.split()[2]))
    _, address, _ = head.split(b"\r\n", 1)[0].decode().split()
    host, _, port = address.rpartition(":")
    return host, int(port)


def _asked_by_socks(peer: socket.socket, shown: list[bytes]) -> Address:
    with peer.makefile("rb") as file:
        by_password = 2 in file.read(file.read(2)[1])
        peer.sendall(b"\5\2" if by_password else b"\5\0")
        if by_password:  # RFC 1929
            user, password = file.read(file.read(2)[1]), file.read(file.read(1)[0])
            shown.append(user + b":" + password)
            peer.sendall(b"\1\0")
        kind = file.read(4)[3]
        host = socket.inet_ntoa(file.read(4)) if kind == 1 else file.read(file.read(1)[0]).decode()
        return host, int.from_bytes(file.read(2))


def _some(peer: socket.socket) -> bytes:
    data = peer.recv(65536)
    if not data:
        raise ConnectionError("the connection ended before anything was asked")
    return data


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
