"""What is known of each account: shared with other workers as `AccountHealth`s, kept here as a `PooledAccount`
of the pool.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, Protocol

from gbproxy.domain.account import QUOTA_CLASSES, Account, AccountState, QuotaClass
from gbproxy.domain.clock import was_set_back_since

Scope = QuotaClass | Literal[""]
"""What a standing is about: one kind of request, or ("") the account as a whole."""

TRIAL_S = 30.0  # a trial that nobody reports on (a killed worker) is over then


@dataclass(frozen=True, slots=True)
class AccountHealth:
    """What all workers know of one account; times are Unix seconds.

    `account_key` (Account.account_key): another account under the same name is not meant.
    `consecutive_failures` counts failures for want of quota since the last success: with any, the
    end of a cooldown lets one request through, which has until `probe_until` to succeed. `cause` of
    a
    cooldown is "overload" or "quota"; of a refusal it is the sentence that clients are told, and
    `credential` the digest of what was refused (Account.credential).
    """

    account_key: str
    quota: Scope
    state: Literal["ready", "cooling", "refused"] = "ready"
    cooling_until: float | None = None
    consecutive_failures: int = 0
    probe_until: float | None = None
    cause: str = ""
    credential: str = ""
    changed_at: float = 0.0

    def cools_until(self, now: float) -> float | None:
        """The end of a cooldown that is not over; one from the future is, as the clock was set back
        since.
        """
        if (
            self.cooling_until is None
            or self.cooling_until <= now
            or was_set_back_since(self.changed_at, now)
        ):
            return None
        return self.cooling_until

    def tried_until(self, now: float) -> float | None:
        """The end of a trial that is not over."""
        if self.probe_until is None or not now < self.probe_until <= now + TRIAL_S:
            return None
        return self.probe_until


class HealthStore(Protocol):
    """Where all workers write what they learn, and read what the others have learnt. Calls raise
    GatewayErrors.
    """

    def publish(self, change: AccountHealth) -> object:
        """Put it in the place of what was known of this account and scope; an older one than that
        is dropped.
        """
        ...

    def failed(
        self, account_id: str, error: str | None, at: float, said: dict[str, Any] | None = None
    ) -> object:
        """Tell what the account has met last, None when it has recovered since; nothing older
        replaces what is known.

        `said`: what the upstream said, as `UpstreamWords.safe` has it.
        """
        ...

    def try_trial(self, account_id: str, quota: QuotaClass, until: float) -> bool:
        """Take the trial after a cooldown, until then at most; False when somebody else has it, or
        no cooldown is known.

        Atomic over all workers.
        """
        ...

    def read(self) -> Iterable[AccountHealth]:
        """All there is."""
        ...


class LocalHealthStore:
    """The board of a worker that has nobody to share with."""

    def publish(self, change: AccountHealth) -> None:
        del change

    def failed(
        self, account_id: str, error: str | None, at: float, said: dict[str, Any] | None = None
    ) -> None:
        del account_id, error, at, said

    def try_trial(self, account_id: str, quota: QuotaClass, until: float) -> bool:
        del account_id, quota, until
        return True

    def read(self) -> Iterable[AccountHealth]:
        return ()


class Condition(Enum):
    """Whether an account may be asked for one kind of request."""

    READY = "ready"
    DUE = "due"  # its cooldown is over: one request may find out
    TRIED = "tried"  # one request is finding out
    COOLING = "cooling"
    REFUSED = "refused"
    DISABLED = "disabled"


MAY_BE_ASKED = (Condition.READY, Condition.DUE)


@dataclass(slots=True, eq=False)
class PooledAccount:
    """An account in the pool of this worker. Not locked: the pool is."""

    account: Account
    is_active: bool = True
    in_flight: int = 0
    standings: dict[Scope, AccountHealth] = field(default_factory=dict)
    last_used_at: float | None = None
    last_error: str | None = None
    last_error_said: dict[str, Any] | None = None  # UpstreamWords.safe

    def condition(self, quota: QuotaClass, now: float) -> Condition:
        if not self.is_active:
            return Condition.DISABLED
        if not self.standings:
            return Condition.READY
        if self.refusal is not None:
            return Condition.REFUSED
        known = self.standings.get(quota)
        if known is None:
            return Condition.READY
        if known.cools_until(now) is not None:
            return Condition.COOLING
        if not known.consecutive_failures:
            return Condition.READY
        return Condition.DUE if known.tried_until(now) is None else Condition.TRIED

    @property
    def refusal(self) -> AccountHealth | None:
        known = self.standings.get("")
        return known if known is not None and known.state == "refused" else None

    def standing(self, scope: Scope) -> AccountHealth:
        return self.standings.get(scope) or AccountHealth(self.account.account_key, scope)

    def is_cleared_since(self, scope: Scope, moment: float) -> bool:
        known = self.standings.get(scope)
        return known is not None and known.state == "ready" and known.changed_at > moment

    def next_change(self, now: float) -> Iterable[float]:
        """When something will change by time alone."""
        for known in self.standings.values():
            yield from (
                t for t in (known.cools_until(now), known.tried_until(now)) if t is not None
            )

    def view(self, now: float) -> AccountView:
        states = {quota: _state(self.condition(quota, now)) for quota in QUOTA_CLASSES}
        ends = {quota: self.standing(quota).cools_until(now) for quota in QUOTA_CLASSES}
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


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as an operator sees it. `state` is the worst of `states`; `in_flight` counts in
    this worker alone.
    """

    id: str
    name: str
    state: AccountState
    states: Mapping[QuotaClass, AccountState]
    cooling_until: Mapping[QuotaClass, float]
    in_flight: int
    last_used_at: float | None
    last_error: str | None
    last_error_said: Mapping[str, Any] | None


def _state(condition: Condition) -> AccountState:
    match condition:
        case Condition.READY | Condition.DUE:
            return "ready"
        case Condition.TRIED | Condition.COOLING:
            return "cooling"
        case Condition.REFUSED:
            return "refused"
        case Condition.DISABLED:
            return "disabled"
