"""Probes accounts that no request has used for a while, so that refused cookies are known before a
user meets them; and notes when each account's sign-in was given.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from gbproxy.accounts.pool import Pool
from gbproxy.background.executor import BackgroundExecutor, Job
from gbproxy.background.leader import Duty
from gbproxy.domain.account import Account
from gbproxy.domain.clock import jitter
from gbproxy.errors import StorageUnavailable
from gbproxy.storage.account_health import AccountUse
from gbproxy.storage.credential_times import CredentialTimes

log = logging.getLogger(__name__)

LOOK_S = 5.0  # between looks for accounts that are due
_LONGER = (1.0, 1.1)  # an interval is drawn so much longer, so that accounts are not probed in step
_WIDTH = 2


class ScheduledChecks:
    """Runs in the leader; the times of all probes are stored, so neither a new leader nor one of
    another set of accounts probes an account within the interval after any other probe.
    """

    def __init__(
        self,
        pool: Pool,
        times: CredentialTimes,
        probe: Callable[[Account], None],
        *,
        interval_s: float,
        submit: Callable[[Job], bool] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = jitter,
    ) -> None:
        """`probe`: probes a credential, stores the result and has the pool act on a refusal; raises
        nothing for an upstream that cannot be asked. `interval_s`: 0 probes nothing. `submit`: runs
        a job in the background, False if it will not.
        """
        self._pool = pool
        self._times = times
        self._probe = probe
        self._interval_s = interval_s
        # An executor of its own: nobody waits for these probes, and none may wait behind them.
        self._executor = BackgroundExecutor(width=_WIDTH)
        self._submit = submit or self._executor.submit
        self._monotonic = monotonic
        self._uniform = uniform
        self._look_at = -math.inf
        self._queued: set[str] = set()  # account keys
        # by account key: what the interval is counted from, and its drawn length
        self._drawn: dict[str, tuple[float, float]] = {}

    @property
    def leader_duties(self) -> Mapping[str, Duty]:
        """What the leader runs in each round, by name: without an interval it notes the ages."""
        return {"checks" if self._interval_s else "ages": self.run_due}

    def run_due(self, uses: Mapping[str, AccountUse], now: float) -> None:
        """Submit the probes that are due. `uses`: by account id; `now`: Unix seconds. Raises
        StorageUnavailable.
        """
        if self._monotonic() < self._look_at:
            return
        self._look_at = self._monotonic() + LOOK_S
        accounts = self._pool.enabled()
        last = self._last_contacts(accounts, uses)
        self._drawn = {key: self._drawn[key] for key in self._drawn.keys() & last.keys()}
        if self._interval_s:
            for account in accounts:
                if self._is_due(account.account_key, last[account.account_key], now):
                    self._queue(account)

    def close(self, within_s: float = 0.5) -> None:
        """Start no more probes, and wait `within_s` for running ones."""
        self._executor.shutdown(within_s)

    def _last_contacts(
        self, accounts: Sequence[Account], uses: Mapping[str, AccountUse]
    ) -> dict[str, float]:
        """By account key, when each was used, probed or given last (Unix seconds)."""
        known = self._times.read()
        found = {}
        for account in accounts:
            times = known.get(account.account_key)
            if times is None or times.credential != account.sign_in_fingerprint():
                self._times.note(account)
                times = self._times.read()[account.account_key]
            moments = [times.given_at, times.probed_at or 0.0]
            use = uses.get(account.id)
            if use is not None:
                moments.append(use.last_used_at or 0.0)
            found[account.account_key] = max(moments)
        return found

    def _is_due(self, account_key: str, last: float, now: float) -> bool:
        drawn_for, length_s = self._drawn.get(account_key, (math.nan, 0.0))
        if drawn_for != last:
            length_s = self._interval_s * self._uniform(*_LONGER)
            self._drawn[account_key] = last, length_s
        return now >= last + length_s and account_key not in self._queued

    def _queue(self, account: Account) -> None:
        self._queued.add(account.account_key)
        if not self._submit(partial(self._run, account)):
            self._queued.discard(account.account_key)

    def _run(self, account: Account) -> None:
        try:
            # Now, and not when it was queued: many may wait, and it may have been probed meanwhile.
            if self._times.claim_probe(account.account_key, self._interval_s):
                self._probe(account)
        except StorageUnavailable:  # the database has logged it; due again
            return
        finally:
            self._queued.discard(account.account_key)
