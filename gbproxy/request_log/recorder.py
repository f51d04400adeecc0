"""Gathers finished requests in memory; the background loop writes them every few seconds."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

from gbproxy.domain.clock import Rest
from gbproxy.domain.principal import CONSOLE
from gbproxy.errors import StorageUnavailable
from gbproxy.observability.request_context import RequestContext
from gbproxy.storage.request_log import CLIENT_GONE, DAY_S, RequestLogRows, new_id

log = logging.getLogger(__name__)

FLUSH_S = 2.0
MOST_WAITING = 10_000  # requests of one worker while the database is away; the oldest go first
# What administrators and probes ask for, and pages of documentation.
NOT_LOGGED = frozenset({
    "admin_accounts", "admin_alerts", "admin_cookies", "admin_imports", "admin_keys",
    "admin_models", "admin_requests", "console", "description", "gemini_probes", "health",
    "metrics",
})  # fmt: skip

_NO_ROUTE = frozenset({("none", 404), ("none", 405)})  # scans: nothing of ours was asked
_AT_ONCE = 25  # rows of a transaction: SQLite's holds up everything else in its worker

# The row's id, the request's, its surface and status, its log fields, then milliseconds and
# attempts.
_Waiting = tuple[int, str, str, int, Mapping[str, Any], float | None, float, int]


class RequestLog:
    """`days`: for how long rows are kept. `key_names` by fingerprint and `account_names` by id are
    asked when rows are written. `clock`: Unix seconds. `pause` lets others go on between two
    transactions.
    """

    def __init__(
        self,
        rows: RequestLogRows,
        days: float,
        *,
        key_names: Callable[[], Mapping[str, str]] = dict,
        account_names: Callable[[], Mapping[str, str]] = dict,
        most_waiting: int = MOST_WAITING,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self.rows = rows
        self.days = days
        self._key_names = key_names
        self._account_names = account_names
        self._most_waiting = most_waiting
        self._clock = clock
        self._pause = pause
        self._waiting: deque[_Waiting] = deque()
        self._dropped = 0
        self._numbers = count()
        self._flush_at = clock() + FLUSH_S

    def record(self, context: RequestContext, surface: str, status: int) -> None:
        """Note a request that is over. Takes about a microsecond, and never waits."""
        if surface in NOT_LOGGED or (surface, status) in _NO_ROUTE:
            return
        # The playground fills its list of models; what is asked on it is a request like others.
        if surface == "openai_models" and context.log_fields.get("key") == CONSOLE.key_id:
            return
        waiting = self._waiting
        if len(waiting) >= self._most_waiting:
            waiting.popleft()
            self._dropped += 1
        # Its fields do not change any more. The context itself holds on to much else.
        # Now, not when it is written: what is written twice must have one id.
        id_ = new_id(self._clock(), next(self._numbers) + os.getpid())
        waiting.append((
            id_, context.request_id, surface, status, context.log_fields,
            context.ttft_ms, context.elapsed_ms(), context.attempts,
        ))  # fmt: skip

    def flush_if_due(self) -> None:
        """Write what waits, every FLUSH_S. Raises StorageUnavailable."""
        now = self._clock()
        # A clock that was set back must not stop it.
        if not self._flush_at - FLUSH_S <= now < self._flush_at:
            self._flush_at = now + FLUSH_S
            self.flush()

    def flush(self) -> None:
        """Write what waits. Raises StorageUnavailable: what was not written waits on."""
        rest = Rest(self._pause)
        for batch in self._batches():
            try:
                self.rows.add(self._values(batch))
            except StorageUnavailable:
                self._put_back(batch)
                raise
            rest.if_due()
        self._tell_dropped()

    def trim(self) -> int:
        """Remove rows that are too old or too many. Returns how many. Raises StorageUnavailable."""
        return self.rows.trim(self.days * DAY_S)

    def close(self) -> None:
        """Write what waits for the last time."""
        try:
            self.flush()
        except StorageUnavailable:
            self._dropped += len(self._waiting)
            self._waiting.clear()
            self._tell_dropped()

    def _batches(self) -> Iterator[list[_Waiting]]:
        # No more than wait now: new ones must not keep it here for good.
        for _ in range(0, len(self._waiting), _AT_ONCE):
            yield [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]

    def _put_back(self, batch: list[_Waiting]) -> None:
        free = max(0, self._most_waiting - len(self._waiting))
        self._dropped += max(0, len(batch) - free)
        kept = batch[-free:] if free else []
        self._waiting.extendleft(reversed(kept))

    def _tell_dropped(self) -> None:
        if self._dropped:
            log.warning("request_log.dropped", extra={"requests": self._dropped})
            self._dropped = 0

    def _values(self, batch: list[_Waiting]) -> list[dict[str, Any]]:
        keys, accounts = self._key_names(), self._account_names()
        return [_row(each, keys, accounts) for each in batch]


class NoRequestLog(RequestLog):
    """In its place with REQUEST_LOG_DAYS=0: notes nothing, and removes what there was."""

    def __init__(self, rows: RequestLogRows) -> None:
        super().__init__(rows, 0)

    def record(self, context: RequestContext, surface: str, status: int) -> None:
        pass

    def flush_if_due(self) -> None:
        pass


def _row(
    waiting: _Waiting, key_names: Mapping[str, str], account_names: Mapping[str, str]
) -> dict[str, Any]:
    id_, request_id, surface, status, fields, ttft_ms, duration_ms, attempts = waiting
    key, account = fields.get("key"), fields.get("account")
    code = fields.get("code") or (CLIENT_GONE if "client_gone" in fields else None)
    return {
        "id": id_,
        "request_id": _stored(request_id),
        "key": _stored(key),
        "key_name": _stored(key_names.get(key or "")),
        "surface": surface,
        "model": _stored(fields.get("model")),
        "account": _stored(account),
        "account_name": _stored(account_names.get(account or "")),
        "status": status,
        "code": _stored(code),
        "ttft_ms": None if ttft_ms is None else round(ttft_ms),
        "duration_ms": round(duration_ms),
        "input_tokens": fields.get("input_tokens"),
        "output_tokens": fields.get("output_tokens"),
        "attempts": attempts,
        "is_streamed": bool(fields.get("stream")),
    }


def _stored(text: str | None) -> str | None:
    """A text that both databases take: a name may hold what no column can."""
    if text is None:
        return None
    return text.replace("\0", "").encode("utf-8", "replace").decode()
