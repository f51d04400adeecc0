"""The listening socket and one thread per connection, all of which end with `close`."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable

from gbproxy.simulator.http.connection import BadRequestError, Connection, PeerLeftError, Request

_BACKLOG = 1024
_JOIN_S = 5.0
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Server:
    """Calls `respond` for every request; it says whether the connection may carry another."""

    def __init__(
        self,
        respond: Callable[[Connection, Request], bool],
        *,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        changed: Callable[[], None],
    ) -> None:
        self._respond = respond
        self._tls = tls
        self._changed = changed
        self._lock = threading.Lock()
        self._connections: dict[Connection, threading.Thread] = {}
        self._accepted = 0
        self._closing = False
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._acceptor = threading.Thread(target=self._accept, name="simulator", daemon=True)
        self._acceptor.start()

    @property
    def open_connections(self) -> int:
        with self._lock:
            return len(self._connections)

    def is_open(self, number: int) -> bool:
        """True while the connection of this number is open."""
        with self._lock:
            return any(connection.number == number for connection in self._connections)

    @property
    def accepted(self) -> int:
        """The number of connections so far."""
        with self._lock:
            return self._accepted

    def close(self) -> None:
        """Stop listening, end every connection and wait for its thread."""
        if self._closing:
            return
        self._closing = True
        with contextlib.suppress(OSError):
            # Wakes accept(), which on some systems a close from another thread does not.
            socket.create_connection(self.address, timeout=1).close()
        self._acceptor.join(_JOIN_S)
        self._listener.close()
        with self._lock:
            remaining = dict(self._connections)
        for connection in remaining:
            connection.interrupt()
        for thread in remaining.values():
            thread.join(_JOIN_S)

    def _secure(self, connection: Connection, tls: ssl.SSLContext) -> None:
        """Begin TLS at once, or after a CONNECT: so clients reach the services by their names."""
        if not connection.begins_tls():
            request = connection.read_request()
            if request is None or request.method != "CONNECT":
                raise BadRequestError("plain HTTP where TLS is spoken")
            connection.send(_CONNECTED)
        connection.handshake(tls)

    def _accept(self) -> None:
        while True:
            try:
                sock, peer = self._listener.accept()
            except OSError:
                if self._closing:
                    return
                continue
            if self._closing:
                sock.close()
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._start(sock, peer[0])

    def _start(self, sock: socket.socket, peer_host: str) -> None:
        with self._lock:
            self._accepted += 1
            connection = Connection(sock, self._accepted, peer_host)
            thread = threading.Thread(
                target=self._serve,
                args=(connection,),
                name=f"simulator-{connection.number}",
                daemon=True,
            )
            self._connections[connection] = thread
        self._changed()
        thread.start()

    def _serve(self, connection: Connection) -> None:
        try:
            if self._tls is not None:
                self._secure(connection, self._tls)
            while (request := connection.read_request()) is not None:
                if not self._respond(connection, request):
                    break
            connection.shut_down()
        except PeerLeftError:
            pass
        except BadRequestError:
            with contextlib.suppress(PeerLeftError):
                connection.send(_BAD_REQUEST)
        finally:
            connection.finish()
            with self._lock:
                self._connections.pop(connection, None)
            self._changed()
