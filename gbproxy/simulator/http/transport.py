"""Performs a list of actions on a connection: actions become body bytes, body bytes become sends.

Stages, each a generator over the one before: body bytes, head, compression, length, cut; then the
connection.
"""

from __future__ import annotations

import email.utils
import random
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from gbproxy.simulator.http.actions import (
    JSON_TYPE,
    CutBytes,
    Element,
    End,
    Fin,
    Head,
    HoldHeaders,
    HttpAction,
    LazyElements,
    LazyWrites,
    Pause,
    Raw,
    Rst,
    Stall,
    Write,
)
from gbproxy.simulator.http.connection import Connection, Request
from gbproxy.simulator.http.layout import Layout

Step = bytes | Head | Raw | Pause | HoldHeaders | Stall | Fin | Rst | End
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_GZIP_WINDOW = 31
_ENDS = (End, Fin, Rst, Stall)


@dataclass
class Transport:
    """Sends one answer over its connection.

    `coding` tells the end of the body ("chunked", "content_length" or "close"), `cuts` where it is
    cut ("none", "joined", "random" or a number of bytes), `gzip` compresses for clients that accept
    it, `now` is for the Date header, `rng` for random cuts.
    """

    connection: Connection
    request: Request
    layout: Layout | None
    coding: str
    cuts: str
    gzip: bool
    now: Callable[[], float]
    rng: random.Random

    def perform(self, script: Sequence[HttpAction]) -> bool:
        """Send the answer. True if the connection may carry another. Raises PeerLeftError."""
        if not any(isinstance(action, _ENDS) for action in script):
            script = (*script, End())
        cut = next((action for action in script if isinstance(action, CutBytes)), None)
        steps = self._with_head(self._bodies(script), script)
        steps = self._compressed(steps)
        coding, steps = self._coded(steps)
        if cut is not None:
            steps = _limited(steps, cut)
        return self._send(steps, coding)

    def _bodies(self, script: Sequence[HttpAction]) -> Iterator[Step]:
        for action in script:
            match action:
                case Write(data):
                    yield data
                case Element(value):
                    yield self._framed(value)
                case LazyWrites(make):
                    yield from make()
                case LazyElements(make):
                    for element in make():
                        yield self._framed(element)
                case Head() | Raw() | Pause() | HoldHeaders() | Stall() | Fin() | Rst():
                    yield action
                case End(close_array):
                    closing = self.layout.close() if self.layout and close_array else b""
                    if closing:
                        yield closing
                    yield action
                case CutBytes():
                    pass

    def _framed(self, element: Mapping[str, Any]) -> bytes:
        if self.layout is None:
            raise ValueError("elements belong to a stream; use Write for other answers")
        return self.layout.frame(element)

    def _with_head(self, steps: Iterable[Step], script: Sequence[HttpAction]) -> Iterator[Step]:
        own_head = any(isinstance(action, Head) for action in script)
        begun = False
        for step in steps:
            waits = isinstance(step, Pause | Stall) and not own_head
            if not begun and (waits or isinstance(step, bytes | End)):
                begun = True
                yield Head(200, {"Content-Type": self._content_type()})
            begun = begun or isinstance(step, Head | Raw)
            yield step

    def _content_type(self) -> str:
        return self.layout.content_type if self.layout else JSON_TYPE

    def _compressed(self, steps: Iterator[Step]) -> Iterator[Step]:
        if not (self.gzip and self.request.accepts_gzip()):
            yield from steps
            return
        packer: zlib._Compress | None = None
        for step in steps:
            if isinstance(step, Head) and not _describes_body(step):
                packer = zlib.compressobj(wbits=_GZIP_WINDOW)
                yield Head(step.status, {**step.headers, "Content-Encoding": "gzip"}, step.reason)
            elif isinstance(step, bytes) and packer:
                # Flushed, so that an element can be read as soon as it was sent.
                yield packer.compress(step) + packer.flush(zlib.Z_SYNC_FLUSH)
            elif isinstance(step, End) and packer:
                yield packer.flush()
                yield step
            else:
                yield step

    def _coded(self, steps: Iterator[Step]) -> tuple[str, Iterator[Step]]:
        """The transfer coding, and the steps with the header that announces it."""
        before: list[Step] = []
        for step in steps:
            before.append(step)
            if isinstance(step, Head):
                break
            if isinstance(step, Raw):
                return "identity", _chain(before, steps)
        else:
            return "identity", iter(before)
        head = before.pop()
        assert isinstance(head, Head)  # noqa: S101  for the type checker
        if _describes_body(head):
            return "identity", _chain([*before, head], steps)
        coding = self.coding
        if coding == "content_length":
            rest = list(steps)
            length = sum(len(step) for step in rest if isinstance(step, bytes))
            ended = any(isinstance(step, End) for step in rest)
            framing = {"Content-Length": str(length if ended else length + 2)}
            steps = iter(rest)
        elif coding == "close":
            framing = {"Connection": "close"}
        else:
            framing = {"Transfer-Encoding": "chunked"}
        headed = Head(head.status, {**head.headers, **framing}, head.reason)
        return coding, _chain([*before, headed], steps)

    def _send(self, steps: Iterator[Step], coding: str) -> bool:
        raw = False
        for step in _regrouped(steps, self.cuts, self.rng):
            match step:
                case bytes():
                    chunked = coding == "chunked"
                    self.connection.send(b"%x\r\n%b\r\n" % (len(step), step) if chunked else step)
                case Head():
                    self.connection.send(self._head_bytes(step))
                case Raw(data):
                    raw = True
                    self.connection.send(data)
                case Pause(seconds) | HoldHeaders(seconds):
                    self.connection.wait(seconds)
                case Stall():
                    self.connection.wait()
                case Fin():
                    self.connection.finish()
                    return False
                case Rst():
                    self.connection.reset()
                    return False
                case End():
                    if coding == "chunked" and not raw:
                        self.connection.send(b"0\r\n\r\n")
                    break
        return self.request.keep_alive and not raw and coding in ("chunked", "content_length")

    def _head_bytes(self, head: Head) -> bytes:
        reason = head.reason or _REASONS.get(head.status, "Unknown")
        lines = [f"HTTP/1.1 {head.status} {reason}"]
        if not any(name.lower() == "date" for name in head.headers):
            lines.append(f"Date: {email.utils.formatdate(self.now(), usegmt=True)}")
        for name, value in head.headers.items():
            values = [value] if isinstance(value, str) else value
            lines += [f"{name}: {each}" for each in values]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _describes_body(head: Head) -> bool:
    names = {name.lower() for name in head.headers}
    return bool(names & {"content-length", "transfer-encoding"})


def _chain(before: list[Step], rest: Iterator[Step]) -> Iterator[Step]:
    yield from before
    yield from rest


def _limited(steps: Iterator[Step], cut: CutBytes) -> Iterator[Step]:
    left = cut.count
    for step in steps:
        if isinstance(step, bytes) and len(step) > left:
            if left:
                yield step[:left]
            break
        if isinstance(step, End):
            break
        left -= len(step) if isinstance(step, bytes) else 0
        yield step
    yield Rst() if cut.rst else Fin()


def _regrouped(steps: Iterator[Step], cuts: str, rng: random.Random) -> Iterator[Step]:
    """The body bytes in the pieces that are sent each by itself."""
    held = b""
    for step in steps:
        if not isinstance(step, bytes):
            if held:
                yield held
                held = b""
            yield step
        elif cuts == "joined":
            held += step
        else:
            yield from _pieces(step, cuts, rng)
    if held:
        yield held


def _pieces(data: bytes, cuts: str, rng: random.Random) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = len(data)
        if cuts == "random":
            size = rng.randint(1, 40)
        elif cuts != "none":
            size = int(cuts)
        yield data[at : at + size]
        at += size
