"""What an operator would have to know of now: conditions of accounts and of Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from gbproxy.accounts.pool import Pool
from gbproxy.alerts.alert import moment
from gbproxy.domain.account import Account, AccountView
from gbproxy.storage.alerts import AlertKey
from gbproxy.storage.credential_times import CredentialTime, CredentialTimes

LASTS_S = 60.0  # overload of all accounts, and Redis' absence: shorter ones are no news


@dataclass(frozen=True, slots=True)
class Condition:
    """`account`: the name of the account that it is about; `detail`: more of it, in words."""

    key: AlertKey
    account: str | None = None
    detail: str = ""


@dataclass(slots=True)
class Findings:
    """`holding`: what is to be told; `unsettled`: what is so, but has not lasted yet: neither to be
    told, nor to be called over by a leader that has just begun to look.
    """

    holding: dict[AlertKey, Condition] = field(default_factory=dict)
    unsettled: set[AlertKey] = field(default_factory=set)

    def add(self, condition: Condition, *, lasts: bool = True) -> None:
        if lasts:
            self.holding[condition.key] = condition
        else:
            self.unsettled.add(condition.key)

    @property
    def all_keys(self) -> set[AlertKey]:
        return self.holding.keys() | self.unsettled


class Conditions:
    """`redis_is_up`: asks Redis. `no_account`, `redis`: the keys of what is told of these; None
    without a Redis. `max_age_s`: of cookies; 0: any. `clock`: Unix seconds.
    """

    def __init__(
        self,
        pool: Pool,
        times: CredentialTimes,
        redis_is_up: Callable[[], bool],
        *,
        no_account: AlertKey,
        redis: AlertKey | None,
        max_age_s: float,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._times = times
        self._redis_is_up = redis_is_up
        self._no_account = no_account
        self._redis = redis
        self._max_age_s = max_age_s
        self._clock = clock
        self._monotonic = monotonic
        self._since: dict[AlertKey, float] = {}  # when what must last was met first

    @property
    def own_keys(self) -> set[AlertKey]:
        """Those about no account that this gateway can judge: others on the database may have other
        accounts, and another Redis or none.
        """
        return {key for key in (self._no_account, self._redis) if key is not None}

    def find(self) -> Findings:
        """All that hold now. Raises StorageUnavailable."""
        times = self._times.read() if self._max_age_s else {}
        refused, exhausted = self._pool.rejection_causes(), self._pool.exhausted()
        found = Findings()
        for account in self._pool.enabled():
            if account.id in refused:
                key = AlertKey("account_refused", account.account_key)
                found.add(Condition(key, account.name, _sentence(refused[account.id])))
            self._find_old_cookies(account, times.get(account.account_key), found)
            for quota, end in exhausted.get(account.id, {}).items():
                key = AlertKey("quota_used_up", account.account_key, quota)
                detail = f"The upstream refuses it until about {moment(end)}."
                found.add(Condition(key, account.name, detail))
        self._find_none_left({each for each, ends in exhausted.items() if "text" in ends}, found)
        if self._redis is not None and not self._redis_is_up():
            found.add(Condition(self._redis), lasts=self._lasts(self._redis))
        for key in self._since.keys() - found.all_keys:
            del self._since[key]
        return found

    def has_account(self, found: Findings) -> bool:
        """True if an account of this gateway can answer."""
        return self._no_account not in found.all_keys

    def _find_old_cookies(
        self, account: Account, known: CredentialTime | None, found: Findings
    ) -> None:
        if not self._max_age_s or known is None or not known.is_of(account):
            return
        age_s = self._clock() - known.fresh_at
        if age_s >= self._max_age_s:
            detail = f"They were given or renewed {age_s / 3600:.0f} hours ago."
            found.add(Condition(AlertKey("cookies_old", account.account_key), account.name, detail))

    def _find_none_left(self, exhausted: Collection[str], found: Findings) -> None:
        """`exhausted`: the accounts whose quota of text is used up."""
        enabled = [view for view in self._pool.snapshot() if view.state != "disabled"]
        asked = [view for view in enabled if view.state != "refused"]
        # By text, as the console's first page: each failure pauses only the kind that met it. One
        # that a request is probing may answer.
        if any("text" not in view.cooling_until for view in asked):
            return
        is_overload = any(view.id not in exhausted for view in asked)
        key = self._no_account
        lasts = self._lasts(key) or not is_overload
        # None is enabled: that was an administrator's decision, or nobody has added one yet.
        found.add(Condition(key, None, _counted(enabled)), lasts=lasts and bool(enabled))

    def _lasts(self, key: AlertKey) -> bool:
        """True once it has been so for LASTS_S."""
        now = self._monotonic()
        return now - self._since.setdefault(key, now) >= LASTS_S


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:].rstrip('.')}." if words else ""


def _counted(enabled: list[AccountView]) -> str:
    refused = sum(view.state == "refused" for view in enabled)
    return f"Of {len(enabled)} enabled, {refused} are refused and the others cool down."
