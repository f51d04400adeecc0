"""Select the account for a request, or the error for its client when none can serve it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from gbproxy.accounts.health import AVAILABLE, Condition, PooledAccount
from gbproxy.domain.account import QuotaScope
from gbproxy.errors import (
    CredentialRefused,
    GatewayError,
    NoAccountAvailable,
    QuotaExhausted,
    UpstreamOverloaded,
)

Order = Literal["least-busy", "first"]

_LEAST_S = 1.0


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """Conditions of a request: only `required` will do, if given; `preferred` is taken when it
    has a free slot. Both are account keys; `excluded` are ids.
    """

    quota: QuotaScope
    required: str | None = None
    preferred: str | None = None
    excluded: frozenset[str] = frozenset()

    def admits(self, pooled: PooledAccount) -> bool:
        is_required = self.required is None or self.required == pooled.account.account_key
        return is_required and pooled.account.id not in self.excluded


def select(
    accounts: Collection[PooledAccount],
    request: LeaseRequest,
    *,
    concurrency: int,
    order: Order,
    now: float,
) -> PooledAccount | None:
    """The account that serves the request best; None when it has to wait for one.

    Raises `no_account_error` when none will serve it.
    """
    free: list[PooledAccount] = []
    may_wait = False
    for pooled in accounts:
        if not request.admits(pooled):
            continue
        condition = pooled.condition(request.quota, now)
        if condition in AVAILABLE:
            may_wait = True
            if pooled.in_flight < concurrency:
                free.append(pooled)
        elif condition is Condition.PROBING:
            may_wait = True
    if not free:
        if may_wait:
            return None
        raise no_account_error(accounts, request, now)
    best = free[0] if order == "first" else min(free, key=lambda pooled: pooled.in_flight)
    if request.preferred is None:
        return best
    return next((each for each in free if each.account.account_key == request.preferred), best)


def no_account_error(
    accounts: Collection[PooledAccount], request: LeaseRequest, now: float
) -> GatewayError:
    """Most recoverable cause first: overload, then quota, then rejected credentials, then nothing
    enabled. `retry_after` is the earliest recovery.
    """
    admitted = [pooled for pooled in accounts if request.admits(pooled)]
    cooling = [
        pooled.pausing(request.quota, now)
        for pooled in admitted
        if pooled.condition(request.quota, now) is Condition.COOLING
    ]
    if cooling:
        wait_s = seconds_until(min(health.cools_until(now) or now for health in cooling), now)
        if any(health.cause == "overload" for health in cooling):
            return UpstreamOverloaded("the upstream is overloaded", retry_after=wait_s)
        return QuotaExhausted("the quota of every account is used up", retry_after=wait_s)
    rejections = (pooled.rejection for pooled in admitted if pooled.is_active)
    rejection = next((each for each in rejections if each is not None), None)
    if rejection is not None:
        return CredentialRefused(rejection.cause)
    if request.required is not None:
        return NoAccountAvailable(
            "the account that holds this conversation is disabled, or not there any more"
        )
    if not accounts:
        return NoAccountAvailable(
            "no account is configured: set SECURE_C_SES, CSESIDX and CONFIG_ID, or ACCOUNTS"
        )
    return NoAccountAvailable(
        "every account is disabled" if not request.excluded else "no other account is left"
    )


def any_available(accounts: Iterable[PooledAccount], request: LeaseRequest, now: float) -> bool:
    """True when an account may be asked, or may be once its probe is over, be it busy or not."""
    return any(
        pooled.condition(request.quota, now) in (*AVAILABLE, Condition.PROBING)
        for pooled in accounts
        if request.admits(pooled)
    )


def recovery_s(accounts: Iterable[PooledAccount], quota: QuotaScope, now: float) -> float | None:
    """Seconds until an account may be asked, at least one; None if time alone brings none."""
    moments: list[float] = []
    for pooled in accounts:
        match pooled.condition(quota, now):
            case Condition.READY | Condition.HALF_OPEN:
                moments.append(now)
            case Condition.COOLING | Condition.PROBING:
                health = pooled.pausing(quota, now)
                moments.append(health.cools_until(now) or health.probed_until(now) or now)
            case Condition.REJECTED | Condition.DISABLED:
                pass
    return seconds_until(min(moments), now) if moments else None


def seconds_until(moment: float, now: float) -> float:
    return max(moment - now, _LEAST_S)
