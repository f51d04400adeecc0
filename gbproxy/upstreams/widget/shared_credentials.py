"""Polls the database for bearer tokens and renewed cookies of other workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from gbproxy.domain.account import Account
from gbproxy.errors import StorageUnavailable
from gbproxy.storage.tokens_cookies import CookieRows, RenewedCookies, StoredToken, TokenRows

_TOKEN_LIFE_S = 300.0
_OVERLAP_S = 60.0  # clocks of other machines differ, and rows were being written


class Auth(Protocol):
    """The sign-in that uses them; called without news it stores what it could not store before."""

    def sync(
        self,
        accounts: Iterable[Account],
        tokens: Mapping[str, StoredToken],
        cookies: Mapping[str, RenewedCookies],
    ) -> None: ...


class SharedCredentials:
    """Hands on what other workers have stored since the last poll."""

    def __init__(
        self,
        auth: Auth,
        tokens: TokenRows,
        cookies: CookieRows,
        accounts: Callable[[], Iterable[Account]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._auth = auth
        self._tokens = tokens
        self._cookies = cookies
        self._accounts = accounts
        self._clock = clock
        self._looked_at: float | None = None

    def sync(self) -> None:
        """Read what is new. Raises StorageUnavailable."""
        now = self._clock()
        looked_at, self._looked_at = self._looked_at, None
        try:
            tokens = self._tokens.read(
                now - _TOKEN_LIFE_S if looked_at is None else looked_at - _OVERLAP_S
            )
            cookies = self._cookies.read(0.0 if looked_at is None else looked_at - _OVERLAP_S)
        except StorageUnavailable:
            self._auth.sync(self._accounts(), {}, {})
            raise
        self._auth.sync(self._accounts(), tokens, cookies)
        self._looked_at = now
