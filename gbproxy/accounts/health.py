"""The health of an account, and its transitions after a failure or by news of another worker.

All workers share `AccountHealth`; `PooledAccount` is the account in this worker's pool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from typing import Any, Literal

from gbproxy.accounts.failure_policy import Cooldown, cooldown_ends, names_an_end, next_midnight
from gbproxy.domain.account import QUOTA_CLASSES, Account, AccountState, AccountView, QuotaClass
from gbproxy.domain.clock import was_set_back_since
from gbproxy.errors import GatewayError

Scope = QuotaClass | Literal[""]
"""The subject of an `AccountHealth`: one quota class, or ("") the account as a whole."""

PROBE_S = 30.0  # then a probe without a result (its worker was killed) is over


class HealthState(StrEnum):
    """The values are what is stored, and what logs and metrics say."""

    READY = "ready"
    COOLING = "cooling"
    REJECTED = "refused"


@dataclass(frozen=True, slots=True)
class AccountHealth:
    """The health of an account in one scope, shared by all workers. Times are Unix seconds.

    `consecutive_failures` counts cooldowns that end with a probe (`failure_policy.Cooldown`) since
    the last success. With any, the end of a cooldown lets one request through as the probe, which
    has until `probe_until` to succeed.
    `cause` of a cooldown is "overload" or "quota"; of a rejection it is the message for clients,
    and `credential` the digest of what was rejected (`Account.fingerprint`).
    """

    account_key: str
    quota: Scope
    state: HealthState = HealthState.READY
    cooling_until: float | None = None
    consecutive_failures: int = 0
    probe_until: float | None = None
    cause: str = ""
    credential: str = ""
    changed_at: float = 0.0

    def cools_until(self, now: float) -> float | None:
        """The end of a running cooldown, in Unix seconds."""
        if (
            self.cooling_until is None
            or self.cooling_until <= now
            or was_set_back_since(self.changed_at, now)
        ):
            return None
        return self.cooling_until

    def probed_until(self, now: float) -> float | None:
        """The end of a running probe, in Unix seconds."""
        # An end further ahead was set by a clock that has been set back since.
        if self.probe_until is None or not now < self.probe_until <= now + PROBE_S:
            return None
        return self.probe_until


class Condition(Enum):
    """An account's condition for one quota class, in a circuit breaker's terms."""

    READY = "ready"
    HALF_OPEN = "half-open"  # its cooldown is over: the next request probes it
    PROBING = "probing"  # one request does
    COOLING = "cooling"
    REJECTED = "rejected"
    DISABLED = "disabled"


AVAILABLE = (Condition.READY, Condition.HALF_OPEN)


@dataclass(slots=True, eq=False)
class PooledAccount:
    """An account in this worker's pool. The pool's lock guards it."""

    account: Account
    is_active: bool = True
    in_flight: int = 0
    known: dict[Scope, AccountHealth] = field(default_factory=dict)
    last_used_at: float | None = None
    last_error: str | None = None
    last_error_said: dict[str, Any] | None = None  # UpstreamWords.safe

    def condition(self, quota: QuotaClass, now: float) -> Condition:
        if not self.is_active:
            return Condition.DISABLED
        if not self.known:
            return Condition.READY
        if self.rejection is not None:
            return Condition.REJECTED
        health = self.known.get(quota)
        if health is None:
            return Condition.READY
        if health.cools_until(now) is not None:
            return Condition.COOLING
        if not health.consecutive_failures:
            return Condition.READY
        return Condition.HALF_OPEN if health.probed_until(now) is None else Condition.PROBING

    def is_available(self, quota: QuotaClass, now: float) -> bool:
        """True when the account may be asked, be it busy or not."""
        return self.condition(quota, now) in AVAILABLE

    @property
    def rejection(self) -> AccountHealth | None:
        health = self.known.get("")
        return health if health is not None and health.state == HealthState.REJECTED else None

    def health(self, scope: Scope) -> AccountHealth:
        return self.known.get(scope) or AccountHealth(self.account.account_key, scope)

    def was_cleared_since(self, moment: float, scopes: Iterable[Scope]) -> bool:
        """True when it was found good, or declared so, after that moment in one of these scopes."""
        known = (self.known.get(scope) for scope in scopes)
        return any(
            health is not None and health.state == HealthState.READY and health.changed_at > moment
            for health in known
        )

    def next_changes(self, now: float) -> Iterable[float]:
        """The Unix seconds at which time alone will change a condition."""
        for health in self.known.values():
            for moment in (health.cools_until(now), health.probed_until(now)):
                if moment is not None:
                    yield moment

    def has_credential_of(self, account: Account) -> bool:
        return self.account.fingerprint() == account.fingerprint()

    def note_error(self, error: GatewayError | None) -> None:
        self.last_error = error.own_words if error is not None else None
        self.last_error_said = error.safe_words if error is not None else None

    def view(self, now: float) -> AccountView:
        states = {quota: _state(self.condition(quota, now)) for quota in QUOTA_CLASSES}
        ends = {quota: self.health(quota).cools_until(now) for quota in QUOTA_CLASSES}
        return AccountView(
            id=self.account.id,
            name=self.account.name,
            state=next((state for state in states.values() if state != "ready"), "ready"),
            states=states,
            cooling_until={quota: end for quota, end in ends.items() if end is not None},
            in_flight=self.in_flight,
            last_used_at=self.last_used_at,
            last_error=self.last_error,
            last_error_said=self.last_error_said,
        )


def _state(condition: Condition) -> AccountState:
    match condition:
        case Condition.READY | Condition.HALF_OPEN:
            return "ready"
        case Condition.PROBING | Condition.COOLING:
            return "cooling"
        case Condition.REJECTED:
            return "refused"
        case Condition.DISABLED:
            return "disabled"


def cooled_down(
    pooled: PooledAccount,
    scopes: Iterable[QuotaClass],
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
