"""For tests of the pool: accounts, requests that wait, and a health store that several pools
share.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from gbproxy.accounts.health import AccountHealth, Scope
from gbproxy.accounts.pool import Pool
from gbproxy.domain.account import Account, QuotaClass
from gbproxy.errors import CredentialRefused, GatewayError, QuotaExhausted, UpstreamOverloaded
from gbproxy.observability import request_context
from gbproxy.observability.request_context import Phase
from tests.support.accounts import widget_account
from tests.support.clock import NOON, Clock
from tests.support.polling import until

_WITHIN_S = 60.0
MIDNIGHT = NOON + 12 * 3600

EMPTY = QuotaExhausted("empty")
BUSY = UpstreamOverloaded("busy", retry_after=10.0)
DEAD = CredentialRefused("Renew it.")


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


class MemoryHealthStore:
    """Keeps the health of accounts for several pools, as the database does."""

    def __init__(self, clock: Clock) -> None:
        self.rows: dict[tuple[str, Scope], AccountHealth] = {}
        self.published: list[AccountHealth] = []
        self.errors: dict[str, tuple[str | None, float]] = {}
        self.said: dict[str, dict[str, Any] | None] = {}
        self.kinds: dict[str, str | None] = {}
        self.is_away = False
        self._clock = clock

    def publish(self, change: AccountHealth) -> None:
        self._check()
        self.published.append(change)
        self.rows[change.account_key, change.quota] = change

    def failed(
        self,
        account_id: str,
        error: str | None,
        at: float,
        said: dict[str, Any] | None = None,
        kind: str | None = None,
    ) -> None:
        self._check()
        self.said[account_id] = said
        self.kinds[account_id] = kind
        self.errors[account_id] = (error, at)

    def try_probe(self, account_key: str, quota: QuotaClass, until: float) -> bool:
        self._check()
        row = self.rows.get((account_key, quota))
        if row is None or row.cooling_until is None or row.probed_until(self._clock()) is not None:
            return False
        self.rows[account_key, quota] = replace(row, probe_until=until)
        return True

    def read(self) -> Iterable[AccountHealth]:
        self._check()
        return tuple(self.rows.values())

    def _check(self) -> None:
        if self.is_away:
            raise GatewayError("the database is away")


class Workers:
    """Several pools over one store, as worker processes are."""

    def __init__(self, accounts: Iterable[Account], count: int = 2, **options: Any) -> None:
        self.clock = Clock()
        self.store = MemoryHealthStore(self.clock)
        given = tuple(accounts)
        self.pools = [
            pool(*given, clock=self.clock, store=self.store, **options) for _ in range(count)
        ]

    def poll(self) -> None:
        for each in self.pools:
            each.refresh(self.store.read())


def pool(*accounts: Account, clock: Clock | None = None, seed: int = 1, **options: Any) -> Pool:
    uniform = random.Random(seed).uniform
    return Pool(accounts, clock=clock or Clock(), uniform=uniform, **{"wait_s": 0.05, **options})


def disable_only(pool: Pool, *ids: str) -> None:
    """Disable these accounts, and enable all others."""
    pool.replace(pool.accounts(), disabled=ids)


def in_flight(pool: Pool) -> int:
    """How many answers run on all accounts."""
    return sum(pool.running().values())


def leased(pool: Pool, count: int = 1, quota: QuotaClass = "text", **wish: Any) -> list[str]:
    """The accounts of so many leases at once, in order."""
    with ExitStack() as leases:
        return [leases.enter_context(pool.lease(quota, **wish)).id for _ in range(count)]


def refusal(accounts: Pool, quota: QuotaClass = "text", **wish: Any) -> GatewayError:
    """The error of a request that gets no account."""
    try:
        with accounts.lease(quota, **wish) as mine:
            raise AssertionError(f"it got {mine.id}")
    except GatewayError as error:
        return error


def struck(accounts: Pool, clock: Clock) -> float:
    """Meet an unnamed quota once more, and wait its cooldown out; its length."""
    with accounts.lease() as mine:
        accounts.failed(mine, "text", EMPTY)
    seconds = accounts.recovery_s("text")
    assert seconds is not None
    clock.now += seconds
    return seconds


def probe_due(*, concurrency: int = 8, wait_s: float = 5, **options: Any) -> tuple[Pool, Clock]:
    """A pool whose one account has just waited out a cooldown for want of quota."""
    clock = Clock()
    accounts = pool(A, clock=clock, concurrency=concurrency, wait_s=wait_s, **options)
    struck(accounts, clock)
    return accounts, clock


class Request:
    """A request in a thread of its own, that by now waits in the queue or has what it wanted."""

    def __init__(
        self,
        accounts: Pool,
        *,
        hold: bool = False,
        on_lease: Callable[[], object] = lambda: None,
        **wish: Any,
    ) -> None:
        self._accounts = accounts
        self._on_lease = on_lease
        self._wish = wish
        self._hold = hold
        self._go_on = threading.Event()
        self._done = threading.Event()
        self._result: str | GatewayError = ""
        self._context: request_context.RequestContext | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        until(lambda: self.served or self._is_queued)

    @property
    def served(self) -> bool:
        return self._done.is_set()

    @property
    def _is_queued(self) -> bool:
        return self._context is not None and self._context.phase is Phase.WAITING

    def wait(self) -> str | GatewayError:
        """The account that it got, or what it heard."""
        assert self._done.wait(_WITHIN_S)
        return self._result

    def end(self) -> None:
        self._go_on.set()
        self._thread.join(_WITHIN_S)

    @property
    def account(self) -> str:
        """The account that it got, "" when none."""
        return self._result if isinstance(self._result, str) else ""

    def _run(self) -> None:
        context = request_context.begin("waits")
        context.phase = Phase.CONNECTING  # until it has to wait
        self._context = context
        try:
            with self._accounts.lease(**self._wish) as mine:
                self._result = mine.id
                self._on_lease()
                self._done.set()
                if self._hold:
                    assert self._go_on.wait(_WITHIN_S)
        except GatewayError as error:
            self._result = error
            self._done.set()
