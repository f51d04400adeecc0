"""Refuses requests beyond the limits of the settings and of their API key.

While the store of the counts is away nothing is refused: the gateway goes on without it.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from gbproxy.domain.principal import Principal, Rate
from gbproxy.errors import RateLimitExceeded, StorageUnavailable
from gbproxy.observability.meter import SILENT, Meter
from gbproxy.rate_limits.store import LimitStatus, LimitStore, RateStatus, TokenStatus

LEASE_S = 10.0  # of a concurrency slot
RENEW_S = 3.0

_DAY_S = 86_400
_SLOT_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Rules:
    """RATE_LIMIT, RATE_LIMIT_BY and MODEL_INTERVAL_S."""

    rate: Rate | None = None
    by: Literal["key", "ip"] = "key"
    model_interval_s: float = 0.0


class Reservation:
    """The stream slot and the tokens reserved for one answer; the first `end` settles them."""

    def __init__(self, release: Callable[[], None], charge: Callable[[int], None]) -> None:
        self._release = release
        self._charge = charge
        self._is_over = False

    def end(self, tokens: int) -> None:
        """`tokens`: of prompt and answer together; 0 when nothing was answered."""
        if not self._is_over:
            self._is_over = True
            self._release()
            self._charge(tokens)


class Limiter:
    """Counts requests, tokens and streams. Safe for use by many threads at once. `clock`: Unix
    seconds.
    """

    def __init__(
        self,
        store: LimitStore,
        rules: Rules,
        clock: Callable[[], float] = time.time,
        meter: Meter = SILENT,
    ) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._meter = meter
        self._concurrency = ConcurrencyLimiter(store)

    def count(self, principal: Principal) -> LimitStatus:
        """Count a request and return what is left after it."""
        policy = principal.policy
        if policy.rate_limit is None and policy.tokens_per_day is None and self._rules.rate is None:
            return LimitStatus()
        try:
            status = LimitStatus(self._hit_rates(principal), self._token_status(principal))
        except StorageUnavailable:
            return LimitStatus()
        if status.exhausted is not None:
            self._meter.limited(status.exhausted)
        return status

    def begin(
        self, principal: Principal, model_id: str, *, is_streamed: bool, prompt_tokens: int = 0
    ) -> Reservation:
        """Reserve the slot and tokens of an answer; `end` the reservation with the answer, however
        that ends. Raises RateLimitExceeded, with nothing reserved.
        """
        with ExitStack() as undo:
            # The prompt's tokens count from now on: else many requests at once would each get the
            # same tokens.
            charge = self._reserve_tokens(principal, prompt_tokens)
            undo.callback(charge, 0)
            release = self._acquire_slot(principal) if is_streamed else _release_nothing
            undo.callback(release)
            self._hold_model(principal, model_id)
            undo.pop_all()
        return Reservation(release, charge)

    def _hit_rates(self, principal: Principal) -> RateStatus | None:
        """The status of the rate with the least left. A key's own rate replaces that of the
        settings, unless the latter is by address.
        """
        own, common = principal.policy.rate_limit, self._rules.rate
        statuses = []
        if own is not None:
            statuses.append(self._store.hit(f"requests:{_key(principal)}", own))
        if common is not None and (own is None or self._rules.by == "ip"):
            statuses.append(self._store.hit(f"requests:{self._client(principal)}", common))
        return min(
            statuses,
            key=lambda status: (status.is_taken, status.remaining, -status.reset_s),
            default=None,
        )

    def _token_status(self, principal: Principal) -> TokenStatus | None:
        limit = principal.policy.tokens_per_day
        if limit is None:
            return None
        now = self._clock()
        return TokenStatus(limit, self._store.read(_day(principal, now)), _until_midnight_s(now))

    def _reserve_tokens(self, principal: Principal, amount: int) -> Callable[[int], None]:
        """Reserve tokens of the day; return the function that corrects them to the number used.
        Raises RateLimitExceeded.
        """
        limit = principal.policy.tokens_per_day
        if limit is None:
            return _charge_nothing
        now = self._clock()
        day = _day(principal, now)  # also for an answer that ends after midnight
        try:
            has_room = self._store.add_below(day, amount, limit, 2 * _DAY_S)
        except StorageUnavailable:
            return partial(self._charge, day, 0)
        if not has_room:
            self._meter.limited("tokens")
            raise TokenStatus(limit, limit, _until_midnight_s(now)).refusal()
        return partial(self._charge, day, amount)

    def _charge(self, day: str, reserved: int, tokens: int) -> None:
        if tokens == reserved:
            return
        try:
            self._store.add(day, tokens - reserved, 2 * _DAY_S)
        except StorageUnavailable:
            return

    def _acquire_slot(self, principal: Principal) -> Callable[[], None]:
        limit = principal.policy.concurrent_streams
        if limit is None:
            return _release_nothing
        release = self._concurrency.acquire(f"streams:{_key(principal)}", limit)
        if release is None:
            self._meter.limited("streams")
            raise RateLimitExceeded(
                f"{limit} streams at once are running with this key", retry_after=_SLOT_RETRY_S
            )
        return release

    def _hold_model(self, principal: Principal, model_id: str) -> None:
        interval_s = self._rules.model_interval_s
        if not interval_s:
            return
        try:
            wait_s = self._store.hold(f"{self._client(principal)}:{model_id}", interval_s)
        except StorageUnavailable:
            return
        if wait_s:
            self._meter.limited("interval")
            raise RateLimitExceeded(
                f"the last request for this model came less than {interval_s:g} s ago",
                retry_after=wait_s,
            )

    def _client(self, principal: Principal) -> str:
        return f"ip:{principal.address}" if self._rules.by == "ip" else _key(principal)


def _release_nothing() -> None:
    """The release of an answer that holds no slot."""


def _charge_nothing(tokens: int) -> None:
    """The charge of a key without a limit of tokens."""


def _key(principal: Principal) -> str:
    return f"key:{principal.key_id or principal.key_digest.hex()}"


def _day(principal: Principal, now: float) -> str:
    return f"tokens:{_key(principal)}:{datetime.fromtimestamp(math.floor(now), UTC):%Y-%m-%d}"


def _until_midnight_s(now: float) -> float:
    return _DAY_S - now % _DAY_S


class ConcurrencyLimiter:
    """This worker's slots among those of all workers, as renewable leases: a killed worker's slots
    expire. Safe for use by many threads at once.
    """

    def __init__(self, store: LimitStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._held: set[tuple[str, str]] = set()
        self._is_renewing = False

    def acquire(self, name: str, limit: int) -> Callable[[], None] | None:
        """Take a slot and return the function that releases it; None when all are taken.

        While the store is away every call gets a slot, which counts once the store is back.
        """
        slot = (name, secrets.token_hex(8))
        try:
            if not self._acquire(slot, limit):
                return None
            with self._lock:
                self._held.add(slot)
            self._keep_renewing()
        except BaseException:  # the client has left meanwhile
            self._release(slot)
            raise
        return lambda: self._release(slot)

    def renew(self) -> None:
        """Renew the leases of all slots that are held."""
        with self._lock:
            held = list(self._held)
        if held:
            try:
                self._store.renew(held, LEASE_S)
            except StorageUnavailable:
                return
            with self._lock:
                released = [slot for slot in held if slot not in self._held]
            for slot in released:  # renewing has taken again what was released meanwhile
                self._release_in_store(slot)

    def _acquire(self, slot: tuple[str, str], limit: int) -> bool:
        try:
            return self._store.acquire(*slot, limit, LEASE_S)
        except StorageUnavailable:
            return True

    def _release(self, slot: tuple[str, str]) -> None:
        with self._lock:
            self._held.discard(slot)
        self._release_in_store(slot)

    def _release_in_store(self, slot: tuple[str, str]) -> None:
        try:
            self._store.release(*slot)
        except StorageUnavailable:
            return  # its lease expires

    def _keep_renewing(self) -> None:
        with self._lock:
            if self._is_renewing:
                return
            self._is_renewing = True
        threading.Thread(target=self._renew_while_held, name="slots", daemon=True).start()

    def _renew_while_held(self) -> None:
        while True:
            time.sleep(RENEW_S)
            with self._lock:
                if not self._held:
                    self._is_renewing = False
                    return
            self.renew()
