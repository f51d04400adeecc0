"""Lends accounts to requests."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from gbproxy.domain.account import Account
from gbproxy.errors import NoAccountAvailable, Overloaded
from gbproxy.observability import trace

_RETRY_S = 5.0


class Pool:
    """The configured accounts, each with a number of places; safe for use by many threads at once."""

    def __init__(self, accounts: Sequence[Account], *, concurrency: int = 8, wait_s: float = 120) -> None:
        """`concurrency`: answers at once on one account; a request waits for a place for `wait_s` seconds at most."""
        self._accounts = tuple(accounts)
        self._concurrency = concurrency
        self._wait_s = wait_s
        self._in_flight = {account.id: 0 for account in accounts}
        self._waiting: deque[_Waiter] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def lease(self) -> Iterator[Account]:
        """Lend the account with the fewest answers running, the first of equals; with none free, wait in order.

        Raises NoAccountAvailable, or Overloaded after waiting in vain.
        """
        if not self._accounts:
            raise NoAccountAvailable("no account is configured: set SECURE_C_SES, CSESIDX and CONFIG_ID, or ACCOUNTS")
        account = self._take()
        try:
            yield account
        finally:
            self._give_back(account)

    def usable(self) -> int:
        """How many accounts could serve a request."""
        return len(self._accounts)

    def in_flight(self) -> int:
        """How many answers are running on all accounts."""
        with self._lock:
            return sum(self._in_flight.values())

    def _take(self) -> Account:
        with self._lock:
            account = min(self._accounts, key=lambda account: self._in_flight[account.id])
            if self._in_flight[account.id] < self._concurrency:
                self._in_flight[account.id] += 1
                return account
            waiter = _Waiter()
            self._waiting.append(waiter)
        return self._wait(waiter)

    def _wait(self, waiter: _Waiter) -> Account:
        started = time.perf_counter()
        try:
            waiter.called.wait(self._wait_s)
        except BaseException:  # the client has left
            self._withdraw(waiter)
            raise
        finally:
            trace.current().queued_s += time.perf_counter() - started
        with self._lock:
            if waiter.account is None:
                self._waiting.remove(waiter)
                raise Overloaded(
                    f"every account was busy for {self._wait_s:g} s (ACCOUNT_CONCURRENCY)", retry_after=_RETRY_S
                )
            return waiter.account

    def _withdraw(self, waiter: _Waiter) -> None:
        with self._lock:
            if waiter.account is None:
                self._waiting.remove(waiter)
        if waiter.account is not None:
            self._give_back(waiter.account)

    def _give_back(self, account: Account) -> None:
        """Hand the place to the one that has waited longest, or free it."""
        with self._lock:
            if self._waiting:
                waiter = self._waiting.popleft()
                waiter.account = account
                waiter.called.set()
            else:
                self._in_flight[account.id] -= 1


@dataclass(eq=False, slots=True)
class _Waiter:
    """A request that waits; `account` is what it was given."""

    called: threading.Event = field(default_factory=threading.Event)
    account: Account | None = None
