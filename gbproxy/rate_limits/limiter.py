"""Whether a caller may have this request, by the settings' rules and those of its own key.

While what counts cannot be reached, all may: limits are no reason to answer nobody.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from gbproxy.domain.principal import Principal
from gbproxy.errors import RateLimitExceeded, StorageUnavailable
from gbproxy.observability.meter import SILENT, Meter
from gbproxy.rate_limits.concurrency import ConcurrencyLimiter
from gbproxy.rate_limits.reservation import Reservation
from gbproxy.rate_limits.status import LimitStatus, Tokens
from gbproxy.rate_limits.store import LimitStore, RateStatus
from gbproxy.settings import Rate

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
        self,
        counters: LimitStore,
        rules: Rules,
        clock: Callable[[], float] = time.time,
        meter: Meter = SILENT,
    ) -> None:
        self._counters = counters
        self._rules = rules
        self._clock = clock
        self._meter = meter
        self._slots = ConcurrencyLimiter(counters)

    def count(self, principal: Principal) -> LimitStatus:
        """A request for a model has come in: how its caller stands, with this one counted."""
        allowed = principal.allowance
        if (
            allowed.rate_limit is None
            and allowed.tokens_per_day is None
            and self._rules.rate is None
        ):
            return LimitStatus()
        try:
            standing = LimitStatus(self._requests(principal), self._tokens(principal))
        except StorageUnavailable:
            return LimitStatus()
        if standing.exhausted is not None:
            self._meter.limited(standing.exhausted)
        return standing

    def begin(
        self, principal: Principal, model_id: str, *, is_streamed: bool, prompt_tokens: int = 0
    ) -> Reservation:
        """An answer is about to be made. Raises RateLimitExceeded; else what comes back is to be
        ended with it.

        The prompt's tokens count from now on, so that many at once cannot each find the same ones
        left.
        """
        with ExitStack() as undo:
            charge = self._reserve_tokens(principal, prompt_tokens)
            undo.callback(charge, 0)
            leave = self._enter(principal) if is_streamed else _nothing
            undo.callback(leave)
            self._reserve(principal, model_id)
            undo.pop_all()
        return Reservation(leave, charge)

    def _requests(self, principal: Principal) -> RateStatus | None:
        """The narrowest of what holds: a key's own rate stands in the place of that which holds for
        every key.
        """
        own, common = principal.allowance.rate_limit, self._rules.rate
        windows = []
        if own is not None:
            windows.append(self._counters.hit(f"requests:{_key(principal)}", own))
        if common is not None and (own is None or self._rules.by == "ip"):
            windows.append(self._counters.hit(f"requests:{self._caller(principal)}", common))
        return min(
            windows,
            key=lambda window: (window.is_taken, window.remaining, -window.reset_s),
            default=None,
        )

    def _tokens(self, principal: Principal) -> Tokens | None:
        limit = principal.allowance.tokens_per_day
        if limit is None:
            return None
        now = self._clock()
        return Tokens(limit, self._counters.read(_day(principal, now)), _left_of_day_s(now))

    def _reserve_tokens(self, principal: Principal, amount: int) -> Callable[[int], None]:
        """What charges the rest once it is known, or gives back what is too much. Raises
        RateLimitExceeded.
        """
        limit = principal.allowance.tokens_per_day
        if limit is None:
            return _charge_nothing
        now = self._clock()
        day = _day(principal, now)  # also of what ends after midnight
        try:
            is_left = self._counters.add_below(day, amount, limit, 2 * _DAY_S)
        except StorageUnavailable:
            return partial(self._charge, day, 0)
        if not is_left:
            self._meter.limited("tokens")
            raise Tokens(limit, limit, _left_of_day_s(now)).refusal()
        return partial(self._charge, day, amount)

    def _charge(self, day: str, reserved: int, tokens: int) -> None:
        if tokens == reserved:
            return
        try:
            self._counters.add(day, tokens - reserved, 2 * _DAY_S)
        except StorageUnavailable:
            return

    def _enter(self, principal: Principal) -> Callable[[], None]:
        limit = principal.allowance.concurrent_streams
        if limit is None:
            return _nothing
        leave = self._slots.take(f"streams:{_key(principal)}", limit)
        if leave is None:
            self._meter.limited("streams")
            raise RateLimitExceeded(
                f"{limit} streams at once are running with this key", retry_after=_SLOT_RETRY_S
            )
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
                f"the last request for this model came less than {interval_s:g} s ago",
                retry_after=wait_s,
            )

    def _caller(self, principal: Principal) -> str:
        return f"ip:{principal.address}" if self._rules.by == "ip" else _key(principal)


def _nothing() -> None:
    """There is no place to give back."""


def _charge_nothing(tokens: int) -> None:
    """Nobody counts them."""


def _key(principal: Principal) -> str:
    return f"key:{principal.key_id or principal.caller.hex()}"


def _day(principal: Principal, now: float) -> str:
    return f"tokens:{_key(principal)}:{datetime.fromtimestamp(math.floor(now), UTC):%Y-%m-%d}"


def _left_of_day_s(now: float) -> float:
    return _DAY_S - now % _DAY_S
