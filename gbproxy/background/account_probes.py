"""Probes of accounts that came under suspicion: at once, off the request's path, and few however
many suspicions there are.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from gbproxy.background.executor import BackgroundExecutor, Job
from gbproxy.domain.account import Account, QuotaClass
from gbproxy.errors import CredentialRefused, GatewayError

log = logging.getLogger(__name__)

REST_S = 2.0  # after a probe, before the next one of the same account
_AT_ONCE = 4


class Pool(Protocol):
    """Where a refusal is learnt."""

    def failed(
        self, account: Account, quota: QuotaClass, error: GatewayError, *, took_s: float = 0.0
    ) -> None: ...


@dataclass(slots=True, eq=False)
class _Look:
    """At one account: a probe, and the rest after it."""

    is_wanted_again: bool = False  # the account was suspected meanwhile


class AccountProbes:
    """One probe of an account at a time, then a short rest; only what a probe says is refused sets
    an account aside.
    """

    def __init__(
        self,
        pool: Pool,
        probe: Callable[[Account], None],
        *,
        put: Callable[[Job], bool] | None = None,
        later: Callable[[float, Job], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`probe` as in the port `Upstream`; `put` has a job done in the background, `later` after
        so many seconds.
        """
        self._pool = pool
        self._probe = probe
        # its own, as slow session openings must not hold a verdict up
        self._crew = BackgroundExecutor(width=_AT_ONCE)
        self._put = put or self._crew.put
        self._later = later or _later
        self._clock = clock
        self._looks: dict[Account, _Look] = {}  # at those that are being probed, or rest since
        self._lock = threading.Lock()

    def look(self, account: Account) -> None:
        """Have this account probed now, or at the end of its rest. Waits for nothing."""
        with self._lock:
            known = self._looks.get(account)
            if known is not None:
                known.is_wanted_again = True
                return
            look = self._looks[account] = _Look()
        self._begin(account, look)

    def close(self, within_s: float = 0.5) -> None:
        """Begin no more, and wait so long for those that run."""
        self._crew.end(within_s)

    def _begin(self, account: Account, look: _Look) -> None:
        put = False
        try:
            put = self._put(partial(self._run, account, look))
        finally:
            if not put:  # or the request was interrupted
                self._forget(account, look)

    def _run(self, account: Account, look: _Look) -> None:
        begun_at, code, said = self._clock(), None, None
        try:
            self._probe(account)
        except GatewayError as error:
            code, said = error.code, error.safe_words
            # any other says nothing about the account, which goes on
            if isinstance(error, CredentialRefused):
                self._pool.failed(account, "text", error, took_s=self._clock() - begun_at)
        finally:
            self._later(REST_S, partial(self._end, account, look))
        log.info("account.probed", extra={"account": account.id, "code": code, "said": said})

    def _end(self, account: Account, look: _Look) -> None:
        self._forget(account, look)
        if look.is_wanted_again:
            self.look(account)

    def _forget(self, account: Account, look: _Look) -> None:
        with self._lock:
            if self._looks.get(account) is look:
                del self._looks[account]


def _later(seconds: float, job: Job) -> None:
    timer = threading.Timer(seconds, job)
    timer.daemon = True
    timer.start()
