"""Probes of accounts that came under suspicion: at once, off the request's path, and few however many suspicions there are."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from gbproxy.domain.account import Account, QuotaClass
from gbproxy.errors import CredentialRefused, GatewayError
from gbproxy.sweeper.crew import Crew, Job

log = logging.getLogger(__name__)

REST_S = 2.0  # after a probe, before the next one of the same account
_AT_ONCE = 4


class Pool(Protocol):
    """Where a refusal is learnt."""

    def failed(self, account: Account, quota: QuotaClass, error: GatewayError, *, took_s: float = 0.0) -> None: ...


class Looks:
    """One probe of an account at a time, then a short rest; only what a probe says is refused sets an account aside."""

    def __init__(
        self,
        pool: Pool,
        probe: Callable[[Account], None],
        *,
        put: Callable[[Job], bool] | None = None,
        later: Callable[[float, Job], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`probe` as in the port `Upstream`; `put` has a job done in the background, `later` after so many seconds."""
        self._pool = pool
        self._probe = probe
        self._crew = Crew(width=_AT_ONCE)  # its own, as slow session openings must not hold a verdict up
        self._put = put or self._crew.put
        self._later = later or _later
        self._clock = clock
        self._suspected_again: dict[Account, bool] = {}  # of those that are being probed, or rest since
        self._lock = threading.Lock()

    def look(self, account: Account) -> None:
        """Have this account probed now, or at the end of its rest. Waits for nothing."""
        with self._lock:
            if account in self._suspected_again:
                self._suspected_again[account] = True
                return
            self._suspected_again[account] = False
        self._begin(account)

    def close(self, within_s: float = 0.5) -> None:
        """Begin no more, and wait so long for those that run."""
        self._crew.end(within_s)

    def _begin(self, account: Account) -> None:
        put = False
        try:
            put = self._put(partial(self._look, account))
        finally:
            if not put:  # or the request was interrupted
                with self._lock:
                    self._suspected_again.pop(account, None)

    def _look(self, account: Account) -> None:
        begun_at, code = self._clock(), None
        try:
            self._probe(account)
        except GatewayError as error:
            code = error.code
            if isinstance(error, CredentialRefused):  # any other says nothing about the account, which goes on
                self._pool.failed(account, "text", error, took_s=self._clock() - begun_at)
        finally:
            self._later(REST_S, partial(self._rested, account))
        log.info("account.probed", extra={"account": account.id, "code": code})

    def _rested(self, account: Account) -> None:
        with self._lock:
            again = self._suspected_again.pop(account, False)
            if again:
                self._suspected_again[account] = False
        if again:
            self._begin(account)


def _later(seconds: float, job: Job) -> None:
    timer = threading.Timer(seconds, job)
    timer.daemon = True
    timer.start()
