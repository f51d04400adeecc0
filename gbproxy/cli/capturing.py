"""Exchanges -> the lines of a capture, with nothing in them that is secret or somebody's words.

One JSON object a line: `{"capture": 1, …}`, then for each exchange its request, the answer's head,
each piece of the body with its time in milliseconds since the first request, and how it ended.
Source: docs/upstream.md, captures.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from gbproxy import __version__
from gbproxy.domain.account import Account
from gbproxy.domain.redaction import Redactor
from gbproxy.outbound.recording import Exchange
from gbproxy.upstreams.widget.credential import credential_of

_VERSION = 1


def lines(
    exchanges: Sequence[Exchange],
    redactor: Redactor,
    account: Account,
    *,
    with_text: bool,
    now: datetime | None = None,
) -> Iterator[str]:
    """The capture, line by line."""
    credential = credential_of(account)
    yield json.dumps(
        {
            "capture": _VERSION,
            "gbproxy": __version__,
            "made_at": (now or datetime.now(UTC)).isoformat(timespec="seconds"),
            "edition": credential.edition,
            "location": credential.location,
            "texts": "kept" if with_text else "shapes",
        }
    )
    begun = exchanges[0].sent_at if exchanges else 0.0
    for index, exchange in enumerate(exchanges, 1):
        for at, entry in _entries(exchange, redactor):
            yield json.dumps(
                {"exchange": index, "t_ms": round(1000 * (at - begun), 1), **entry},
                ensure_ascii=False,
            )


def _entries(exchange: Exchange, redactor: Redactor) -> Iterator[tuple[float, dict[str, Any]]]:
    target = urlsplit(exchange.url)
    path = f"{target.path}?{target.query}" if target.query else target.path
    request: dict[str, Any] = {
        "method": exchange.method,
        "host": target.netloc.rpartition("@")[2],
        "path": redactor.address(path),
        "headers": _headers(exchange.headers.items(), redactor),
    }
    if exchange.body:
        request |= _text("body", redactor.body(exchange.body))
    yield exchange.sent_at, {"request": request}
    if exchange.status is not None:
        head = {"status": exchange.status, "reason": exchange.reason}
        yield exchange.answered_at, {**head, "headers": _headers(exchange.reply_headers, redactor)}
        yield from _pieces(exchange, redactor)
    end: dict[str, Any] = {
        "end": "complete" if exchange.is_complete else "broken" if exchange.error else "left"
    }
    yield exchange.ended_at, {**end, **({"error": exchange.error} if exchange.error else {})}


def _pieces(exchange: Exchange, redactor: Redactor) -> Iterator[tuple[float, dict[str, Any]]]:
    """The body is redacted as a whole, as a secret may stand across a cut, and cut again where it
    was.
    """
    body, start = redactor.body(exchange.reply_body), 0
    for at, piece in exchange.pieces:
        end = start + len(piece)
        yield at, _text("piece", body[start:end])
        start = end


def _headers(pairs: Iterable[tuple[str, str]], redactor: Redactor) -> list[tuple[str, str]]:
    return [(name, redactor.header(name, value)) for name, value in pairs]


def _text(name: str, data: bytes) -> dict[str, str]:
    """As text; in Base64 where a cut, or what was sent, leaves no UTF-8."""
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data).decode()}
