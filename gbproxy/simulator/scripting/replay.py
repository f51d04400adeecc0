"""Plays a capture: the answers of each call in their order, in the pieces in which they came.

A capture has one JSON object a line (docs/upstream.md, captures): first `{"capture": 1, …}`, then
for each exchange its request, the answer's head, its pieces with their times, and how it ended.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from gbproxy.simulator.http.actions import (
    End,
    Fin,
    Head,
    HoldHeaders,
    HttpAction,
    HttpScript,
    Pause,
    Write,
    html_reply,
)
from gbproxy.simulator.http.connection import Request

_VERSION = 1
_NAME = re.compile(r"[^/:]+$")
# Of the connection on which the answer came, or told anew by the one on which it is played.
_NOT_PLAYED = frozenset(
    ("connection", "content-encoding", "content-length", "date", "keep-alive", "transfer-encoding")
)


@dataclass
class _Exchange:
    name: str
    host: str
    sent_ms: float
    head_ms: float = 0.0
    status: int = 0
    reason: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    is_complete: bool = False


class Replay:
    """The answers of one capture. Not locked: the caller is.

    `speed`: how many times faster than it was; 0 leaves out all silence.
    """

    def __init__(self, lines: Iterable[str], speed: float = 1.0) -> None:
        """Raises ValueError, which names the line, when it is no capture."""
        self._speed = speed
        self._exchanges: dict[str, list[_Exchange]] = defaultdict(list)
        self._hosts: set[str] = set()
        for exchange in _read(lines):
            self._exchanges[exchange.name].append(exchange)
            self._hosts.add(exchange.host)
        self._played: dict[str, int] = defaultdict(int)

    def answer(self, request: Request, origin: str) -> HttpScript:
        """The next answer of this call, or its last one again; 404 for a call not captured.

        Redirects that were followed lead to `origin`, where this is played, others nowhere: never
        to the real service.
        """
        name = _name(request.path)
        known = self._exchanges.get(name)
        if not known:
            return html_reply(404, "Not in this capture")
        exchange = known[min(self._played[name], len(known) - 1)]
        self._played[name] += 1
        return tuple(self._script(exchange, origin))

    def _script(self, exchange: _Exchange, origin: str) -> Iterable[HttpAction]:
        last_ms = exchange.sent_ms
        if not exchange.status:  # the connection broke before there was an answer
            yield Fin()
            return
        yield from self._silence(exchange.head_ms - last_ms, HoldHeaders)
        yield Head(exchange.status, self._played_headers(exchange.headers, origin), exchange.reason)
        last_ms = exchange.head_ms
        for at_ms, data in exchange.pieces:
            yield from self._silence(at_ms - last_ms, Pause)
            yield Write(data)
            last_ms = at_ms
        yield End() if exchange.is_complete else Fin()

    def _silence(
        self, milliseconds: float, kind: type[Pause] | type[HoldHeaders]
    ) -> Iterable[HttpAction]:
        if self._speed and milliseconds > 0:
            yield kind(milliseconds / 1000 / self._speed)

    def _played_headers(
        self, headers: Iterable[tuple[str, str]], origin: str
    ) -> dict[str, list[str]]:
        played: dict[str, list[str]] = defaultdict(list)
        for name, value in headers:
            if name.lower() not in _NOT_PLAYED:
                played[name].append(
                    self._redirected(value, origin) if name.lower() == "location" else value
                )
        return dict(played)

    def _redirected(self, url: str, origin: str) -> str:
        target, own = urlsplit(url), urlsplit(origin)
        if not target.netloc:
            return url
        if target.netloc not in self._hosts:
            return urlunsplit(
                (target.scheme, f"{target.hostname}.invalid", target.path, target.query, "")
            )
        return urlunsplit((own.scheme, own.netloc, target.path, target.query, ""))


def _read(lines: Iterable[str]) -> list[_Exchange]:
    exchanges: dict[int, _Exchange] = {}
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            if number == 1:
                if entry["capture"] != _VERSION:
                    raise ValueError(f"a capture of version {_VERSION} was expected")
            else:
                _take(exchanges, entry)
        except (
            LookupError,
            TypeError,
            AttributeError,
            RecursionError,
            binascii.Error,
            ValueError,
        ) as error:
            raise ValueError(f"line {number} is not of a capture: {error}") from error
    if not exchanges:
        raise ValueError("the capture holds no exchange")
    return list(exchanges.values())


def _take(exchanges: dict[int, _Exchange], entry: dict[str, Any]) -> None:
    index, at_ms = int(entry["exchange"]), float(entry["t_ms"])
    if "request" in entry:
        path, host = str(entry["request"]["path"]), str(entry["request"].get("host", ""))
        exchanges[index] = _Exchange(_name(path.partition("?")[0]), host, at_ms)
        return
    exchange = exchanges[index]
    if "status" in entry:
        exchange.head_ms, exchange.status, exchange.reason = (
            at_ms,
            int(entry["status"]),
            str(entry.get("reason", "")),
        )
        exchange.headers = [(str(name), str(value)) for name, value in entry["headers"]]
    elif "piece" in entry:
        exchange.pieces.append((at_ms, entry["piece"].encode()))
    elif "piece_base64" in entry:
        exchange.pieces.append((at_ms, base64.b64decode(entry["piece_base64"], validate=True)))
    else:
        # left: whole, but for its formal end
        exchange.is_complete = entry["end"] in ("complete", "left")


def _name(path: str) -> str:
    """The verb at a path's end: `widgetStreamAssist`, `getoxsrf`, `downloadFile` …"""
    found = _NAME.search(path)
    return found[0] if found else ""
