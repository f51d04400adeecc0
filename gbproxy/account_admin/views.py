"""Accounts as administrators see them: without their cookies. Times are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gbproxy.accounts.health import AccountView
from gbproxy.domain.account import Account, AccountState, QuotaClass
from gbproxy.storage.account_health import AccountUse, Status

Source = Literal["env", "db"]


@dataclass(frozen=True, slots=True)
class ConfiguredAccount:
    """An account and where it comes from; `created_at` is None for accounts of the environment."""

    account: Account
    is_active: bool
    source: Source
    created_at: float | None = None


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """`state` is the worst of all kinds of requests; `cooling_until` has those that an account is
    left alone for.

    `in_flight` is the sum over all workers, at most a second old. `created_at` is None for accounts
    of the environment.
    """

    id: str
    name: str
    credential: Mapping[str, str | None]  # what may be shown of it
    is_active: bool
    source: Source
    created_at: float | None
    state: AccountState
    cooling_until: Mapping[QuotaClass, float]
    in_flight: int
    last_used_at: float | None
    last_error: str | None
    last_error_said: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class CredentialStatus:
    """What is known of an account's credential. `checked_at` is None before any look; `detail` says
    why, or is empty.

    `said`: what the upstream said (`UpstreamWords.safe`), where it did.
    """

    id: str
    name: str
    status: Status
    checked_at: float | None
    detail: str
    said: Mapping[str, Any] | None = None


def record(
    entry: ConfiguredAccount, view: AccountView | None, use: AccountUse | None, elsewhere: int
) -> AccountRecord:
    """`view`: what the pool of this worker knows; `elsewhere`: the answers that run in the
    others.
    """
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
        in_flight=(view.in_flight if view is not None else 0) + elsewhere,
        last_used_at=max(uses, default=None),
        last_error=last.last_error if last is not None else None,
        last_error_said=last.last_error_said if last is not None else None,
    )
