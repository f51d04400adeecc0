"""The policy for each failure, as a table: whether the request is retried, what the account pays.

Source: docs/upstream.md, errors and quotas.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import Enum
from functools import cache
from typing import Literal
from zoneinfo import ZoneInfo

from gbproxy.domain.account import QuotaScope, quota_class
from gbproxy.errors import (
    AccountStalled,
    AccountSuspected,
    AnswerEmpty,
    AnswerTooLarge,
    BadRequest,
    CredentialRefused,
    GatewayError,
    QuotaExhausted,
    RequestRefused,
    SessionGone,
    StructuredOutputInvalid,
    TokenRefused,
    ToolCallMissing,
    UpstreamBroken,
    UpstreamError,
    UpstreamGaveUp,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnreachable,
)

Cause = Literal["overload", "quota"]

_LEAST_S = 1.0  # also where the upstream names less
_MOST_REPEATS = 10  # further ones count no more: the factor would outgrow a float


class Retry(Enum):
    """The next step of a request after a failure."""

    NEVER = "never"  # every account would say the same
    OTHER_ACCOUNT = "other account"
    # One more account is asked; when that one fails so too, it is put down to the request.
    OTHER_THEN_FAIL = "other, then fail"


@dataclass(frozen=True, slots=True)
class Cooldown:
    """The time for which an account is not asked, for one quota class.

    Where the upstream names no time: between `least_s` and `most_s`, `factor` times as long on each
    repeat; `longest_s` at most, and never beyond the midnight at which quotas begin anew.
    `has_probe`: after it one request is let through, and the others once that one has succeeded.
    """

    cause: Cause
    least_s: float
    most_s: float
    factor: float
    longest_s: float
    has_probe: bool


OVERLOAD = Cooldown("overload", least_s=5, most_s=15, factor=1, longest_s=3600, has_probe=False)
STALL = Cooldown("overload", least_s=15, most_s=30, factor=2, longest_s=300, has_probe=True)
QUOTA = Cooldown("quota", least_s=60, most_s=60, factor=4, longest_s=math.inf, has_probe=True)


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """`quarantines`: the credential is rejected; `suspects`: a probe has to tell whether it is.

    `retry_same`: the same account is asked once more when no other is left.
    """

    retry: Retry
    cooldown: Cooldown | None = None
    quarantines: bool = False
    suspects: bool = False
    retry_same: bool = False


POLICIES: Mapping[type[GatewayError], FailurePolicy] = {
    BadRequest: FailurePolicy(Retry.NEVER),
    RequestRefused: FailurePolicy(Retry.NEVER),
    AnswerTooLarge: FailurePolicy(Retry.NEVER),  # the next attempt would bring the same
    # The model's doing, not the account's.
    StructuredOutputInvalid: FailurePolicy(Retry.NEVER),
    ToolCallMissing: FailurePolicy(Retry.NEVER),
    UpstreamOverloaded: FailurePolicy(Retry.OTHER_ACCOUNT, cooldown=OVERLOAD),
    QuotaExhausted: FailurePolicy(Retry.OTHER_ACCOUNT, cooldown=QUOTA),
    CredentialRefused: FailurePolicy(Retry.OTHER_ACCOUNT, quarantines=True),
    AccountSuspected: FailurePolicy(Retry.OTHER_THEN_FAIL, suspects=True),
    TokenRefused: FailurePolicy(Retry.OTHER_ACCOUNT),
    UpstreamBroken: FailurePolicy(Retry.OTHER_ACCOUNT, retry_same=True),
    UpstreamProtocolError: FailurePolicy(Retry.OTHER_ACCOUNT, retry_same=True),
    UpstreamTimeout: FailurePolicy(Retry.OTHER_ACCOUNT),
    # Raised only where another account may serve.
    AccountStalled: FailurePolicy(Retry.OTHER_ACCOUNT, cooldown=STALL),
    UpstreamUnreachable: FailurePolicy(Retry.OTHER_ACCOUNT, retry_same=True),
    UpstreamGaveUp: FailurePolicy(Retry.OTHER_ACCOUNT, retry_same=True),
    # The model's whim, or the request's doing.
    AnswerEmpty: FailurePolicy(Retry.OTHER_THEN_FAIL, retry_same=True),
    SessionGone: FailurePolicy(Retry.OTHER_THEN_FAIL),  # of a session that was opened just now
    UpstreamError: FailurePolicy(Retry.OTHER_THEN_FAIL),
}
"""The nearest class of the error counts. Errors that are not here are not the upstream's."""


def policy_for(error: GatewayError) -> FailurePolicy:
    return next(
        (POLICIES[kind] for kind in type(error).__mro__ if kind in POLICIES),
        FailurePolicy(Retry.NEVER),
    )


def paused_by(error: GatewayError, quota: QuotaScope) -> tuple[QuotaScope, ...]:
    """The scopes that a failure of a request for `quota` pauses, where it pauses any."""
    kind = quota_class(quota)
    if not isinstance(error, QuotaExhausted):
        return (kind,)
    # The quota that the upstream names is used up, whatever kind of request has met it.
    return tuple(quota if each == kind else each for each in error.media) or (quota,)


def cooldown_ends(
    cooldown: Cooldown,
    error: GatewayError,
    repeats: int,
    now: float,
    uniform: Callable[[float, float], float],
) -> float:
    """The end of a cooldown that begins now, in Unix seconds; `repeats` are the failures before
    this one since the last success.
    """
    midnight = next_midnight(now)
    if isinstance(error, QuotaExhausted) and error.is_daily:
        return midnight
    named_s = error.named_s if isinstance(error, QuotaExhausted | UpstreamOverloaded) else None
    if named_s is None:
        named_s = uniform(cooldown.least_s, cooldown.most_s) * cooldown.factor ** min(
            repeats, _MOST_REPEATS
        )
    return min(now + min(max(named_s, _LEAST_S), cooldown.longest_s), midnight)


def names_an_end(error: GatewayError) -> bool:
    """True when the upstream has named the end itself."""
    if isinstance(error, QuotaExhausted) and error.is_daily:
        return True
    return isinstance(error, QuotaExhausted | UpstreamOverloaded) and error.named_s is not None


def next_midnight(now: float) -> float:
    """The next midnight in Los Angeles, when daily quotas begin anew. Unix seconds, as `now`."""
    today = datetime.fromtimestamp(now, _los_angeles())
    return datetime.combine(today.date() + timedelta(days=1), time.min, _los_angeles()).timestamp()


def last_midnight(now: float) -> float:
    """The midnight in Los Angeles at which today's quotas have begun. Unix seconds, as `now`."""
    today = datetime.fromtimestamp(now, _los_angeles())
    return datetime.combine(today.date(), time.min, _los_angeles()).timestamp()


@cache
def _los_angeles() -> ZoneInfo:
    return ZoneInfo("America/Los_Angeles")
