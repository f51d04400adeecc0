"""The accounts as pages show them, and a digest by which a page asks for what has changed."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gbproxy.account_admin.daily_use import DailyUse
from gbproxy.account_admin.registry import AccountRegistry
from gbproxy.account_admin.views import AccountRecord
from gbproxy.console.advice import Advice, advice
from gbproxy.domain.account import QuotaClass

_MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class AccountsSeen:
    """All accounts at one moment. `today`: answers since the upstream's day began, by account id.

    `now`: Unix seconds. `cookie_max_age_s`: from which age cookies are old; 0: none are.
    """

    all: Sequence[AccountRecord]
    today: Mapping[str, Mapping[QuotaClass, int]]
    day_began_at: float
    now: float
    cookie_max_age_s: float = 0.0

    @property
    def digest(self) -> str:
        """Differs where a page does; a countdown goes on by itself."""
        shown = [
            (
                each.id,
                each.name,
                each.is_active,
                each.state,
                sorted((quota, math.ceil(end)) for quota, end in each.cooling_until.items()),
                sorted((model, math.ceil(end)) for model, end in each.models_cooling_until.items()),
                each.in_flight,
                each.last_used_at and int(each.last_used_at / _MINUTE_S),  # shown to the minute
                each.last_error,
                self.today.get(each.id),
                self.cookie_age(each),
                self.has_old_cookies(each),
                each.checked_at and int(each.checked_at / _MINUTE_S),
            )
            for each in self.all
        ]
        return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]

    def cookie_age(self, account: AccountRecord) -> tuple[int, str] | None:
        """A number and its unit: `minutes`, `hours` or `days`; None if the age is not known."""
        if account.cookies_at is None:
            return None
        minutes = max(0, int((self.now - account.cookies_at) / _MINUTE_S))
        if minutes < 60:
            return minutes, "minutes"
        return (minutes // 60, "hours") if minutes < 48 * 60 else (minutes // 1440, "days")

    def has_old_cookies(self, account: AccountRecord) -> bool:
        if not self.cookie_max_age_s or account.cookies_at is None:
            return False
        return self.now - account.cookies_at >= self.cookie_max_age_s

    def advice(self, account: AccountRecord) -> Advice | None:
        """Plain words for its last error."""
        return advice(account.last_error_kind) if account.last_error else None

    def in_state(self, state: str) -> Sequence[AccountRecord]:
        return [each for each in self.all if each.state == state]

    @property
    def total_today(self) -> Mapping[str, int]:
        """Answers of all accounts, by quota class."""
        ids = {each.id for each in self.all}
        sums: dict[str, int] = {}
        for id_, counted in self.today.items():
            for quota, answers in counted.items() if id_ in ids else ():
                sums[quota] = sums.get(quota, 0) + answers
        return sums


def look(
    registry: AccountRegistry,
    use: DailyUse,
    clock: Callable[[], float] = time.time,
    cookie_max_age_s: float = 0.0,
) -> AccountsSeen:
    """Raises StorageUnavailable."""
    return AccountsSeen(
        registry.list(), use.accounts_today(), use.day_began_at(), clock(), cookie_max_age_s
    )
