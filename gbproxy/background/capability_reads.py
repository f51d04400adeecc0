"""Reads accounts' live configurations, off the requests' path: when an account comes into use, and
then about once an hour.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial

from gbproxy.accounts.model_support import ModelSupport
from gbproxy.background.executor import BackgroundExecutor, Job
from gbproxy.domain.account import Account
from gbproxy.domain.clock import jitter, was_set_back_since
from gbproxy.domain.models import AccountCapabilities
from gbproxy.errors import GatewayError

log = logging.getLogger(__name__)

PERIOD_S = (3300.0, 3900.0)
AFTER_FAILURE_S = (600.0, 900.0)
_WIDTH = 2


class CapabilityReads:
    """Reads for all workers, in the leader. A failed read costs its account nothing."""

    def __init__(
        self,
        support: ModelSupport,
        read: Callable[[Account], AccountCapabilities],
        *,
        submit: Callable[[Job], bool] | None = None,
        uniform: Callable[[float, float], float] = jitter,
    ) -> None:
        """`read`: reads from the upstream; raises GatewayErrors. `submit`: runs a job in the
        background, False if it will not.
        """
        self._support = support
        self._read_upstream = read
        # An executor of its own: a slow read must not delay jobs that requests wait for.
        self._executor = BackgroundExecutor(width=_WIDTH)
        self._submit = submit or self._executor.submit
        self._uniform = uniform
        self._running: set[str] = set()  # account keys
        # by account key: time of the latest read, and when the next is due
        self._due: dict[str, tuple[float, float]] = {}

    def read_due(self, in_use: Iterable[Account], now: float) -> None:
        """Submit the reads that are due; `now`: Unix seconds. Raises StorageUnavailable."""
        self._support.forget_old()
        for account in in_use:
            if account.account_key not in self._running and self._is_due(account, now):
                self._running.add(account.account_key)
                if not self._submit(partial(self._read, account)):
                    self._running.discard(account.account_key)

    def close(self, within_s: float = 0.5) -> None:
        """Start no more reads, and wait `within_s` for running ones."""
        self._executor.shutdown(within_s)

    def _is_due(self, account: Account, now: float) -> bool:
        last = self._support.looked_at(account)
        if last is None:
            return True
        read_at, succeeded = last
        of, due_at = self._due.get(account.account_key, (0.0, 0.0))
        if of != read_at:
            due_at = read_at + self._uniform(*(PERIOD_S if succeeded else AFTER_FAILURE_S))
            self._due[account.account_key] = read_at, due_at
        return now >= due_at or was_set_back_since(read_at, now)

    def _read(self, account: Account) -> None:
        found, code = None, None
        try:
            found = self._read_upstream(account)
        except GatewayError as error:
            code = error.code
        finally:
            self._support.note_capabilities(account, found)
            self._running.discard(account.account_key)
        log.info(
            "configuration.read",
            extra={
                "account": account.id,
                "code": code,
                "models": len(found.listed) if found is not None else 0,
            },
        )
