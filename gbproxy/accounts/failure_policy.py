"""What each failure means, as data: how long the account is left alone, and how the request goes
on.

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

from gbproxy.errors import (
    AccountStalled,
    AccountSuspected,
    AnswerTooLarge,
    BadRequest,
    CredentialRefused,
    GatewayError,
    QuotaExhausted,
    RequestRefused,
    SessionGone,
    TokenRefused,
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
_MOST_REPEATS = 10  # that count: more would be beyond any midnight, and at last beyond a float


class Then(Enum):
    """How the request goes on."""

    ENDS = "ends"  # every account would say the same
    ELSEWHERE = "elsewhere"  # with another account
    # with another account; when that one fails in such a way too, it is the request
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Cooldown:
    """For how long an account is left alone, for one kind of request.

    Where the upstream names no time: between `least_s` and `most_s`, `factor` times as long on each
    repeat. `longest_s` at most, and never beyond the midnight at which quotas begin anew.
    `has_trial`: when it ends one request is let through, and all others when that one has
    succeeded.
    """

    cause: Cause
    least_s: float
    most_s: float
    factor: float
    longest_s: float
    has_trial: bool


OVERLOAD = Cooldown("overload", least_s=5, most_s=15, factor=1, longest_s=3600, has_trial=False)
STALL = Cooldown("overload", least_s=15, most_s=30, factor=2, longest_s=300, has_trial=True)
QUOTA = Cooldown("quota", least_s=60, most_s=60, factor=4, longest_s=math.inf, has_trial=True)


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """`refuses`: the credential is set aside; `suspects`: a probe shall tell whether it is to be.

    `once_more`: the same account may do better, where no other is left.
    """

    then: Then
    cooldown: Cooldown | None = None
    refuses: bool = False
    suspects: bool = False
    once_more: bool = False


POLICIES: Mapping[type[GatewayError], FailurePolicy] = {
    BadRequest: FailurePolicy(Then.ENDS),
    RequestRefused: FailurePolicy(Then.ENDS),
    AnswerTooLarge: FailurePolicy(Then.ENDS),
    UpstreamOverloaded: FailurePolicy(Then.ELSEWHERE, cooldown=OVERLOAD),
    QuotaExhausted: FailurePolicy(Then.ELSEWHERE, cooldown=QUOTA),
    CredentialRefused: FailurePolicy(Then.ELSEWHERE, refuses=True),
    AccountSuspected: FailurePolicy(Then.UNCLEAR, suspects=True),
    TokenRefused: FailurePolicy(Then.ELSEWHERE),
    UpstreamBroken: FailurePolicy(Then.ELSEWHERE, once_more=True),
    UpstreamProtocolError: FailurePolicy(Then.ELSEWHERE, once_more=True),
    UpstreamTimeout: FailurePolicy(Then.ELSEWHERE),
    AccountStalled: FailurePolicy(
        Then.ELSEWHERE, cooldown=STALL
    ),  # it is known that another may serve
    UpstreamUnreachable: FailurePolicy(Then.ELSEWHERE, once_more=True),
    UpstreamGaveUp: FailurePolicy(Then.ELSEWHERE, once_more=True),
    SessionGone: FailurePolicy(Then.UNCLEAR),  # in a session made a moment ago
    UpstreamError: FailurePolicy(Then.UNCLEAR),
}
"""By the nearest class; what is no fault of the upstream's ends the request."""


def policy_for(error: GatewayError) -> FailurePolicy:
    return next(
        (POLICIES[kind] for kind in type(error).__mro__ if kind in POLICIES),
        FailurePolicy(Then.ENDS),
    )


def cooldown_ends(
    cooldown: Cooldown,
    error: GatewayError,
    repeats: int,
    now: float,
    uniform: Callable[[float, float], float],
) -> float:
    """When an account may be asked again, in Unix seconds. `repeats`: how often this has come since
    the last success.
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
    """Whether the upstream itself has said until when."""
    if isinstance(error, QuotaExhausted) and error.is_daily:
        return True
    return isinstance(error, QuotaExhausted | UpstreamOverloaded) and error.named_s is not None


def next_midnight(now: float) -> float:
    """The next midnight in Los Angeles, where quotas of the day begin anew; in Unix seconds, as
    `now` is.
    """
    today = datetime.fromtimestamp(now, _los_angeles())
    return datetime.combine(today.date() + timedelta(days=1), time.min, _los_angeles()).timestamp()


@cache
def _los_angeles() -> ZoneInfo:
    return ZoneInfo("America/Los_Angeles")
