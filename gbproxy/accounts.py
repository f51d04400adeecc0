"""Lends accounts to requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from gbproxy.domain.account import Account
from gbproxy.errors import NoAccountAvailable


class Pool:
    """The configured accounts; safe for use by many threads at once."""

    def __init__(self, accounts: Sequence[Account]) -> None:
        self._accounts = tuple(accounts)
        self._in_flight = {account.id: 0 for account in accounts}
        self._lock = threading.Lock()

    @contextmanager
    def lease(self) -> Iterator[Account]:
        """Lend the account with the fewest answers running, the first of equals. Raises NoAccountAvailable."""
        if not self._accounts:
            raise NoAccountAvailable("no account is configured: set SECURE_C_SES, CSESIDX and CONFIG_ID, or ACCOUNTS")
        with self._lock:
            account = min(self._accounts, key=lambda account: self._in_flight[account.id])
            self._in_flight[account.id] += 1
        try:
            yield account
        finally:
            with self._lock:
                self._in_flight[account.id] -= 1

    def usable(self) -> int:
        """How many accounts could serve a request."""
        return len(self._accounts)

    def in_flight(self) -> int:
        """How many answers are running on all accounts."""
        with self._lock:
            return sum(self._in_flight.values())
