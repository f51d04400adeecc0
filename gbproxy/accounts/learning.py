"""What is known of an account and what has just happened -> what is known now, or None when that is
nothing new.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gbproxy.accounts.failure_policy import Cooldown, cooldown_ends, names_an_end, next_midnight
from gbproxy.accounts.health import AccountHealth, PooledAccount, is_from_before
from gbproxy.errors import GatewayError


def cooled(
    known: AccountHealth,
    cooldown: Cooldown,
    error: GatewayError,
    now: float,
    uniform: Callable[[float, float], float],
) -> AccountHealth | None:
    """A cooldown begins, or is found to last longer. It is one strike, however many answers at once
    bring the news.
    """
    running = known.cools_until(now)
    if running is not None and known.cause == cooldown.cause and not names_an_end(error):
        return None
    strikes = known.strikes
    if cooldown.has_trial:
        strikes = max(strikes + (running is None), 1)
    ends = cooldown_ends(cooldown, error, strikes - 1, now, uniform)
    if running is not None and running >= ends:
        return None if strikes == known.strikes else replace(known, strikes=strikes, changed_at=now)
    return replace(
        known,
        state="cooling",
        cooling_until=ends,
        strikes=strikes,
        trial_until=None,
        cause=cooldown.cause,
        changed_at=now,
    )


def refused(member: PooledAccount, error: GatewayError, now: float) -> AccountHealth | None:
    """The credential is set aside; the error's words are what clients hear until it is replaced."""
    if member.refusal is not None:
        return None
    return AccountHealth(
        member.account.account_key,
        "",
        state="refused",
        cause=error.message,
        credential=member.account.fingerprint(),
        changed_at=now,
    )


def taken_over(member: PooledAccount, told: AccountHealth, now: float) -> AccountHealth | None:
    """What another worker has learnt, unless it is older than what is known here, or about another
    credential.
    """
    known = member.standing(told.quota)
    if told.changed_at < known.changed_at:
        return None
    if is_from_before(known.changed_at, now) and is_from_before(told.changed_at, now):
        return None  # the clock was set back since, and both are over
    if told.state == "refused" and told.credential != member.account.fingerprint():
        return None  # it has been replaced since
    if (
        told.changed_at == known.changed_at
        and told.trial_until is None
        and known.tried_until(now) is not None
    ):
        return None  # read just before the trial began
    ends = told.cooling_until
    told = replace(
        told,
        # whatever the clock of the machine says that wrote it
        cooling_until=None if ends is None else min(ends, next_midnight(now)),
        changed_at=min(told.changed_at, now),
    )
    return None if told == known else told
