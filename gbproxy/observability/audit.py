"""Audit lines, `admin.did`: each change by an administrator, with who made it and from where.

The registries tell a change where they make it, so whatever way leads there is told; who it is, is
known where the request's key or session was checked. No value of a field stands in them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from gbproxy.observability import request_context

USER_HEADER = "X-Gbproxy-User"  # of the commands: their user, percent-encoded
log = logging.getLogger(__name__)

Line = Callable[[Mapping[str, Any]], None]
Way = Literal["api", "console", "cli", "program"]


@dataclass(slots=True)
class Actor:
    """Who administers in this request: `who` names a key or a session by its fingerprint, or the
    user of a command. `has_told`: a change was told.
    """

    by: Way
    who: str
    address: str
    has_told: bool = False


def did(action: str, item: str | None = None, **details: object) -> None:
    """Tell one change that was made: `item` is the id of what was changed."""
    actor = request_context.current().actor or Actor("program", "", "")
    actor.has_told = True
    told = {"did": action, "object": item, "details": details}
    _line.get()(told | {"by": actor.by, "who": actor.who, "address": actor.address})


def tell_later(made_at: float, facts: Mapping[str, Any]) -> None:
    """Log a change that a command has made at this time, in Unix seconds."""
    _log(facts, datetime.fromtimestamp(made_at, UTC))


@contextmanager
def handed_to(line: Line) -> Iterator[None]:
    """Until the end of the block, changes that are made in this context go there, not to the
    log.
    """
    token = _line.set(line)
    try:
        yield
    finally:
        _line.reset(token)


def _log(facts: Mapping[str, Any], at: datetime | None = None) -> None:
    log.info(
        "admin.did",
        extra={
            "did": facts["did"],
            "object": facts["object"],
            "details": facts["details"],
            "by": facts["by"],
            "who": facts["who"],
            "address": facts["address"],
            "at": (at or datetime.now(UTC)).isoformat(timespec="seconds"),
        },
    )


_line: ContextVar[Line] = ContextVar("gbproxy_audit", default=_log)
