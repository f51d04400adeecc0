"""How the health of an account changes: by a failure, or by news of another worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from gbproxy.accounts.failure_policy import Cooldown, cooldown_ends, names_an_end, next_midnight
from gbproxy.accounts.health import AccountHealth, HealthState, PooledAccount
from gbproxy.domain.account import Account, QuotaScope
from gbproxy.domain.clock import was_set_back_since
from gbproxy.errors import GatewayError


def cooled_down(
    pooled: PooledAccount,
    scopes: Iterable[QuotaScope],
    cooldown: Cooldown | None,
    error: GatewayError,
    now: float,
    uniform: Callable[[float, float], float],
) -> list[AccountHealth]:
    """The cooldowns that a failure begins or prolongs. Empty when the policy has none for it."""
    if cooldown is None:
        return []
    known = [pooled.health(scope) for scope in scopes]
    found = [_cooled_down(health, cooldown, error, now, uniform) for health in known]
    return [change for change in found if change is not None]


def _cooled_down(
    known: AccountHealth,
    cooldown: Cooldown,
    error: GatewayError,
    now: float,
    uniform: Callable[[float, float], float],
) -> AccountHealth | None:
    """None when the running cooldown already covers this failure."""
    running = known.cools_until(now)
    if running is not None and known.cause == cooldown.cause and not names_an_end(error):
        return None
    failures = known.consecutive_failures
    if cooldown.has_probe:
        # Answers that ran at once bring the same news: they count as one failure.
        failures = max(failures + (running is None), 1)
    ends = cooldown_ends(cooldown, error, failures - 1, now, uniform)
    if running is not None and running >= ends:
        if failures == known.consecutive_failures:
            return None
        return replace(known, consecutive_failures=failures, changed_at=now)
    return replace(
        known,
        state=HealthState.COOLING,
        cooling_until=ends,
        consecutive_failures=failures,
        probe_until=None,
        cause=cooldown.cause,
        changed_at=now,
    )


def rejected(
    pooled: PooledAccount, account: Account, error: GatewayError, now: float
) -> list[AccountHealth]:
    """The quarantine of the credential of `account`. Empty when it is in quarantine, or replaced.

    Clients hear the error's message until the credential is replaced or found good.
    """
    if pooled.rejection is not None or not pooled.has_credential_of(account):
        return []
    rejection = AccountHealth(
        account.account_key,
        "",
        state=HealthState.REJECTED,
        cause=error.message,
        credential=account.fingerprint(),
        changed_at=now,
    )
    return [rejection]


def merged(pooled: PooledAccount, theirs: AccountHealth, now: float) -> AccountHealth | None:
    """The health to adopt from another worker's. None when that is older, or says nothing new."""
    known = pooled.health(theirs.quota)
    if theirs.changed_at < known.changed_at:
        return None
    if was_set_back_since(known.changed_at, now) and was_set_back_since(theirs.changed_at, now):
        return None
    is_rejected = theirs.state == HealthState.REJECTED
    if is_rejected and theirs.credential != pooled.account.fingerprint():
        return None  # replaced since
    if (
        theirs.changed_at == known.changed_at
        and theirs.probe_until is None
        and known.probed_until(now) is not None
    ):
        return None  # read just before our probe began
    ends = theirs.cooling_until
    theirs = replace(
        theirs,
        # The clock of the machine that wrote it may be wrong.
        cooling_until=None if ends is None else min(ends, next_midnight(now)),
        changed_at=min(theirs.changed_at, now),
    )
    return None if theirs == known else theirs
