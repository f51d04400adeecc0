"""What a client hears when no account can be tried: it follows from the states of those that there
are.
"""

from __future__ import annotations

from collections.abc import Iterable

from gbproxy.accounts.health import Condition, PooledAccount
from gbproxy.accounts.lease_queue import LeaseRequest
from gbproxy.errors import (
    CredentialRefused,
    GatewayError,
    NoAccountAvailable,
    QuotaExhausted,
    UpstreamOverloaded,
)

_LEAST_S = 1.0


def nothing_to_try(
    members: Iterable[PooledAccount], wish: LeaseRequest, now: float
) -> GatewayError:
    """Some only overloaded: that; else some out of quota; else all refused; else none enabled.

    The hint when to come back is the earliest recovery.
    """
    everyone = list(members)
    present = [member for member in everyone if wish.admits(member)]
    cooling = [
        m.standing(wish.quota) for m in present if m.condition(wish.quota, now) is Condition.COOLING
    ]
    if cooling:
        wait_s = seconds_until(min(known.cools_until(now) or now for known in cooling), now)
        if any(known.cause == "overload" for known in cooling):
            return UpstreamOverloaded("the upstream is overloaded", retry_after=wait_s)
        return QuotaExhausted("the quota of every account is used up", retry_after=wait_s)
    refusal = next((m.refusal for m in present if m.is_active and m.refusal is not None), None)
    if refusal is not None:
        return CredentialRefused(refusal.cause)
    if wish.wanted is not None:
        return NoAccountAvailable(
            "the account that holds this conversation is disabled, or not there any more"
        )
    if not everyone:
        return NoAccountAvailable(
            "no account is configured: set SECURE_C_SES, CSESIDX and CONFIG_ID, or ACCOUNTS"
        )
    return NoAccountAvailable(
        "every account is disabled" if not wish.excluded else "no other account is left"
    )


def seconds_until(moment: float, now: float) -> float:
    return max(moment - now, _LEAST_S)
