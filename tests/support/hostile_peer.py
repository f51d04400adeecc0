"""An upstream whose answers begin and end in every odd way, and a client that looks whose answers
it gets.

Each answer carries its request's token, and what is sent beside it the token of nobody:

    python -m tests.support.hostile_peer SEED COUNT [--gevent] [--tls]

writes one JSON object. Which odd answer a request meets depends on the seed and its token only.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and "--gevent" in sys.argv:
    from gevent import monkey

    monkey.patch_all()

import contextlib
import json
import random
import re
import select
import socket
import ssl
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gbproxy.errors import UpstreamError
from gbproxy.outbound import HttpClient, StreamedReply, Timeouts
from gbproxy.simulator.http.certificates import make_certificates

STRAY = b"<stray>"
WITHIN_S = 60.0
# An answer that never ends costs a test this long, and a busy machine no good one.
TIMEOUTS = Timeouts(connect_s=30, read_s=6, request_s=45)

_AT_ONCE = 3
_PAUSE_S = 0.01  # longer than a client on this machine takes to ask again
_HEAD_END = b"\r\n\r\n"
_TOKEN = re.compile(rb"<(\w+)>")
# By weight. The first line ends exactly; the others leave something behind, break off, or cannot be
# told from such.
_ENDINGS = {
    "exact": 24, "trailers": 4, "interim": 10, "interim first": 2, "no length": 2, "http/1.0": 2, "two equal lengths": 2, "line feeds": 2,
    "extra bytes": 5, "extra line end": 2, "two answers": 5, "late bytes": 4, "late answer": 4, "late interim": 4,
    "late interim and answer": 4, "too short": 0.5, "too long": 3, "too long and open": 0.1, "two lengths": 2, "both": 3,
    "no content": 4, "not modified": 4, "close that stays open": 4, "odd length": 2, "odd coding": 2, "long chunk": 3,
    "no last chunk": 2, "bad chunk": 2, "switching": 2, "interim without end": 0.2,
}  # fmt: skip
_GOOD = (
    "exact",
    "trailers",
    "interim",
    "interim first",
    "no length",
    "http/1.0",
    "two equal lengths",
    "line feeds",
)


@dataclass
class _Odd:
    """The bytes sent to a request: before a pause, then, and when it has its answer. `closes`:
    the connection ends instead.
    """

    name: str
    answer: bytes
    late: bytes = b""
    closes: bool = False
    before_pause: bytes = b""


@dataclass
class Outcome:
    requests: int = 0
    answered: int = 0
    refused: int = 0
    connections: int = 0
    crossed: list[str] = field(default_factory=list)  # requests that got bytes of others
    failed: list[str] = field(
        default_factory=list
    )  # requests that got none although their answer was good
    met: Counter[str] = field(default_factory=Counter)


def run(seed: int, count: int, *, tls: bool = False) -> Outcome:
    """Make so many requests of a hostile peer, a few at a time, over connections that serve one
    after the other.
    """
    with tempfile.TemporaryDirectory() as folder:
        ca, context = make_certificates(Path(folder)) if tls else (None, None)
        with _Peer(seed, context) as peer:
            outbound = HttpClient(TIMEOUTS, ca_bundle=ca)
            for first in range(0, count, _AT_ONCE):
                _ask(
                    peer,
                    outbound,
                    [f"t{number}" for number in range(first, min(first + _AT_ONCE, count))],
                )
            outbound.close()
        return peer.outcome


def _ask(peer: _Peer, outbound: HttpClient, tokens: list[str]) -> None:
    """Some requests at once, each over a connection of its own; the next begin when all late bytes
    of these are out.
    """
    with contextlib.ExitStack() as open_:
        replies: dict[str, StreamedReply] = {}
        for token in tokens:
            with peer.noting_failure(token):
                replies[token] = open_.enter_context(
                    outbound.stream("POST", f"{peer.url}/{token}", {}, b"question")
                )
        for token, reply in replies.items():
            with peer.noting_failure(token):
                peer.note(token, reply.read_body())
    for token in tokens:
        _wait_until_here(outbound, peer.url, peer.finish(token))


def _wait_until_here(outbound: HttpClient, url: str, late_on: int | None) -> None:
    """Wait for late bytes on this port of ours, if its connection was kept: the next request must
    find that they have come.
    """
    waiting: Any = outbound.pool(url).pool
    for connection in waiting.queue:
        sock = getattr(connection, "sock", None)
        if sock is not None and sock.getsockname()[1] == late_on:
            assert select.select([sock], [], [], WITHIN_S)[0]


class _Peer:
    def __init__(self, seed: int, context: ssl.SSLContext | None) -> None:
        self.outcome = Outcome()
        self._seed = seed
        self._context = context
        self._lock = threading.Lock()
        self._odd: dict[str, str] = {}
        self._read: dict[str, threading.Event] = {}
        self._done: dict[str, threading.Event] = {}
        self._late_on: dict[str, int] = {}
        self._server = socket.create_server(("127.0.0.1", 0), backlog=64)
        host = "https://localhost" if context else "http://127.0.0.1"
        self.url = f"{host}:{self._server.getsockname()[1]}"
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> _Peer:
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._acceptor.join(WITHIN_S)

    @contextlib.contextmanager
    def noting_failure(self, token: str) -> Iterator[None]:
        try:
            yield
        except UpstreamError as error:
            self.note(token, None, error.message)

    def note(self, token: str, body: bytes | None, message: str = "") -> None:
        with self._lock:
            outcome, name = self.outcome, self._odd.get(token, "unread")
            outcome.requests += 1
            outcome.met[name] += 1
            if body is None:
                outcome.refused += 1
            else:
                outcome.answered += 1
                foreign = set(_TOKEN.findall(body)) - {token.encode()}
                if foreign - ({STRAY[1:-1]} if name in _MAY_HOLD_MORE else set()):
                    outcome.crossed.append(f"{token} ({name}): {body[:100]!r}")
            if name in _GOOD and (body is None or set(_TOKEN.findall(body)) != {token.encode()}):
                outcome.failed.append(f"{token} ({name}): {message or body}")

    def finish(self, token: str) -> int | None:
        """The client has all that it will get of this answer; what comes late may come now. Returns
        the port that it goes to.
        """
        self._event(self._read, token).set()
        if token in self._odd and not self._event(self._done, token).wait(WITHIN_S):
            raise TimeoutError(f"the peer is not done with {token}")
        return self._late_on.get(token)

    def _event(self, events: dict[str, threading.Event], token: str) -> threading.Event:
        with self._lock:
            return events.setdefault(token, threading.Event())

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock = self._server.accept()[0]
                self.outcome.connections += 1
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as open_:
            open_.enter_context(sock)
            if self._context is not None:
                sock = open_.enter_context(self._context.wrap_socket(sock, server_side=True))
            for token in _requests(sock):
                odd = _odd_answer(random.Random(f"{self._seed}/{token}"), token)
                with self._lock:
                    self._odd[token] = odd.name
                try:
                    if odd.before_pause:
                        sock.sendall(odd.before_pause)
                        time.sleep(_PAUSE_S)  # what is sent late comes by itself
                    sock.sendall(odd.answer)
                    if odd.closes:
                        return
                    self._event(self._read, token).wait(WITHIN_S)
                    if odd.late:
                        sock.sendall(odd.late)
                        self._late_on[token] = sock.getpeername()[1]
                finally:
                    if odd.closes:
                        sock.close()
                    self._event(self._done, token).set()


def _requests(sock: socket.socket) -> Iterator[str]:
    buffer = b""
    while True:
        while _HEAD_END not in buffer or not buffer.endswith(b"question"):
            data = sock.recv(65536)
            if not data:
                return
            buffer += data
        yield buffer.split(b" ", 2)[1].decode().strip("/")
        buffer = b""


# What a body of these holds beside its own token was sent as a part of this very answer.
_MAY_HOLD_MORE = ("no length", "http/1.0", "close that stays open")


def _odd_answer(chance: random.Random, token: str) -> _Odd:
    (name,) = chance.choices(list(_ENDINGS), list(_ENDINGS.values()))
    body = f"<{token}>".encode() * chance.choice((1, 1, 3, 400, 3000))
    chunked = chance.random() < 0.6
    plain = _chunked(chance, body) if chunked else _sized(body)
    stray = chance.choice((_sized(STRAY * 2), _chunked(chance, STRAY)))
    interim = b"".join(_interim(chance) for _ in range(chance.randint(1, 4)))
    junk = chance.choice((b"x", STRAY, b"\0" * 9000, b"0\r\n\r\n", STRAY * 3000))
    match name:
        case "exact":
            return _Odd(name, plain)
        case "trailers":
            return _Odd(name, _chunked(chance, body, trailers=b"X-Sum: 1\r\nX-Other: <stray>\r\n"))
        case "interim":
            return _Odd(name, interim + plain)
        case "interim first":
            return _Odd(name, plain, before_pause=interim)
        case "no length":
            return _Odd(name, b"HTTP/1.1 200 OK\r\n\r\n" + body, closes=True)
        case "http/1.0":
            return _Odd(name, b"HTTP/1.0 200 OK\r\n\r\n" + body, closes=True)
        case "two equal lengths":
            return _Odd(name, _sized(body, b"Content-Length: %d\r\n" % len(body)))
        case "line feeds":
            return _Odd(
                name, plain.replace(b"\r\n", b"\n", 4) if not chunked else _with_line_feeds(body)
            )
        case "extra bytes":
            return _Odd(name, plain + junk)
        case "extra line end":
            return _Odd(name, plain + b"\r\n")
        case "two answers":
            return _Odd(name, plain + stray)
        case "late bytes":
            return _Odd(name, plain, late=junk)
        case "late answer":
            return _Odd(name, plain, late=stray)
        case "late interim":
            return _Odd(name, plain, late=interim)
        case "late interim and answer":
            return _Odd(name, plain, late=interim + stray)
        case "too short":
            return _Odd(name, _sized(body, length=chance.randrange(len(body))))
        case "too long":
            return _Odd(name, _sized(body, length=len(body) + chance.randint(1, 9000)), closes=True)
        case "too long and open":
            return _Odd(name, _sized(body, length=len(body) + 1), late=stray)
        case "two lengths":
            return _Odd(name, _sized(body + stray, b"Content-Length: %d\r\n" % len(body)))
        case "both":
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % chance.choice((5, len(body)))
            return _Odd(name, _chunked(chance, body, head=head), late=chance.choice((b"", stray)))
        case "no content" | "not modified":
            status = b"204 No Content" if name == "no content" else b"304 Not Modified"
            parts = _sized(STRAY, status=status).partition(_HEAD_END)
            at_once = chance.random() < 0.5
            return _Odd(
                name,
                parts[0] + _HEAD_END + (parts[2] if at_once else b""),
                b"" if at_once else stray,
            )
        case "close that stays open":
            return _Odd(name, _sized(body, b"Connection: close\r\n"), late=stray)
        case "odd length":
            length = chance.choice((b"-1", b"+5", b"5_0", b"0x5", b"five", b"5, 6"))
            return _Odd(
                name, b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n" % length + body, late=stray
            )
        case "odd coding":
            coding = chance.choice(
                (b"gzip, chunked", b"chunked, chunked", b"chunked, identity", b"xchunked")
            )
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n" % coding
            return _Odd(name, head + plain.partition(_HEAD_END)[2], late=stray)
        case "long chunk":
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            return _Odd(
                name, head + b"%x\r\n" % (len(body) - 1) + body + b"\r\n0\r\n\r\n", late=stray
            )
        case "no last chunk":
            return _Odd(name, _chunked(chance, body)[:-5], closes=True)
        case "bad chunk":
            size = chance.choice((b"zz", b"-5", b"", b"0x5", b"+5", b"5" * 20))
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            return _Odd(name, head + size + b"\r\n" + body + b"\r\n0\r\n\r\n", late=stray)
        case "switching":
            return _Odd(name, b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + stray)
        case _:
            return _Odd(name, b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5000 + stray)


def _sized(
    body: bytes, further: bytes = b"", *, length: int | None = None, status: bytes = b"200 OK"
) -> bytes:
    length = len(body) if length is None else length
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s" % (status, length, further, body)


def _chunked(
    chance: random.Random,
    body: bytes,
    *,
    head: bytes = b"HTTP/1.1 200 OK\r\n",
    trailers: bytes = b"",
) -> bytes:
    made = [
        head,
        b"Transfer-Encoding: ",
        chance.choice((b"chunked", b"Chunked", b"chunked ")),
        _HEAD_END,
    ]
    while body:
        size = min(len(body), chance.choice((1, 7, 1000, 8192, 65536)))
        extension = chance.choice((b"", b"", b";x=1", b' ;name="value"'))
        made += [b"%x%s\r\n" % (size, extension), body[:size], b"\r\n"]
        body = body[size:]
    return b"".join((*made, b"0\r\n", trailers, b"\r\n"))


def _with_line_feeds(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n%x\n%s\r\n0\n\n" % (len(body), body)


def _interim(chance: random.Random) -> bytes:
    status = chance.choice(
        (b"100 Continue", b"102 Processing", b"103 Early Hints", b"199 Whatever")
    )
    links = b"".join(
        b"Link: <%s>; rel=preload\r\n" % (b"x" * 500) for _ in range(chance.choice((0, 1, 60)))
    )
    return b"HTTP/1.1 %s\r\n%s\r\n" % (status, links)


if __name__ == "__main__":
    outcome = run(int(sys.argv[1]), int(sys.argv[2]), tls="--tls" in sys.argv)
    sys.stdout.write(json.dumps(vars(outcome)))
