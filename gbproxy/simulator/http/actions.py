"""The actions of an HTTP answer: each is one write, pause or end, performed in order.

A list of actions that ends without End, Fin, Rst or Stall is ended properly. The head is written
by itself before the first body byte or Pause, unless the list has its own Head or begins with Raw.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

JSON_TYPE = "application/json; charset=UTF-8"
HeaderValues = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class Head:
    """Status line and headers; a header with several values is sent once for each.

    With a Content-Length or Transfer-Encoding of its own, body bytes go out as they are and the
    connection ends after them.
    """

    status: int = 200
    headers: HeaderValues = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Write:
    """Body bytes, one chunk (and one send) through the transfer coding in force."""

    data: bytes


@dataclass(frozen=True)
class LazyWrites:
    """Body bytes that `make` makes piece by piece, each when the one before was sent."""

    make: Callable[[], Iterable[bytes]]


@dataclass(frozen=True)
class Raw:
    """Bytes straight onto the connection, past all codings; nothing is added after them."""

    data: bytes


@dataclass(frozen=True)
class Element:
    """One element of the array (or one event), exactly as given."""

    value: Mapping[str, Any]


@dataclass(frozen=True)
class LazyElements:
    """Elements that `make` builds only when their turn has come."""

    make: Callable[[], Iterable[Mapping[str, Any]]]


@dataclass(frozen=True)
class Pause:
    """Silence after the head, in seconds."""

    seconds: float


@dataclass(frozen=True)
class HoldHeaders:
    """Silence before the head, in seconds."""

    seconds: float = math.inf


@dataclass(frozen=True)
class Stall:
    """Silence until the peer leaves or the simulator closes."""


@dataclass(frozen=True)
class CutBytes:
    """Anywhere in the list: end the connection after so many bytes of the coded body."""

    count: int
    rst: bool = False


@dataclass(frozen=True)
class Fin:
    """End the connection with FIN, whatever was promised."""


@dataclass(frozen=True)
class Rst:
    """End the connection with RST."""


@dataclass(frozen=True)
class End:
    """End the body properly: the closing bracket, if an element was sent, and the last chunk."""

    close_array: bool = True


HttpAction = (
    Head
    | Write
    | LazyWrites
    | Raw
    | Element
    | LazyElements
    | Pause
    | HoldHeaders
    | Stall
    | CutBytes
    | Fin
    | Rst
    | End
)
HttpScript = tuple[HttpAction, ...]


def http_head(status: int, content_type: str, headers: HeaderValues | None = None) -> Head:
    """A Head with a content type and further headers."""
    return Head(status, {"Content-Type": content_type, **(headers or {})})


def json_reply(status: int, value: object, headers: HeaderValues | None = None) -> HttpScript:
    """An answer that is one JSON value."""
    body = json.dumps(value, ensure_ascii=False, indent=2).encode()
    return (http_head(status, JSON_TYPE, headers), Write(body), End())


def html_reply(status: int, title: str) -> HttpScript:
    """An answer that is a page for people."""
    page = f"<!DOCTYPE html><html lang=en><title>{title}</title><p><b>{status}.</b> {title}</html>"
    return (http_head(status, "text/html; charset=UTF-8"), Write(page.encode()), End())


def redirect(location: str, headers: HeaderValues | None = None) -> HttpScript:
    """302 to another address."""
    return (Head(302, {"Location": location, **(headers or {})}), End())


def empty_body(status: int = 200) -> HttpScript:
    """An answer with no body at all."""
    return (http_head(status, JSON_TYPE), End())


def half_head() -> HttpScript:
    """A head that ends in the middle of a header."""
    return (Raw(b"HTTP/1.1 200 OK\r\nContent-Ty"), Fin())
