"""The leader's tasks for all workers: it marks and reaps expired and orphaned sessions, refreshes
tokens ahead of use, and probes refused credentials.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial

from gbproxy.accounts.pool import Pool
from gbproxy.domain.account import Account, identity_of
from gbproxy.domain.clock import jitter
from gbproxy.errors import CredentialRefused, GatewayError, StorageUnavailable
from gbproxy.sessions.cleanup import Executor, SessionCleanup
from gbproxy.storage.account_health import AccountUse
from gbproxy.storage.sessions import SessionRows
from gbproxy.storage.workers import LeaderLeases, WorkerRegistry

log = logging.getLogger(__name__)

ACTIVE_S = 600.0  # an account is maintained for so long after its last use
ANY_ACCOUNT = ""  # the id under which every request's arrival is recorded

DEAD_AFTER_S = 15.0

_MAX_GAP_S = 5.0  # between two looks: after a longer one no worker has been watched
_LEASE = "leader"
_LEASE_S = 5.0
_RENEWED_S = 1.0  # between renewals of the lease
_TOKEN_AGE_S = (190.0, 220.0)  # at which a token is refreshed; the upstream's hold for 240
_SIGN_IN_PAUSE_S = 15.0  # after a failed sign-in
_PROBE_S = (150.0, 240.0)
_ABANDONED_S = 10.0  # between looks for abandoned temporary databases
_TRIM_S = 30.0  # between looks for stored responses and files that are over

Duty = Callable[[Mapping[str, AccountUse], float], None]
"""Given the uses by account id, and the time (Unix seconds). May raise StorageUnavailable."""


class LeaderTasks:
    """Runs the tasks in the one worker that holds the lease. There is one leader for each set of
    accounts and duties on a database.
    """

    def __init__(
        self,
        leases: LeaderLeases,
        workers: WorkerRegistry,
        sessions: SessionRows,
        pool: Pool,
        cleanup: SessionCleanup,
        executor: Executor,
        *,
        refresh_token: Callable[[Account, float], bool],
        probe: Callable[[Account], None],
        claim_probe: Callable[[str, float], bool],
        reclaim_abandoned: Callable[[Collection[str]], None] = lambda identities: None,
        read_capabilities: Callable[[Iterable[Account], float], None] = lambda accounts, now: None,
        trims: Iterable[Callable[[], object]] = (),
        duties: Mapping[str, Duty] | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`refresh_token`: signs an account in if its token is older than so many seconds; True if
        it was. `probe`: checks a credential upstream. Both raise GatewayErrors. `claim_probe`: by
        account key, True if no worker has probed the account for so many seconds; may raise
        StorageUnavailable.

        `reclaim_abandoned`: marks the sessions of these upstream identities that killed servers on
        this machine have left. `read_capabilities`: reads the live configurations that are due, in
        the background. `trims`: remove what is stored for clients and has expired, or is more than
        a key may have; and whatever else has time for half a minute. `duties`: by name, those that
        the settings ask for; run in each round, they work in the background. `clock`: Unix seconds.
        """
        self._leases = leases
        self._workers = workers
        self._sessions = sessions
        self._pool = pool
        self._cleanup = cleanup
        self._executor = executor
        self._refresh_token = refresh_token
        self._probe = probe
        self._claim_probe = claim_probe
        self._reclaim_abandoned = reclaim_abandoned
        self._read_capabilities = read_capabilities
        self._trims = tuple(trims)
        self._duties = dict(duties or {})
        self._clock = clock
        self._monotonic = monotonic
        self._abandoned_at = monotonic()
        self._trim_at = monotonic()
        self._failures = FailureDetector(monotonic)
        self._probe_at: dict[Account, float] = {}
        # by account key: the age at which its token is refreshed, drawn once per token
        self._token_ages: dict[str, float] = {}
        self._sign_in_at: dict[str, float] = {}  # by account id, after a failed sign-in
        self._busy: set[str] = set()  # ids of accounts that have a job
        self._lease = ""
        self._acquired_at = -math.inf

    def run(self, uses: Mapping[str, AccountUse]) -> None:
        """Run what is due, if this worker holds the lease or gets it. `uses`: by account id.

        Raises StorageUnavailable.
        """
        self._name_lease()
        if not self._leads():
            self._failures.reset()
            return
        now = self._clock()
        self._sessions.mark_expired(now)
        # A worker that holds sessions without a heartbeat is dead as well.
        silent = dict.fromkeys(self._sessions.holders(), 0.0)
        dead = self._failures.dead_workers(silent | self._workers.heartbeats())
        if dead:
            self.reclaim(dead)
        self._reclaim_abandoned_if_due()
        self._cleanup.run_due()
        self._trim_if_due()
        active = self._active_accounts(uses, now)
        self._refresh_tokens(active, now)
        self._probe_refused(uses, now)
        self._read_capabilities(active, now)
        for duty in self._duties.values():
            duty(uses, now)

    def reclaim(self, dead: Collection[str]) -> None:
        """Mark dead workers' sessions for deletion and release their leases. Raises
        StorageUnavailable.
        """
        self._sessions.reclaim_orphans(dead)
        self._leases.release_held_by(dead)
        self._workers.remove(dead)

    def resign(self) -> None:
        """Release the lease, so that another worker leads at once. Raises StorageUnavailable."""
        self._acquired_at = -math.inf
        if self._lease:
            self._leases.release(self._lease)

    def _name_lease(self) -> None:
        """Name the lease by the set of accounts and the duties: a gateway with others cannot do all
        of ours, so it has a leader of its own.
        """
        account_keys = sorted(account.account_key for account in self._pool.accounts())
        led = json.dumps([account_keys, sorted(self._duties)])
        lease = f"{_LEASE} {hashlib.sha256(led.encode()).hexdigest()}"
        if lease != self._lease:
            self.resign()
            self._lease = lease

    def _leads(self) -> bool:
        """True while this worker has the lease, which it takes when it is free."""
        now = self._monotonic()
        if now - self._acquired_at >= _RENEWED_S:
            self._acquired_at = -math.inf
            if not self._leases.acquire(self._lease, _LEASE_S):
                return False
            self._acquired_at = now
        return True

    def _reclaim_abandoned_if_due(self) -> None:
        # Repeatedly: the workers of a killed arbiter live on for a while, so their sessions may be
        # abandoned after our start.
        if self._monotonic() >= self._abandoned_at:
            self._abandoned_at = self._monotonic() + _ABANDONED_S
            self._reclaim_abandoned(
                {identity_of(account.account_key) for account in self._pool.accounts()}
            )

    def _trim_if_due(self) -> None:
        if self._monotonic() >= self._trim_at:
            self._trim_at = self._monotonic() + _TRIM_S
            for trim in self._trims:
                trim()

    def _active_accounts(self, uses: Mapping[str, AccountUse], now: float) -> list[Account]:
        """The enabled accounts in use whose credential is not refused."""
        refused = {account.id for account in self._pool.rejected()}
        return [
            account
            for account in self._pool.enabled()
            if account.id not in refused and is_active(uses, account.id, now)
        ]

    def _refresh_tokens(self, accounts: Iterable[Account], now: float) -> None:
        for account in accounts:
            if now >= self._sign_in_at.get(account.id, 0.0):
                self._submit(account, partial(self._refresh, account))

    def _refresh(self, account: Account) -> None:
        began_at = self._clock()
        age_s = self._token_ages.setdefault(account.account_key, jitter(*_TOKEN_AGE_S))
        try:
            if self._refresh_token(account, age_s):
                del self._token_ages[account.account_key]
        except CredentialRefused as error:
            self._pool.failed(account, "text", error, took_s=self._clock() - began_at)
        except GatewayError as error:
            self._sign_in_at[account.id] = self._clock() + _SIGN_IN_PAUSE_S
            fields = {"account": account.id, "code": error.code, "said": error.safe_words}
            log.warning("token.not_refreshed", extra=fields)

    def _probe_refused(self, uses: Mapping[str, AccountUse], now: float) -> None:
        refused = list(self._pool.rejected())
        self._probe_at = {
            account: at for account, at in self._probe_at.items() if account in refused
        }
        if not is_active(uses, ANY_ACCOUNT, now):
            return
        for account in refused:
            pause_s = jitter(*_PROBE_S)
            if now >= self._probe_at.setdefault(account, now + pause_s):
                self._probe_at[account] = now + pause_s
                self._submit(account, partial(self._probe_once, account))

    def _probe_once(self, account: Account) -> None:
        try:
            # Now, and not when it was submitted. It may have been checked meanwhile, or another set
            # of accounts has it too.
            if not self._claim_probe(account.account_key, _PROBE_S[0]):
                return
        except StorageUnavailable:  # the database has logged it; due again
            return
        try:
            self._probe(account)
        except GatewayError as error:
            fields = {"account": account.id, "code": error.code, "said": error.safe_words}
            log.info("account.probed", extra=fields)
        else:
            log.info("account.probed", extra={"account": account.id, "code": None, "said": None})
            self._pool.accepted(account)

    def _submit(self, account: Account, work: Callable[[], None]) -> None:
        """Submit one job per account at a time; one that is not accepted is due again later."""
        if account.id in self._busy:
            return
        self._busy.add(account.id)

        def job() -> None:
            try:
                work()
            finally:
                self._busy.discard(account.id)

        if not self._executor.submit(job):
            self._busy.discard(account.id)


class FailureDetector:
    """Judges a worker dead when its heartbeat has not changed for DEAD_AFTER_S of our own monotonic
    time: wall clocks and outages cannot fool it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looked_at: float | None = None
        # by worker: its last heartbeat, and when that was first seen
        self._seen: dict[str, tuple[float, float]] = {}

    def dead_workers(self, heartbeats: Mapping[str, float]) -> list[str]:
        """The workers whose heartbeat has not changed for too long; to be called twice a second.

        `heartbeats`: the latest of each worker, by its own clock.
        """
        now = self._clock()
        # We, or the database, were away: every worker gets time to report again.
        if self._looked_at is None or now - self._looked_at > _MAX_GAP_S:
            self._seen.clear()
        self._looked_at = now
        known = self._seen
        self._seen = {
            worker: known[worker]
            if worker in known and known[worker][0] == heartbeat
            else (heartbeat, now)
            for worker, heartbeat in heartbeats.items()
        }
        return [worker for worker, (_, since) in self._seen.items() if now - since > DEAD_AFTER_S]

    def reset(self) -> None:
        """Forget what was seen: another worker watches from now on."""
        self._looked_at = None


def is_active(uses: Mapping[str, AccountUse], account_id: str, now: float) -> bool:
    """True if the account was used in the last ten minutes, by any worker. `now`: Unix seconds."""
    use = uses.get(account_id)
    return use is not None and use.last_used_at is not None and now - use.last_used_at < ACTIVE_S
