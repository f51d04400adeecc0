"""Counts the answers of a day: of each account by quota class, and of each key with its tokens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gbproxy.accounts.failure_policy import last_midnight
from gbproxy.domain.account import QUOTA_CLASSES, QuotaClass
from gbproxy.storage.use import HOUR_S, Use, UseRows

_FLUSH_S = 2.0
_DAY_S = 86_400
_KEPT_S = 2 * _DAY_S


@dataclass(frozen=True, slots=True)
class KeyUse:
    """`tokens`: of prompts and answers, estimated."""

    answers: int = 0
    tokens: int = 0


class DailyUse:
    """Counted in memory and written in the background: nothing waits for the database on a
    request's path. Safe for many threads. `clock`: Unix seconds.
    """

    def __init__(self, rows: UseRows, clock: Callable[[], float] = time.time) -> None:
        self._rows = rows
        self._clock = clock
        self._unsaved: dict[tuple[str, str, QuotaClass, float], list[int]] = {}
        self._flushed_at = 0.0
        self._lock = threading.Lock()

    def note(self, account_id: str, key: str, quota: QuotaClass, tokens: int) -> None:
        """Count an answer; `key`: the API key's fingerprint."""
        hour = self._clock() // HOUR_S * HOUR_S
        with self._lock:
            sums = self._unsaved.setdefault((account_id, key, quota, hour), [0, 0])
            sums[0] += 1
            sums[1] += tokens

    def sync(self) -> None:
        """Write what was counted, every few seconds. Raises StorageUnavailable."""
        if self._unsaved and abs(self._clock() - self._flushed_at) >= _FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write what was counted. Raises StorageUnavailable: it is written later then."""
        with self._lock:
            taken, self._unsaved = self._unsaved, {}
        try:
            self._rows.add(
                Use(hour, account_id, key, quota, answers, tokens)
                for (account_id, key, quota, hour), (answers, tokens) in taken.items()
            )
        except BaseException:
            self._give_back(taken)
            raise
        self._flushed_at = self._clock()

    def trim(self) -> None:
        """Delete what is older than a day of any time zone. Raises StorageUnavailable."""
        self._rows.trim(self._clock() - _KEPT_S)

    def accounts_today(self) -> Mapping[str, Mapping[QuotaClass, int]]:
        """Answers by account id and quota class since the upstream's day began, with those that
        this worker has counted until now. Raises StorageUnavailable.
        """
        self.flush()
        found = self._rows.of_accounts(self.day_began_at())
        ids = {account_id for account_id, _ in found}
        return {id_: {quota: found.get((id_, quota), 0) for quota in QUOTA_CLASSES} for id_ in ids}

    def keys_today(self) -> Mapping[str, KeyUse]:
        """By the key's fingerprint, of this day in UTC, as limits count it. Raises
        StorageUnavailable.
        """
        self.flush()
        found = self._rows.of_keys(self._clock() // _DAY_S * _DAY_S)
        return {key: KeyUse(*sums) for key, sums in found.items()}

    def day_began_at(self) -> float:
        """When the upstream's quotas of today have begun, in Unix seconds."""
        return last_midnight(self._clock())

    def _give_back(self, taken: Mapping[tuple[str, str, QuotaClass, float], list[int]]) -> None:
        with self._lock:
            for counted, (answers, tokens) in taken.items():
                sums = self._unsaved.setdefault(counted, [0, 0])
                sums[0] += answers
                sums[1] += tokens
