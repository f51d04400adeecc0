"""Whether a caller may have this request, by the settings' rules and those of its own key.

While what counts cannot be reached, all may: limits are no reason to answer nobody.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from gbproxy.domain.principal import Principal
from gbproxy.errors import RateLimitExceeded, StorageUnavailable
from gbproxy.limiting.slots import Slots
from gbproxy.limiting.standing import Standing, Tokens
from gbproxy.limiting.use import Use
from gbproxy.observability.meter import SILENT, Meter
from gbproxy.settings import Rate
from gbproxy.storage.counting import Counters, Window

_DAY_S = 86_400
_SLOT_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Rules:
    """RATE_LIMIT, RATE_LIMIT_BY and MODEL_INTERVAL_S."""

    rate: Rate | None = None
    by: Literal["key", "ip"] = "key"
    model_interval_s: float = 0.0


class Limiter:
    """Safe for use by many threads at once. `clock`: Unix seconds."""

    def __init__(
        self, counters: Counters, rules: Rules, clock: Callable[[], float] = time.time, meter: Meter = SILENT
    ) -> None:
        self._counters = counters
        self._rules = rules
        self._clock = clock
        self._meter = meter
        self._slots = Slots(counters)

    def count(self, principal: Principal) -> Standing:
        """A request for a model has come in: how its caller stands, with this one counted."""
        allowed = principal.allowance
        if allowed.rate_limit is None and allowed.tokens_per_day is None and self._rules.rate is None:
            return Standing()
        try:
            standing = Standing(self._requests(principal), self._tokens(principal))
        except StorageUnavailable:
            return Standing()
        if standing.exhausted is not None:
            self._meter.limited(standing.exhausted)
        return standing

    def begin(self, principal: Principal, model_id: str, *, is_streamed: bool) -> Use:
        """An answer is about to be made. Raises RateLimitExceeded; else what comes back is to be ended with it."""
        leave = self._enter(principal) if is_streamed else _nothing
        try:
            self._reserve(principal, model_id)
        except BaseException:
            leave()
            raise
        return Use(leave, lambda tokens: self._charge(principal, tokens))

    def _requests(self, principal: Principal) -> Window | None:
        """The narrowest of what holds: a key's own rate stands in the place of that which holds for every key."""
        own, common = principal.allowance.rate_limit, self._rules.rate
        windows = []
        if own is not None:
            windows.append(self._counters.hit(f"requests:{_key(principal)}", own))
        if common is not None and (own is None or self._rules.by == "ip"):
            windows.append(self._counters.hit(f"requests:{self._caller(principal)}", common))
        return min(windows, key=lambda window: (window.is_taken, window.remaining, -window.reset_s), default=None)

    def _tokens(self, principal: Principal) -> Tokens | None:
        limit = principal.allowance.tokens_per_day
        if limit is None:
            return None
        now = self._clock()
        return Tokens(limit, self._counters.read(_day(principal, now)), _DAY_S - now % _DAY_S)

    def _charge(self, principal: Principal, tokens: int) -> None:
        if principal.allowance.tokens_per_day is None:
            return
        try:
            self._counters.add(_day(principal, self._clock()), tokens, 2 * _DAY_S)
        except StorageUnavailable:
            return

    def _enter(self, principal: Principal) -> Callable[[], None]:
        limit = principal.allowance.concurrent_streams
        if limit is None:
            return _nothing
        leave = self._slots.take(f"streams:{_key(principal)}", limit)
        if leave is None:
            self._meter.limited("streams")
            raise RateLimitExceeded(f"{limit} streams at once are running with this key", retry_after=_SLOT_RETRY_S)
        return leave

    def _reserve(self, principal: Principal, model_id: str) -> None:
        interval_s = self._rules.model_interval_s
        if not interval_s:
            return
        try:
            wait_s = self._counters.reserve(f"{self._caller(principal)}:{model_id}", interval_s)
        except StorageUnavailable:
            return
        if wait_s:
            self._meter.limited("interval")
            raise RateLimitExceeded(
                f"the last request for this model came less than {interval_s:g} s ago", retry_after=wait_s
            )

    def _caller(self, principal: Principal) -> str:
        return f"ip:{principal.address}" if self._rules.by == "ip" else _key(principal)


def _nothing() -> None:
    """There is no place to give back."""


def _key(principal: Principal) -> str:
    return f"key:{principal.key_id or principal.caller.hex()}"


def _day(principal: Principal, now: float) -> str:
    return f"tokens:{_key(principal)}:{datetime.fromtimestamp(math.floor(now), UTC):%Y-%m-%d}"
