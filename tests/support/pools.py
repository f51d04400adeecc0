"""What tests of the pool need: accounts, a clock that stands still, and a board that several pools
share.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from gbproxy.accounts.health import AccountHealth, Scope
from gbproxy.accounts.pool import Pool
from gbproxy.domain.account import Account, QuotaClass
from gbproxy.errors import GatewayError
from tests.support.accounts import widget_account

LOS_ANGELES = ZoneInfo("America/Los_Angeles")
NOON = datetime(2026, 5, 4, 12, tzinfo=LOS_ANGELES).timestamp()
MIDNIGHT = NOON + 12 * 3600


def account(name: str, secret: str = "CSE.secret") -> Account:
    return widget_account(
        id=name,
        name=name,
        csesidx="1",
        config_id="c",
        secure_c_ses=secret,
        host_c_oses="COS.secret",
    )


A, B, C = account("a"), account("b"), account("c")


class Clock:
    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class MemoryBoard:
    """What the database keeps for all workers."""

    def __init__(self, clock: Clock) -> None:
        self.rows: dict[tuple[str, Scope], AccountHealth] = {}
        self.published: list[AccountHealth] = []
        self.errors: dict[str, tuple[str | None, float]] = {}
        self.said: dict[str, dict[str, Any] | None] = {}
        self.is_away = False
        self._clock = clock

    def publish(self, change: AccountHealth) -> None:
        self._check()
        self.published.append(change)
        self.rows[change.account_id, change.quota] = change

    def failed(
        self, account_id: str, error: str | None, at: float, said: dict[str, Any] | None = None
    ) -> None:
        self._check()
        self.said[account_id] = said
        self.errors[account_id] = (error, at)

    def try_trial(self, account_id: str, quota: QuotaClass, until: float) -> bool:
        self._check()
        row = self.rows.get((account_id, quota))
        if row is None or row.cooling_until is None or row.tried_until(self._clock()) is not None:
            return False
        self.rows[account_id, quota] = AccountHealth(
            account_id,
            quota,
            state=row.state,
            cooling_until=row.cooling_until,
            strikes=row.strikes,
            trial_until=until,
            cause=row.cause,
            changed_at=row.changed_at,
        )
        return True

    def read(self) -> Iterable[AccountHealth]:
        self._check()
        return tuple(self.rows.values())

    def _check(self) -> None:
        if self.is_away:
            raise GatewayError("the database is away")


class Workers:
    """Several pools over one board, as worker processes are."""

    def __init__(self, accounts: Iterable[Account], count: int = 2, **options: Any) -> None:
        self.clock = Clock()
        self.board = MemoryBoard(self.clock)
        given = tuple(accounts)
        self.pools = [
            pool(*given, clock=self.clock, board=self.board, **options) for _ in range(count)
        ]

    def poll(self) -> None:
        for each in self.pools:
            each.refresh(self.board.read())


def pool(*accounts: Account, clock: Clock | None = None, seed: int = 1, **options: Any) -> Pool:
    return Pool(
        accounts, clock=clock or Clock(), random=random.Random(seed), **{"wait_s": 0.05, **options}
    )


def lent(pool: Pool, count: int = 1, quota: QuotaClass = "text", **wish: Any) -> list[str]:
    """The accounts of so many leases at once, in order."""
    with ExitStack() as leases:
        return [leases.enter_context(pool.lease(quota, **wish)).id for _ in range(count)]


class Request:
    """A request in a thread of its own, that by now waits in the line or has what it wanted."""

    def __init__(self, accounts: Pool, *, hold: bool = False, **wish: Any) -> None:
        self._accounts = accounts
        self._wish = wish
        self._hold = hold
        self._go_on = threading.Event()
        self._done = threading.Event()
        self._result: str | GatewayError = ""
        before = set(accounts._waiting)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        until(lambda: self.served or set(accounts._waiting) - before)

    @property
    def served(self) -> bool:
        return self._done.is_set()

    def wait(self) -> str | GatewayError:
        """The account that it got, or what it heard."""
        assert self._done.wait(10)
        return self._result

    def end(self) -> None:
        self._go_on.set()
        self._thread.join(10)

    @property
    def account(self) -> str:
        """The account that it got, "" when none."""
        return self._result if isinstance(self._result, str) else ""

    def _run(self) -> None:
        try:
            with self._accounts.lease(**self._wish) as mine:
                self._result = mine.id
                self._done.set()
                if self._hold:
                    assert self._go_on.wait(10)
        except GatewayError as error:
            self._result = error
            self._done.set()


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)
