"""A receiver of webhooks on loopback, which answers as the test scripts it."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.polling import until


@dataclass(frozen=True)
class Received:
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Scripted:
    status: int = 200
    body: bytes = b"ok"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Receiver:
    """`script` gives each answer by the number of the request, from 0; `release` ends stalls."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    script: Callable[[int], Scripted | None] = lambda number: Scripted()
    release: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, received: Received) -> Scripted | None:
        """None: no answer until the test ends."""
        with self._lock:
            number = len(self.received)
            self.received.append(received)
        return self.script(number)

    def wait_for(self, count: int, within_s: float = 30.0) -> list[Received]:
        until(lambda: len(self.received) >= count, within_s)
        return self.received

    def told(self) -> list[tuple[str, str]]:
        """The kind and state of each message of our own form."""
        return [(each.body["kind"], each.body["state"]) for each in list(self.received)]


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = receiver.take(Received(self.path, dict(self.headers), json.loads(body)))
            if answer is None:
                receiver.release.wait(60)
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *args: object) -> None:
            del args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    receiver.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.release.set()
        server.shutdown()
        thread.join()
        server.server_close()
