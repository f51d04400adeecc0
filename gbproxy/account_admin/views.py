"""Accounts as administration knows them: what is stored, and what is shown, which is without
cookies. Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gbproxy.accounts.health import AccountHealth
from gbproxy.domain.account import (
    Account,
    AccountState,
    AccountView,
    CredentialMoments,
    QuotaClass,
)
from gbproxy.storage.account_health import AccountHealthRows, AccountUse, CheckStore, Status
from gbproxy.storage.accounts import EnabledOverrides, StoredAccounts
from gbproxy.storage.credential_times import CredentialTimes
from gbproxy.storage.workers import ChangeCounter, WorkerRegistry

Source = Literal["env", "db"]


@dataclass(frozen=True, slots=True)
class AccountStore:
    """The stores that an account's view is read from; of renewed cookies it shows the time."""

    stored: StoredAccounts
    overrides: EnabledOverrides
    changes: ChangeCounter
    checks: CheckStore
    health: AccountHealthRows[AccountHealth]
    workers: WorkerRegistry
    times: CredentialTimes


@dataclass(frozen=True, slots=True)
class ConfiguredAccount:
    """An account and where it comes from; `created_at` is None for accounts of the environment."""

    account: Account
    is_active: bool
    source: Source
    created_at: float | None = None


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """`state`: the worst of all quota classes; `cooling_until`: by quota class, for those that cool
    down; `models_cooling_until`: as in `AccountView`; `in_flight`: answers of all workers, at most
    a second old.

    `credential`: the values that may be shown. `created_at` is None for accounts of the
    environment. `last_error_kind`: GatewayError.kind; `last_error_at`: None until it is stored.
    `cookies_at` and `checked_at`: see `CredentialMoments`.
    """

    id: str
    name: str
    credential: Mapping[str, str | None]
    is_active: bool
    source: Source
    created_at: float | None
    state: AccountState
    cooling_until: Mapping[QuotaClass, float]
    models_cooling_until: Mapping[str, float]
    in_flight: int
    last_used_at: float | None
    last_error: str | None
    last_error_said: Mapping[str, Any] | None
    last_error_kind: str | None
    last_error_at: float | None
    cookies_at: float | None
    checked_at: float | None

    @property
    def has_cooldown(self) -> bool:
        """True also if it is ready but for a model."""
        return bool(self.cooling_until or self.models_cooling_until)


@dataclass(frozen=True, slots=True)
class CredentialStatus:
    """`checked_at`: None before the first check; `detail`: the reason, or empty; `said`: the
    upstream's words (`UpstreamWords.safe`), where there were any.
    """

    id: str
    name: str
    status: Status
    checked_at: float | None
    detail: str
    said: Mapping[str, Any] | None = None


def record(
    entry: ConfiguredAccount,
    view: AccountView | None,
    use: AccountUse | None,
    elsewhere: int,
    credential_times: CredentialMoments,
) -> AccountRecord:
    """`view`: this worker's; `elsewhere`: how many answers the other workers run."""
    uses = [
        known.last_used_at
        for known in (view, use)
        if known is not None and known.last_used_at is not None
    ]
    is_told = use is not None and use.last_error_at is not None
    last = use if is_told else view
    return AccountRecord(
        id=entry.account.id,
        name=entry.account.name,
        credential=entry.account.credential.public(),
        is_active=entry.is_active,
        source=entry.source,
        created_at=entry.created_at,
        state=view.state if view is not None else "ready" if entry.is_active else "disabled",
        cooling_until=view.cooling_until if view is not None else {},
        models_cooling_until=view.models_cooling_until if view is not None else {},
        in_flight=(view.in_flight if view is not None else 0) + elsewhere,
        last_used_at=max(uses, default=None),
        last_error=last.last_error if last is not None else None,
        last_error_said=last.last_error_said if last is not None else None,
        last_error_kind=last.last_error_kind if last is not None else None,
        last_error_at=use.last_error_at if use is not None and use.last_error else None,
        cookies_at=credential_times.cookies_at,
        checked_at=credential_times.checked_at,
    )
