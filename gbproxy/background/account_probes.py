"""Probes accounts under suspicion: at once, off the request's path, and few however often they are
requested.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gbproxy.accounts.pool import Pool
from gbproxy.background.executor import BackgroundExecutor, Job
from gbproxy.domain.account import Account
from gbproxy.errors import CredentialRefused, GatewayError

log = logging.getLogger(__name__)

PAUSE_S = 2.0  # after a probe, before the next one of the same account
_WIDTH = 4


@dataclass(slots=True, eq=False)
class _Probe:
    """A probe of one account with the pause after it."""

    is_wanted_again: bool = False  # requested once more meanwhile


class AccountProbes:
    """One probe of an account at a time, then a short pause. Only a probe whose credential is
    refused sets an account aside.
    """

    def __init__(
        self,
        pool: Pool,
        probe: Callable[[Account], None],
        *,
        submit: Callable[[Job], bool] | None = None,
        call_later: Callable[[float, Job], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`probe`: as in the port `Upstream`; `submit`: runs a job in the background, False if it
        will not; `call_later`: runs a job after so many seconds.
        """
        self._pool = pool
        self._probe = probe
        # An executor of its own: slow openings of sessions must not delay a probe.
        self._executor = BackgroundExecutor(width=_WIDTH)
        self._submit = submit or self._executor.submit
        self._call_later = call_later or _call_later
        self._clock = clock
        self._probes: dict[Account, _Probe] = {}  # running, or in their pause
        self._lock = threading.Lock()

    def request(self, account: Account) -> None:
        """Request a probe of this account, now or at the end of its pause. Never waits."""
        with self._lock:
            known = self._probes.get(account)
            if known is not None:
                known.is_wanted_again = True
                return
            probe = self._probes[account] = _Probe()
        submitted = False
        try:
            submitted = self._submit(partial(self._run, account, probe))
        finally:
            if not submitted:  # or the request's greenlet was killed here
                self._forget(account, probe)

    def forget(self) -> None:
        """Let no earlier probe delay the next, nor be made once more."""
        with self._lock:
            self._probes.clear()

    def close(self, within_s: float = 0.5) -> None:
        """Start no more probes, and wait `within_s` for running ones."""
        self._executor.shutdown(within_s)

    def _run(self, account: Account, probe: _Probe) -> None:
        began_at, code, said = self._clock(), None, None
        try:
            self._probe(account)
        except GatewayError as error:
            code, said = error.code, error.safe_words
            # Only a refused credential says something about the account.
            if isinstance(error, CredentialRefused):
                self._pool.failed(account, "text", error, took_s=self._clock() - began_at)
        finally:
            self._call_later(PAUSE_S, partial(self._end_pause, account, probe))
        log.info("account.probed", extra={"account": account.id, "code": code, "said": said})

    def _end_pause(self, account: Account, probe: _Probe) -> None:
        if self._forget(account, probe) and probe.is_wanted_again:
            self.request(account)

    def _forget(self, account: Account, probe: _Probe) -> bool:
        """False if it was forgotten before."""
        with self._lock:
            is_known = self._probes.get(account) is probe
            if is_known:
                del self._probes[account]
            return is_known


def _call_later(seconds: float, job: Job) -> None:
    timer = threading.Timer(seconds, job)
    timer.daemon = True
    timer.start()
