"""What one worker does for all: expired and orphaned sessions deleted, tokens refreshed ahead,
refused accounts probed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Protocol

from gbproxy.background.executor import BackgroundExecutor
from gbproxy.background.failure_detector import FailureDetector
from gbproxy.domain import jitter
from gbproxy.domain.account import Account, QuotaClass, identity_of
from gbproxy.errors import CredentialRefused, GatewayError
from gbproxy.sessions.cleanup import SessionCleanup
from gbproxy.storage.account_health import AccountUse
from gbproxy.storage.leases import LeaderLeases, WorkerRegistry
from gbproxy.storage.sessions import SessionRows

log = logging.getLogger(__name__)

IN_USE_S = 600.0  # for so long after a use an account is cared for
ANYBODY = ""  # the "account" under which each request's arrival is noted

_NAME = "sweeper"
_TERM_S = 5.0
_TOKEN_AGE_S = (190.0, 220.0)  # at which a token is refreshed; they hold for 240
_SIGN_IN_RESTS_S = 15.0
_PROBE_S = (150.0, 240.0)
_LEFT_S = 10.0  # between looks for what killed servers have left


class Pool(Protocol):
    """What the office needs of the pool."""

    def accounts(self) -> Iterable[Account]: ...
    def enabled(self) -> Iterable[Account]: ...
    def refused(self) -> Iterable[Account]: ...
    def accepted(self, account: Account) -> None: ...
    def failed(
        self, account: Account, quota: QuotaClass, error: GatewayError, *, took_s: float = 0.0
    ) -> None: ...


class LeaderTasks:
    """Held by one worker at a time, by a row with a time limit; by one for each set of accounts on
    one database.
    """

    def __init__(
        self,
        offices: LeaderLeases,
        workers: WorkerRegistry,
        rows: SessionRows,
        pool: Pool,
        deletions: SessionCleanup,
        crew: BackgroundExecutor,
        *,
        refresh_token: Callable[[Account, float], bool],
        probe: Callable[[Account], None],
        take_over_left: Callable[[Collection[str]], None] = lambda identities: None,
        look_up: Callable[[Iterable[Account], float], None] = lambda accounts, now: None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`refresh_token` signs an account in anew if its token is older than so many seconds, and
        says whether it has.

        `take_over_left` has deleted what killed servers on this machine have left of these owners.
        `look_up` has those of these accounts' configurations read that are due, and waits for none.
        """
        self._offices = offices
        self._workers = workers
        self._rows = rows
        self._pool = pool
        self._deletions = deletions
        self._crew = crew
        self._refresh_token = refresh_token
        self._probe = probe
        self._take_over_left = take_over_left
        self._look_up = look_up
        self._clock = clock
        self._monotonic = monotonic
        self._look_at = monotonic()
        self._watch = FailureDetector(monotonic)
        self._next_probe: dict[Account, float] = {}
        # by seat: at which its token is refreshed, drawn once for each
        self._token_ages: dict[str, float] = {}
        self._sign_in_rests: dict[str, float] = {}  # by account: until when, after a failure
        self._busy: set[str] = set()  # accounts that a job is about
        self._name = ""

    def serve(self, uses: Mapping[str, AccountUse]) -> None:
        """Do what is due, if the office is ours. Raises StorageUnavailable."""
        self._rename()
        if not self._offices.take(self._name, _TERM_S):
            self._watch.forget()
            return
        now = self._clock()
        self._rows.expire(now)
        silent = dict.fromkeys(self._rows.holders(), 0.0)
        dead = self._watch.dead(silent | self._workers.all())
        if dead:
            self.reclaim(dead)
        self._tend_left()
        self._deletions.begin()
        self._tend_tokens(uses, now)
        self._tend_refused(uses, now)
        self._look_up(self._asked_of_late(uses, now), now)

    def reclaim(self, dead: Collection[str]) -> None:
        """Free what workers held that have died; their sessions are to be deleted. Raises
        StorageUnavailable.
        """
        self._rows.orphans(dead)
        self._offices.vacate(dead)
        self._workers.forget(dead)

    def leave(self) -> None:
        if self._name:
            self._offices.give_up(self._name)

    def _rename(self) -> None:
        """Who has other accounts cannot do our work, nor we theirs."""
        account_keys = sorted(account.account_key for account in self._pool.accounts())
        name = f"{_NAME} {hashlib.sha256(json.dumps(account_keys).encode()).hexdigest()}"
        if name != self._name:
            self.leave()
            self._name = name

    def _tend_left(self) -> None:
        """Workers live on for a while when their master is killed: what they leave was not there
        yet at our start.
        """
        if self._monotonic() >= self._look_at:
            self._look_at = self._monotonic() + _LEFT_S
            self._take_over_left(
                {identity_of(account.account_key) for account in self._pool.accounts()}
            )

    def _tend_tokens(self, uses: Mapping[str, AccountUse], now: float) -> None:
        for account in self._asked_of_late(uses, now):
            if now >= self._sign_in_rests.get(account.id, 0.0):
                self._put(account, partial(self._refresh, account))

    def _asked_of_late(self, uses: Mapping[str, AccountUse], now: float) -> list[Account]:
        """The accounts in use whose credential is not set aside."""
        refused = {account.id for account in self._pool.refused()}
        return [
            a for a in self._pool.enabled() if a.id not in refused and is_in_use(uses, a.id, now)
        ]

    def _refresh(self, account: Account) -> None:
        begun_at = self._clock()
        age_s = self._token_ages.setdefault(account.account_key, jitter.uniform(*_TOKEN_AGE_S))
        try:
            if self._refresh_token(account, age_s):
                del self._token_ages[account.account_key]
        except CredentialRefused as error:
            self._pool.failed(account, "text", error, took_s=self._clock() - begun_at)
        except GatewayError as error:
            self._sign_in_rests[account.id] = self._clock() + _SIGN_IN_RESTS_S
            facts = {"account": account.id, "code": error.code, "said": error.safe_words}
            log.warning("token.not_refreshed", extra=facts)

    def _tend_refused(self, uses: Mapping[str, AccountUse], now: float) -> None:
        refused = list(self._pool.refused())
        self._next_probe = {
            account: at for account, at in self._next_probe.items() if account in refused
        }
        if not is_in_use(uses, ANYBODY, now):
            return
        for account in refused:
            pause_s = jitter.uniform(*_PROBE_S)
            if now >= self._next_probe.setdefault(account, now + pause_s):
                self._next_probe[account] = now + pause_s
                self._put(account, partial(self._try_again, account))

    def _try_again(self, account: Account) -> None:
        try:
            self._probe(account)
        except GatewayError as error:
            facts = {"account": account.id, "code": error.code, "said": error.safe_words}
            log.info("account.probed", extra=facts)
        else:
            log.info("account.probed", extra={"account": account.id, "code": None, "said": None})
            self._pool.accepted(account)

    def _put(self, account: Account, work: Callable[[], None]) -> None:
        if account.id in self._busy:
            return
        self._busy.add(account.id)

        def job() -> None:
            try:
                work()
            finally:
                self._busy.discard(account.id)

        if not self._crew.put(job):
            self._busy.discard(account.id)


def is_in_use(uses: Mapping[str, AccountUse], account_id: str, now: float) -> bool:
    use = uses.get(account_id)
    return use is not None and use.last_used_at is not None and now - use.last_used_at < IN_USE_S
