"""A web server of files on loopback, for what fetches the URLs that clients give."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Serve = Callable[[socket.socket], None]
"""Sends an answer, to the letter."""


@dataclass
class FileServer:
    """`heads` are the requests that came, `names` those that TLS was asked for."""

    port: int
    heads: list[str] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    connections: int = 0


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> Serve:
    """A whole answer; `Content_Length` and the like become headers."""
    given = {"Content-Length": str(len(body))}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return lambda peer: peer.sendall(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)


@contextlib.contextmanager
def serving(
    serve: Serve | None = None, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[FileServer]:
    """Answer every request alike; None: "content" as a text."""
    serve = serve or answer(b"content", Content_Type="text/plain")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        server = FileServer(listener.getsockname()[1])
        if tls is not None:
            tls.sni_callback = lambda _, name, __: server.names.append(name)
        threads: list[threading.Thread] = []
        acceptor = threading.Thread(target=_accept, args=(listener, server, serve, tls, threads))
        acceptor.start()
        try:
            yield server
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            for thread in (acceptor, *threads):
                thread.join(10)


def _accept(
    listener: socket.socket,
    server: FileServer,
    serve: Serve,
    tls: ssl.SSLContext | None,
    threads: list[threading.Thread],
) -> None:
    with contextlib.suppress(OSError):
        while True:
            peer = listener.accept()[0]
            server.connections += 1
            thread = threading.Thread(target=_serve, args=(peer, server, serve, tls))
            thread.start()
            threads.append(thread)


def _serve(
    peer: socket.socket, server: FileServer, serve: Serve, tls: ssl.SSLContext | None
) -> None:
    with contextlib.suppress(OSError), contextlib.ExitStack() as open_:
        open_.enter_context(peer)
        if tls is not None:
            peer = open_.enter_context(tls.wrap_socket(peer, server_side=True))
        head = b""
        while b"\r\n\r\n" not in head:
            data = peer.recv(65536)
            if not data:
                return
            head += data
        server.heads.append(head.decode())
        serve(peer)
