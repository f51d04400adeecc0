"""The health of an account; health_changes.py has what changes it.

All workers share `AccountHealth`; `PooledAccount` is the account in this worker's pool.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any

from gbproxy.domain.account import (
    QUOTA_CLASSES,
    Account,
    AccountState,
    AccountView,
    QuotaScope,
    quota_class,
    quota_model,
)
from gbproxy.domain.clock import was_set_back_since
from gbproxy.errors import GatewayError

Scope = QuotaScope
"""The subject of an `AccountHealth`: a quota's, or ("") the account as a whole."""

UNPROBED_S = 900.0  # a quota counts as used up for so long after its cooldown without a success
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
    last_error_kind: str | None = None  # GatewayError.kind

    def condition(self, quota: QuotaScope, now: float) -> Condition:
        """A model with a quota of its own also pauses while its whole class does."""
        if not self.is_active:
            return Condition.DISABLED
        if not self.known:
            return Condition.READY
        if self.rejection is not None:
            return Condition.REJECTED
        if ":" in quota:
            of_class = self._condition(quota_class(quota), now)
            if of_class in (Condition.COOLING, Condition.PROBING):
                return of_class
        return self._condition(quota, now)

    def _condition(self, quota: QuotaScope, now: float) -> Condition:
        health = self.known.get(quota)
        if health is None:
            return Condition.READY
        if health.cools_until(now) is not None:
            return Condition.COOLING
        if not health.consecutive_failures:
            return Condition.READY
        return Condition.HALF_OPEN if health.probed_until(now) is None else Condition.PROBING

    def pausing(self, quota: QuotaScope, now: float) -> AccountHealth:
        """The health that decides `condition`, of a model with a quota of its own: its class'
        while that cools down.
        """
        of_class = self.health(quota_class(quota))
        own = self.health(quota)
        return of_class if of_class.cools_until(now) is not None else own

    def is_available(self, quota: QuotaScope, now: float) -> bool:
        """True when the account may be asked, be it busy or not."""
        return self.condition(quota, now) in AVAILABLE

    @property
    def rejection(self) -> AccountHealth | None:
        health = self.known.get("")
        return health if health is not None and health.state == HealthState.REJECTED else None

    def health(self, scope: Scope) -> AccountHealth:
        return self.known.get(scope) or AccountHealth(self.account.account_key, scope)

    def exhausted(self, now: float) -> dict[QuotaScope, float]:
        """The quotas that the upstream has said are used up, also those of one model alone, and
        the ends of their cooldowns. One that a request is yet to probe counts for a while longer.
        """
        found: dict[QuotaScope, float] = {}
        for quota, health in self.known.items():
            if health.state != HealthState.COOLING or health.cause != "quota":
                continue
            longer_s = UNPROBED_S if health.consecutive_failures else 0.0
            if health.cooling_until is not None and now < health.cooling_until + longer_s:
                found[quota] = health.cooling_until
        return found

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
        self.last_error_kind = error.kind if error is not None else None

    def view(self, now: float) -> AccountView:
        states = {quota: _state(self.condition(quota, now)) for quota in QUOTA_CLASSES}
        ends = {
            scope: end
            for scope, health in self.known.items()
            if (end := health.cools_until(now)) is not None
        }
        return AccountView(
            id=self.account.id,
            name=self.account.name,
            state=next((state for state in states.values() if state != "ready"), "ready"),
            states=states,
            cooling_until={quota: ends[quota] for quota in QUOTA_CLASSES if quota in ends},
            in_flight=self.in_flight,
            last_used_at=self.last_used_at,
            last_error=self.last_error,
            last_error_said=self.last_error_said,
            last_error_kind=self.last_error_kind,
            models_cooling_until={
                model: end for scope, end in ends.items() if (model := quota_model(scope))
            },
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
