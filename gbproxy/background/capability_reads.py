"""Live configurations, read aside from all requests: once an account is in use, and then rarely."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from gbproxy.background.executor import BackgroundExecutor, Job
from gbproxy.domain import jitter
from gbproxy.domain.account import Account
from gbproxy.domain.capabilities import AccountCapabilities
from gbproxy.errors import GatewayError

log = logging.getLogger(__name__)

PERIOD_S = (3300.0, 3900.0)
AFTER_FAILURE_S = (600.0, 900.0)
_AT_ONCE = 2


class Support(Protocol):
    """Where it is kept, for all workers."""

    def looked_at(self, account: Account) -> tuple[float, bool] | None: ...
    def note_capabilities(
        self, account: Account, capabilities: AccountCapabilities | None
    ) -> None: ...
    def forget_old(self) -> None: ...


class CapabilityReads:
    """For one worker, who does it for all. What a configuration cannot be read for is no fault of
    its account.
    """

    def __init__(
        self,
        support: Support,
        look_up: Callable[[Account], AccountCapabilities],
        *,
        put: Callable[[Job], bool] | None = None,
        uniform: Callable[[float, float], float] = jitter.uniform,
    ) -> None:
        """`look_up` as in the port `Upstream`; `put` has a job done in the background."""
        self._support = support
        self._look_up = look_up
        # its own: a slow configuration must not hold up what requests wait for
        self._crew = BackgroundExecutor(width=_AT_ONCE)
        self._put = put or self._crew.put
        self._uniform = uniform
        self._running: set[str] = set()  # seats
        # by seat: the look that it follows, and when
        self._due: dict[str, tuple[float, float]] = {}

    def tend(self, in_use: Iterable[Account], now: float) -> None:
        """Have those read that are due; `now`: Unix seconds. Raises StorageUnavailable."""
        self._support.forget_old()
        for account in in_use:
            if account.account_key not in self._running and self._is_due(account, now):
                self._running.add(account.account_key)
                if not self._put(partial(self._look, account)):
                    self._running.discard(account.account_key)

    def close(self, within_s: float = 0.5) -> None:
        """Begin no more, and wait so long for those that run."""
        self._crew.end(within_s)

    def _is_due(self, account: Account, now: float) -> bool:
        last = self._support.looked_at(account)
        if last is None:
            return True
        looked_at, was_read = last
        of, due_at = self._due.get(account.account_key, (0.0, 0.0))
        if of != looked_at:
            due_at = looked_at + self._uniform(*(PERIOD_S if was_read else AFTER_FAILURE_S))
            self._due[account.account_key] = looked_at, due_at
        return now >= due_at or looked_at > now + PERIOD_S[0]  # the clock was set back

    def _look(self, account: Account) -> None:
        found, code = None, None
        try:
            found = self._look_up(account)
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
